"""Functions and their traces: one program for all of a function, and what a function does without samples of it."""

from collections.abc import Callable
from functools import partial

import jax
from jax.extend.core import Literal
from jaxtyping import Array

inlined = partial(jax.jit, inline=True)
"""For a function that is also called outside of programs. There it is one, instead of one for each of its operations,
whose compilation takes longer than their work; in other programs it leaves no trace."""


def depends_on(function: Callable[[Array], object], x: Array) -> bool:
    """Whether what ``function`` returns depends on its argument ``x``; comparisons with it count."""
    jaxpr = jax.make_jaxpr(function)(x).jaxpr
    moving = set(jaxpr.invars)
    moves = lambda names: any(not isinstance(name, Literal) and name in moving for name in names)
    for equation in jaxpr.eqns:
        if moves(equation.invars):
            moving.update(equation.outvars)
    return moves(jaxpr.outvars)
