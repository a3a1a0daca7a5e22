"""What a run is going to save, found out before it starts: names that files can hold, arrays of numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping

import equinox as eqx
import jax
import numpy as np

from svjax.model.equations import State
from svjax.model.valve import SpinValve
from svjax.observables.by_name import Observe
from svjax.storage.plain import TYPES

RESERVED = (
    *("time", "stage", "layer", "lead", "component", "site", "bond", "spin", "monolayer", "row", "column", "pi_column"),
    *("mu", "saved", "status", "final_time", "final_rho", "final_pi", "final_spins"),
    *("equilibrium_rho", "equilibrium_pi", "equilibrium_spins", "zarr.json"),
)
"""Names that a stored run uses itself."""
FORM = re.compile(r"\w[\w +,.()\[\]-]{0,99}")
"""What a file system and a dataset take as a name."""


def first_row(observe: Observe, valve: SpinValve, state: State) -> dict[str, np.ndarray]:
    """The observables of one state, each with a leading axis of length one; raises ValueError for what a run cannot
    save."""
    found = eqx.filter_jit(observe)(valve, state)
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"Argument `observe` must return a dict of arrays, but returns {_kind(found)}.")
    for name in found:
        if not isinstance(name, str) or not FORM.fullmatch(name):
            raise ValueError(
                "Argument `observe` must name what it returns with letters, digits, spaces and _-+,.()[], "
                f"but has {name!r}."
            )
    rows = {name: _row(name, value) for name, value in found.items()}
    axes = {f"{name}_{k}" for name, row in rows.items() for k in range(1, row.ndim)}
    if taken := sorted(rows.keys() & {*RESERVED, *axes}):
        raise ValueError(f"Argument `observe` must not use the name {taken[0]!r}, which a run needs itself.")
    return rows


def _row(name: str, value: object) -> np.ndarray:
    array = isinstance(value, jax.Array | np.ndarray | np.generic | bool | int | float | complex)
    if not array or str(np.asarray(value).dtype) not in TYPES:
        raise ValueError(f"Argument `observe` must return arrays of numbers, but {name!r} is {_kind(value)}.")
    return np.asarray(value)[None]


def _kind(value: object) -> str:
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array of {value.dtype}"
    return f"of type {type(value).__name__}" if not isinstance(value, Mapping) or value else "empty"
