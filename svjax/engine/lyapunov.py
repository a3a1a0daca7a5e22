"""The Lyapunov equation of a stable matrix, by products alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from svjax.engine.arrays import Matrix


def lyapunov(a: Matrix, q: Matrix) -> tuple[Matrix, Bool[Array, ""]]:
    """The Hermitian X with a X + X a^+ + q = 0 for a stable matrix ``a``, and whether X is unique.

    Smith's doubling: with the Cayley transform u = (a - p)^-1 (a + p) the equation reads X = u X u^+ + r, whose series
    is summed by squaring u. It needs only products and one LU decomposition, does not care for exceptional points of
    ``a``, and runs on any device. A step of iterative refinement follows where rounding has left a residual.
    Derivatives, forward and reverse, solve the same equation for the perturbed right-hand side.
    """
    a_fixed = jax.lax.stop_gradient(a)
    equation = lambda x: a @ x + x @ a.conj().T
    solve = lambda _, b: _refined(a_fixed, -b)
    transposed = lambda _, b: _refined(a_fixed.T, -b)
    x, unique = jax.lax.custom_linear_solve(equation, -q, solve, transposed, has_aux=True)
    return (x + x.conj().T) / 2, unique


def _refined(a: Matrix, q: Matrix) -> tuple[Matrix, Bool[Array, ""]]:
    x, unique = _smith_doubling(a, q)
    rest = a @ x + x @ a.conj().T + q
    rounding = 4 * jnp.finfo(a.dtype).eps * (jnp.linalg.norm(a) * jnp.linalg.norm(x) + jnp.linalg.norm(q))
    again = (jnp.linalg.norm(rest) > rounding) & unique
    return jax.lax.cond(again, lambda: x + _smith_doubling(a, rest)[0], lambda: x), unique


def _smith_doubling(a: Matrix, q: Matrix) -> tuple[Matrix, Bool[Array, ""]]:
    """The series of `lyapunov`, and whether u^(2^k) died out, k bounded by the digits: for decays above 500 eps."""
    identity, eps = jnp.eye(a.shape[0], dtype=a.dtype), jnp.finfo(a.dtype).eps
    a = a - 1j * jnp.imag(jnp.trace(a)) / a.shape[0] * identity
    shift = jnp.linalg.norm(a) / jnp.sqrt(a.shape[0])
    inverse = jnp.linalg.inv(a - shift * identity)
    first = inverse @ (a + shift * identity), 2 * shift * inverse @ q @ inverse.conj().T
    most = -jnp.finfo(a.dtype).machep - 7

    def more(carry):
        k, u, _ = carry
        return (k < most) & (jnp.linalg.norm(u) > eps**2)

    def double(carry):
        k, u, x = carry
        return k + 1, u @ u, x + u @ x @ u.conj().T

    _, u, x = jax.lax.while_loop(more, double, (0, *first))
    return x, jnp.linalg.norm(u) < 1e-3
