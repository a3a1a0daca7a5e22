"""Sweeps on disk: one zarr store (format 3), laid out in full, to which each process adds the tiles it computes.

A chunk never holds points of two tiles, so processes do not meet. The status of a tile is written last of all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import MemoryStore

from svjax.model.drives import Drive
from svjax.reservoirs.bias import Bias
from svjax.storage.checkpoint import FOLDER, Checkpoint
from svjax.storage.folders import array_of, reading, saving
from svjax.storage.formats import SWEEP
from svjax.storage.layout import lay_out
from svjax.storage.plain import check_plain, tidy_path
from svjax.storage.records import bias_from_record, valve_from_record
from svjax.storage.status import OF_POINTS, Status
from svjax.sweeps.parameter_grid import Tile, make_grid
from svjax.sweeps.sweep_dataset import (
    SweepPlan,
    attributes,
    coordinates,
    variables,
)
from svjax.sweeps.tasks import seeds_of, task_from_record


def build(plan: SweepPlan, path: Path | MemoryStore, command: str | None = None) -> None:
    """Lay out the store of a whole sweep, nan where nothing has been computed, with the ``command`` that made it."""
    made_by = {} if command is None else {"command": command}
    lay_out(path, variables(plan), xr.Dataset(coords=coordinates(plan), attrs=attributes(plan) | made_by))


class SweepStore:
    """A sweep that is being written."""

    def __init__(self, path: Path | MemoryStore, plan: SweepPlan):
        self.path, self.plan = path, plan
        self.group = zarr.open_group(path, mode="r+")

    def status(self) -> np.ndarray:
        """Of every point."""
        with reading(self.path):
            return np.asarray(array_of(self.group, "status")[...])

    def begin(self, tile: Tile) -> None:
        """Count a process that begins or continues a tile."""
        with saving(self.path):
            begun = array_of(self.group, "begun")
            begun[tile.region] = np.asarray(begun[tile.region]) + 1

    def checkpoint(self, tile: Tile) -> Checkpoint | None:
        """Of a tile; what is in memory needs none."""
        return None if isinstance(self.path, MemoryStore) else Checkpoint(self.path / FOLDER, f"tile-{tile.number}")

    def write(self, tile: Tile, values: Mapping[str, np.ndarray], first_row: int | None = None) -> None:
        """Write ``values`` of a tile's points; of runs, rows from ``first_row`` on."""
        with saving(self.path):
            for name, part in values.items():
                rows = () if first_row is None else (slice(first_row, first_row + part.shape[1]),)
                array_of(self.group, name)[(*tile.region, *rows)] = tile.cut(part)

    def finish(self, tile: Tile, status: np.ndarray, reasons: Sequence[str]) -> None:
        """Write why points failed and, last of all, the status of a tile, whose checkpoints are no longer needed."""
        if any(reasons):
            self.write(tile, {"reason": np.array(reasons, dtype=object)})
        self.write(tile, {"status": status.astype(np.int8)})
        if (checkpoint := self.checkpoint(tile)) is not None:
            checkpoint.remove()

    def close(self) -> None:
        """Remove what only an unfinished sweep needs."""
        if isinstance(self.path, Path) and not (self.status() == Status.PENDING).any():
            shutil.rmtree(self.path / FOLDER, ignore_errors=True)


def open_sweep(path: str | os.PathLike) -> xr.Dataset:
    """The sweep at ``path``, also one that is not finished, as a dataset that is read from the disk when it is needed.

    ``status`` says of every point whether it is complete; `load_valve` and `load_bias` take this dataset. Raises
    FileNotFoundError where there is no sweep and ValueError where one is not to be opened.
    """
    path = tidy_path(path)
    check_plain(path, SWEEP)
    dataset = xr.open_zarr(path, chunks=None, consolidated=True)
    missing = {"status", "begun", "reason"} - dataset.variables.keys()
    if missing:
        raise ValueError(f"Argument `path` must be an intact svjax sweep, but {path} lacks {sorted(missing)}.")
    return dataset


def load_sweep(store: MemoryStore) -> xr.Dataset:
    """The sweep that was computed in memory."""
    return xr.open_zarr(store, chunks=None, consolidated=True).load()


def load_plan(path: Path, bias: Bias | None = None, drive: Drive | None = None) -> SweepPlan:
    """The plan of the sweep at ``path``; its ``bias`` and its ``drive`` must be given if they were functions."""
    facts = check_plain(path, SWEEP)
    read = lambda name: _attribute(facts, path, name)
    valve = valve_from_record(read("valve"))
    bias = bias_from_record(read("bias")) if bias is None else bias
    grid = read("grid")
    try:
        task = task_from_record(read("task"), drive)
        points = make_grid(valve, bias, grid["values"], bool(grid["zipped"]), seeds_of(task))
        block = tuple(int(b) for b in read("block"))
        plan = SweepPlan(valve, bias, task, points, block, int(read("segment")))
        fits = len(block) == len(points.shape) and all(1 <= b <= n for b, n in zip(block, points.shape, strict=True))
        if not fits or plan.segment < 1:
            raise TypeError(f"tiles of {block} points in segments of {plan.segment} steps")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"The grid of this sweep cannot be read ({type(error).__name__}: {error}).") from None
    if plan.identity != facts.get("identity"):
        raise ValueError(f"The sweep at {path} cannot be continued: its parameters do not match its identity.")
    return plan


def _attribute(facts: Mapping[str, Any], path: Path, name: str) -> Any:
    try:
        return json.loads(facts[name])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"Argument `path` must be a svjax sweep, but attribute {name!r} of {path} is bad.") from None


def counts(dataset: xr.Dataset) -> dict[str, int]:
    """How many points have each status."""
    found = dataset["status"].values
    return {status.word: int(np.sum(found == status)) for status in OF_POINTS}
