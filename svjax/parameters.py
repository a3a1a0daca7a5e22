"""Parameters by name: a leaf of the valve or of its bias, or one entry of it: "j_sd", "anisotropy[1]", "voltage"."""

import difflib
import re
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from svjax.bias import Bias
from svjax.shapes import Numbers
from svjax.valve import SpinValve, prepare

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
    "mu": ("mu", "hopping"),
    "base": ("mu", "hopping"),
    "amplitude": ("amplitude of mu", "hopping"),
    "center": ("t_0", "hbar/hopping"),
    "width": ("width", "hbar/hopping"),
    "omega": ("omega", "hopping/hbar"),
    "phase": ("phase", "1"),
}
"""The field's symbol and the unit of every parameter of a valve and of svjax's own biases."""

_NAME = re.compile(r"(\w+)(?:\[(\d+(?:,\d+)*)\])?")


def get_parameter(valve: SpinValve, bias: Bias, name: str) -> Array:
    """The value of the parameter ``name`` of a valve or of its bias.

    Names are fields, with an index where one entry is meant: ``"anisotropy[1]"`` is K of the second layer; of a bias
    they are for instance ``"voltage"`` or ``"amplitude[0]"``. Raises ValueError, with the nearest name, for any other.
    """
    field, index = _split(valve, bias, name)
    return _leaf(valve, bias, field)[index]


def set_parameters(valve: SpinValve, bias: Bias, values: Mapping[str, Numbers]) -> tuple[SpinValve, Bias]:
    """The valve and the bias with other ``values`` of the parameters named, in every entry where no index is given."""
    for name, value in values.items():
        field, index = _split(valve, bias, name)
        leaf = _leaf(valve, bias, field)
        leaf = leaf.at[index].set(jnp.asarray(value, leaf.dtype))
        if hasattr(valve, field):
            valve = eqx.tree_at(lambda v, field=field: getattr(v, field), valve, leaf)
        else:
            bias = eqx.tree_at(lambda b, field=field: getattr(b, field), bias, leaf)
    return valve, bias


def parameter_names(valve: SpinValve, bias: Bias) -> list[str]:
    """The fields that `get_parameter` and `set_parameters` know, those of the valve first."""
    of_bias = [name for name, value in vars(bias).items() if eqx.is_array_like(value)] if _is_module(bias) else []
    return [name for name in SYMBOLS if hasattr(valve, name)] + of_bias


def _is_module(bias: Bias) -> bool:
    return isinstance(bias, eqx.Module)


def _leaf(valve: SpinValve, bias: Bias, field: str) -> Array:
    return getattr(prepare(valve), field) if hasattr(valve, field) else jnp.asarray(getattr(bias, field))


def _split(valve: SpinValve, bias: Bias, name: str) -> tuple[str, tuple[int, ...]]:
    """The field and the index that ``name`` stands for."""
    known, match = parameter_names(valve, bias), _NAME.fullmatch(name.replace(" ", ""))
    field = match[1] if match else name
    if match is None or field not in known:
        near = difflib.get_close_matches(field, known, n=1, cutoff=0.0)[0]
        raise ValueError(f"Parameter {name!r} must be one of the valve or the bias; the nearest is {near!r}.")
    index = tuple(int(k) for k in match[2].split(",")) if match[2] else ()
    shape = _leaf(valve, bias, field).shape
    if len(index) > len(shape) or any(k >= n for k, n in zip(index, shape, strict=False)):
        raise ValueError(f"Parameter {name!r} must lie within {field!r}, which has shape {shape}.")
    return field, index
