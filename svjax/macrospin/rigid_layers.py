"""What makes two layers rigid spins for the microscopic LLG, and what it refuses."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from svjax.macrospin.layer_response import Layers
from svjax.macrospin.model import TwoNumbers
from svjax.model.hamiltonian import bond_matrices
from svjax.model.valve import SpinValve, per_spin

RIGID = 0.95
"""A layer whose spins sum to less than this part of their number is not a macrospin."""


def are_rigid(valve: SpinValve, layers: Layers) -> Bool[Array, ""]:
    """Whether `check_layers` finds nothing, for traced values."""
    rigid = (jnp.min(layers.length / sizes(valve)) > RIGID) & (jnp.max(layers.softest) < 1e-6)
    return rigid & (jnp.max(layers.residual) < 1e-9) & jnp.all(layers.sound)


def of_layers(valve: SpinValve, values: Array) -> Array:
    """Of values per spin those of the first spin of each layer."""
    return values[np.searchsorted(valve.lattice.spin_layers, np.arange(2))]


def sizes(valve: SpinValve) -> TwoNumbers:
    """The number of spins of each layer."""
    return jnp.asarray(np.bincount(valve.lattice.spin_layers, minlength=2), valve.dtype)


def held_at(valve: SpinValve) -> TwoNumbers:
    """The frequencies |B| + 2 |K| of the layers by themselves."""
    size = jnp.linalg.norm(per_spin(valve, "field"), axis=-1) + 2 * jnp.abs(per_spin(valve, "anisotropy"))
    return jnp.maximum(of_layers(valve, size), 1e-3)


def check_two_layers(valve: SpinValve) -> None:
    """Raise a ValueError unless there are two layers."""
    count = len(valve.lattice.layers)
    if count != 2:
        raise ValueError(f"Argument `valve` must have two layers, but has {count}.")


def check_valve(valve: SpinValve) -> None:
    """Raise a ValueError for terms that differ inside a layer or fix a direction in space."""
    check_two_layers(valve)
    for name in ("anisotropy", "easy_axes", "field"):
        values = per_spin(valve, name)
        if any(np.ptp(np.asarray(values)[valve.lattice.spin_layers == k], axis=0).any() for k in (0, 1)):
            raise ValueError(f"Argument `{name}` must be the same on all spins of a layer, but is not.")
    blocks = bond_matrices(valve)
    turning = {
        "rashba": 0 if valve.rashba is None else valve.rashba,
        "bonds": blocks - jnp.trace(blocks, axis1=1, axis2=2)[:, None, None] / 2 * jnp.eye(2),
        "spin_bonds": 0 if valve.spin_bonds is None or valve.spin_bonds.ndim == 1 else valve.spin_bonds,
        "lead_polarization": valve.lead_polarization,
    }
    for name, part in turning.items():
        if np.size(part) and (size := np.max(np.abs(np.asarray(part)))) > 0:
            raise ValueError(
                f"Argument `{name}` must not fix a direction in space, for the table depends on the angle between the "
                f"layers alone, but a part of {size:.3g} does."
            )


def check_layers(valve: SpinValve, layers: Layers) -> None:
    """Raise for layers that are no macrospins (ValueError) or did not come to rest (RuntimeError)."""
    share = np.min(np.asarray(layers.length / sizes(valve)))
    if not share > RIGID:
        raise ValueError(
            f"Argument `valve` must have rigid layers, but the spins of one sum to {share:.3g} of their number."
        )
    if not np.max(layers.softest) < 1e-6:
        raise ValueError(
            "Argument `valve` must have rigid layers, but parallel spins inside one turn away from each other: a turn "
            f"has the stiffness {-np.max(layers.softest):.3g}."
        )
    if not np.max(layers.residual) < 1e-9 or not np.all(layers.sound):
        raise RuntimeError(
            "The spins inside the layers did not come to rest at all angles: "
            f"max |S x B| = {np.max(layers.residual):.1e}."
        )
