"""Valves and biases as plain data that JSON can hold, and back, exactly; nothing that is read is ever executed."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from svjax.engine.arrays import real_array
from svjax.model.bias import Bias, Constant, Oscillating, Pulse, VoltageDrop, Waveform
from svjax.model.lattice import Lattice
from svjax.model.poles import Poles
from svjax.model.valve import SpinValve, prepare

PARAMETERS = (
    "hopping",
    "mu_bar",
    "j_sd",
    "j_ex",
    "anisotropy",
    "easy_axes",
    "field",
    "lead_coupling",
    "temperature",
)
BIASES = {kind.__name__: kind for kind in (Constant, VoltageDrop, Waveform, Pulse, Oscillating)}
SAMPLES = (0.0, 0.1, 1.0, 10.0, 100.0)
"""Times at which the levels of any other bias are recorded, to tell it from another one of the same name."""


def valve_to_record(valve: SpinValve) -> dict[str, Any]:
    """Every parameter of a valve and its whole lattice."""
    valve = prepare(valve)
    lattice = valve.lattice
    graph = {name: [list(sites) for sites in getattr(lattice, name)] for name in ("layers", "contacts", "monolayers")}
    bonds = [[i, j, complex(a).real, complex(a).imag] for i, j, a in lattice.bonds]
    return {
        "lattice": {"n_sites": lattice.n_sites, "bonds": bonds, **graph},
        "parameters": {name: _plain(getattr(valve, name)) for name in PARAMETERS},
        "poles": {"xi": _plain(valve.poles.xi), "eta": _plain(valve.poles.eta)},
        "dtype": str(valve.j_sd.dtype),
    }


def valve_from_record(record: Mapping[str, Any]) -> SpinValve:
    """The valve of `valve_to_record`, equal to the original to the last bit; raises ValueError on anything else."""
    try:
        dtype, graph, poles = record["dtype"], record["lattice"], record["poles"]
        if dtype not in ("float64", "float32"):
            raise ValueError(f"precision {dtype!r}")
        if dtype == "float64" and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
            raise RuntimeError(
                "The run is in double precision, but jax_enable_x64 is off: call "
                "`jax.config.update('jax_enable_x64', True)` first."
            )
        bonds = [(i, j, complex(re, im)) for i, j, re, im in graph["bonds"]]
        lattice = Lattice.from_bonds(graph["n_sites"], bonds, graph["layers"], graph["contacts"], graph["monolayers"])
        leaves: list[Any] = [jnp.asarray(record["parameters"][name], dtype) for name in PARAMETERS]
        leaves.append(Poles(*(jnp.asarray(poles[name], dtype) for name in ("xi", "eta"))))
        return prepare(SpinValve(lattice, *leaves))  # pyright: ignore[reportCallIssue]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"The valve of this run cannot be read ({type(error).__name__}: {error}).") from None


def bias_to_record(bias: Bias) -> dict[str, Any]:
    """A bias of svjax by its name and parameters; of any other function the name and its levels at some times."""
    kind = type(bias).__name__
    if BIASES.get(kind) is not type(bias):
        levels = [_plain(bias(jnp.asarray(t))) for t in SAMPLES]
        return {"kind": "function", "name": getattr(bias, "__qualname__", kind), "levels": levels}
    return {"kind": kind} | {name: _plain(value) for name, value in vars(bias).items()}


def bias_from_record(record: Mapping[str, Any]) -> Bias:
    """The bias of `bias_to_record`; raises ValueError where only the name of a function was kept."""
    kind = BIASES.get(record.get("kind", ""))
    if kind is None:
        raise ValueError(f"The bias of this run was the function {record.get('name')!r}, which a run does not hold.")
    values = {name: value for name, value in record.items() if name != "kind"}
    static = {"shape": tuple(values.pop("shape"))} if "shape" in values else {}
    leaves: dict[str, Any] = {name: real_array(value) for name, value in values.items()} | static
    return kind(**leaves)


def provenance() -> dict[str, str]:
    """The versions and the device that a run was made with."""
    device = jax.devices()[0]
    return {
        "svjax_version": version("svjax"),
        "jax_version": jax.__version__,
        "numpy_version": np.__version__,
        "python_version": platform.python_version(),
        "device": f"{device.platform}: {device.device_kind}",
    }


def _plain(value: ArrayLike | tuple) -> Any:
    return np.asarray(value).tolist()
