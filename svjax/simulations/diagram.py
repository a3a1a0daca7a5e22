"""The phase diagram of a valve as a dataset that says what made it."""

from __future__ import annotations

import json
from typing import Any

import xarray as xr

from svjax.engine.arrays import Numbers
from svjax.macrospin.phase_diagram import phase_diagram
from svjax.model.valve import SpinValve, prepare
from svjax.simulations.curve import DROPS, check_drop
from svjax.storage.records import provenance, valve_to_record

FORMAT, FORMAT_VERSION = "svjax-diagram", 1


def diagram_dataset(
    valve: SpinValve, voltages: Numbers, fields: Numbers, drop: str = "symmetric", **options: Any
) -> xr.Dataset:
    """The dataset of `phase_diagram` with the valve, the kind of voltage drop and the versions in its attributes.

    Arguments: as in `phase_diagram`, with ``drop`` "symmetric" or "asymmetric" for ``bias``.
    """
    check_drop(drop)
    valve = prepare(valve)
    record = {"valve": json.dumps(valve_to_record(valve)), "drop": drop, "precision": str(valve.dtype)}
    found = phase_diagram(valve, voltages, fields, bias=DROPS[drop], **options)
    return found.assign_attrs(format=FORMAT, format_version=FORMAT_VERSION, **record, **provenance())
