"""Sweeps: runs, steady states or relaxation modes on a grid of parameters, in tiles, on devices and hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import xarray as xr
from jaxtyping import ArrayLike
from zarr.storage import MemoryStore

from svjax.engine.arrays import Numbers
from svjax.engine.clock import Clock
from svjax.model.valve import SpinValve
from svjax.reservoirs.bias import Bias
from svjax.storage.folders import check_target, place
from svjax.storage.formats import SWEEP
from svjax.storage.lock import Lock
from svjax.storage.plain import tidy_path
from svjax.storage.status import Status
from svjax.sweeps.devices import on_first, together
from svjax.sweeps.parameter_grid import Tile
from svjax.sweeps.sweep_dataset import SweepPlan
from svjax.sweeps.sweep_plan import plan_sweep
from svjax.sweeps.sweep_store import SweepStore, build, load_plan, load_sweep, open_sweep
from svjax.sweeps.tasks import RunTask, Task
from svjax.sweeps.tile import Runner


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


def create_and_run(
    path: Path, plan: SweepPlan, overwrite: bool, progress: Watch | None, command: str | None = None
) -> None:
    """Lay out the store of a sweep at ``path``, and fill it. The ``command`` that makes it is kept with it."""
    plan.size.check(path)
    locks: list[Lock] = []

    def create() -> None:
        check_target(path, overwrite, SWEEP)
        locks.append(place(path, lambda folder: build(plan, folder, command), overwrite))

    on_first(create)
    carry_out_sweep(path, plan, locks, progress)


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
    left = [tile for tile in mine if (status[tile.region] == Status.PENDING).any()]
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
