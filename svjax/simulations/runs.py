"""Runs on disk: an xarray dataset in a zarr store (format 3) that grows while the run does. Plain data only.

All times of a run are known before it starts, so the store is laid out in full and rows not yet reached are nan. Each
file is replaced as a whole, ``saved`` (the number of good rows) is written after the rows and ``status`` last of all,
so a run that is killed keeps what it had saved.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
import zarr

from svjax.model.equations import State
from svjax.model.valve import SpinValve
from svjax.reservoirs.bias import Bias
from svjax.simulations.convergence import Convergence
from svjax.simulations.dataset import (
    known,
    state_from_arrays,
    state_to_arrays,
    variables,
)
from svjax.simulations.loop import Run, Segment, last_full
from svjax.simulations.plan import Equilibrium, Plan
from svjax.simulations.run_checkpoint import run_checkpoint, to_checkpoint
from svjax.storage.folders import array_of, check_target, place, saving
from svjax.storage.formats import RUN
from svjax.storage.layout import lay_out
from svjax.storage.lock import Lock
from svjax.storage.plain import check_plain, tidy_path
from svjax.storage.records import bias_from_record, valve_from_record
from svjax.storage.row_buffer import RowBuffer
from svjax.storage.status import FINISHED, number_of, word_of


class RunWriter:
    """Saves a run to the folder ``path`` while it runs: ``three_stage(..., writer=RunWriter("runs/first"))``.

    The folder appears when the first row is there. It must not exist, unless ``overwrite`` and it holds a run (or
    nothing); then it is replaced. Behind the rows a checkpoint is saved each time, from which `resume` goes on. A
    ``command`` line that makes the run is kept in its attributes.
    """

    def __init__(self, path: str | os.PathLike, *, overwrite: bool = False, command: str | None = None):
        self.path, self.group, self.lock, self.rows = tidy_path(path), None, None, RowBuffer(self._write)
        check_target(self.path, overwrite, RUN)
        self.overwrite, self.made_by = overwrite, {} if command is None else {"command": command}
        self.last: Segment | None = None

    def __repr__(self) -> str:
        return f"RunWriter: {self.path}, {self.rows.saved} rows saved"

    @staticmethod
    def reopen(path: Path, half: Run) -> "RunWriter":
        """The writer of a run that stopped ``half`` way."""
        writer = object.__new__(RunWriter)
        writer.path, writer.last, writer.lock = path, half.last, Lock(path)
        writer.rows = RowBuffer(writer._write, len(half.t))
        writer._open(path)
        return writer

    def append(self, plan: Plan, segment: Segment) -> None:
        """Save a segment's rows (every two seconds or so), and the equilibrium when it is reached."""
        self.last = last_full(self.last, segment)
        self.rows.add(segment.observables)
        if self.group is None:
            self.lock = place(self.path, lambda folder: self._create(folder, plan, segment), self.overwrite)
            self._open(self.path)
        elif segment.end == 0 or self.rows.due:
            with saving(self.path):
                self._save(plan, segment.end, segment.state)

    def finish(self, run: Run) -> None:
        """Save what is left, the last state and, last of all, the status."""
        if self.group is None:
            return
        self.rows.waiting = [{name: values[self.rows.saved :] for name, values in run.observables.items()}]
        with saving(self.path):
            self._save(run.plan, run.step, run.state)
            _write_state(self.group, "final", run.state)
            array_of(self.group, "final_time")[...] = run.end
            write_status(self.group, run.status, run.reason)

    def close(self) -> None:
        """Let other processes write to the folder."""
        if self.lock is not None:
            self.lock.release()

    def _create(self, folder: Path, plan: Plan, segment: Segment) -> None:
        rows = segment.observables
        lay_out(folder, variables(plan, rows), known(plan, rows).assign_attrs(self.made_by))
        self._open(folder)
        self._save(plan, segment.end, segment.state)

    def _open(self, folder: Path) -> None:
        self.group = zarr.open_group(folder, mode="r+")
        self.checkpoint = run_checkpoint(folder)
        self.checkpoint.load()

    def _save(self, plan: Plan, step: int, state: State) -> None:
        """Write the rows that wait, and behind them a checkpoint."""
        assert self.group is not None
        if step == 0:
            _write_state(self.group, "equilibrium", state)
        attributes = self.group.attrs
        self.rows.save(lambda: self.checkpoint.save(*to_checkpoint(plan, step, state, self.last, attributes)))

    def _write(self, rows: dict[str, np.ndarray], first: int) -> None:
        """Write rows, and their number behind them."""
        assert self.group is not None
        end = first + len(next(iter(rows.values())))
        for name, values in rows.items():
            array_of(self.group, name)[first:end] = values
        array_of(self.group, "saved")[...] = end


