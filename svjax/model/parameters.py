"""Parameters by name: a leaf of the valve (or of another model) or of its bias, or one entry of it: "j_sd",
"anisotropy[1]", "voltage"."""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from svjax.engine.arrays import Numbers
from svjax.model.bias import Bias
from svjax.model.valve import SpinValve, prepare

SYMBOLS = {
    "hopping": ("gamma", "hopping"),
    "mu_bar": ("mu_bar", "hopping"),
    "j_sd": ("J_sd", "hopping"),
    "j_ex": ("J_ex", "hopping"),
    "anisotropy": ("K", "hopping"),
    "easy_axes": ("easy axis", "1"),
    "field": ("B", "hopping"),
    "lead_coupling": ("Gamma", "hopping"),
    "temperature": ("T", "hopping/k_B"),
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
    return _leaf(valve, bias, field)[index]


def set_parameters(valve: Model, bias: Bias, values: Mapping[str, Numbers]) -> tuple[Model, Bias]:
    """The valve and the bias with other ``values`` of the parameters named, in every entry where no index is given.

    Easy axes are given length one again once all their entries are set.
    """
    for name, value in values.items():
        field, index = _split(valve, bias, name)
        leaf = _leaf(valve, bias, field)
        leaf = leaf.at[index].set(jnp.asarray(value, leaf.dtype))
        if hasattr(valve, field):
            valve = eqx.tree_at(lambda v, field=field: getattr(v, field), valve, leaf)
        else:
            bias = eqx.tree_at(lambda b, field=field: getattr(b, field), bias, leaf)
    if any(name.strip().startswith("easy_axes") for name in values):
        axes: Any = getattr(valve, "easy_axes")  # noqa: B009
        unit = axes / jnp.linalg.norm(axes, axis=-1, keepdims=True)
        valve = eqx.tree_at(lambda v: v.easy_axes, valve, unit)
    return valve, bias


def parameter_names(valve: eqx.Module, bias: Bias) -> list[str]:
    """The fields that `get_parameter` and `set_parameters` know, those of the valve first."""
    modules = [valve, bias] if isinstance(bias, eqx.Module) else [valve]
    return [name for module in modules for name, value in vars(_whole(module)).items() if eqx.is_array_like(value)]


def entry(known: Mapping[str, Array], name: str, what: str, of: str) -> Array:
    """The array, or the part of one, that a ``name`` with or without an index stands for.

    Raises ValueError, in the words "`what` must be one of `of`", with the nearest name, where there is none.
    """
    field, index = _located(list(known), lambda field: known[field].shape, name, what, of)
    return known[field][index]


def _whole(module: eqx.Module) -> eqx.Module:
    return prepare(module) if isinstance(module, SpinValve) else module


def _leaf(valve: eqx.Module, bias: Bias, field: str) -> Array:
    return jnp.asarray(getattr(_whole(valve) if hasattr(valve, field) else bias, field))


def _split(valve: eqx.Module, bias: Bias, name: str) -> tuple[str, tuple[int, ...]]:
    """The field and the index that ``name`` stands for."""
    shape = lambda field: _leaf(valve, bias, field).shape
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
