"""The checkpoint of a single run: the state at the end of a segment, and what the convergence report will ask for."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from svjax.model.equations import State
from svjax.simulations.dataset import STATES
from svjax.simulations.loop import Halfway, Segment
from svjax.simulations.plan import Equilibrium, Plan, Rows
from svjax.storage.checkpoint import FOLDER, Checkpoint, Contents

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
        arrays |= _parts("last_before", last.before) | _parts("last_state", last.state)
        facts |= {"last_stage": last.stage, "last_start": last.start, "last_end": last.end}
    return arrays, facts


def of_state(state: State, step: int, attributes: Mapping[str, Any]) -> Contents:
    """The checkpoint of a run that goes on from a ``state`` of stage 2, with nothing for a report."""
    return _parts("state", state) | {"initial_spins": np.asarray(state.spins)}, {
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
        before, state = _state("last_before", arrays), _state("last_state", arrays)
        last = Segment(facts["last_stage"], start, end, before, state, own)
    return Halfway(step, _state("state", arrays), kept, equilibrium if step >= 0 else None, last)


def identity(attributes: Mapping[str, Any]) -> str:
    """Tells the run with these ``attributes`` from any other."""
    defining = [attributes[name] for name in DEFINING if name in attributes]
    return hashlib.sha256(json.dumps(defining).encode()).hexdigest()


def _between(rows: Rows, first: float, last: float, dt: float) -> Rows:
    """Rows with first < t <= last."""
    which = (rows.t > first + dt / 2) & (rows.t < last + dt / 2)
    return Rows(rows.t[which], rows.stage[which], {name: part[which] for name, part in rows.observables.items()})


def _parts(which: str, state: State) -> dict[str, np.ndarray]:
    return {f"{which}_{name}": np.asarray(getattr(state, name)) for name in STATES}


def _state(which: str, arrays: Mapping[str, np.ndarray]) -> State:
    return State(**{name: jnp.asarray(arrays[f"{which}_{name}"]) for name in STATES})
