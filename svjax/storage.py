"""Runs on disk: an xarray dataset in a zarr store (format 3) that grows while the run does. Plain data only.

All times of a run are known before it starts, so the store is laid out in full and rows not yet reached are nan. Each
file is replaced as a whole, ``saved`` (the number of good rows) is written after the rows and ``status`` last of all,
so a run that is killed keeps what it had saved.
"""

import json
import os
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
import zarr

from svjax.bias import Bias
from svjax.convergence import Convergence
from svjax.equations import State
from svjax.layout import FORMAT, FORMAT_VERSION, STATES, STATUS, layout
from svjax.march import Run, Segment
from svjax.plan import Equilibrium, Plan
from svjax.records import bias_from_record, valve_from_record
from svjax.valve import SpinValve

ROWS_PER_CHUNK = 1024
SECONDS_PER_FLUSH = 2.0


class RunWriter:
    """Saves a run to the folder ``path`` while it runs: ``three_stage(..., writer=RunWriter("runs/first"))``.

    The folder appears when the first row is there. It must not exist, unless ``overwrite`` and it holds a run (or
    nothing); then it is replaced.
    """

    def __init__(self, path: str | os.PathLike, *, overwrite: bool = False):
        self.path, self.saved, self.group = Path(path), 0, None
        self.waiting: list[dict[str, np.ndarray]] = []
        self.flushed = 0.0
        check_target(self.path, overwrite)

    def append(self, plan: Plan, segment: Segment) -> None:
        """Save a segment's rows (at most every two seconds), and the equilibrium when it is reached."""
        if self.group is None:
            self.group = _create(self.path, plan, segment.observables)
        self.waiting.append(segment.observables)
        if segment.end == 0:
            _write_state(self.group, "equilibrium", segment.state)
        if segment.end == 0 or time.monotonic() - self.flushed > SECONDS_PER_FLUSH:
            self._flush()

    def finish(self, run: Run) -> None:
        """Save what is left, the last state and, last of all, the status."""
        if self.group is None:
            return
        left = {name: values[self.saved :] for name, values in run.observables.items()}
        self.waiting = [left]
        self._flush()
        _write_state(self.group, "final", run.state)
        _array(self.group, "final_time")[...] = run.end
        self.group.attrs.update({"status": run.status, "reason": run.reason})
        _array(self.group, "status")[...] = STATUS.index(run.status)

    def _flush(self) -> None:
        assert self.group is not None
        rows = {name: np.concatenate([part[name] for part in self.waiting]) for name in self.waiting[0]}
        end = self.saved + len(next(iter(rows.values())))
        for name, values in rows.items():
            _array(self.group, name)[self.saved : end] = values
        _array(self.group, "saved")[...] = end
        self.saved, self.waiting, self.flushed = end, [], time.monotonic()


def check_target(path: Path, overwrite: bool, kind: str = FORMAT) -> None:
    """Raise unless a dataset of this ``kind`` may be written to ``path``."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"Argument `out` must be a new folder, but {path} exists; `overwrite` replaces a run.")
    if path.exists() and not (path.is_dir() and (is_format(path, kind) or not any(path.iterdir()))):
        raise FileExistsError(f"Argument `out` must be a svjax run to be overwritten, but {path} is something else.")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise PermissionError(f"Argument `out` must lie in a folder that can be written, but {parent} cannot.")


def save_run(path: str | os.PathLike, run: Run, *, overwrite: bool = False) -> None:
    """Write a run of `three_stage` to the folder ``path``."""
    writer = RunWriter(path, overwrite=overwrite)
    step = -run.plan.relax_steps
    writer.append(run.plan, Segment(0, step, step, run.plan.initial, run.plan.initial, run.observables))
    if run.equilibrium is not None:
        assert writer.group is not None
        _write_state(writer.group, "equilibrium", run.equilibrium.state)
    writer.finish(run)


def store_convergence(path: str | os.PathLike, report: Convergence) -> None:
    """Add a convergence report to the attributes of the run at ``path``."""
    zarr.open_group(path, mode="r+").attrs.update({"convergence": json.dumps(report.to_records())})


def open_run(path: str | os.PathLike) -> xr.Dataset:
    """The run at ``path``, also one that is not finished, up to its last saved row.

    ``load_valve``, ``load_bias``, ``load_state``, ``load_equilibrium`` and ``load_convergence`` take this dataset.
    """
    path = Path(path)
    if not is_format(path, FORMAT):
        what = "is none" if path.exists() else "does not exist"
        raise FileNotFoundError(f"Argument `path` must be a svjax run, but {path} {what}.")
    dataset = xr.open_zarr(path)
    if dataset.attrs["format_version"] != FORMAT_VERSION:
        made = dataset.attrs["format_version"]
        raise ValueError(f"Argument `path` must be a run of format {FORMAT_VERSION}, but {path} has format {made}.")
    try:
        saved, status = int(dataset["saved"]), STATUS[int(dataset["status"])]
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
    parts = {name: jnp.asarray(dataset[f"{which}_{name}"].values) for name in STATES}
    if not bool(jnp.isfinite(parts["spins"]).all()):
        raise ValueError(f"This run holds no {which} state; it stopped before.")
    return State(**parts)


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


def is_format(path: Path, kind: str) -> bool:
    """Whether ``path`` is a store that svjax wrote as this ``kind``."""
    try:
        return json.loads((path / "zarr.json").read_text())["attributes"]["format"] == kind
    except (OSError, ValueError, KeyError, TypeError):
        return False


def save_curve(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset of `steady_curve` to the folder ``path``, which it replaces."""
    _place(path, dataset, {})


def open_curve(path: str | os.PathLike) -> xr.Dataset:
    """The dataset of `svjax steady` at ``path``."""
    path = Path(path)
    if not is_format(path, "svjax-steady"):
        raise FileNotFoundError(f"Argument `path` must hold steady states of svjax, but {path} does not.")
    return xr.open_zarr(path).load()


def _create(path: Path, plan: Plan, rows: dict[str, np.ndarray]) -> zarr.Group:
    chunks = {name: {"chunks": (ROWS_PER_CHUNK, *rows[name].shape[1:])} for name in rows}
    _place(path, layout(plan, rows), chunks)
    return zarr.open_group(path, mode="r+")


def _place(path: Path, dataset: xr.Dataset, encoding: dict[str, Any]) -> None:
    """Lay the store out under another name and move it in place, so that a folder is a whole store or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            dataset.to_zarr(partial, mode="w", zarr_format=3, consolidated=True, encoding=encoding)
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_state(group: zarr.Group, which: str, state: State) -> None:
    for name in STATES:
        _array(group, f"{which}_{name}")[...] = np.asarray(getattr(state, name))


def _array(group: zarr.Group, name: str) -> zarr.Array:
    found = group[name]
    assert isinstance(found, zarr.Array)
    return found
