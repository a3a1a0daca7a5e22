"""What a function does, from its trace instead of from samples."""

from collections.abc import Callable

import jax
from jax.extend.core import Literal
from jaxtyping import Array


def depends_on(function: Callable[[Array], object], x: Array) -> bool:
    """Whether what ``function`` returns depends on its argument ``x``; comparisons with it count."""
    jaxpr = jax.make_jaxpr(function)(x).jaxpr
    moving = set(jaxpr.invars)
    moves = lambda names: any(not isinstance(name, Literal) and name in moving for name in names)
    for equation in jaxpr.eqns:
        if moves(equation.invars):
            moving.update(equation.outvars)
    return moves(jaxpr.outvars)
