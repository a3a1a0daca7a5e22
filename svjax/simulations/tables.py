"""Steady states along a voltage and phase diagrams on disk.

A curve is written as a whole. A diagram is laid out when its first table is there, and a loop when its first state is,
all else nan and "running"; each table or state is a checkpoint behind it, the results are written last and then the
status, "complete".
"""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from collections import UserDict, UserList
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr

from svjax.engine.arrays import Numbers
from svjax.macrospin.effective_llg import EffectiveLLG
from svjax.model.levels import BiasLike
from svjax.model.valve import SpinValve
from svjax.simulations import diagram, hysteresis
from svjax.storage.checkpoint import FOLDER, Checkpoint, Contents
from svjax.storage.folders import array_of, check_target, place, saving
from svjax.storage.formats import CURVE, DIAGRAM, LOOP, short
from svjax.storage.lock import Lock, is_locked
from svjax.storage.plain import check_plain, tidy_path


def save_table(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset of `steady_curve` to the folder ``path``, which it replaces."""
    place(path, lambda folder: write_dataset(folder, dataset, {}), overwrite=True).release()


def open_curve(path: str | os.PathLike) -> xr.Dataset:
    """The dataset of `svjax steady` at ``path``."""
    return _opened(path, CURVE)


def open_diagram(path: str | os.PathLike) -> xr.Dataset:
    """The dataset of `svjax diagram` at ``path``; of one that is not complete all nan, with the number of its
    ``tables`` and the status "running" or "stopped" in its attributes."""
    found, path = _opened(path, DIAGRAM), tidy_path(path)
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
    check_target(path, overwrite, DIAGRAM)
    empty = diagram.empty_dataset(valve, voltages, fields, drop, **options).assign_attrs(_made_by(command))
    return _filled(_Kept(path, empty, overwrite), progress)


def open_loop(path: str | os.PathLike) -> xr.Dataset:
    """The dataset of `svjax hysteresis` at ``path``; of one that is not complete with the states that it has, the
    number of its ``points`` and the status "running" or "stopped" in its attributes."""
    found, path = _opened(path, LOOP), tidy_path(path)
    if found.attrs.get("status", "complete") == "complete":
        return found
    points = _Points(_Kept(path, found))
    points.load()
    status = "running" if is_locked(path) else "stopped"
    return hysteresis.with_points(found, points).assign_attrs(status=status, points=len(points))


def make_loop(
    path: Path,
    valve: SpinValve,
    bias: BiasLike,
    parameter: str,
    values: Sequence[float],
    *,
    overwrite: bool = False,
    command: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> xr.Dataset:
    """Make the dataset of `hysteresis` at ``path``, whose states are kept there as soon as they are found.

    Arguments: as in `hysteresis`; ``overwrite`` and ``command`` as in `RunWriter`.
    """
    check_target(path, overwrite, LOOP)
    empty = hysteresis.empty_dataset(valve, bias, parameter, values).assign_attrs(_made_by(command))
    return _filled(_Kept(path, empty, overwrite), progress)


def finish(path: Path, kind: str, progress: Callable[[Any], object] | None = None) -> xr.Dataset:
    """Take the diagram or the loop at ``path``, as ``kind`` says, to its end with the parts that it has; as it is if it
    is complete.

    Raises ValueError for a part of another one and BlockingIOError while another process writes.
    """
    found = _opened(path, kind)
    if found.attrs.get("status", "complete") == "complete":
        return found
    return _filled(_Kept(path, found, lock=Lock(path)), progress)


def _filled(kept: _Kept, progress: Callable[[Any], object] | None) -> xr.Dataset:
    """Find what is to be kept, with those of its parts that are in place already."""
    with closing(kept):
        parts = kept.kind.parts(kept)
        if kept.lock is not None:
            parts.load()
        return kept.finish(kept.kind.remade(kept.empty, parts, progress=progress))


def _made_by(command: str | None) -> dict[str, str]:
    return {} if command is None else {"command": command}


class _Kept:
    """A store that is laid out, and what of it is known already, a checkpoint each, until it is complete."""

    def __init__(self, path: Path, empty: xr.Dataset, overwrite: bool = False, lock: Lock | None = None):
        self.path, self.empty, self.overwrite, self.lock = path, empty, overwrite, lock
        self.kind = KINDS[empty.attrs["format"]]
        self.identity, self.one_at_a_time = self.kind.identity(empty), threading.Lock()

    def save(self, number: int, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Keep one more; with the first one the store is put in place."""
        with self.one_at_a_time:
            if self.lock is None:
                self.lock = place(self.path, lambda folder: write_dataset(folder, self.empty, {}), self.overwrite)
            with saving(self.path):
                self._checkpoint(number).save(arrays, {"identity": self.identity, **facts})

    def load(self, number: int) -> Contents | None:
        """One of them, if it is there and whole."""
        found = self._checkpoint(number).load()
        if found is not None and found[1].get("identity") != self.identity:
            kind = short(self.empty.attrs["format"])
            raise ValueError(
                f"The {kind} at {self.path} cannot be continued: {self.kind.part} {number} is of another one."
            )
        return found

    def finish(self, found: xr.Dataset) -> xr.Dataset:
        """Write the results, then what is told of them and the status, and remove the checkpoints."""
        told = {"status": "complete"} | {name: found.attrs[name] for name in ("jumps",) if name in found.attrs}
        with saving(self.path):
            group = zarr.open_group(self.path, mode="r+")
            for name, values in found.data_vars.items():
                array_of(group, str(name))[...] = values.values
            group.attrs.update(told)
            shutil.rmtree(self.path / FOLDER)
        return found.assign_attrs(self.empty.attrs | told)

    def close(self) -> None:
        """Let other processes write to the folder."""
        if self.lock is not None:
            self.lock.release()

    def _checkpoint(self, number: int) -> Checkpoint:
        return Checkpoint(self.path / FOLDER, f"{self.kind.part}-{number}")


class _Models(UserDict[int, EffectiveLLG]):
    """The equations of a diagram by the number of their voltage, each on disk as soon as it is there."""

    def __init__(self, kept: _Kept):
        super().__init__()
        self.kept = kept

    def __setitem__(self, number: int, model: EffectiveLLG) -> None:
        self.kept.save(number, diagram.model_to_arrays(model), {})
        super().__setitem__(number, model)

    def load(self) -> None:
        """Take up the tables that are there and whole."""
        for number in range(self.kept.empty.sizes["voltage"]):
            if (found := self.kept.load(number)) is not None:
                self.data[number] = diagram.model_from_arrays(found[0])


class _Points(UserList[hysteresis.Point]):
    """The states of a loop in their order, each on disk as soon as it is there."""

    def __init__(self, kept: _Kept):
        super().__init__()
        self.kept = kept

    def append(self, item: hysteresis.Point) -> None:
        self.kept.save(len(self), item.row, {"jump": item.jump})
        super().append(item)

    def load(self) -> None:
        """Take up the states up to the first that is not there or not whole."""
        while (found := self.kept.load(len(self))) is not None:
            self.data.append(hysteresis.Point(found[0], found[1]["jump"]))


class _Kind(NamedTuple):
    """What is found part by part: what a part is called, what tells its parts from those of any other, how parts are
    kept, and what makes the whole of them."""

    part: str
    identity: Callable[[xr.Dataset], str]
    parts: Callable[[_Kept], Any]
    remade: Callable[..., xr.Dataset]


KINDS = {
    DIAGRAM: _Kind("table", diagram.identity, _Models, diagram.remade),
    LOOP: _Kind("state", hysteresis.identity, _Points, hysteresis.remade),
}


def _opened(path: str | os.PathLike, kind: str) -> xr.Dataset:
    path = tidy_path(path)
    check_plain(path, kind)
    return xr.open_zarr(path, consolidated=True).load()


def write_dataset(path: Path, dataset: xr.Dataset, encoding: dict[str, Any]) -> None:
    """Write a whole dataset to the folder ``path``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        dataset.to_zarr(path, mode="a", zarr_format=3, consolidated=True, encoding=encoding)
