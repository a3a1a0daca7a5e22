"""The checkpoint of a single run: the state at the end of a segment, and what the convergence report will ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from svjax.model.equations import State
from svjax.simulations.dataset import state_from_arrays, state_to_arrays
from svjax.simulations.loop import Run, Segment
from svjax.simulations.plan import Plan, Rows
from svjax.storage.checkpoint import FOLDER, Checkpoint, Contents
from svjax.storage.records import digest
from svjax.storage.status import Status

DEFINING = ("valve", "bias", "observables", "dt", "save_every", "method", "relax", "duration", "drive", "key")
"""Attributes that tell one run from another; a run without a drive or a key has none of that name."""


def run_checkpoint(folder: Path) -> Checkpoint:
    """That of the run in ``folder``."""
    return Checkpoint(folder / FOLDER, "run")


def to_checkpoint(plan: Plan, step: int, state: State, last: Segment | None, attributes: Mapping[str, Any]) -> Contents:
    """What to save of a run at ``step``; the last full segment without its rows, which the run itself holds."""
    arrays, facts = of_state(state, step, attributes)
    arrays["initial_spins"] = np.asarray(plan.initial.spins)
    if last is not None:
        arrays |= state_to_arrays(last.before, "last_before_") | state_to_arrays(last.state, "last_state_")
        facts |= {"last_stage": last.stage, "last_start": last.start, "last_end": last.end}
    return arrays, facts


def of_state(state: State, step: int, attributes: Mapping[str, Any]) -> Contents:
    """The checkpoint of a run that goes on from a ``state`` of stage 2, with nothing for a report."""
    return state_to_arrays(state, "state_") | {"initial_spins": np.asarray(state.spins)}, {
        "identity": identity(attributes),
        "step": step,
    }


def reidentified(found: Contents, attributes: Mapping[str, Any]) -> Contents:
    """The checkpoint of the same run with other ``attributes``."""
    return found[0], found[1] | {"identity": identity(attributes)}


def from_checkpoint(found: Contents, rows: Rows, plan: Plan) -> Run:
    """The run of a checkpoint, with the ``rows`` that were saved, perhaps more than up to there."""
    arrays, facts = found
    dt, end, last = plan.dt, facts["step"] * plan.dt, None
    kept = _between(rows, -np.inf, end, dt)
    if "last_stage" in facts:
        start, stop = facts["last_start"], facts["last_end"]
        own = _between(rows, start * dt, stop * dt, dt).observables
        before, state = state_from_arrays(arrays, "last_before_"), state_from_arrays(arrays, "last_state_")
        last = Segment(facts["last_stage"], start, stop, before, state, own)
    stopped = Status.INTERRUPTED.word, ""
    state = state_from_arrays(arrays, "state_")
    return Run(kept.t, kept.stage, kept.observables, plan, state, end, plan.equilibrium, *stopped, last)


def identity(attributes: Mapping[str, Any]) -> str:
    """Tells the run with these ``attributes`` from any other."""
    return digest([attributes[name] for name in DEFINING if name in attributes])


def _between(rows: Rows, first: float, last: float, dt: float) -> Rows:
    """Rows with first < t <= last."""
    which = (rows.t > first + dt / 2) & (rows.t < last + dt / 2)
    return Rows(rows.t[which], rows.stage[which], {name: part[which] for name, part in rows.observables.items()})
