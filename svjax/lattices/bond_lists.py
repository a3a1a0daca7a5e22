"""Lists of bonds as users give them, (i, j) or (i, j, number or matrix), put on a lattice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from svjax.engine.arrays import complex_array, known, real_array
from svjax.lattices.graph_checks import tidy_pairs
from svjax.lattices.lattice import Lattice

_SIZES = {"bonds": 2, "spin_bonds": 3}


def split(name: str, bonds: Sequence[Sequence]) -> tuple[list, Inexact[Array, "bonds *matrix"] | None]:
    """Pairs of sites, and what follows them: a number or a matrix for each pair, or None where all are one."""
    size = _SIZES[name]
    if not isinstance(bonds, list | tuple | np.ndarray) or any(
        isinstance(bond, str) or not hasattr(bond, "__len__") or len(bond) not in (2, 3) for bond in bonds
    ):
        raise ValueError(f"Argument `{name}` must hold (i, j) or (i, j, number or matrix), but is {bonds!r}.")
    pairs, plain = [tuple(bond[:2]) for bond in bonds], all(len(bond) == 2 for bond in bonds)
    if name == "spin_bonds" and any(len(bond) == 2 for bond in bonds):
        raise ValueError(f"Argument `{name}` must hold (i, j, number or matrix), but one has no number.")
    if plain:
        return pairs, None
    values = [bond[2] if len(bond) == 3 else 1.0 for bond in bonds]
    if any(np.shape(value) not in ((), (size, size)) for value in values):
        raise ValueError(f"Argument `{name}` must hold numbers or {size}x{size} matrices, but has other shapes.")
    if any(np.ndim(value) for value in values):
        values = [value if np.ndim(value) else value * np.eye(size) for value in values]
    if name == "spin_bonds":
        return pairs, real_array(values, name)
    amplitudes = complex_array(values, name)
    trivial = amplitudes.ndim == 1 and known(amplitudes) and np.all(np.asarray(amplitudes) == 1)
    return pairs, None if trivial else amplitudes


def with_lists(lattice: Lattice, parameters: Mapping[str, Any]) -> tuple[Lattice, dict[str, Any]]:
    """A lattice with the bonds and spin bonds that are given as lists, and the parameters with what these hold.

    A bond of the list that the lattice has gets another amplitude, any other is added (without a share of the flux,
    where the lattice says what that is by ``windings``). Arrays are left alone: one amplitude for each bond.
    """
    given = dict(parameters)
    if _is_list(given["bonds"]):
        lattice, given["bonds"] = _with_bonds(lattice, given["bonds"])
    if _is_list(given["spin_bonds"]):
        pairs, given["spin_bonds"] = split("spin_bonds", given["spin_bonds"])
        lattice = lattice.with_spin_bonds(pairs)
    return lattice, given


def _is_list(value: Any) -> bool:
    """Whether a value lists bonds: of its parts, that have a length, the first is one number."""
    if hasattr(value, "dtype"):
        return value.ndim == 2 and np.issubdtype(value.dtype, np.integer)
    if not isinstance(value, list | tuple):
        return False
    return all(hasattr(part, "__len__") and len(part) > 0 and np.ndim(part[0]) == 0 for part in value)


def _with_bonds(lattice: Lattice, bonds: Sequence[Sequence]) -> tuple[Lattice, Inexact[Array, "bonds *matrix"] | None]:
    pairs, values = split("bonds", bonds)
    pairs = tidy_pairs("bonds", pairs, lattice.n_sites)
    numbers = {pair: number for number, pair in enumerate(lattice.bonds)}
    new = [pair for pair in pairs if pair not in numbers and pair[::-1] not in numbers]
    numbers |= {pair: len(numbers) + number for number, pair in enumerate(new)}
    windings = (*lattice.windings, *[0.0] * len(new)) if lattice.windings else ()
    lattice = replace(lattice, bonds=(*lattice.bonds, *new), windings=windings)
    if values is None:
        return lattice, None
    backward = np.array([pair not in numbers for pair in pairs])
    which = np.array([numbers[(j, i) if back else (i, j)] for (i, j), back in zip(pairs, backward, strict=True)])
    if values.ndim == 1:
        return lattice, jnp.ones(len(numbers), values.dtype).at[which].set(jnp.where(backward, values.conj(), values))
    turned = jnp.where(backward[:, None, None], jnp.swapaxes(values.conj(), 1, 2), values)
    return lattice, jnp.tile(jnp.eye(2, dtype=values.dtype), (len(numbers), 1, 1)).at[which].set(turned)
