"""The plan of a sweep: its points checked, its step, and how many of them fit into memory at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, ArrayLike

from svjax.dynamics.step_size import default_dt
from svjax.electrons.reach import check_poles
from svjax.engine.arrays import Numbers
from svjax.model.drives import check_drive
from svjax.model.levels import constant_levels
from svjax.model.noise import drawn_spins
from svjax.model.valve import SpinValve, aligned_spins, check_spins, prepare
from svjax.reservoirs.bias import Bias, as_bias, described, symmetric
from svjax.simulations.loop import STEPS_PER_SEGMENT
from svjax.storage.size import bytes_of
from svjax.sweeps.parameter_grid import SEED, Grid, choose_block, make_grid, one_point
from svjax.sweeps.points import refusal
from svjax.sweeps.sweep_dataset import SweepPlan, variables
from svjax.sweeps.tasks import ModesTask, RunTask, Task, seeds_of

MOST_POINTS = {"cpu": 16}
MOST_POINTS_ELSEWHERE = 256
"""Points of a tile for each device: on a CPU more bring nothing, since they are computed one after another."""

COPIES = {"cpu": 6}
COPIES_ELSEWHERE = 24
"""States of every point of a tile that are in memory at once: slopes and stages too where all points go together."""


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
    points = make_grid(valve, bias, grid, zipped, seeds_of(task))
    if not isinstance(task, Task):
        raise ValueError(f"Argument `task` must be a RunTask(...), SteadyTask() or ModesTask(), but is {task!r}.")
    if isinstance(task, RunTask):
        if task.start == "equilibrium":
            constant_levels(valve, None)
        if not isinstance(task.start, str):
            check_spins(valve, task.start)
        if task.key is None and SEED not in points.names:
            drawn_spins(valve, str(task.start), None)
        elif task.key is not None and SEED in points.names:
            raise ValueError("Argument `grid` must not name 'seed' where the task has a `key`.")
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


def corners(valve: SpinValve, bias: Bias, grid: Grid) -> Iterator[tuple[SpinValve, Array]]:
    """The valve, and levels between which its own stay at all times, (some, leads), at the smallest and largest values
    of every parameter: where the levels are farthest."""
    ends = [np.unique([np.argmin(values), np.argmax(values)]) for values in grid.values]
    sides = [np.unique(np.concatenate(ends))] if grid.zipped else np.meshgrid(*ends, indexing="ij")
    values = grid.at([part.ravel() for part in sides])
    for k in range(sides[0].size):
        point, drop = one_point(valve, bias, values, k)
        yield point, described(drop).extremes()


def batch_that_fits(valve: SpinValve, bias: Bias, task: Task, grid: Grid) -> int:
    """As many points as fit into half of the memory and leave no process without a tile."""
    devices = jax.local_devices()
    probe = SweepPlan(valve, bias, task, grid, (1,) * len(grid.shape), STEPS_PER_SEGMENT)
    of_state, of_row = bytes_of(probe.state), bytes_of(probe.outputs)
    copies = COPIES.get(devices[0].platform, COPIES_ELSEWHERE)
    free = sum(_memory(device) for device in devices) if devices[0].platform != "cpu" else _memory(devices[0])
    fitting = free // (2 * (copies * of_state + STEPS_PER_SEGMENT * of_row))
    return int(max(1, min(fitting, -(-grid.size // jax.process_count()))))


def _memory(device: Any) -> int:
    """Bytes of memory of a device."""
    stats = device.memory_stats() or {}
    return stats.get("bytes_limit", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
