"""Names for the arrays of the problem.

Dimension names: ``dim`` = 2 N (site and spinor, the spinor index is the fast one: row 2 j + s is site j, spin s),
``cols`` = the stored columns of all Pi_lp (lead, pole, contact spinor; the last is the fastest), ``spins`` = N_S,
``layers``, ``leads``, ``poles``. Energies are in units of the hopping gamma, times in hbar/gamma, and hbar = k_B = 1.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Complex, Float

Numbers = ArrayLike | Sequence
"""What users may give where an array is meant: numbers, arrays, nested sequences."""

Scalar = Float[Array, ""]
Vector = Float[Array, "3"]
Spins = Float[Array, "spins 3"]
PerLayer = Float[Array, "layers"]
PerLead = Float[Array, "leads"]
Matrix = Complex[Array, "dim dim"]
Columns = Complex[Array, "dim cols"]


def real_array(value: Numbers) -> Array:
    """``value``, also nested sequences, as an array of floating-point numbers."""
    array = jnp.asarray(value)
    return array.astype(jnp.result_type(float, array))


def known(*values: object) -> bool:
    """Whether the values can be looked at: not inside ``jit``, ``grad`` or ``vmap``, where checks of them must wait."""
    return not any(isinstance(value, Tracer) for value in values)
