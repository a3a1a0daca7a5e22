"""The checkpoint of a single run: the state at the end of a segment, and what the convergence report will ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from svjax.model.equations import State
from svjax.simulations.dataset import state_from_arrays, state_to_arrays
from svjax.simulations.loop import Halfway, Segment
from svjax.simulations.plan import Equilibrium, Plan, Rows
from svjax.storage.checkpoint import FOLDER, Checkpoint, Contents
from svjax.storage.records import digest

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


def from_checkpoint(found: Contents, rows: Rows, equilibrium: Equilibrium | None, dt: float) -> Halfway:
    """The run of a checkpoint, with the ``rows`` that were saved, perhaps more than up to there."""
    arrays, facts = found
    step, last = facts["step"], None
    kept = _between(rows, -np.inf, step * dt, dt)
    if "last_stage" in facts:
        start, end = facts["last_start"], facts["last_end"]
        own = _between(rows, start * dt, end * dt, dt).observables
        before, state = state_from_arrays(arrays, "last_before_"), state_from_arrays(arrays, "last_state_")
        last = Segment(facts["last_stage"], start, end, before, state, own)
    return Halfway(step, state_from_arrays(arrays, "state_"), kept, equilibrium if step >= 0 else None, last)


def identity(attributes: Mapping[str, Any]) -> str:
    """Tells the run with these ``attributes`` from any other."""
    return digest([attributes[name] for name in DEFINING if name in attributes])


def _between(rows: Rows, first: float, last: float, dt: float) -> Rows:
    """Rows with first < t <= last."""
    which = (rows.t > first + dt / 2) & (rows.t < last + dt / 2)
    return Rows(rows.t[which], rows.stage[which], {name: part[which] for name, part in rows.observables.items()})
