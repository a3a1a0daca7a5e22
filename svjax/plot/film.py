"""What a moving picture shows of a run: which rows, and which components of the spins."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import xarray as xr

from svjax.dynamics.evolve import Trajectory
from svjax.lattices.lattice import Lattice
from svjax.model.valve import SpinValve
from svjax.simulations.loop import Run
from svjax.storage.records import lattice_from_record

Moving = xr.Dataset | Run | Trajectory
PLANES = ("xz", "xy", "yz")


@dataclass(frozen=True)
class Film:
    """What is shown: times ``t`` (F,), ``spins`` (F, N_S, 3), ``currents`` (F, B) or None; and at all times that were
    saved, ``trace_t`` (T,), the ``trace`` (T, layers, 3) of the magnetisations."""

    lattice: Lattice
    t: np.ndarray
    spins: np.ndarray
    currents: np.ndarray | None
    trace_t: np.ndarray
    trace: np.ndarray


def film_of(run: Moving, valve: SpinValve | None, frames: int) -> Film:
    """At most so many ``frames`` of a run, evenly in time; raises ValueError where it has none."""
    if isinstance(run, xr.Dataset):
        lattice = lattice_from_record(json.loads(run.attrs["valve"])["lattice"])
        t = run["time"].values if "time" in run else np.zeros(0)
        rows = {name: run[name] for name in ("spins", "bond_current") if name in run}
        if "spins" in rows and rows["spins"].dims != ("time", "spin", "component"):
            along = ", ".join(str(dim) for dim in rows["spins"].dims)
            raise ValueError(f"Argument `run` must be one run, but has spins along {along}: choose one with .sel.")
        seen = (
            json.loads(run.attrs["observables"])
            if "observables" in run.attrs
            else [str(name) for name in run.data_vars]
        )
    else:
        valve = run.plan.valve if isinstance(run, Run) else valve
        if valve is None:
            raise ValueError("Argument `valve` must be given with a trajectory.")
        lattice, t, rows = valve.lattice, np.asarray(run.t), run.observables
        seen = list(rows)
    if "spins" not in rows or not len(lattice.spin_sites):
        told = f"Argument `run` must have observed spins, but has {', '.join(seen)}"
        raise ValueError(f'{told}: run with observe=[..., "spins"], on the command line --observe ... spins.')
    spins = np.asarray(rows["spins"])
    kept = np.flatnonzero(np.isfinite(spins).all((1, 2)))
    if not len(kept):
        raise ValueError("Argument `run` must hold spins that are finite, but holds none.")
    t, spins = t[kept], spins[kept]
    means = [spins[:, lattice.spin_layers == layer].mean(1) for layer in range(len(lattice.layers))]
    shown = np.unique(np.rint(np.interp(np.linspace(t[0], t[-1], frames), t, np.arange(len(t)))).astype(int))
    currents = np.asarray(rows["bond_current"])[kept][shown] if "bond_current" in rows else None
    return Film(lattice, t[shown], spins[shown], currents, t, np.stack(means, 1))


def in_plane(spins: np.ndarray, plane: str | None) -> tuple[int, int, int]:
    """Which components are to the right, up, and a colour: that one is not in the ``plane``, or varies least."""
    if plane is not None and plane not in PLANES:
        raise ValueError(f"Argument `plane` must be one of {', '.join(PLANES)}, but is {plane!r}.")
    spread = spins.var(0).sum(0)
    chosen = plane or max(PLANES, key=lambda two: sum(spread["xyz".index(part)] for part in two))
    right, up = ("xyz".index(part) for part in chosen)
    return right, up, 3 - right - up
