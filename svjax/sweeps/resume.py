"""Go on where a run, a sweep, a diagram or a loop was stopped, by a kill, Ctrl-C or a full disk, to the same end."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import xarray as xr
import zarr

from svjax.dynamics.step_size import whole_steps
from svjax.electrons.stationary import stationary
from svjax.engine.methods import as_method
from svjax.model.drives import Drive
from svjax.model.valve import SpinValve
from svjax.observables.by_name import Observables, Observe, as_observe, default_observables
from svjax.reservoirs.bias import Bias
from svjax.simulations.loop import Progress, Run, carry_out
from svjax.simulations.plan import Plan, Rows
from svjax.simulations.prolong import prolong
from svjax.simulations.run_checkpoint import from_checkpoint, identity, run_checkpoint
from svjax.simulations.runs import RunWriter, load_bias, load_equilibrium, load_valve, open_run, write_status
from svjax.simulations.tables import finish
from svjax.storage.checkpoint import Contents
from svjax.storage.driving import drive_from_record, drive_to_record, key_from_record
from svjax.storage.formats import DIAGRAM, LOOP, RUN, SWEEP, short
from svjax.storage.lock import Lock
from svjax.storage.plain import check_plain, store_format, tidy_path
from svjax.storage.records import bias_to_record, provenance
from svjax.storage.status import FINISHED, Status
from svjax.sweeps.devices import on_first
from svjax.sweeps.sweep import Watch, carry_out_sweep
from svjax.sweeps.sweep_store import load_plan, open_sweep


def resume(
    path: str | os.PathLike,
    *,
    bias: Bias | None = None,
    drive: Drive | None = None,
    observe: Observe | Sequence[str] | None = None,
    until: float | None = None,
    progress: Callable[[Any], object] | None = None,
) -> xr.Dataset:
    """Continue the run, sweep, diagram or loop at ``path`` from its last checkpoint, or a run beyond its end.

    With the same versions and devices it ends bit for bit as if it had not been stopped; with others there is a
    warning. What is finished is not computed again.

    **Arguments:** a ``bias``, ``drive`` or ``observe`` that was a function of the user's own must be given again, since
    a store holds plain data only. ``until`` is a later end for a run, since the quench and in 1/hopping: it ends as if
    that had been its ``duration``. ``progress`` as in `three_stage`, `sweep`, `phase_diagram` or
    `hysteresis`.

    **Returns:** the dataset that `sv.open` opens. Raises BlockingIOError while another process writes to it,
    and ValueError where there is nothing that can be continued.
    """
    path = tidy_path(path)
    kind = store_format(path)
    if kind in (SWEEP, DIAGRAM, LOOP):
        check_no_end(path, until)
    if kind == SWEEP:
        return resume_sweep(path, bias, progress, drive)
    if kind in (DIAGRAM, LOOP):
        return resume_table(path, kind, progress)
    resume_run(path, bias, observe, progress, drive, until)
    return open_run(path)


def check_no_end(path: Path, until: float | None) -> None:
    """Raise ValueError where a sweep, a diagram or a loop is given a later end."""
    if until is not None:
        kind = short(store_format(path) or "")
        raise ValueError(f"Argument `until` must be the end of a run, but {path} is a {kind}.")


def resume_sweep(
    path: Path, bias: Bias | None = None, progress: Watch | None = None, drive: Drive | None = None
) -> xr.Dataset:
    """Compute what is left of the sweep at ``path``."""
    warn_of_changes(check_plain(path, SWEEP))
    plan, locks = load_plan(path, bias, drive), []
    on_first(lambda: locks.append(Lock(path)))
    carry_out_sweep(path, plan, locks, progress)
    return open_sweep(path)


def resume_table(path: Path, kind: str, progress: Callable[[Any], object] | None = None) -> xr.Dataset:
    """Compute what is left of the diagram or the loop, as ``kind`` says, at ``path``."""
    facts = check_plain(path, kind)
    if facts.get("status", "complete") != "complete":
        warn_of_changes(facts)
    return finish(path, kind, progress)


def resume_run(
    path: Path,
    bias: Bias | None = None,
    observe: Observe | Sequence[str] | None = None,
    progress: Callable[[Progress], object] | None = None,
    drive: Drive | None = None,
    until: float | None = None,
) -> Run | None:
    """Take the run at ``path`` to its end, or to a later one, ``until``; None if it has reached it and needs no
    checkpoint any more."""
    facts = check_plain(path, RUN)
    dataset = open_run(path)
    found = run_checkpoint(path).load()
    finished = dataset.attrs["status"] in FINISHED
    if dataset.attrs["status"] == Status.DIVERGED.word:
        raise ValueError(f"The run at {path} cannot be continued: {dataset.attrs['reason']}")
    if found is None and not finished:
        raise ValueError(f"The run at {path} cannot be continued: it has no intact checkpoint.")
    if found is not None and found[1].get("identity") != identity(facts):
        if not finished:
            raise ValueError(f"The run at {path} cannot be continued: its checkpoint is of another run.")
        found = None  # of a later end that was not laid out
    if until is not None:
        _drive(dataset, load_valve(dataset), drive)
        _observe(dataset, observe)
        prolong(path, dataset, found, _bias(dataset, bias), until)
        return resume_run(path, bias, observe, progress, drive)
    if found is None:
        return None
    warn_of_changes(facts)
    half = _stopped(dataset, found, bias, observe, drive)
    writer = RunWriter.reopen(path, half)
    try:
        write_status(zarr.open_group(path, mode="r+"), Status.RUNNING.word)
        return carry_out(half.plan, progress, writer, half)
    finally:
        writer.close()


def _stopped(
    dataset: xr.Dataset,
    found: Contents,
    bias: Bias | None,
    observe: Observe | Sequence[str] | None,
    drive: Drive | None,
) -> Run:
    """A stored run as it was at its checkpoint."""
    valve, dt, bias = load_valve(dataset), float(dataset.attrs["dt"]), _bias(dataset, bias)
    drive, key = _drive(dataset, valve, drive), key_from_record(json.loads(dataset.attrs.get("key", "null")))
    names = json.loads(dataset.attrs["observables"])
    rows = Rows(dataset["time"].values, dataset["stage"].values, {name: dataset[name].values for name in names})
    equilibrium = load_equilibrium(dataset) if found[1]["step"] >= 0 else None
    initial = stationary(valve, found[0]["initial_spins"]) if equilibrium is None else equilibrium.state
    steps, relax = whole_steps(dataset.attrs["duration"], dt), whole_steps(dataset.attrs["relax"], dt, "relax")
    every, method = int(dataset.attrs["save_every"]), as_method(dataset.attrs["method"])
    relax = relax if equilibrium is None else 0
    observe = _observe(dataset, observe)
    plan = Plan(valve, bias, dt, every, method, relax, steps, initial, observe, equilibrium, drive, key)
    return from_checkpoint(found, rows, plan)


def _bias(dataset: xr.Dataset, bias: Bias | None) -> Bias:
    bias = load_bias(dataset) if bias is None else bias
    if json.dumps(bias_to_record(bias)) != dataset.attrs["bias"]:
        raise ValueError("Argument `bias` must be that of the run, but gives other levels.")
    return bias


def _drive(dataset: xr.Dataset, valve: SpinValve, drive: Drive | None) -> Drive | None:
    stored = json.loads(dataset.attrs.get("drive", "null"))
    drive = drive_from_record(stored) if drive is None else drive
    if drive_to_record(drive, valve) != stored:
        raise ValueError("Argument `drive` must be that of the run, but makes another valve.")
    return drive


def _observe(dataset: xr.Dataset, observe: Observe | Sequence[str] | None) -> Observe:
    chosen = json.loads(dataset.attrs["observe"])
    if observe is None and isinstance(chosen, str):
        raise ValueError(f"Argument `observe` must be given: the run observed the function {chosen!r}.")
    if observe is not None:
        return as_observe(observe)
    return default_observables if chosen is None else Observables(tuple(chosen))


def warn_of_changes(facts) -> None:
    """Warn where versions or devices are not those that a store was begun with."""
    now = provenance() | ({"devices": jax.local_device_count()} if "devices" in facts else {})
    changed = [f"{name} {facts.get(name)} -> {value}" for name, value in now.items() if facts.get(name) != value]
    if changed:
        warnings.warn(f"The last bits may differ from an undisturbed run: {', '.join(changed)}.", stacklevel=3)
