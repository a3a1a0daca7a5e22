"""Names for the arrays of the problem.

Dimension names: ``dim`` = 2 N (site and spinor, the spinor index is the fast one: row 2 j + s is site j, spin s),
``cols`` = the stored columns of all Pi_lp (lead, pole, contact spinor; the last is the fastest), ``spins`` = N_S,
``layers``, ``leads``, ``poles``. Energies are in units of the hopping gamma, times in hbar/gamma, and hbar = k_B = 1.
"""

import operator
from collections.abc import Iterator, Sequence, Set
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Complex, DTypeLike, Float

Numbers = ArrayLike | Sequence
"""What users may give where an array is meant: numbers, arrays, nested sequences."""

Scalar = Float[Array, ""]
Vector = Float[Array, "3"]
Spins = Float[Array, "spins 3"]
PerLayer = Float[Array, "layers"]
PerLead = Float[Array, "leads"]
Matrix = Complex[Array, "dim dim"]
Columns = Complex[Array, "dim cols"]


def real_array(value: Numbers, name: str = "value") -> Array:
    """``value``, also nested sequences, as an array of floating-point numbers.

    The one rule for numbers that users give: real numbers of any precision and integers are taken; complex numbers,
    truth values, texts, masked arrays and ragged sequences raise a ValueError that names the argument.
    """
    array = _array(value, name)
    if jnp.iscomplexobj(array):
        raise ValueError(f"Argument `{name}` must be real, but is {value}.")
    return _floating(array)


def host_array(value: object, name: str) -> np.ndarray:
    """As `real_array`, for numbers that shape a program: an array of NumPy, for which no device is started."""
    array = np.asarray(_array(value, name))
    if np.iscomplexobj(array):
        raise ValueError(f"Argument `{name}` must be real, but is {value}.")
    return array


def complex_array(value: Numbers, name: str = "value") -> Array:
    """As `real_array`, but complex numbers are taken too, and stay complex."""
    return _floating(_array(value, name))


def on_host(value: Any) -> Any:
    """An array whose numbers are known as one of NumPy, which compiles no program for each operation; others as they
    are."""
    return np.asarray(value) if known(value) else value


def numerics(*values: object) -> Any:
    """NumPy for values that are known, jax.numpy for others: the same functions."""
    return np if known(*values) else jnp


def on_device(array: np.ndarray, dtype: DTypeLike) -> Array:
    """A copy of an array of NumPy, made without a program (`jax.numpy.array` compiles one for each shape)."""
    return jax.device_put(np.array(array, dtype))


def _floating(array: Any) -> Array:
    dtype = jnp.result_type(float, array)
    return array.astype(dtype) if isinstance(array, Array) else on_device(array, dtype)


def _array(value: Any, name: str) -> Any:
    """``value`` as an array: of NumPy, unless it is one of JAX or holds some."""
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"Argument `{name}` must hold numbers throughout, but is a masked array.")
    if isinstance(value, Sequence) and any(isinstance(part, str) for part in value):
        raise ValueError(f"Argument `{name}` must hold numbers, but is {value!r}.")
    if isinstance(value, Set | Iterator):
        raise ValueError(f"Argument `{name}` must be a number or a sequence, but is of type {type(value).__name__}.")
    try:
        plain = not any(isinstance(part, Array) for part in jax.tree.leaves(value))
        array = np.asarray(value) if plain else jnp.asarray(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"Argument `{name}` must hold numbers, but is {value!r}.") from None
    if not jnp.issubdtype(array.dtype, jnp.number):
        raise ValueError(f"Argument `{name}` must hold numbers, but is {value!r}.")
    return array


def whole_number(value: object, name: str, least: int | None = 0) -> int:
    """``value`` as an int, from any type of whole number; floating-point numbers and truth values are no counts."""
    bound = "" if least is None else f" of at least {least}"
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"Argument `{name}` must be a whole number{bound}, but is {value!r}.") from None
    if least is not None and count < least:
        raise ValueError(f"Argument `{name}` must be a whole number{bound}, but is {count}.")
    return count


def real_number(value: object, name: str) -> float:
    """``value`` as a float: one finite real number of any type, also an array of shape ()."""
    array = host_array(value, name)
    if array.shape != () or not np.isfinite(array):
        raise ValueError(f"Argument `{name}` must be one finite number, but is {value!r}.")
    return float(array)


def known(*values: object) -> bool:
    """Whether the values can be looked at: not inside ``jit``, ``grad`` or ``vmap``, where checks of them must wait."""
    return not any(isinstance(value, Tracer) for value in values)
