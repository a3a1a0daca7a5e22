"""Steady states along a voltage and phase diagrams on disk.

A curve is written as a whole. A diagram is laid out when its first table is there, all nan and "running"; each table is
a checkpoint behind it, the results are written last and then its status, "complete".
"""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from svjax.engine.arrays import Numbers
from svjax.macrospin.effective_llg import EffectiveLLG
from svjax.model.valve import SpinValve
from svjax.simulations import curve, diagram, hysteresis
from svjax.storage.checkpoint import FOLDER, Checkpoint
from svjax.storage.folders import array_of, check_target, place, saving
from svjax.storage.lock import Lock, is_locked
from svjax.storage.plain import check_plain, tidy_path


def save_table(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset of `steady_curve` to the folder ``path``, which it replaces."""
    place(path, lambda folder: write_dataset(folder, dataset, {}), overwrite=True).release()


def open_curve(path: str | os.PathLike) -> xr.Dataset:
    """The dataset of `svjax steady` at ``path``."""
    return _opened(path, curve.FORMAT, curve.FORMAT_VERSION)


def open_diagram(path: str | os.PathLike) -> xr.Dataset:
    """The dataset of `svjax diagram` at ``path``; of one that is not complete all nan, with the number of its
    ``tables`` and the status "running" or "stopped" in its attributes."""
    found, path = _opened(path, diagram.FORMAT, diagram.FORMAT_VERSION), tidy_path(path)
    if found.attrs.get("status", "complete") == "complete":
        return found
    status = "running" if is_locked(path) else "stopped"
    return found.assign_attrs(status=status, tables=len(list((path / FOLDER).glob("table-*[0-9]"))))


def make_diagram(
    path: Path,
    valve: SpinValve,
    voltages: Numbers,
    fields: Numbers,
    drop: str = "symmetric",
    *,
    overwrite: bool = False,
    command: str | None = None,
    progress: Callable[[str], object] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Make the `diagram_dataset` at ``path``, whose tables are kept there as soon as they are found.

    Arguments: as in `diagram_dataset`; ``overwrite`` and ``command`` as in `RunWriter`.
    """
    check_target(path, overwrite, diagram.FORMAT)
    made_by = {} if command is None else {"command": command}
    empty = diagram.empty_dataset(valve, voltages, fields, drop, **options).assign_attrs(made_by)
    return _finished(_Models(path, empty, overwrite), progress)


def finish_diagram(path: Path, progress: Callable[[str], object] | None = None) -> xr.Dataset:
    """Take the diagram at ``path`` to its end with the tables that it has; as it is if it is complete.

    Raises ValueError for a table of another diagram and BlockingIOError while another process writes.
    """
    found = _opened(path, diagram.FORMAT, diagram.FORMAT_VERSION)
    if found.attrs.get("status", "complete") == "complete":
        return found
    models = _Models(path, found, lock=Lock(path))
    try:
        models.load()
    except BaseException:
        models.close()
        raise
    return _finished(models, progress)


def _finished(models: _Models, progress: Callable[[str], object] | None) -> xr.Dataset:
    try:
        return models.finish(diagram.remade(models.empty, models=models, progress=progress))
    finally:
        models.close()


class _Models(UserDict[int, EffectiveLLG]):
    """The equations of a diagram by the number of their voltage, each on disk as soon as it is there."""

    def __init__(self, path: Path, empty: xr.Dataset, overwrite: bool = False, lock: Lock | None = None):
        super().__init__()
        self.path, self.empty, self.overwrite, self.lock = path, empty, overwrite, lock
        self.identity, self.one_at_a_time = diagram.identity(empty), threading.Lock()

    def __setitem__(self, number: int, model: EffectiveLLG) -> None:
        with self.one_at_a_time:
            if self.lock is None:
                self.lock = place(self.path, lambda folder: write_dataset(folder, self.empty, {}), self.overwrite)
            with saving(self.path):
                self._checkpoint(number).save(diagram.model_to_arrays(model), {"identity": self.identity})
        super().__setitem__(number, model)

    def load(self) -> None:
        """Take up the tables that are there and whole."""
        for number in range(self.empty.sizes["voltage"]):
            found = self._checkpoint(number).load()
            if found is None:
                continue
            if found[1].get("identity") != self.identity:
                raise ValueError(f"The diagram at {self.path} cannot be continued: table {number} is of another one.")
            self.data[number] = diagram.model_from_arrays(found[0])

    def finish(self, found: xr.Dataset) -> xr.Dataset:
        """Write the results, then the status, and remove the checkpoints."""
        facts = self.empty.attrs | {"status": "complete"}
        with saving(self.path):
            group = zarr.open_group(self.path, mode="r+")
            for name, values in found.data_vars.items():
                array_of(group, str(name))[...] = values.values
            group.attrs.update({"status": "complete"})
            shutil.rmtree(self.path / FOLDER)
        return found.assign_attrs(facts)

    def close(self) -> None:
        """Let other processes write to the folder."""
        if self.lock is not None:
            self.lock.release()

    def _checkpoint(self, number: int) -> Checkpoint:
        return Checkpoint(self.path / FOLDER, f"table-{number}")


def open_loop(path: str | os.PathLike) -> xr.Dataset:
    """The dataset of `svjax hysteresis` at ``path``."""
    return _opened(path, hysteresis.FORMAT, hysteresis.FORMAT_VERSION)


def _opened(path: str | os.PathLike, kind: str, version: int) -> xr.Dataset:
    path = tidy_path(path)
    check_plain(path, kind, version)
    return xr.open_zarr(path, consolidated=True).load()


def write_dataset(path: Path, dataset: xr.Dataset, encoding: dict[str, Any]) -> None:
    """Write a whole dataset to the folder ``path``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        dataset.to_zarr(path, mode="a", zarr_format=3, consolidated=True, encoding=encoding)
