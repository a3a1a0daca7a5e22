"""The points of one tile: computed together, saved as they go, and failed points told from the others."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from svjax.dynamics.invariants import length_error, length_limit, shortened
from svjax.engine.lapack import lapack_on_one_thread
from svjax.engine.methods import as_method
from svjax.simulations.dataset import state_to_arrays
from svjax.simulations.loop import stretches
from svjax.storage.status import Status
from svjax.sweeps.batch import (
    march_points,
    point_key,
    quench_points,
    spread_over,
    start_points,
    steady_points,
)
from svjax.sweeps.parameter_grid import Tile, one_point
from svjax.sweeps.points import careful_point, careful_start, refusal
from svjax.sweeps.sweep_dataset import SweepPlan
from svjax.sweeps.sweep_store import SweepStore
from svjax.sweeps.tasks import ModesTask, RunTask, SteadyTask
from svjax.sweeps.tile_writer import Position, TileWriter

STEPPED_TOGETHER = 4
"""Runs that a CPU steps together: a third faster than one by one. Steady states would wait for the slowest."""

T = TypeVar("T")
Report = Callable[[float, float], object]
"""Called with the part of a tile that is done and the time t that its runs have reached."""


class Runner:
    """Computes tiles, one after another."""

    def __init__(self, plan: SweepPlan, store: SweepStore):
        self.plan, self.store = plan, store
        self.family = plan.valve, plan.bias
        self.devices = tuple(jax.local_devices())
        self.most_at_once = 2**31
        self.relaxed: tuple[tuple[int, ...], Position] | None = None

    def run(self, tile: Tile, report: Report) -> None:
        """Compute a tile and write it, from its checkpoint on if there is one."""
        self.store.begin(tile)
        if isinstance(self.plan.task, RunTask):
            status, reasons = self._run(self.plan.task, tile, report)
        else:
            status, reasons = self._solve(self.plan.task, tile)
        self.store.finish(tile, status, reasons)

    def _solve(self, task: SteadyTask | ModesTask, tile: Tile) -> tuple[np.ndarray, list[str]]:
        """Steady states of all points; those that the batch misses are tried once more, each by itself."""
        points = self.plan.grid.at(tile.indices)
        status, reasons = self._refused(tile)
        found, good = self._fitted(
            lambda spread, values: steady_points(spread, task, *self.family, values), tile.indices
        )
        rows = {name: np.array(part) for name, part in found.items()}
        lost = ~np.asarray(good) | (status != Status.COMPLETE)
        for k in np.flatnonzero(lost & (status == Status.COMPLETE)).tolist():
            try:
                careful, reasons[k] = careful_point(task, *one_point(*self.family, points, k))
                for name, part in careful.items():
                    rows[name][k] = part
                status[k] = Status.NOT_CONVERGED if reasons[k] else Status.COMPLETE
                lost[k] = False
            except (ValueError, RuntimeError) as error:
                status[k], reasons[k] = _failure(error), str(error)
        for part in rows.values():
            part[lost] = np.nan
        self.store.write(tile, rows)
        return status, reasons

    def _refused(self, tile: Tile) -> tuple[np.ndarray, list[str]]:
        """The status of points that are not to be computed, and why; all the others will be complete."""
        points = self.plan.grid.at(tile.indices)
        reasons = [refusal(self.plan.task, *one_point(*self.family, points, k)) for k in range(len(tile.indices[0]))]
        return np.where([bool(reason) for reason in reasons], Status.REFUSED, Status.COMPLETE).astype(np.int8), reasons

    def _fitted(self, program: Callable[..., T], indices: list[np.ndarray], *others: Any, on_cpu: int = 1) -> T:
        """program(spread, points) of the parameters of points, and of ``others`` that belong to them: half as many at
        once, from then on, whenever the memory of a device does not hold them."""
        while True:
            spread = spread_over(self.devices, len(indices[0]), on_cpu)
            spread = replace(spread, width=min(spread.width, self.most_at_once))
            values = self.plan.grid.at(indices)
            try:
                with lapack_on_one_thread():
                    return jax.block_until_ready(program(spread, spread.place((values, *others) if others else values)))
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                if spread.width == 1:
                    raise MemoryError("The memory of a device does not hold a tile: make `batch` smaller.") from error
            self.most_at_once = spread.width // 2
            said = f"The memory of a device does not hold {spread.width} points at once: now {self.most_at_once}."
            warnings.warn(said, stacklevel=2)

    def _run(self, task: RunTask, tile: Tile, report: Report) -> tuple[np.ndarray, list[str]]:
        """Stages 1 and 2 of all points, segment by segment."""
        writer = TileWriter(self.store, tile)
        position = writer.load() or self._start(task, tile)
        total = max(1, task.relax_steps + task.steps)
        if position.stage == 1:
            for _ in self._march(task, position, tile.valve_indices, writer):
                report((task.relax_steps + position.step) / total, position.step * task.step)
            self.relaxed = tile.valve_index, position
            position = self._quench(task, tile, position, writer)
        for _ in self._march(task, position, tile.indices, writer):
            report((task.relax_steps + position.step) / total, position.step * task.step)
        last = state_to_arrays(position.state, "final_") if task.last_state else {}
        for part in last.values():
            part[position.status != Status.COMPLETE] = np.nan
        writer.finish(position, last)
        _mark_inaccurate(position)
        return position.status, position.reasons

    def _start(self, task: RunTask, tile: Tile) -> Position:
        """All valves of a tile where stage 1 starts, or where it ended if the tile before had the same valves."""
        if self.relaxed is not None and self.relaxed[0] == tile.valve_index:
            return self.relaxed[1]
        points = self.plan.grid.at(tile.valve_indices)
        numbers = self._numbers(tile.valve_indices, of_valves=True)
        start = lambda spread, points: start_points(spread, task.of_start, *self.family, task.key, points)
        state, good = self._fitted(start, tile.valve_indices, numbers)
        count = len(good)
        status, reasons = np.full(count, Status.COMPLETE, np.int8), [""] * count
        for k in np.flatnonzero(~np.asarray(good)).tolist():
            try:
                own = point_key(task.key, {name: part[k] for name, part in points.items()}, int(numbers[k]))
                careful = careful_start(task, one_point(*self.family, points, k)[0], own)
                state = jax.tree.map(lambda all, one, k=k: all.at[k].set(one), state, careful)
            except (ValueError, RuntimeError) as error:
                status[k], reasons[k] = _failure(error), str(error)
        return Position(1, -task.relax_steps, state, status, reasons, np.full(count, np.nan))

    def _quench(self, task: RunTask, tile: Tile, before: Position, writer: TileWriter) -> Position:
        """Every point of a tile at t = 0, with its first row."""
        valve = tile.valve_of_point
        state = jax.tree.map(lambda x: x[valve], before.state)
        status, reasons = self._refused(tile)
        lost = (status == Status.COMPLETE) & (before.status[valve] != Status.COMPLETE)
        status = np.where(lost, before.status[valve], status)
        reasons = [before.reasons[k] if gone else why for k, gone, why in zip(valve, lost, reasons, strict=True)]
        method, observe = as_method(task.method if task.steps else "rk38"), task.observables(self.plan.valve)
        where, family = self._where(task, 2), self.family
        state, rows = self._fitted(
            lambda spread, points: quench_points(spread, method, observe, *family, where, points),
            tile.indices, state, self._numbers(tile.indices),
        )  # fmt: skip
        position = Position(2, 0, state, status, reasons, np.where(status == Status.COMPLETE, 0.0, np.nan))
        good = status[:, None] == Status.COMPLETE
        writer.add({name: _kept(np.asarray(part)[:, None], good) for name, part in rows.items()}, position)
        return position

    def _where(self, task: RunTask, stage: int) -> dict[str, Any]:
        """What acts on all runs alike in a stage: the bias and the drive act from the quench on, the noise always."""
        dt, on = jnp.asarray(task.step, self.plan.valve.j_sd.dtype), stage == 2
        return {"dt": dt, "on": jnp.asarray(on), "drive": task.drive if on else None, "key": task.key}

    def _numbers(self, indices: list[np.ndarray], of_valves: bool = False) -> np.ndarray:
        """The numbers of points in the grid, or of the first points that have their valves."""
        dims = zip(indices, self.plan.grid.valve_dims, strict=True)
        first = [0 * part if of_valves and not own else part for part, own in dims]
        return np.ravel_multi_index(first, self.plan.grid.shape)

    def _march(
        self, task: RunTask, position: Position, indices: list[np.ndarray], writer: TileWriter
    ) -> Iterator[None]:
        """Take ``position`` to the end of its stage, segment by segment."""
        first, steps = (-task.relax_steps, task.relax_steps) if position.stage == 1 else (0, task.steps)
        for start, end in stretches(position.stage, first, steps, task.every, position.step, self.plan.segment):
            if (position.status == Status.COMPLETE).any():
                rows, finite = self._segment(task, position, indices, start, end)
                good = _still_good(task, position, start, np.asarray(finite))
                writer.add({name: _kept(np.asarray(part), good) for name, part in rows.items()}, position)
                yield

    def _segment(
        self, task: RunTask, position: Position, indices: list[np.ndarray], start: int, end: int
    ) -> tuple[dict[str, Any], Any]:
        """Take ``position`` from step ``start`` to ``end``: the rows, and which of them are finite."""
        method, family = as_method(task.method), self.family
        begins = len(method.grades) > 1 and position.stage == 2 and start == 0
        behind = start if begins else start - 1
        where = self._where(task, position.stage) | {"first": jnp.asarray(start), "done": jnp.asarray(behind)}
        observe = task.observables(self.plan.valve) if position.stage == 2 else None
        march = lambda spread, points: march_points(
            spread, method, observe, end - start, task.every, *family, where, points
        )
        numbers = self._numbers(indices, position.stage == 1)
        position.state, rows, finite = self._fitted(march, indices, position.state, numbers, on_cpu=STEPPED_TOGETHER)
        position.step = end
        return rows, finite


def _failure(error: Exception) -> int:
    """The status of a point whose steady state is out of reach: refused if its parameters are to blame."""
    return Status.REFUSED if isinstance(error, ValueError) else Status.NOT_CONVERGED


def _still_good(task: RunTask, position: Position, start: int, finite: np.ndarray) -> np.ndarray:
    """Which rows of a segment are good, (points, rows); points whose state became non-finite are marked as diverged."""
    finite = np.logical_and.accumulate(finite, 1) & (position.status == Status.COMPLETE)[:, None]
    good = finite[:, :-1]
    if position.stage == 2:
        kept = good.sum(1)
        last = (start // task.every + kept) * task.every * task.step
        position.end = np.where(kept > 0, last, position.end)
    for k in np.flatnonzero(~finite[:, -1] & (position.status == Status.COMPLETE)):
        position.status[k] = Status.DIVERGED
        after = f"after t = {position.end[k]:g}" if np.isfinite(position.end[k]) else "before the quench"
        position.reasons[k] = f"The state became non-finite {after}. Is dt small enough?"
    return good


def _mark_inaccurate(position: Position) -> None:
    """Points that came to the end, but whose spins have changed their length."""
    error = length_error(position.state.spins)
    for k in np.flatnonzero((position.status == Status.COMPLETE) & (error > length_limit(position.state.spins.dtype))):
        position.status[k], position.reasons[k] = Status.INACCURATE, shortened(error[k])


def _kept(rows: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Rows of points, nan where they are not good."""
    return np.where(good.reshape(*good.shape, *[1] * (rows.ndim - good.ndim)), rows, np.asarray(np.nan, rows.dtype))
