"""Complex arrays as their real and imaginary parts, apart: a processor adds and multiplies those many at once."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class Parts(eqx.Module):
    """A complex array in two real ones, with the arithmetic that equations of motion need.

    Interleaved, as complex arrays are stored, a product of an array and a number takes twice the time or more. Numbers
    and arrays, real or complex, may stand on either side of an operator. `map` applies a real linear function.
    """

    real: Array
    imag: Array

    __array_ufunc__ = None  # NumPy's arrays leave operators to the right-hand side

    def map(self, function: Callable[[Array], Array]) -> "Parts":
        return Parts(function(self.real), function(self.imag))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.real.shape

    def reshape(self, *shape: Any) -> "Parts":
        return self.map(lambda part: part.reshape(*shape))

    def __getitem__(self, where: Any) -> "Parts":
        return self.map(lambda part: part[where])

    def conj(self) -> "Parts":
        return Parts(self.real, -self.imag)

    @property
    def T(self) -> "Parts":
        return self.map(jnp.transpose)

    def __add__(self, other: Any) -> "Parts":
        real, imag = _parts(other)
        return Parts(self.real + real, self.imag if imag is None else self.imag + imag)

    __radd__ = __add__

    def __neg__(self) -> "Parts":
        return self.map(jnp.negative)

    def __sub__(self, other: Any) -> "Parts":
        return self + (-other)

    def __mul__(self, other: Any) -> "Parts":
        if isinstance(other, complex) and other.real == 0:  # a turn by i moves the parts and multiplies little
            return Parts(-other.imag * self.imag, other.imag * self.real)
        real, imag = _parts(other)
        if imag is None:
            return self.map(lambda part: part * real)
        return Parts(real * self.real - imag * self.imag, real * self.imag + imag * self.real)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Parts":
        return self * (1 / other)


def _parts(value: Any) -> tuple[Any, Any]:
    """Real part, and imaginary part or None where there is none."""
    if isinstance(value, Parts) or jnp.iscomplexobj(value):
        return value.real, value.imag
    return value, None


def apart(tree: PyTree) -> PyTree:
    """The same tree with every complex array in `Parts`."""
    return jax.tree.map(lambda x: Parts(x.real, x.imag) if jnp.iscomplexobj(x) else x, tree)


def together(tree: PyTree) -> PyTree:
    """The same tree with every `Parts` as a complex array."""
    return jax.tree.map(
        lambda x: jax.lax.complex(x.real, x.imag) if isinstance(x, Parts) else x,
        tree,
        is_leaf=lambda x: isinstance(x, Parts),
    )


def product(a: Array, b: Array) -> Array:
    """a @ b from three products of real matrices (Gauss), which the CPU's compiled code multiplies several times
    faster than one of complex ones; the error stays eps |a| |b|."""
    real, imag = a.real @ b.real, a.imag @ b.imag
    return jax.lax.complex(real - imag, (a.real + a.imag) @ (b.real + b.imag) - real - imag)