def save_run(path: str | os.PathLike, run: Run, *, overwrite: bool = False) -> None:
    """Write a run of `three_stage` to the folder ``path``."""
    writer = RunWriter(path, overwrite=overwrite)
    try:
        writer.last = run.last
        writer.append(run.plan, Segment(0, run.step, run.step, run.state, run.state, run.observables))
        if run.equilibrium is not None:
            assert writer.group is not None
            _write_state(writer.group, "equilibrium", run.equilibrium.state)
        writer.finish(run)
    finally:
        writer.close()


def store_convergence(path: str | os.PathLike, report: Convergence) -> None:
    """Add a convergence report to the attributes of the run at ``path``."""
    group = zarr.open_group(tidy_path(path), mode="r+")
    group.attrs.update({"convergence": json.dumps(report.to_records())})


def discard_checkpoint(path: str | os.PathLike) -> None:
    """Remove the checkpoint of a finished run, which then cannot be prolonged; others keep theirs."""
    path = tidy_path(path)
    if zarr.open_group(path, mode="r").attrs["status"] in FINISHED:
        run_checkpoint(path).remove()


def open_run(path: str | os.PathLike) -> xr.Dataset:
    """The run at ``path``, also one that is not finished, up to its last saved row.

    ``load_valve``, ``load_bias``, ``load_state``, ``load_equilibrium`` and ``load_convergence`` take this dataset.
    """
    path = tidy_path(path)
    check_plain(path, RUN)
    dataset = xr.open_zarr(path, consolidated=True)
    try:
        saved, status = int(dataset["saved"]), word_of(int(dataset["status"]), dataset["status"].attrs)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"Argument `path` must be an intact svjax run, but {path} is not ({error}).") from None
    return dataset.isel(time=slice(0, saved)).assign_attrs(status=status)


def load_valve(dataset: xr.Dataset) -> SpinValve:
    """The valve of a run, equal to the original to the last bit."""
    return valve_from_record(_attribute(dataset, "valve"))


def load_bias(dataset: xr.Dataset) -> Bias:
    """The bias of a run, if it was one of svjax's own."""
    return bias_from_record(_attribute(dataset, "bias"))


def load_state(dataset: xr.Dataset, which: str = "final") -> State:
    """The last ``state`` of a run, at ``dataset.final_time``, or with ``which="equilibrium"`` the one at the quench."""
    state = state_from_arrays(dataset, f"{which}_")
    if not bool(jnp.isfinite(state.spins).all()):
        raise ValueError(f"This run holds no {which} state; it stopped before.")
    return state


def load_equilibrium(dataset: xr.Dataset) -> Equilibrium:
    """Stages 0 and 1 of a run, to be given to `three_stage` as ``equilibrium``."""
    state = load_state(dataset, "equilibrium")
    before = dataset.isel(time=np.flatnonzero(dataset["stage"].values < 2))
    names = json.loads(dataset.attrs["observables"])
    rows = {name: before[name].values for name in names}
    return Equilibrium(before["time"].values, before["stage"].values, rows, load_valve(dataset), state)


def load_convergence(dataset: xr.Dataset) -> Convergence | None:
    """The convergence report of a run; None if it has none."""
    return Convergence.from_records(_attribute(dataset, "convergence")) if "convergence" in dataset.attrs else None


def _attribute(dataset: xr.Dataset, name: str) -> Any:
    try:
        return json.loads(dataset.attrs[name])
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"Argument `dataset` must be a svjax run, but its attribute {name!r} cannot be read."
        ) from None


def write_status(group: zarr.Group, status: str, reason: str = "") -> None:
    """Write what has become of a run, and last of all its number."""
    group.attrs.update({"status": status, "reason": reason})
    number = array_of(group, "status")
    number[...] = number_of(status, number.attrs.asdict())


def _write_state(group: zarr.Group, which: str, state: State) -> None:
    for name, part in state_to_arrays(state, f"{which}_").items():
        array_of(group, name)[...] = part
