"""Eigenbases of matrices that are not normal, which are useless at exceptional points and useful next to them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from svjax.engine.arrays import Matrix


class Eigenbasis(eqx.Module):
    """a = right diag(values) left with left = right^-1."""

    values: Complex[Array, "dim"]
    right: Matrix
    left: Matrix

    @property
    def condition(self) -> Float[Array, ""]:
        """|right| |left|/dim: 1 for a normal matrix, infinite at an exceptional point. Rounding of what is linear in
        each of the two grows with it, of what is quadratic with its square."""
        return jnp.linalg.norm(self.right) * jnp.linalg.norm(self.left) / self.values.shape[0]

    @property
    def sound(self) -> Bool[Array, ""]:
        """Whether what is quadratic in the basis is right to eps^(1/2)."""
        condition = self.condition
        return condition < jnp.finfo(condition.dtype).eps ** (-1 / 4)


def eigenbasis(a: Matrix) -> Eigenbasis:
    """The eigenbasis of ``a`` as it is."""
    values, right = jnp.linalg.eig(a)
    return Eigenbasis(values, right, jnp.linalg.inv(right))


def sound_eigenbasis(a: Matrix, plain: Eigenbasis) -> Eigenbasis:
    """``plain``, the eigenbasis of ``a``, or where that is not sound the one of a matrix within eps^(1/2) |a|.

    Where two eigenvectors merge the condition at a distance d is d^(-1/2). For what is quadratic in the basis the error
    of moving away, d, and that of rounding, eps/d, are then alike: 1e-8 in double precision, instead of infinite.
    """
    noise = lambda: jax.random.normal(jax.random.key(0), a.shape, a.dtype)
    size = jnp.finfo(a.dtype).eps ** (1 / 2) * jnp.linalg.norm(a) / a.shape[0]
    return jax.lax.cond(plain.sound, lambda: plain, lambda: eigenbasis(a + size * noise()))
