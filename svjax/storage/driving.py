"""Drives and keys as plain data, and back: what a run depends on beside its valve and its bias."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from svjax.engine.arrays import real_array
from svjax.model.drives import Drive, FieldPulse, PeierlsPulse, Ramp
from svjax.model.valve import SpinValve
from svjax.storage.records import SAMPLES, digest, valve_to_record

DRIVES = {kind.__name__: kind for kind in (FieldPulse, PeierlsPulse, Ramp)}


def drive_to_record(drive: Drive | None, valve: SpinValve) -> dict[str, Any] | None:
    """A drive of svjax by its name and parameters; of any other function the name and a digest of what it makes of the
    ``valve`` at some times, to tell it from another one of the same name."""
    if drive is None:
        return None
    kind = type(drive).__name__
    if DRIVES.get(kind) is not type(drive):
        driven = [valve_to_record(drive(valve, jnp.asarray(t, valve.dtype))) for t in SAMPLES]
        return {"kind": "function", "name": getattr(drive, "__qualname__", kind), "digest": digest(driven)}
    values = dict(vars(drive))
    values |= vars(values.pop("envelope")) if "envelope" in values else {}
    return {"kind": kind} | {name: _plain(value) for name, value in values.items()}


def drive_from_record(record: Mapping[str, Any] | None) -> Drive | None:
    """The drive of `drive_to_record`; raises ValueError where only the name of a function was kept."""
    if record is None:
        return None
    values = dict(record)
    kind = DRIVES.get(values.pop("kind", ""))
    if kind is None:
        raise ValueError(
            f"Argument `drive` must be given: the run was driven by the function {record.get('name')!r}, "
            "which a store does not hold."
        )
    static = {name: values.pop(name) for name in ("name", "layer") if name in values}
    return kind(**{name: real_array(value, name) for name, value in values.items()}, **static)


def key_to_record(key: Array | None) -> dict[str, Any] | None:
    """The numbers of a key, and the generator that they belong to."""
    if key is None:
        return None
    return {"generator": str(jax.random.key_impl(key)), "data": np.asarray(jax.random.key_data(key)).tolist()}


def key_from_record(record: Mapping[str, Any] | None) -> Array | None:
    """The key of `key_to_record`."""
    if record is None:
        return None
    return jax.random.wrap_key_data(jnp.asarray(record["data"], jnp.uint32), impl=record["generator"])


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else np.asarray(value).tolist()
