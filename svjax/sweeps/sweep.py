"""Sweeps: runs, steady states or relaxation modes on a grid of parameters, in tiles, on devices and hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import ArrayLike
from zarr.storage import MemoryStore

from svjax.dynamics.step_size import default_dt
from svjax.electrons.reach import check_poles
from svjax.engine.arrays import Numbers, PerLead
from svjax.engine.clock import Clock
from svjax.engine.devices import lead, together
from svjax.model.drives import check_drive
from svjax.model.levels import constant_levels
from svjax.model.valve import SpinValve, aligned_spins, prepare
from svjax.reservoirs.bias import Bias, as_bias, symmetric
from svjax.simulations.loop import STEPS_PER_SEGMENT
from svjax.storage.folders import check_target, place
from svjax.storage.lock import Lock
from svjax.storage.plain import tidy_path
from svjax.sweeps.parameter_grid import Grid, Tile, choose_block, make_grid, one_point
from svjax.sweeps.points import refusal
from svjax.sweeps.sweep_dataset import FORMAT, PENDING, SweepPlan, variables
from svjax.sweeps.sweep_store import SweepStore, build, load_plan, load_sweep, open_sweep
from svjax.sweeps.tasks import ModesTask, RunTask, Task
from svjax.sweeps.tile import Runner

MOST_POINTS = {"cpu": 16}
MOST_POINTS_ELSEWHERE = 256
"""Points of a tile for each device: on a CPU more bring nothing, since they are computed one after another."""

COPIES = {"cpu": 6}
COPIES_ELSEWHERE = 24
"""States of every point of a tile that are in memory at once: slopes and stages too where all points go together."""


@dataclass(frozen=True)
class SweepProgress:
    """Where a sweep is.

    ``points`` of ``total`` are finished (``done`` counts parts of runs too), ``t`` is the time that the present runs
    have reached, and seconds have ``elapsed`` and are ``remaining`` (an estimate, which leaves out the first segment
    because that one was compiled). Of several processes each counts its own points.
    """

    points: int
    done: float
    total: int
    t: float
    elapsed: float
    remaining: float


Watch = Callable[[SweepProgress], object]


def sweep(
    valve: SpinValve,
    grid: Mapping[str, Numbers],
    task: Task,
    *,
    bias: Bias | ArrayLike | None = None,
    zipped: bool = False,
    batch: int | None = None,
    out: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: Watch | None = None,
) -> xr.Dataset:
    """Do a ``task`` at every point of a ``grid`` of parameters of the valve and the bias.

    **Arguments:**

    - `grid`: parameter -> values: ``{"j_sd": [2, 3], "anisotropy[1]": np.linspace(0, 0.1, 5), "voltage": ...}``, all
      combinations of them, or if ``zipped`` first with first, second with second.
    - `task`: `RunTask`, `SteadyTask` or `ModesTask`.
    - `bias`: as in `evolve`; `symmetric(0.0)` if None and the valve has two leads, so that "voltage" can be swept.
    - `batch`: how many points are computed at once, in a tile; chosen by the memory if None.
    - `out`: folder of the results, which must not exist unless ``overwrite`` (and then hold a sweep). With None they
      are kept in memory only. A sweep that was stopped is continued by `resume`.
    - `progress`: called with a `SweepProgress` after every segment of a tile.

    **Returns:** the dataset of `open_sweep`, along the grid. A point without a result has nan, a ``status`` and a
    ``reason``, and the others go on. Points are spread over all local devices, and the tiles over the processes that
    have called `join_processes`, each of which must make the same call.
    """
    plan = plan_sweep(valve, grid, task, bias, zipped, batch)
    if out is not None:
        path = tidy_path(out)
        create_and_run(path, plan, overwrite, progress)
        return open_sweep(path)
    if jax.process_count() > 1:
        raise ValueError("Argument `out` must be a folder that all processes share, but is None.")
    plan.size.check(None)
    store = MemoryStore()
    build(plan, store)
    _carry_out_share(store, plan, [], progress)
    return load_sweep(store)


def create_and_run(path: Path, plan: SweepPlan, overwrite: bool, progress: Watch | None) -> None:
    """Lay out the store of a sweep at ``path``, and fill it."""
    plan.size.check(path)
    locks: list[Lock] = []

    def create() -> None:
        check_target(path, overwrite, FORMAT)
        locks.append(place(path, lambda folder: build(plan, folder), overwrite))

    lead(create)
    carry_out_sweep(path, plan, locks, progress)


def plan_sweep(
    valve: SpinValve,
    grid: Mapping[str, Numbers],
    task: Task,
    bias: Bias | ArrayLike | None,
    zipped: bool,
    batch: int | None,
) -> SweepPlan:
    """Check the arguments of `sweep`; whatever can be wrong with all of its points is found here."""
    valve = prepare(valve)
    leads = len(valve.lattice.contacts)
    bias = as_bias(symmetric(0.0) if bias is None and leads == 2 else bias, leads)
    points = make_grid(valve, bias, grid, zipped)
    if not isinstance(task, Task):
        raise ValueError(f"Argument `task` must be a RunTask(...), SteadyTask() or ModesTask(), but is {task!r}.")
    if isinstance(task, RunTask):
        if task.start == "equilibrium":
            constant_levels(valve, None)
        task.observables(valve)
        if task.drive is not None:
            check_drive(valve, task.drive)
        if task.dt is None:
            task = replace(task, dt=_smallest_dt(valve, bias, task, points))
    else:
        constant_levels(valve, bias)
        if isinstance(task, ModesTask) and not len(valve.lattice.spin_sites):
            raise ValueError("Argument `valve` must have spins, but has none.")
    _refuse_hopeless(valve, bias, task, points)
    for point, levels in corners(valve, bias, points):
        check_poles(point, aligned_spins(point), levels)
    if batch is not None and (batch != int(batch) or batch < 1):
        raise ValueError(f"Argument `batch` must be a whole number of at least 1, but is {batch}.")
    devices, platform = jax.local_device_count(), jax.local_devices()[0].platform
    most = MOST_POINTS.get(platform, MOST_POINTS_ELSEWHERE) * devices
    size = int(batch) if batch is not None else min(most, batch_that_fits(valve, bias, task, points))
    segment = round(STEPS_PER_SEGMENT * min(1.0, most / size))
    plan = SweepPlan(valve, bias, task, points, choose_block(points, size), max(1, segment))
    taken = sorted(set(points.names) & set(variables(plan)))
    if taken:
        raise ValueError(f"Argument `grid` must not name {taken[0]!r}, which is a variable of the results.")
    return plan


def _probes(valve: SpinValve, bias: Bias, grid: Grid, count: int = 16) -> list[tuple[SpinValve, Bias]]:
    """Some points, spread over the grid, the first and the last among them."""
    some = np.unique(np.linspace(0, grid.size - 1, count).round().astype(int))
    values = grid.at(np.unravel_index(some, grid.shape))
    return [one_point(valve, bias, values, k) for k in range(len(some))]


def _smallest_dt(valve: SpinValve, bias: Bias, task: RunTask, grid: Grid) -> float:
    """The step for all points of a grid."""
    return min(default_dt(*point, task.method, task.duration, task.relax) for point in _probes(valve, bias, grid))


def _refuse_hopeless(valve: SpinValve, bias: Bias, task: Task, grid: Grid) -> None:
    """Raise ValueError if none of some points, spread over the grid, can be computed."""
    reasons = [refusal(task, *point) for point in _probes(valve, bias, grid)]
    if all(reasons):
        raise ValueError(f"Argument `grid` must have points that can be computed, but at the first: {reasons[0]}")


def corners(valve: SpinValve, bias: Bias, grid: Grid) -> Iterator[tuple[SpinValve, PerLead]]:
    """The valve, and its levels at the quench, at the smallest and largest values of every parameter: where the levels
    are farthest."""
    ends = [np.unique([np.argmin(values), np.argmax(values)]) for values in grid.values]
    sides = [np.unique(np.concatenate(ends))] if grid.zipped else np.meshgrid(*ends, indexing="ij")
    values = grid.at([part.ravel() for part in sides])
    for k in range(sides[0].size):
        point, drop = one_point(valve, bias, values, k)
        yield point, drop(jnp.asarray(0.0))


def batch_that_fits(valve: SpinValve, bias: Bias, task: Task, grid: Grid) -> int:
    """As many points as fit into half of the memory and leave no process without a tile."""
    devices = jax.local_devices()
    probe = SweepPlan(valve, bias, task, grid, (1,) * len(grid.shape), STEPS_PER_SEGMENT)
    of_state = sum(part.size * part.dtype.itemsize for part in jax.tree.leaves(probe.state))
    of_row = sum(part.size * part.dtype.itemsize for part in probe.outputs.values())
    copies = COPIES.get(devices[0].platform, COPIES_ELSEWHERE)
    free = sum(_memory(device) for device in devices) if devices[0].platform != "cpu" else _memory(devices[0])
    fitting = free // (2 * (copies * of_state + STEPS_PER_SEGMENT * of_row))
    return int(max(1, min(fitting, -(-grid.size // jax.process_count()))))


def _memory(device: Any) -> int:
    """Bytes of memory of a device."""
    stats = device.memory_stats() or {}
    return stats.get("bytes_limit", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def carry_out_sweep(path: Path, plan: SweepPlan, locks: list[Lock], progress: Watch | None) -> None:
    """Compute all tiles that are not finished. ``locks`` holds that of process 0, which prepared the store."""
    try:
        together(lambda: _carry_out_share(path, plan, locks, progress))
        if jax.process_index() == 0:
            SweepStore(path, plan).close()
    finally:
        for lock in locks:
            lock.release()


def _carry_out_share(path: Path | MemoryStore, plan: SweepPlan, locks: list[Lock], progress: Watch | None) -> None:
    """Compute those tiles that are this process's own."""
    rank, count = jax.process_index(), jax.process_count()
    if rank and isinstance(path, Path):
        locks.append(Lock(path, rank))
        theirs = load_plan(path, plan.bias, plan.task.drive if isinstance(plan.task, RunTask) else None)
        if theirs.identity != plan.identity:
            raise ValueError(f"The processes must make the same call, but {path} is not the sweep of process {rank}.")
    store = SweepStore(path, plan)
    status, mine = store.status(), plan.tiles[rank::count]
    left = [tile for tile in mine if (status[tile.region] == PENDING).any()]
    watch, runner = _Watch(mine, left, progress), Runner(plan, store)
    for tile in left:
        runner.run(tile, watch.tick)
        watch.next_tile()


class _Watch:
    """Turns the progress of tiles into that of the sweep."""

    def __init__(self, mine: list[Tile], left: list[Tile], watch: Watch | None):
        self.left, self.watch = left, watch
        self.total = sum(tile.size for tile in mine)
        self.finished = self.total - sum(tile.size for tile in left)
        self.clock = Clock(self.total, self.finished)

    def tick(self, part: float, t: float) -> None:
        if self.watch is not None and part < 1:
            done = self.finished + part * self.left[0].size
            self.watch(SweepProgress(self.finished, done, self.total, t, *self.clock.at(done)))

    def next_tile(self) -> None:
        self.finished += self.left[0].size
        self.left = self.left[1:]
        if self.watch is not None:
            done = self.finished
            self.watch(SweepProgress(done, done, self.total, 0.0, *self.clock.at(done)))
