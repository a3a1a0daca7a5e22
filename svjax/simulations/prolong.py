"""A stored run laid out up to a later end, from where it is: what goes on then is `resume`."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
import zarr

from svjax.dynamics.step_size import whole_steps
from svjax.reservoirs.bias import Bias
from svjax.simulations.run_checkpoint import of_state, reidentified, run_checkpoint
from svjax.simulations.runs import load_state, write_status
from svjax.storage.checkpoint import Contents
from svjax.storage.folders import array_of, saving
from svjax.storage.lock import Lock
from svjax.storage.status import FINISHED, Status


def prolong(path: Path, dataset: xr.Dataset, found: Contents | None, bias: Bias, until: float) -> None:
    """Lay out the run at ``path`` up to the time ``until``, in 1/hopping since the quench, and let it be continued.

    ``dataset`` is that of `open_run` and ``found`` the checkpoint of a run that has not come to its end. Rows that are
    there stay. The new end is written last, so that a run of which this is interrupted is what it was.
    """
    dt, every = float(dataset.attrs["dt"]), int(dataset.attrs["save_every"])
    steps, before = whole_steps(until, dt, "until"), whole_steps(dataset.attrs["duration"], dt)
    if steps <= before:
        raise ValueError(f"Argument `until` must be later than the run's end, t = {before * dt:g}, but is {until:g}.")
    times = every * np.arange(before // every + 1, steps // every + 1) * dt
    new = {"duration": steps * dt, "status": Status.RUNNING.word, "reason": ""}
    if made := dataset.attrs.get("command"):
        new["command"] = f"{made} && svjax resume {shlex.quote(str(path))} --until {until:g}"
    if dataset.attrs["status"] in FINISHED:
        contents = of_state(load_state(dataset), before, dataset.attrs | new)
    else:
        assert found is not None
        contents = reidentified(found, dataset.attrs | new)
    lock = Lock(path)
    try:
        with saving(path):
            rows = _lay_out(path, before // every, times, bias)
            run_checkpoint(path).save(*contents)
            _end_later(path, rows, new)
            write_status(zarr.open_group(path, mode="r+"), Status.RUNNING.word)
    finally:
        lock.release()


def _lay_out(path: Path, before: int, times: np.ndarray, bias: Bias) -> int:
    """Make room for rows at the ``times`` of stage 2, behind those up to t = 0 and ``before`` more, and count all."""
    group = zarr.open_group(path, mode="r+")
    first = int(np.sum(np.asarray(array_of(group, "stage")[...]) < 2)) + before
    rows, levels = first + len(times), np.asarray(jax.vmap(bias)(jnp.asarray(times)))
    for _, array in group.arrays():
        if _along_time(array.metadata.to_dict()):
            array.resize((rows, *array.shape[1:]))
    for name, values in {"time": times, "stage": np.full(len(times), 2, np.int8), "mu": levels}.items():
        array = zarr.open_array(path / name, mode="r+")
        array[first:] = values
    return rows


def _along_time(metadata: Mapping[str, Any]) -> bool:
    return (metadata.get("dimension_names") or ("",))[0] == "time"


def _end_later(path: Path, rows: int, attributes: dict[str, Any]) -> None:
    """Exchange the metadata of the whole store for those of a run of so many ``rows``, with other ``attributes``, which
    is when it has become one."""
    file = path / "zarr.json"
    found = json.loads(file.read_text())
    found["attributes"].pop("convergence", None)
    found["attributes"] |= attributes
    for array in found["consolidated_metadata"]["metadata"].values():
        if _along_time(array):
            array["shape"][0] = rows
    partial = file.with_name(".zarr.json.partial")
    partial.write_text(json.dumps(found))
    os.replace(partial, file)
