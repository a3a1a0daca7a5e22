"""The pictures of a page: those that a store of its kind allows."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from svjax.lattices.sketch import sketch
from svjax.plot.diagrams import phase_diagram
from svjax.plot.figures import hysteresis, run_axes, steady_curve
from svjax.plot.maps import PLACES, map
from svjax.plot.style import blank
from svjax.reports.describe import numbers
from svjax.reports.page import Html, drawing, picture
from svjax.simulations.dataset import UNITS
from svjax.storage.formats import CURVE, DIAGRAM, LOOP, RUN, SWEEP
from svjax.storage.records import lattice_from_record
from svjax.storage.status import Status

CAPTIONS = {
    "magnetization": "Magnetisation of the last layer.",
    "currents": "Currents after the quench: at the right lead (solid) and at the interface of the free layer (dashed).",
}


def pictures_of(store: xr.Dataset) -> Iterator[Html]:
    """The valve, and what was found for it."""
    if markup := sketch(lattice_from_record(json.loads(store.attrs["valve"])["lattice"])):
        yield drawing(markup, "The valve: sites in the colours of their layers, contacts of the leads in grey.")
    kind = store.attrs["format"]
    if kind == RUN:
        for name, ax in run_axes(store).items():
            yield picture(ax, CAPTIONS[name])
        if store.sizes["time"]:
            last = store.isel(time=-1)
            yield from _maps(last, f"at t = {numbers(last['time'].item())}")
    elif kind == CURVE:
        first, *_ = steady_curve(store, figure=Figure((7.2, 5.0), layout="constrained"))
        yield picture(first, "Steady states along the voltage; circles are the torque that balances the current's.")
    elif kind == DIAGRAM:
        yield picture(phase_diagram(store, ax=blank()), "Switching time of the free layer; grey: it did not switch.")
    elif kind == LOOP:
        yield picture(hysteresis(store, ax=blank()), "Stable states on the way forward (solid) and back (dashed).")
    elif kind == SWEEP:
        yield from _last_point(store)


def _last_point(sweep: xr.Dataset) -> Iterator[Html]:
    """Maps of the last point that is complete."""
    done = np.argwhere(sweep["status"].values == Status.COMPLETE)
    if len(done):
        point = sweep.isel(dict(zip(sweep["status"].dims, done[-1].tolist(), strict=True)))
        point = point.isel(time=-1) if "time" in point.dims else point
        names = json.loads(sweep.attrs["grid"])["values"]
        yield from _maps(point, "at " + ", ".join(f"{name} = {numbers(point[name].item())}" for name in names))


def _maps(row: xr.Dataset, when: str) -> Iterator[Html]:
    """What was observed on sites, bonds and spins, drawn there."""
    for name, (dims, _, meaning) in UNITS.items():
        if name in row and dims and dims[0] in PLACES and row[name].size and np.isfinite(row[name].values).all():
            part = f", {dims[1]} z" if len(dims) == 2 else ""
            yield picture(map(row, name, ax=blank()), f"{name}{part}, {when}: {meaning}.")
