"""The engine: explicit Runge-Kutta steps on a pytree and checkpointed scans. It knows no physics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

Y = TypeVar("Y", bound=PyTree)
Derivative = Callable[[Array, Y], Y]


@dataclass(frozen=True)
class Tableau:
    """A four-stage explicit Runge-Kutta table, checked on construction against the order conditions up to four."""

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]

    def __post_init__(self):
        a, b, c = (np.array(part) for part in (self.a, self.b, self.c))
        conditions = {
            "a 1 = c": np.abs(a.sum(1) - c).max(),
            "b.1 = 1": b.sum() - 1,
            "b.c = 1/2": b @ c - 1 / 2,
            "b.c^2 = 1/3": b @ c**2 - 1 / 3,
            "b.a c = 1/6": b @ a @ c - 1 / 6,
            "b.c^3 = 1/4": b @ c**3 - 1 / 4,
            "b.(c a c) = 1/8": b @ (c * (a @ c)) - 1 / 8,
            "b.a c^2 = 1/12": b @ a @ c**2 - 1 / 12,
            "b.a a c = 1/24": b @ a @ a @ c - 1 / 24,
            "explicit": np.abs(np.triu(a)).max(),
        }
        wrong = [name for name, error in conditions.items() if abs(error) > 1e-15]
        if wrong:
            raise ValueError(f"The Runge-Kutta table breaks: {', '.join(wrong)}.")


RK38 = Tableau(
    a=((0.0, 0.0, 0.0, 0.0), (1 / 3, 0.0, 0.0, 0.0), (-1 / 3, 1.0, 0.0, 0.0), (1.0, -1.0, 1.0, 0.0)),
    b=(1 / 8, 3 / 8, 3 / 8, 1 / 8),
    c=(0.0, 1 / 3, 2 / 3, 1.0),
)


def runge_kutta_step(derivative: Derivative, t: Array, y: Y, dt: Array, tableau: Tableau = RK38) -> Y:
    """One step y(t) -> y(t + dt) of dy/dt = derivative(t, y); the default is the 3/8 rule of Kutta.

    Each stage is computed behind a branch that is always taken. Without it the compiler fuses the stages into each
    other and computes the early ones again for every use in the later ones, at ten times the cost.
    """
    dt = jnp.asarray(dt)
    derivative = jax.jit(derivative)  # traced once for all stages
    stages: list = []
    for row, c in zip(tableau.a, tableau.c, strict=True):
        stages.append(
            jax.lax.cond(
                jnp.isfinite(dt),
                lambda x, c=c: derivative(t + c * dt, x),
                lambda x: x,
                _advance(y, dt, row, stages),
            )
        )
    return _advance(y, dt, tableau.b, stages)


def _advance(y: Y, dt: Array, weights: Sequence[float], stages: Sequence[Y]) -> Y:
    """y + dt sum_i weights_i stages_i."""
    terms = [(weight, stage) for weight, stage in zip(weights, stages, strict=False) if weight]
    add = lambda y, *ks: sum(((weight * dt) * k for (weight, _), k in zip(terms, ks, strict=True)), y)
    return jax.tree.map(add, y, *(stage for _, stage in terms))


def checkpointed_scan(body: Callable, carry: PyTree, xs: Array) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan` over the array ``xs`` that stores about 2 sqrt(n) carries for reverse mode instead of n.

    The length is split into equal chunks where it has a divisor near its square root; otherwise a shorter last chunk
    follows, for which the body is compiled a second time.
    """
    n = xs.shape[0]
    inner = _chunk_length(n)
    if inner == n:
        return jax.lax.scan(body, carry, xs)
    outer = n // inner
    chunk = jax.checkpoint(lambda carry, part: jax.lax.scan(body, carry, part), prevent_cse=False)
    carry, ys = jax.lax.scan(chunk, carry, xs[: outer * inner].reshape(outer, inner, *xs.shape[1:]))
    ys = jax.tree.map(lambda block: block.reshape(outer * inner, *block.shape[2:]), ys)
    if n % inner:
        carry, rest = jax.lax.scan(body, carry, xs[outer * inner :])
        ys = jax.tree.map(lambda block, tail: jnp.concatenate([block, tail]), ys, rest)
    return carry, ys


def _chunk_length(n: int) -> int:
    root = isqrt(n)
    if root <= 2:
        return n
    near = [k for k in range(root // 3 + 1, 3 * root + 1) if n % k == 0]
    return min(near, key=lambda k: k + n // k) if near else root
