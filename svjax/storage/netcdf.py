"""Export to netCDF, piece by piece, in a form that every netCDF program reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from svjax.storage.plain import tidy_path

PIECE_BYTES = 2**26


def to_netcdf(dataset: xr.Dataset, path: str | os.PathLike) -> None:
    """Write a dataset of `open_run` or `open_sweep` to the new netCDF-4 file ``path``.

    netCDF has no complex numbers: ``rates`` becomes ``rates_real`` and ``rates_imag``. The dataset may be larger than
    the memory. Raises FileExistsError where there is a file.
    """
    path = tidy_path(path)
    if path.exists():
        raise FileExistsError(f"Argument `path` must be a new file, but {path} exists.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with h5netcdf.File(partial, "w") as file:
            file.dimensions = dict(dataset.sizes)
            file.attrs.update({str(name): value for name, value in dataset.attrs.items()})
            for name, variable in dataset.variables.items():
                _write(file, str(name), variable)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _write(file: h5netcdf.File, name: str, variable: xr.Variable) -> None:
    parts = {name: lambda values: values}
    dtype: Any = variable.dtype
    if np.issubdtype(dtype, np.complexfloating):
        parts, dtype = {f"{name}_real": np.real, f"{name}_imag": np.imag}, np.empty(0, dtype).real.dtype
    elif not (np.issubdtype(dtype, np.number) or dtype.kind == "b"):
        parts, dtype = {name: lambda values: np.asarray(values, object)}, h5py.string_dtype()
    for label, take in parts.items():
        target = file.create_variable(label, variable.dims, dtype)
        target.attrs.update(
            {key: np.asarray(value) if isinstance(value, list) else value for key, value in variable.attrs.items()}
        )
        for piece in _pieces(variable):
            target[piece] = take(variable[piece].values)


def _pieces(variable: xr.Variable) -> Iterator[tuple[slice | int, ...]]:
    """Slices that cover a variable, each of at most about 64 MB."""
    shape, size = variable.shape, variable.dtype.itemsize
    whole = len(shape)
    while whole and int(np.prod(shape[len(shape) - whole :])) * size > PIECE_BYTES:
        whole -= 1
    for index in np.ndindex(*shape[: len(shape) - whole]):
        yield (*index, *[slice(None)] * whole)
