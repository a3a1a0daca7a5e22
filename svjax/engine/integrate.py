"""The engine: explicit Runge-Kutta steps on a pytree and checkpointed scans. It knows no physics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial, isqrt
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
    """One step y(t) -> y(t + dt) of dy/dt = derivative(t, y); the default is the 3/8 rule of Kutta."""
    rows = [(1, row) for row in (*tableau.a, tableau.b)]
    return _staged(derivative, t, y, dt, tableau.c, jax.tree.map(lambda _: rows, y))


def exponential_step(derivative: Derivative, decay: PyTree, t: Array, y: Y, dt: Array) -> Y:
    """One step of dy/dt = derivative(t, y) by the fourth-order exponential method of Krogstad (2005), ETDRK4-B.

    ``decay`` is shaped like y: None where the classic Runge-Kutta step will do, or the rates, broadcastable against the
    leaf, of a stiff linear part -decay y of the derivative, which is integrated exactly, however fast it is.
    """
    dt = jnp.asarray(dt)
    tree = jax.tree.structure(y)
    rates = tree.flatten_up_to(decay)

    def rest(t, x):
        slopes = jax.tree.leaves(derivative(t, x))
        terms = zip(slopes, rates, jax.tree.leaves(x), strict=True)
        return tree.unflatten([k if rate is None else k + rate * x for k, rate, x in terms])

    rows = tree.unflatten([_CLASSIC if rate is None else _krogstad(-rate * dt) for rate in rates])
    return _staged(rest, t, y, dt, (0.0, 0.5, 0.5, 1.0), rows)


_CLASSIC = [(1, ()), (1, (1 / 2,)), (1, (0, 1 / 2)), (1, (0, 0, 1)), (1, (1 / 6, 1 / 3, 1 / 3, 1 / 6))]


def _krogstad(z: Array) -> list[tuple]:
    """The factor of y and the weights of the slopes for the four stages and the step, at the scaled rates ``z``."""
    half, one = _phi(z / 2), _phi(z)
    last = one[1] - 3 * one[2] + 4 * one[3], 2 * one[2] - 4 * one[3], 4 * one[3] - one[2]
    return [
        (1, ()),
        (half[0], (half[1] / 2,)),
        (half[0], (half[1] / 2 - half[2], half[2])),
        (one[0], (one[1] - 2 * one[2], 0, 2 * one[2])),
        (one[0], (last[0], last[1], last[1], last[2])),
    ]


def _phi(z: Array) -> list[Array]:
    """phi_0 = e^z and phi_k = (phi_(k-1) - 1/(k-1)!) / z for k = 1, 2, 3; where |z| is small, phi_3 by its series and
    the others back from it."""
    small = jnp.abs(z) < 1
    near, far = jnp.where(small, z, 0.0), jnp.where(small, 1.0, z)
    series = [jnp.polyval(jnp.array([1 / factorial(n + 3) for n in reversed(range(18))], z.dtype), near, unroll=18)]
    direct = [jnp.exp(z)]
    for k in (2, 1):
        series.append(1 / factorial(k) + near * series[-1])
    for k in (1, 2, 3):
        direct.append((direct[-1] - 1 / factorial(k - 1)) / far)
    return [direct[0], *(jnp.where(small, a, b) for a, b in zip(reversed(series), direct[1:], strict=True))]


def incomplete_gammas(z: Array, count: int) -> Array:
    """int_0^1 u^k/k! e^(-z u) du for k < ``count`` and every z >= 0, the incomplete gamma functions over z^(k+1)."""
    node, weight = np.polynomial.legendre.leggauss(24)
    u, near, far = (node + 1) / 2, jnp.minimum(z, 40.0), jnp.maximum(z, 40.0)
    powers = np.stack([weight / 2 * u**k / factorial(k) for k in range(count)])
    short = jnp.asarray(powers, z.dtype) @ jnp.exp(-near * jnp.asarray(u, z.dtype)[:, None])
    return jnp.where(z < 40, short, far ** -(1.0 + jnp.arange(count, dtype=z.dtype)[:, None]))


def hermite_weights(degree: int) -> np.ndarray:
    """int_0^1 (1 - x)^k/k! h(x) dx, (degree + 1, 6), of the quintics that are one in the value, the slope or the second
    derivative at x = 0, at x = 1, and zero in the others."""
    node, weight = np.polynomial.legendre.leggauss(8)
    x, y = (node + 1) / 2, (1 - node) / 2
    first = lambda x, y: [y**3 * (1 + 3 * x + 6 * x**2), x * y**3 * (1 + 3 * x), x**2 * y**3 / 2]
    quintics = np.stack([*first(x, y), *(sign * h for sign, h in zip((1, -1, 1), first(y, x), strict=True))], 1)
    return np.stack([(weight / 2 * y**k / factorial(k)) @ quintics for k in range(degree + 1)])


def _staged(derivative: Derivative, t: Array, y: Y, dt: Array, nodes: Sequence[float], rows: PyTree) -> Y:
    """The stages of an explicit method and its step: factor_i y + dt sum_j weight_ij slope_j, with rows for each leaf.

    Each stage is computed behind a branch that is always taken. Without it the compiler fuses the stages into each
    other and computes the early ones again for every use in the later ones, at ten times the cost.
    """
    dt = jnp.asarray(dt)
    derivative = jax.jit(derivative)  # traced once for all stages
    slopes: list = []

    def point(number: int) -> Y:
        def combine(y, rows, *slopes):
            factor, weights = rows[number]
            pairs = zip(weights, slopes, strict=False)
            terms = ((weight * dt) * k for weight, k in pairs if isinstance(weight, Array) or weight != 0)
            return sum(terms, factor * y if isinstance(factor, Array) else y)

        return jax.tree.map(combine, y, rows, *slopes)

    for number, c in enumerate(nodes):
        slope = jax.lax.cond(jnp.isfinite(t + dt), lambda x, c=c: derivative(t + c * dt, x), lambda x: x, point(number))
        slopes.append(slope)
    return point(len(nodes))


def checkpointed_scan(body: Callable, carry: PyTree, start: Array, n: int, stride: int = 1) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan` over the numbers start + stride k, k < n, that stores about 2 sqrt(n) carries for reverse mode.

    The length is split into equal chunks where it has a divisor near its square root; otherwise a shorter last chunk
    follows, for which the body is compiled a second time. The numbers are counted, not stored.
    """

    def count(state, _):
        carry, number = state
        carry, y = body(carry, number)
        return (carry, number + stride), y

    inner, state = _chunk_length(n), (carry, jnp.asarray(start))
    if inner == n:
        (carry, _), ys = jax.lax.scan(count, state, length=n)
        return carry, ys
    outer = n // inner
    chunk = jax.checkpoint(lambda state, _: jax.lax.scan(count, state, length=inner), prevent_cse=False)
    state, ys = jax.lax.scan(chunk, state, length=outer)
    ys = jax.tree.map(lambda block: block.reshape(outer * inner, *block.shape[2:]), ys)
    if n % inner:
        state, rest = jax.lax.scan(count, state, length=n % inner)
        ys = jax.tree.map(lambda block, tail: jnp.concatenate([block, tail]), ys, rest)
    return state[0], ys


def _chunk_length(n: int) -> int:
    root = isqrt(n)
    if root <= 2:
        return n
    near = [k for k in range(root // 3 + 1, 3 * root + 1) if n % k == 0]
    return min(near, key=lambda k: k + n // k) if near else root
