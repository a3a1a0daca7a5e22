"""A stored sweep in words and numbers: what it is, how far it is, and which points failed and why."""

import json
import os
from pathlib import Path

import numpy as np
import xarray as xr

from svjax.model.units import Units
from svjax.reports.describe import Lines, Show, aligned, bias_line, goes_on, made_with, numbers, valve_lines
from svjax.storage.lock import is_locked
from svjax.storage.status import Status
from svjax.sweeps.ensemble import ensemble
from svjax.sweeps.parameter_grid import SEED
from svjax.sweeps.sweep_store import counts, open_sweep

MOST_FAILURES = 10


def describe_sweep(path: str | os.PathLike, units: Units | None = None) -> str:
    """What is in the sweep at ``path``, also one that is running or was stopped: its grid, its task, its points."""
    sweep, show = open_sweep(path), Show(units)
    lines = [("status", sweep_status(sweep, Path(path))), points_line(sweep)]
    lines += [(f"  {name}", axis(values)) for name, values in axes(sweep).items()]
    lines += [*task_lines(sweep, show), *ensemble_lines(sweep)]
    lines += [line for line in valve_lines(json.loads(sweep.attrs["valve"]), show) if line[0] not in swept(sweep)]
    lines += [bias_line(sweep, swept(sweep)), made_with(sweep.attrs), *failures(sweep)]
    return aligned(lines)


def axes(sweep: xr.Dataset) -> dict[str, list[float]]:
    """The values of what is swept, by name."""
    return json.loads(sweep.attrs["grid"])["values"]


def swept(sweep: xr.Dataset) -> set[str]:
    """The parameters of which something is swept."""
    return {name.split("[")[0] for name in axes(sweep)}


def points_line(sweep: xr.Dataset) -> tuple[str, str]:
    """How many points there are, by what became of them."""
    done = ", ".join(f"{count} {name}" for name, count in counts(sweep).items() if count)
    return "points", f"{sweep['status'].size}: {done}"


def task_lines(sweep: xr.Dataset, show: Show) -> Lines:
    """How the axes are combined, and what is done at each point."""
    task = json.loads(sweep.attrs["task"])
    if isinstance(task.get("start"), list):
        task["start"] = f"{len(task['start'])} spins"
    told = ", ".join(
        f"{name} = {value}" for name, value in task.items() if name != "kind" and value not in (None, False)
    )
    lines = [("grid", "zipped" if json.loads(sweep.attrs["grid"])["zipped"] else "all combinations")]
    lines.append(("task", f"{task['kind']}: {told}" if told else task["kind"]))
    return [*lines, ("  reached", _reached(sweep, show))] if "end" in sweep else lines


def ensemble_lines(sweep: xr.Dataset) -> Lines:
    """Magnetisations over the number of spins at the end, where seeds are all that differs."""
    if (
        sweep["status"].dims != (SEED,)
        or "magnetization" not in sweep
        or not (sweep["status"] == Status.COMPLETE).any()
    ):
        return []
    last = ensemble(sweep).isel(time=-1)
    lines = [("  over seeds", f"mean of {last['runs'].item()} at the end and its standard error")]
    parts = "magnetization", "magnetization_error"
    return [*lines, *((f"  {name} / N_S".replace("_", " "), numbers(last[name].values)) for name in parts)]


def sweep_status(sweep: xr.Dataset, path: Path | None) -> str:
    """Of a sweep at ``path``; None for one in memory."""
    if not (sweep["status"].values == Status.PENDING).any():
        return "complete"
    if path is None:
        return "stopped"
    return "running" if is_locked(path) else f"stopped; {goes_on(path)}"


def axis(values: list[float]) -> str:
    """The values of an axis, or how many there are between which."""
    return (
        f"{len(values)} from {numbers(min(values))} to {numbers(max(values))}" if len(values) > 4 else numbers(values)
    )


def _reached(sweep: xr.Dataset, show: Show) -> str:
    """How far the runs are that have begun and are not finished."""
    under_way = (sweep["status"].values == Status.PENDING) & np.isfinite(sweep["end"].values)
    last = show.time(sweep["time"].values[-1])
    return f"t = {show.time(sweep['end'].values[under_way].min())} of {last}" if under_way.any() else f"t = {last}"


def failures(sweep: xr.Dataset) -> Lines:
    """The first points that failed, and why."""
    status, names = sweep["status"].values, json.loads(sweep.attrs["grid"])["values"]
    failed = np.argwhere((status != Status.PENDING) & (status != Status.COMPLETE))
    lines = []
    for index in failed[:MOST_FAILURES]:
        point = sweep[["reason"]].isel(dict(zip(sweep["status"].dims, index.tolist(), strict=True)))
        where = ", ".join(f"{name} = {numbers(point[name].item())}" for name in names)
        lines.append(("failed", f"{where}: {point['reason'].item()}"))
    if len(failed) > MOST_FAILURES:
        lines.append(("failed", f"... {len(failed) - MOST_FAILURES} more: see `reason`"))
    return lines
