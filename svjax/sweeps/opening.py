"""One opener for whatever svjax wrote."""

import os

import xarray as xr

from svjax.simulations.runs import open_run
from svjax.simulations.tables import open_curve, open_diagram, open_loop
from svjax.storage.formats import CURVE, DIAGRAM, LOOP, RUN, SWEEP
from svjax.storage.plain import store_format, tidy_path
from svjax.sweeps.sweep_store import open_sweep

OPENERS = {RUN: open_run, SWEEP: open_sweep, CURVE: open_curve, DIAGRAM: open_diagram, LOOP: open_loop}


def open_store(path: str | os.PathLike) -> xr.Dataset:
    """`sv.open`: the dataset of a run, a sweep, a curve, a loop or a diagram, told apart by what the store says it is.

    Raises FileNotFoundError where there is none of them, and what `open_run` and `open_sweep` raise.
    """
    path = tidy_path(path)
    kind = store_format(path)
    if kind not in OPENERS:
        what = "is none" if path.exists() else "does not exist"
        raise FileNotFoundError(f"Argument `path` must be a store that svjax wrote, but {path} {what}.")
    return OPENERS[kind](path)


open = open_store
"""Its name in svjax; inside of the package `open` is the built-in one."""
