"""Valves and biases as plain data that JSON can hold, and back, exactly; nothing that is read is ever executed."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from svjax.engine.arrays import real_array
from svjax.engine.quantities import quantities
from svjax.lattices.lattice import Lattice
from svjax.model.valve import QUANTITIES, SpinValve, build, prepare
from svjax.reservoirs.bands import AbstractBand, LorentzianBand, StripBand
from svjax.reservoirs.bias import Bias, Constant, FunctionBias, Oscillating, Pulse, VoltageDrop, Waveform
from svjax.reservoirs.poles import Poles
from svjax.storage.formats import VERSIONS

BIASES = {kind.__name__: kind for kind in (Constant, VoltageDrop, Waveform, Pulse, Oscillating)}
SAMPLES = (0.0, 0.1, 1.0, 10.0, 100.0)
"""Times at which the levels of any other bias are recorded, to tell it from another one of the same name."""


def valve_to_record(valve: SpinValve) -> dict[str, Any]:
    """Every parameter of a valve and its whole lattice."""
    valve = prepare(valve)
    lattice = valve.lattice
    graph = {part.name: _nested(getattr(lattice, part.name)) for part in fields(Lattice)}
    given = {name: getattr(valve, name) for name in QUANTITIES}
    expansions = valve.poles if isinstance(valve.poles, tuple) else (valve.poles,)
    poles = [{"xi": _plain(part.xi), "eta": _plain(part.eta)} for part in expansions]
    return {
        "lattice": graph,
        "parameters": {name: _plain(value) for name, value in given.items() if value is not None},
        "poles": poles if isinstance(valve.poles, tuple) else poles[0],
        "bands": None if valve.bands is None else [band_to_record(band) for band in valve.bands],
        "dtype": str(valve.dtype),
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
        lattice, values = lattice_from_record(graph), dict(record["parameters"])
        if unknown := sorted(set(values) - set(QUANTITIES)):
            raise ValueError(f"parameter {unknown[0]!r}")
        if graph["bonds"] and len(graph["bonds"][0]) == 4:  # version 0.1.0 kept the amplitudes with the bonds
            amplitudes = np.array([complex(re, im) for *_, re, im in graph["bonds"]])
            values |= {} if np.all(amplitudes == 1) else {"bonds": _complex_plain(amplitudes)}
        given = {name: kind.default for name, kind in QUANTITIES.items()}
        given |= {name: _from_plain(value, dtype) for name, value in values.items() if np.size(value)}
        expansions = [
            Poles(*(jnp.asarray(part[name], dtype) for name in ("xi", "eta")))
            for part in (poles if isinstance(poles, list) else [poles])
        ]
        given["poles"] = tuple(expansions) if isinstance(poles, list) else expansions[0]
        bands = record.get("bands")
        given["bands"] = None if bands is None else [band_from_record(band) for band in bands]
        return build(lattice, given | {"dtype": dtype})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"The valve of this run cannot be read ({type(error).__name__}: {error}).") from None


def band_to_record(band: AbstractBand | None) -> dict[str, Any] | None:
    """A band by its name and what its constructor takes."""
    if band is None:
        return None
    if isinstance(band, StripBand):
        return {"kind": "StripBand", "columns": band.columns}
    return {"kind": type(band).__name__} | {name: _plain(getattr(band, name)) for name in quantities(type(band))}


def band_from_record(record: Mapping[str, Any] | None) -> AbstractBand | None:
    """The band of `band_to_record`."""
    if record is None:
        return None
    values = dict(record)
    return {"StripBand": StripBand, "LorentzianBand": LorentzianBand}[values.pop("kind")](**values)


def lattice_from_record(graph: Mapping[str, Any]) -> Lattice:
    """The lattice of a recorded valve."""
    pairs = [bond[:2] for bond in graph["bonds"]]
    more = {name: graph[name] or None for name in ("positions", "windings") if name in graph}
    groups = {name: graph[name] for name in ("layers", "contacts", "monolayers")}
    return Lattice.from_bonds(graph["n_sites"], pairs, spin_bonds=graph.get("spin_bonds", ()), **groups, **more)


def bias_to_record(bias: Bias) -> dict[str, Any]:
    """A bias of svjax by its name and parameters; of any other function the name and its levels at some times."""
    if isinstance(bias, FunctionBias):
        bias = bias.function
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


def made_of(kind: str, valve: SpinValve, **records: Any) -> dict[str, Any]:
    """The attributes of a store of this ``kind``: the valve and other ``records`` as JSON, the precision,
    versions and device."""
    texts = {name: json.dumps(record) for name, record in ({"valve": valve_to_record(valve)} | records).items()}
    return {"format": kind, "format_version": VERSIONS[kind], **texts, "precision": str(valve.dtype), **provenance()}


def digest(record: Any) -> str:
    """Tells plain data from any other."""
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


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


def _nested(value: Any) -> Any:
    return [_nested(part) for part in value] if isinstance(value, tuple) else value


def _plain(value: ArrayLike | tuple) -> Any:
    """Nested lists; of complex numbers their real and imaginary parts under these names."""
    array = np.asarray(value)
    return _complex_plain(array) if np.iscomplexobj(array) else array.tolist()


def _complex_plain(array: np.ndarray) -> dict[str, Any]:
    return {"real": np.real(array).tolist(), "imag": np.imag(array).tolist()}


def _from_plain(value: Any, dtype: str) -> jax.Array:
    if isinstance(value, dict):
        return jax.lax.complex(*(jnp.asarray(value[part], dtype) for part in ("real", "imag")))
    return jnp.asarray(value, dtype)
