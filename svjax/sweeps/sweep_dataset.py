"""What a stored sweep looks like: its variables along the grid, coordinates with units, and attributes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from svjax.electrons.stationary import stationary
from svjax.model.equations import State
from svjax.model.parameters import SYMBOLS
from svjax.model.valve import SpinValve, aligned_spins
from svjax.reservoirs.bias import Bias
from svjax.simulations.dataset import UNITS, axes, labelled, state_variables
from svjax.storage.formats import SWEEP
from svjax.storage.layout import Variable
from svjax.storage.records import bias_to_record, digest, made_of, valve_to_record
from svjax.storage.size import COPIES, Size, bytes_of
from svjax.storage.status import OF_POINTS, flags
from svjax.sweeps.batch import steady_point
from svjax.sweeps.parameter_grid import Grid, Tile, tiles
from svjax.sweeps.tasks import RunTask, Task, task_to_record

OTHER_UNITS = {
    "residual": ((), "hopping", "max |S x B|"),
    "rates": (("mode",), "hopping/hbar", "complex rates lambda of small turns of the spins, 1/t_R = -Re lambda"),
}
CHUNK_BYTES = 2**21


@dataclass(frozen=True)
class SweepPlan:
    """A checked sweep, before anything has run: ``block`` is the shape of its tiles in points, and runs are marched
    in segments of about ``segment`` steps."""

    valve: SpinValve
    bias: Bias
    task: Task
    grid: Grid
    block: tuple[int, ...]
    segment: int

    @cached_property
    def tiles(self) -> list[Tile]:
        return tiles(self.grid, self.block)

    @cached_property
    def times(self) -> np.ndarray | None:
        """Of the rows of a run."""
        if not isinstance(self.task, RunTask):
            return None
        return self.task.every * np.arange(self.task.steps // self.task.every + 1) * self.task.step

    @cached_property
    def state(self) -> State:
        """Shape and type of one state."""
        return jax.eval_shape(lambda: stationary(self.valve, aligned_spins(self.valve)))

    @cached_property
    def outputs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shape and type of what is saved of one point, a run's without the time."""
        task = self.task
        if isinstance(task, RunTask):
            return jax.eval_shape(lambda state: task.observables(self.valve)(self.valve, state), self.state)
        return jax.eval_shape(lambda v: steady_point(task, v, self.bias)[0], self.valve)

    @cached_property
    def size(self) -> Size:
        """What the sweep takes of the machine."""
        task, of_state, of_row = self.task, bytes_of(self.state), bytes_of(self.outputs)
        steps, rows, of_point = 0, of_row, of_row
        if isinstance(task, RunTask):
            steps = task.steps + task.relax_steps
            of_point = (task.steps // task.every + 1) * (of_row + 8) + (of_state if task.last_state else 0)
            rows = min(of_point, self.segment * of_row)
        in_tile, points = int(np.prod(self.block)), self.grid.size
        return Size(points, steps, in_tile * (COPIES * of_state + rows) + 100 * points, points * (of_point + 32))

    @cached_property
    def record(self) -> dict[str, Any]:
        """All that decides the results, as plain data."""
        grid = {name: values.tolist() for name, values in zip(self.grid.names, self.grid.values, strict=True)}
        return {
            "valve": valve_to_record(self.valve),
            "bias": bias_to_record(self.bias),
            "task": task_to_record(self.task, self.valve),
            "grid": {"values": grid, "zipped": self.grid.zipped},
            "block": list(self.block),
            "segment": self.segment,
        }

    @cached_property
    def identity(self) -> str:
        """Tells this sweep from any other."""
        return digest(self.record)


def variables(plan: SweepPlan) -> dict[str, Variable]:
    """What the tiles write: one chunk never holds points of two tiles."""
    grid, block, rows = plan.grid, plan.block, plan.times
    points = int(np.prod(block))
    found: dict[str, Variable] = {}
    for name, part in plan.outputs.items():
        dims, notes = labelled(name, part.shape, plan.valve.lattice, UNITS | OTHER_UNITS)
        row_bytes = max(1, points * int(np.prod(part.shape)) * np.dtype(part.dtype).itemsize)
        time = () if rows is None else (len(rows),)
        chunk = () if rows is None else (int(np.clip(CHUNK_BYTES // row_bytes, 1, len(rows))),)
        lengths = (*grid.shape, *time, *part.shape), (*block, *chunk, *part.shape)
        found[name] = Variable((*grid.dims, *("time",)[: len(time)], *dims), *lengths, part.dtype, notes)
    if isinstance(plan.task, RunTask):
        found["end"] = _per_point(plan, np.float64, units="hbar/hopping", long_name="time of the last row")
        if plan.task.last_state:
            found |= state_variables("final", plan.state, (grid.dims, grid.shape, block))
    found["reason"] = _per_point(plan, str, long_name="why a point is not complete")
    found["begun"] = _per_point(plan, np.int32, long_name="how often a process began or continued this point")
    found["status"] = _per_point(plan, np.int8, **flags(OF_POINTS))
    return found


def _per_point(plan: SweepPlan, dtype: Any, **attributes: Any) -> Variable:
    return Variable(plan.grid.dims, plan.grid.shape, plan.block, dtype, attributes)


def coordinates(plan: SweepPlan) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """Dimensions, values and attributes of the coordinates."""
    found: dict[str, Any] = {}
    for name, values in zip(plan.grid.names, plan.grid.values, strict=True):
        symbol, units = SYMBOLS.get(name.split("[")[0], (name, ""))
        found[name] = (plan.grid.dims if plan.grid.zipped else (name,), values, {"units": units, "long_name": symbol})
    return found | axes(plan.valve.lattice, plan.times)


def attributes(plan: SweepPlan) -> dict[str, Any]:
    """What the sweep was made of and with."""
    records = {name: record for name, record in plan.record.items() if name != "valve"}
    return made_of(SWEEP, plan.valve, **records) | {
        "identity": plan.identity,
        "devices": jax.local_device_count(),
        "processes": jax.process_count(),
    }
