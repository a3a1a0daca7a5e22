"""Long runs: a host loop over compiled segments, where progress, saving and Ctrl-C live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from svjax.dynamics.evolve import DivergedError, Trajectory, march
from svjax.dynamics.invariants import straying
from svjax.engine.clock import Clock
from svjax.engine.shown import Shown
from svjax.model.equations import State
from svjax.simulations.observed import first_row
from svjax.simulations.plan import Equilibrium, Plan, Rows, plan_step

STEPS_PER_SEGMENT = 500
"""About how many steps run between two looks at the keyboard, the progress bar and the disk."""


@dataclass(frozen=True, repr=False)
class Segment(Shown):
    """One compiled piece of a run: from ``before`` at step ``start`` to ``state`` at step ``end``, with its rows."""

    stage: int
    start: int
    end: int
    before: State
    state: State
    observables: dict[str, np.ndarray]

    @property
    def saves(self) -> int:
        return len(next(iter(self.observables.values())))


@dataclass(frozen=True, repr=False)
class Run(Rows):
    """What `three_stage` returns, or what it had when it stopped.

    - `plan`: what was to be done. `state`: the last state, at time `end`.
    - `equilibrium`: the end of stage 1, to be given to further runs; None before it is reached.
    - `status`: "complete", "interrupted", "diverged" or "inaccurate" (complete, but spins have changed their length or
      the charge does not add up), and the `reason` in words.
    - `last`: the last full `Segment`, for the convergence report; None where there is none.
    """

    plan: Plan
    state: State
    end: float
    equilibrium: Equilibrium | None
    status: str
    reason: str
    last: Segment | None

    silent: ClassVar = ("last",)

    @property
    def step(self) -> int:
        """The number of the last step, counted from the quench."""
        return round(self.end / self.plan.dt)


@dataclass(frozen=True)
class Progress:
    """Where a run is: its ``stage``, the time ``t``, steps ``done`` of ``total``, seconds ``elapsed`` and ``remaining``
    (an estimate, which leaves out the first segment because that one was compiled)."""

    stage: int
    t: float
    done: int
    total: int
    elapsed: float
    remaining: float


class Writer(Protocol):
    """What saves a run while it runs (`RunWriter`)."""

    def append(self, plan: Plan, segment: Segment) -> None: ...

    def finish(self, run: Run) -> None: ...

    def close(self) -> None: ...


class Interrupted(KeyboardInterrupt):
    """A run stopped by Ctrl-C. ``run`` holds what was saved before."""

    def __init__(self, run: Run):
        super().__init__(run.reason)
        self.run = run

    def __reduce__(self):
        return type(self), (self.run,)


class DivergedRun(DivergedError):
    """A run whose state became infinite or nan. ``run`` holds what was saved before."""

    def __init__(self, run: Run):
        super().__init__(run.reason, Trajectory(jnp.asarray(run.t), run.state, dict(run.observables)))
        self.run = run

    def __reduce__(self):
        return type(self), (self.run,)


def carry_out(
    plan: Plan,
    progress: Callable[[Progress], object] | None = None,
    writer: Writer | None = None,
    half: Run | None = None,
) -> Run:
    """Run a plan segment by segment, from ``half`` way on; what `three_stage` does after its checks."""
    record, stop = _Record(plan, half), None
    total, before = plan.relax_steps + plan.steps, 0 if half is None else half.step + plan.relax_steps
    clock = Clock(total, before)
    try:
        try:
            for segment in _segments(plan, half):
                record.add(segment)
                if writer is not None:
                    writer.append(plan, segment)
                if progress is not None:
                    done = segment.end + plan.relax_steps
                    progress(Progress(segment.stage, segment.end * plan.dt, done, total, *clock.at(done)))
        except KeyboardInterrupt:
            stop = Interrupted
        except DivergedError as error:
            record.rows.append(jax.tree.map(np.asarray, error.trajectory.observables))
            stop = DivergedRun
        run = record.run(stop)
        if writer is not None:
            writer.finish(run)
    finally:
        if writer is not None:
            writer.close()
    if stop is not None:
        raise stop(run) from None
    return run


def _segments(plan: Plan, half: Run | None) -> Iterator[Segment]:
    """The rows that are there at the start, stage 1 up to step 0, stage 2. Saves fall on multiples of save_every."""
    begin = -plan.relax_steps
    if half is not None:
        segment = Segment(0, half.step, half.step, half.state, half.state, {})
    else:
        given = plan.equilibrium
        rows = first_row(plan.observe, plan.valve, plan.initial) if given is None else given.observables
        segment = Segment(0, begin, begin, plan.initial, plan.initial, rows)
        yield segment
    for stage, start, steps in ((1, -plan.relax_steps, plan.relax_steps), (2, 0, plan.steps)):
        step = plan_step(plan, stage == 2)
        for begin, end in stretches(stage, start, steps, plan.save_every, segment.end):
            before, every = segment.state, min(plan.save_every, end - begin)
            found = march(step, before, begin, end - begin, every, plan.observe)
            rows = jax.tree.map(np.asarray, found.observables)
            if end % plan.save_every or (stage == 1 and every < plan.save_every and end):  # no row of the run
                rows = {name: values[:0] for name, values in rows.items()}
            segment = Segment(stage, begin, end, before, found.state, rows)
            yield segment


def stretches(
    stage: int, start: int, steps: int, save_every: int, at: int, longest: int = STEPS_PER_SEGMENT
) -> Iterator[tuple[int, int]]:
    """First and last step of the segments of a ``stage`` of ``steps`` from ``start`` on that are left for whoever is
    ``at`` a step; where that lies within one, as after a shorter end of a run, first what leads to the next save."""
    ends = start + np.cumsum([0, *pieces(steps, save_every, remainder_first=stage == 1, longest=longest)])
    for first, last in pairwise(ends.tolist()):
        save = min(last, -(-at // save_every) * save_every)
        parts = ((at, save), (save, last)) if first < at < last else ((first, last),)
        yield from (part for part in parts if at <= part[0] < part[1])


def pieces(steps: int, save_every: int, remainder_first: bool, longest: int = STEPS_PER_SEGMENT) -> list[int]:
    """Segment lengths that add up to ``steps``: equal ones where the number of saves has a suitable divisor."""
    saves, rest = divmod(steps, save_every)
    most = max(1, longest // save_every)
    divisors = [k for k in range(max(1, most // 4), most + 1) if saves % k == 0]
    size = divisors[-1] if divisors else most
    pieces = [size * save_every] * (saves // size) + [saves % size * save_every] * (saves % size > 0)
    remainder = [rest] * (rest > 0)
    return remainder + pieces if remainder_first else pieces + remainder


def last_full(last: Segment | None, segment: Segment) -> Segment | None:
    """The last segment of full length, of ``last``, the one before, and ``segment``."""
    full = last is None or segment.stage > last.stage or segment.saves >= last.saves
    return segment if segment.end > segment.start and segment.saves and full else last


class _Record:
    """What has been kept so far."""

    def __init__(self, plan: Plan, half: Run | None):
        self.plan, self.state, self.step = plan, plan.initial, -plan.relax_steps
        self.rows: list[dict[str, np.ndarray]] = []
        self.equilibrium: Equilibrium | None = None
        self.last: Segment | None = None
        if half is not None:
            self.state, self.step, self.equilibrium, self.last = half.state, half.step, half.equilibrium, half.last
            self.rows.append(half.observables)

    def add(self, segment: Segment) -> None:
        self.rows.append(segment.observables)
        self.state, self.step = segment.state, segment.end
        if segment.end == 0:
            rows = self.joined()
            self.equilibrium = Equilibrium(rows.t, rows.stage, rows.observables, self.plan.valve, segment.state)
        self.last = last_full(self.last, segment)

    def joined(self) -> Rows:
        names = self.rows[0] if self.rows else ()
        observables = {name: np.concatenate([part[name] for part in self.rows]) for name in names}
        count = sum(len(next(iter(part.values()))) for part in self.rows)
        return Rows(self.plan.t[:count], self.plan.stage[:count], observables)

    def run(self, stop: type[Exception] | type[KeyboardInterrupt] | None) -> Run:
        rows = self.joined()
        after = f"after t = {rows.t[-1]:g}" if len(rows.t) else "before the first save"
        kept = f"{len(rows.t)} saves are kept"
        stray = "" if stop else straying(self.plan.valve, self.state)
        status, reason = {
            None: ("inaccurate" if stray else "complete", stray),
            Interrupted: ("interrupted", f"The run was interrupted {after}; {kept}."),
            DivergedRun: ("diverged", f"The state became non-finite {after}; {kept}. Is dt small enough?"),
        }[stop]
        found = rows.t, rows.stage, rows.observables, self.plan, self.state, self.step * self.plan.dt
        return Run(*found, self.equilibrium, status, reason, self.last)
