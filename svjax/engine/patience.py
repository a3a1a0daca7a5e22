"""Waiting for compiled programs in a way that Ctrl-C can end."""

import time
from typing import TypeVar

import jax

Tree = TypeVar("Tree")


def finished(tree: Tree) -> Tree:
    """``tree`` once all its arrays are computed. Compiled programs hear no signals, but Python does between looks at
    whether they are done: Ctrl-C takes effect at once, however long the program."""
    pause = 1e-5
    for leaf in jax.tree.leaves(tree):
        while isinstance(leaf, jax.Array) and not leaf.is_ready():  # pyright: ignore[reportAttributeAccessIssue]
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    return tree
