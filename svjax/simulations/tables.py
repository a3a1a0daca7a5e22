"""Results that are there as a whole before anything is written, on disk: steady states along a voltage, diagrams."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import xarray as xr

from svjax.simulations import curve, diagram, hysteresis
from svjax.storage.folders import place
from svjax.storage.plain import check_plain, tidy_path


def save_table(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset of `steady_curve` or `diagram_dataset` to the folder ``path``, which it replaces."""
    place(path, lambda folder: write_dataset(folder, dataset, {}), overwrite=True).release()


def open_curve(path: str | os.PathLike) -> xr.Dataset:
    """The dataset of `svjax steady` at ``path``."""
    return _opened(path, curve.FORMAT, curve.FORMAT_VERSION)


def open_diagram(path: str | os.PathLike) -> xr.Dataset:
    """The dataset of `svjax diagram` at ``path``."""
    return _opened(path, diagram.FORMAT, diagram.FORMAT_VERSION)


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
