"""What a sweep does at every point of its grid: a run, a steady state, or relaxation modes. Small plain records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Array

from svjax.dynamics.step_size import whole_steps
from svjax.engine.arrays import Numbers, real_array, real_number, whole_number
from svjax.engine.methods import as_method
from svjax.model.drives import Drive
from svjax.model.noise import DRAWN, STARTS, as_key
from svjax.model.valve import SpinValve
from svjax.observables.by_name import Observables, as_names, default_names
from svjax.storage.driving import drive_from_record, drive_to_record, key_from_record, key_to_record


class Observing:
    """A task with names ``observe`` of what it saves, the default observables if None."""

    observe: tuple[str, ...] | None

    def observables(self, valve: SpinValve) -> Observables:
        """What is saved of each state of ``valve``."""
        return Observables(default_names(valve) if self.observe is None else self.observe)

    def _check_names(self) -> None:
        """Make the names of a new task a tuple, and look them up."""
        if self.observe is not None:
            object.__setattr__(self, "observe", as_names(self.observe))
            Observables(self.observe)


@dataclass(frozen=True)
class RunTask(Observing):
    """A run at every point, from the quench at t = 0 on, where the bias is switched on.

    - `duration`, `dt`, `method`, `save_every`: as in `evolve`; the row at t = 0 is saved too. None for ``dt``: the
      smallest of the steps that some points of the grid ask for.
    - `observe`: names of what to save; the default observables of `evolve` if None.
    - `start`: "equilibrium", the steady state of each point without bias; or spins, which then relax without bias for a
      time ``relax`` (stages 0 and 1 of the protocol): "aligned" along their easy axes, "random" or "thermal" (see
      `random_spins` and `thermal_spins`), or (N_S, 3) of them, for instance from `load_spins`.
    - `last_state`: keep the last state of every point, so that the runs can be prolonged.
    - `drive`, `key`: as in `three_stage`. Point n of the grid, counted with the last parameter running fastest, has the
      noise of ``fold_in(key, n)``; in stage 1, which points that differ in their bias alone share, the first of them
      gives the number. Where the grid names "seed", a point has the noise of ``jax.random.key(seed)`` instead, that of
      a single run with this key. What is drawn to start from depends on the key in the same way.
    """

    duration: float
    dt: float | None = None
    method: str = "etd"
    save_every: int | None = None
    observe: tuple[str, ...] | None = None
    start: str | Numbers = "equilibrium"
    relax: float = 0.0
    last_state: bool = False
    drive: Drive | None = None
    key: Array | None = None

    def __post_init__(self):
        as_method(self.method)
        object.__setattr__(self, "key", as_key(self.key))
        for name in ("duration", "relax", "dt"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, real_number(getattr(self, name), name))
        for name in ("duration", "relax") if self.dt is not None else ():
            whole_steps(getattr(self, name), self.step, name)
        if self.save_every is not None:
            whole_number(self.save_every, "save_every", 1)
        self._check_names()
        if not isinstance(self.start, str):
            spins = real_array(self.start, "start")
            object.__setattr__(self, "start", tuple(map(tuple, spins.reshape(-1, 3).tolist())))
        elif self.start not in ("equilibrium", *STARTS):
            words = ", ".join(("equilibrium", *STARTS))
            raise ValueError(f"Argument `start` must be one of {words}, or spins, but is {self.start!r}.")
        if self.relax and self.start == "equilibrium":
            raise ValueError(f"Argument `relax` must be 0 where runs start in equilibrium, but is {self.relax}.")

    @property
    def step(self) -> float:
        """``dt`` where it was given, or chosen for a sweep."""
        if self.dt is None:
            raise ValueError("Argument `dt` must be given, or chosen by `sweep`, but is None.")
        return self.dt

    @property
    def of_start(self) -> RunTask:
        """A task with nothing but its start, which one compiled program serves."""
        return RunTask(0.0, start=self.start)

    @property
    def seeds(self) -> bool:
        """Whether runs of other seeds have other spins at the quench."""
        return self.start in DRAWN or self.relax > 0

    @property
    def every(self) -> int:
        """Steps between saves."""
        return max(1, round(0.5 / self.step)) if self.save_every is None else self.save_every

    @property
    def steps(self) -> int:
        return whole_steps(self.duration, self.step)

    @property
    def relax_steps(self) -> int:
        return whole_steps(self.relax, self.step, "relax")


@dataclass(frozen=True)
class SteadyTask(Observing):
    """The torque-free steady state of every point, from aligned spins, with its magnetisations and currents, or what
    ``observe`` names.

    ``allow_unstable`` as in `steady_state`.
    """

    allow_unstable: bool = False
    observe: tuple[str, ...] | None = None

    def __post_init__(self):
        self._check_names()


@dataclass(frozen=True)
class ModesTask(Observing):
    """`relaxation_modes` of the steady state of every point, beside what `SteadyTask` saves; ``count`` of them in
    ``order`` "frequency" or "decay"."""

    count: int = 4
    order: str = "frequency"
    allow_unstable: bool = False
    observe: tuple[str, ...] | None = None

    def __post_init__(self):
        self._check_names()
        if self.count != int(self.count) or self.count < 1:
            raise ValueError(f"Argument `count` must be a whole number of at least 1, but is {self.count}.")
        if self.order not in ("frequency", "decay"):
            raise ValueError(f"Argument `order` must be 'frequency' or 'decay', but is {self.order!r}.")


Task = RunTask | SteadyTask | ModesTask
TASKS: dict[str, type[Task]] = {"run": RunTask, "steady": SteadyTask, "modes": ModesTask}


def seeds_of(task: Task) -> bool | None:
    """`RunTask.seeds`; None for tasks that draw nothing at random."""
    return task.seeds if isinstance(task, RunTask) else None


def task_to_record(task: Task, valve: SpinValve) -> dict[str, Any]:
    """A task for a ``valve`` as plain data."""
    kind = next(name for name, kind in TASKS.items() if kind is type(task))
    values = {part.name: getattr(task, part.name) for part in dataclasses.fields(task)}
    driven = drive_to_record(values.pop("drive", None), valve), key_to_record(values.pop("key", None))
    more = {name: record for name, record in zip(("drive", "key"), driven, strict=True) if record is not None}
    return {"kind": kind} | values | more


def task_from_record(record: Mapping[str, Any], drive: Drive | None = None) -> Task:
    """The task of `task_to_record`, whose ``drive`` must be given if it was a function; raises ValueError on anything
    else."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
    }
    if "drive" in values:
        values["drive"] = drive_from_record(values["drive"]) if drive is None else drive
    try:
        if "key" in values:
            values["key"] = key_from_record(values["key"])
        return TASKS[values.pop("kind")](**values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"The task of this sweep cannot be read ({type(error).__name__}: {error}).") from None
