"""The phase diagram of a valve as a dataset that says what made it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, MutableMapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from svjax.engine.arrays import Numbers
from svjax.macrospin.angle_table import AngleTable, Coefficients
from svjax.macrospin.effective_llg import EffectiveLLG
from svjax.macrospin.phase_diagram import empty_diagram, phase_diagram
from svjax.model.valve import SpinValve, prepare
from svjax.simulations.curve import DROPS, check_drop
from svjax.storage.formats import DIAGRAM
from svjax.storage.records import digest, made_of, valve_from_record


def diagram_dataset(
    valve: SpinValve, voltages: Numbers, fields: Numbers, drop: str = "symmetric", **options: Any
) -> xr.Dataset:
    """The dataset of `phase_diagram` with the valve, the kind of voltage drop and the versions in its attributes.

    Arguments: as in `phase_diagram`, with ``drop`` "symmetric" or "asymmetric" for ``bias``.
    """
    made = _attributes(valve, drop)
    return phase_diagram(valve, voltages, fields, bias=DROPS[drop], **options).assign_attrs(made)


def empty_dataset(
    valve: SpinValve, voltages: Numbers, fields: Numbers, drop: str = "symmetric", **options: Any
) -> xr.Dataset:
    """The `diagram_dataset` before anything is known."""
    return empty_diagram(valve, voltages, fields, **options).assign_attrs(_attributes(valve, drop), status="running")


def remade(diagram: xr.Dataset, models: MutableMapping[int, EffectiveLLG], **options: Any) -> xr.Dataset:
    """The `diagram_dataset` of what an empty or another one was made of, with the tables of ``models``."""
    facts = diagram.attrs
    valve = valve_from_record(json.loads(facts["valve"]))
    given = {name: facts[name] for name in ("drop", "axis", "duration", "angles", "rtol")}
    start = np.reshape(facts["start"], (2, 3))
    return diagram_dataset(
        valve, diagram["voltage"].values, diagram["field"].values, start=start, models=models, **given, **options
    )


def identity(diagram: xr.Dataset) -> str:
    """Tells the tables of this diagram from those of any other."""
    facts = [diagram.attrs[name] for name in ("valve", "drop", "precision", "angles")]
    return digest([*facts, diagram["voltage"].values.tolist()])


def model_to_arrays(model: EffectiveLLG) -> dict[str, np.ndarray]:
    """All numbers of an equation of motion by name."""
    own = {part.name: getattr(model, part.name) for part in dataclasses.fields(model) if part.name != "table"}
    series = {f"table_{name}": value for name, value in model.table.series._asdict().items()}
    return {name: np.asarray(value) for name, value in (own | series).items()}


def model_from_arrays(arrays: Mapping[str, np.ndarray]) -> EffectiveLLG:
    """The equation of `model_to_arrays`, equal to the last bit."""
    values = {name: jnp.asarray(value) for name, value in arrays.items()}
    series = Coefficients(*(values.pop(f"table_{name}") for name in Coefficients._fields))
    return EffectiveLLG(table=AngleTable(series), **values)


def _attributes(valve: SpinValve, drop: str) -> dict[str, Any]:
    check_drop(drop)
    return made_of(DIAGRAM, prepare(valve)) | {"drop": drop}
