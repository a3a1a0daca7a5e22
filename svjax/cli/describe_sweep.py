"""A stored sweep in words and numbers: what it is, how far it is, and which points failed and why."""

import json
import os
import shlex
from pathlib import Path

import numpy as np
import xarray as xr

from svjax.cli.describe import Show, aligned, made_with, numbers, valve_lines
from svjax.model.units import Units
from svjax.storage.lock import is_locked
from svjax.sweeps.ensemble import ensemble
from svjax.sweeps.parameter_grid import SEED
from svjax.sweeps.sweep_dataset import COMPLETE, PENDING
from svjax.sweeps.sweep_store import counts, open_sweep

MOST_FAILURES = 10


def describe_sweep(path: str | os.PathLike, units: Units | None = None) -> str:
    """What is in the sweep at ``path``, also one that is running or was stopped: its grid, its task, its points."""
    sweep, show = open_sweep(path), Show(units)
    grid, task = json.loads(sweep.attrs["grid"]), json.loads(sweep.attrs["task"])
    lines = [("status", _status(sweep, Path(path)))]
    done = ", ".join(f"{count} {name}" for name, count in counts(sweep).items() if count)
    lines.append(("points", f"{sweep['status'].size}: {done}"))
    lines += [(f"  {name}", _axis(values)) for name, values in grid["values"].items()]
    lines.append(("grid", "zipped" if grid["zipped"] else "all combinations"))
    if isinstance(task.get("start"), list):
        task["start"] = f"{len(task['start'])} spins"
    told = ", ".join(
        f"{name} = {value}" for name, value in task.items() if name != "kind" and value not in (None, False)
    )
    lines.append(("task", f"{task['kind']}: {told}" if told else task["kind"]))
    if "end" in sweep:
        lines.append(("  reached", _reached(sweep, show)))
    lines += _ensemble(sweep)
    lines += _valve(sweep, show, grid)
    lines.append(made_with(sweep.attrs))
    lines += _failures(sweep)
    return aligned(lines)


def _ensemble(sweep: xr.Dataset) -> list[tuple[str, str]]:
    """Magnetisations over the number of spins at the end, where seeds are all that differs."""
    if sweep["status"].dims != (SEED,) or "magnetization" not in sweep or not (sweep["status"] == COMPLETE).any():
        return []
    last = ensemble(sweep).isel(time=-1)
    lines = [("  over seeds", f"mean of {last['runs'].item()} at the end and its standard error")]
    parts = "magnetization", "magnetization_error"
    return [*lines, *((f"  {name} / N_S".replace("_", " "), numbers(last[name].values)) for name in parts)]


def _valve(sweep: xr.Dataset, show: Show, grid: dict) -> list[tuple[str, str]]:
    """The parameters that are not swept, and the bias."""
    bias = json.loads(sweep.attrs["bias"])
    swept = {name.split("[")[0] for name in grid["values"]}
    shown = ", ".join(
        f"{name} {'as above' if name in swept else f'= {value}'}" for name, value in bias.items() if name != "kind"
    )
    lines = [*valve_lines(json.loads(sweep.attrs["valve"]), show), ("bias", f"{bias['kind']}: {shown}")]
    return [line for line in lines if line[0] not in swept]


def _status(sweep: xr.Dataset, path: Path) -> str:
    if not (sweep["status"].values == PENDING).any():
        return "complete"
    return "running" if is_locked(path) else f"stopped; `svjax resume {shlex.quote(str(path))}` goes on"


def _axis(values: list[float]) -> str:
    return (
        f"{len(values)} from {numbers(min(values))} to {numbers(max(values))}" if len(values) > 4 else numbers(values)
    )


def _reached(sweep: xr.Dataset, show: Show) -> str:
    """How far the runs are that have begun and are not finished."""
    under_way = (sweep["status"].values == PENDING) & np.isfinite(sweep["end"].values)
    last = show.time(sweep["time"].values[-1])
    return f"t = {show.time(sweep['end'].values[under_way].min())} of {last}" if under_way.any() else f"t = {last}"


def _failures(sweep: xr.Dataset) -> list[tuple[str, str]]:
    status, names = sweep["status"].values, json.loads(sweep.attrs["grid"])["values"]
    failed = np.argwhere((status != PENDING) & (status != COMPLETE))
    lines = []
    for index in failed[:MOST_FAILURES]:
        point = sweep[["reason"]].isel(dict(zip(sweep["status"].dims, index.tolist(), strict=True)))
        where = ", ".join(f"{name} = {numbers(point[name].item())}" for name in names)
        lines.append(("failed", f"{where}: {point['reason'].item()}"))
    if len(failed) > MOST_FAILURES:
        lines.append(("failed", f"... {len(failed) - MOST_FAILURES} more: see `reason`"))
    return lines
