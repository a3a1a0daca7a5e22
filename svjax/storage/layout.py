"""How a store is laid out before anything is computed: every variable in full, empty where nothing has been saved."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import MemoryStore


class Variable(NamedTuple):
    """A variable to be filled: dimensions, lengths of them and of a chunk, type, attributes and what it holds empty,
    nan or 0 or no text if None."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: Any
    attributes: dict[str, Any]
    empty: Any = None


def lay_out(path: Path | MemoryStore, variables: Mapping[str, Variable], known: xr.Dataset) -> None:
    """Make the store (zarr, format 3) of ``variables``, and of what is ``known`` already: coordinates, attributes."""
    group, packed = zarr.create_group(path, zarr_format=3), ZstdCodec(checksum=True)
    for name, (dims, shape, chunks, dtype, attributes, empty) in variables.items():
        group.create_array(
            name,
            shape=shape,
            chunks=tuple(max(1, length) for length in chunks),
            dtype=dtype,
            fill_value=_empty(dtype) if empty is None else empty,
            dimension_names=dims,
            attributes=attributes,
            compressors=packed,
        )
    known.to_zarr(path, mode="a", zarr_format=3, consolidated=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(path, zarr_format=3)


def _empty(dtype: Any) -> Any:
    if dtype is str:
        return ""
    return np.dtype(dtype).type(np.nan if np.dtype(dtype).kind in "fc" else 0)
