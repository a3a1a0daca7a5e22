"""Parameters by name: a leaf of the valve (or of another model) or of its bias, or one entry of it: "j_sd",
"anisotropy[1]", "voltage"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from svjax.engine.arrays import Numbers, complex_array, real_array
from svjax.engine.quantities import holds, shown
from svjax.model.valve import QUANTITIES, SpinValve, leaf, prepare
from svjax.reservoirs.bias import Bias

SYMBOLS = {name: (kind.symbol, kind.unit) for name, kind in QUANTITIES.items()} | {
    "voltage": ("V", "hopping/e"),
    "voltages": ("V", "hopping/e"),
    "times": ("t", "hbar/hopping"),
    "mu": ("mu", "hopping"),
    "base": ("mu", "hopping"),
    "amplitude": ("amplitude of mu", "hopping"),
    "center": ("t_0", "hbar/hopping"),
    "width": ("width", "hbar/hopping"),
    "omega": ("omega", "hopping/hbar"),
    "phase": ("phase", "1"),
}
"""The field's symbol and the unit of every parameter of a valve and of svjax's own biases."""

Model = TypeVar("Model", bound=eqx.Module)

_NAME = re.compile(r"(\w+)(?:\[(\d+(?:,\d+)*)\])?")


def get_parameter(valve: eqx.Module, bias: Bias, name: str) -> Array:
    """The value of the parameter ``name`` of a valve or of its bias.

    Names are fields, with an index where one entry is meant: ``"anisotropy[1]"`` is K of the second layer; of a bias
    they are for instance ``"voltage"`` or ``"amplitude[0]"``. Raises ValueError, with the nearest name, for any other.
    """
    field, index = _split(valve, bias, name)
    return _leaf(valve, bias, field, len(index))[index]


def set_parameters(valve: Model, bias: Any, values: Mapping[str, Numbers]) -> tuple[Model, Any]:
    """The valve and the bias with other ``values`` of the parameters named, in every entry where no index is given.

    Easy axes are given length one again once all their entries are set. A number for a bond that has a matrix in the
    spin is that number times the unit matrix.
    """
    for name, value in values.items():
        field, index = _split(valve, bias, name)
        leaf = _leaf(valve, bias, field, len(index))
        new = complex_array(value, name) if _may_be_complex(valve, field) else real_array(value, name)
        dtype = np.result_type(leaf.dtype, np.complex64) if jnp.iscomplexobj(new) else leaf.dtype
        leaf = leaf.astype(dtype).at[index].set(_as_matrices(valve, field, leaf[index].shape, new.astype(dtype)))
        if hasattr(valve, field):
            valve = _with_leaf(valve, field, leaf)
        else:
            bias = _with_leaf(bias, field, leaf)
    if any(name.strip().startswith("easy_axes") for name in values):
        axes: Any = getattr(valve, "easy_axes")  # noqa: B009
        valve = _with_leaf(valve, "easy_axes", axes / jnp.linalg.norm(axes, axis=-1, keepdims=True))
    return valve, bias


def _as_matrices(valve: eqx.Module, field: str, shape: tuple[int, ...], new: Array) -> Array:
    """Numbers as multiples of the unit matrix where ``shape``, what is to be set, is that of matrices in the spin."""
    side = shape[-2:]
    if not isinstance(valve, SpinValve) or field not in ("bonds", "spin_bonds") or side not in ((2, 2), (3, 3)):
        return new
    numbers = not new.ndim or new.shape == shape[:-2]
    return new[..., None, None] * jnp.eye(side[0], dtype=new.dtype) if numbers else new


def _may_be_complex(valve: eqx.Module, field: str) -> bool:
    return isinstance(valve, SpinValve) and field in QUANTITIES and QUANTITIES[field].complex


def _with_leaf(module: Any, field: str, leaf: Array) -> Any:
    return eqx.tree_at(lambda m: getattr(m, field), module, leaf, is_leaf=lambda x: x is None)


def parameter_names(valve: eqx.Module, bias: Bias) -> list[str]:
    """The fields that `get_parameter` and `set_parameters` know, those of the valve first."""
    found = [name for name in QUANTITIES if _possible(valve, name)] if isinstance(valve, SpinValve) else []
    modules = [bias] if isinstance(valve, SpinValve) else [valve, bias]
    for module in modules:
        if isinstance(module, eqx.Module):
            found += [name for name, value in vars(module).items() if eqx.is_array_like(value)]
    return found


def _possible(valve: SpinValve, name: str) -> bool:
    """Whether a valve has a parameter, or could have it: there is no winding in a lattice without places."""
    lattice = valve.lattice
    needs = {"rashba": bool(lattice.positions), "flux": bool(lattice.positions or lattice.windings)}
    return needs.get(name, True) and (name != "spin_bonds" or bool(lattice.spin_bonds))


def entry(known: Mapping[str, Array], name: str, what: str, of: str) -> Array:
    """The array, or the part of one, that a ``name`` with or without an index stands for.

    Raises ValueError, in the words "`what` must be one of `of`", with the nearest name, where there is none.
    """
    field, index = _located(list(known), lambda field: known[field].shape, name, what, of)
    return known[field][index]


def _leaf(valve: eqx.Module, bias: Bias, field: str, entries: int = 0) -> Array:
    """The array of a field. One number for all becomes one per layer, spin or site where an entry is meant, and a
    parameter that the valve does not have what it stands for."""
    if not isinstance(valve, SpinValve) or field not in QUANTITIES:
        return jnp.asarray(getattr(valve if hasattr(valve, field) else bias, field))
    kind, value = QUANTITIES[field], leaf(valve, field)
    for shape in kind.shapes:
        lengths = tuple(valve.lattice.sizes[part] if isinstance(part, str) else part for part in shape)
        if value.ndim < entries == len(shape):
            return jnp.broadcast_to(value, lengths)
    return value


def _split(valve: eqx.Module, bias: Bias, name: str) -> tuple[str, tuple[int, ...]]:
    """The field and the index that ``name`` stands for."""
    entries = name.count(",") + 1 if "[" in name else 0
    shape = lambda field: _leaf(valve, bias, field, entries).shape
    return _located(parameter_names(valve, bias), shape, name, "Parameter", "the valve or the bias")


def _located(
    known: list[str], shape_of: Callable[[str], tuple[int, ...]], name: str, what: str, of: str
) -> tuple[str, tuple[int, ...]]:
    """The field and the index that ``name`` stands for, of the fields ``known``."""
    match = _NAME.fullmatch(name.replace(" ", ""))
    field = match[1] if match else name
    if match is None or field not in known:
        near = difflib.get_close_matches(field, known, n=1, cutoff=0.0)[0]
        raise ValueError(f"{what} {name!r} must be one of {of}; the nearest is {near!r}.")
    index = tuple(int(k) for k in match[2].split(",")) if match[2] else ()
    shape = shape_of(field)
    if len(index) > len(shape) or any(k >= n for k, n in zip(index, shape, strict=False)):
        raise ValueError(f"{what} {name!r} must lie within {field!r}, which has shape {shape}.")
    return field, index


def disorder(valve: SpinValve, key: Array, width: Numbers) -> SpinValve:
    """The valve with Anderson disorder: every level mu_bar_j moved by a random number of [-width/2, width/2]."""
    valve, width = prepare(valve), real_array(width, "width")
    if width.ndim or not holds((width >= 0) & jnp.isfinite(width)):
        raise ValueError(f"Argument `width` must be one number of at least 0, but is {shown(width)}.")
    moved = width * jax.random.uniform(key, (valve.lattice.n_sites,), valve.dtype, -0.5, 0.5)
    return eqx.tree_at(lambda v: v.mu_bar, valve, valve.mu_bar + moved)
