"""Elapsed and remaining wall-clock time of long work, and waiting that Ctrl-C can end."""

import time
from typing import TypeVar

import jax

Tree = TypeVar("Tree")


class Clock:
    """Estimates the time that is left of ``total`` units of work, ``before`` of which were done earlier.

    The first piece, which was compiled, does not enter the estimate.
    """

    def __init__(self, total: float, before: float = 0):
        self.total, self.before = total, before
        self.started = time.monotonic()
        self.warm: tuple[float, float] | None = None

    def at(self, done: float) -> tuple[float, float]:
        """Seconds elapsed and remaining when ``done`` of the work are done; infinity while nothing is known."""
        now = time.monotonic()
        since, before = self.warm or (self.started, self.before)
        if self.warm is None and done > self.before:
            self.warm = now, done
        left = self.total - done
        remaining = (now - since) / (done - before) * left if done > before else float("inf") if left else 0.0
        return now - self.started, remaining


def finished(tree: Tree) -> Tree:
    """``tree`` once all its arrays are computed. Compiled programs hear no signals, but Python does between looks at
    whether they are done: Ctrl-C takes effect at once, however long the program."""
    pause = 1e-5
    for leaf in jax.tree.leaves(tree):
        while isinstance(leaf, jax.Array) and not leaf.is_ready():  # pyright: ignore[reportAttributeAccessIssue]
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    return tree
