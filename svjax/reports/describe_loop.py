"""A loop of stable states in words and numbers: its jumps, and the last layer on both ways."""

import json

import xarray as xr

from svjax.model.units import Units
from svjax.reports.describe import Lines, Show, Table, aligned, valve_lines


def describe_loop(loop: xr.Dataset, units: Units | None = None) -> str:
    """The states of a loop on both ways, its jumps, and the valve they belong to."""
    heads, rows = loop_table(loop)
    valve = valve_lines(json.loads(loop.attrs["valve"]), Show(units))
    text = [aligned([*valve, ("status", loop_status(loop)), *jump_lines(loop)]), ""]
    return "\n".join(text + ["  ".join(f"{cell:>11}" for cell in row).rstrip() for row in (heads, *rows)])


def loop_status(loop: xr.Dataset) -> str:
    """Whether a loop is complete, and else how many of its states there are."""
    status = loop.attrs.get("status", "complete")
    if "points" not in loop.attrs:
        return status
    goes_on = "; `svjax resume` goes on" if status == "stopped" else ""
    return f"{status}, {loop.attrs['points']} of {loop['jumped'].size} states{goes_on}"


def jump_lines(loop: xr.Dataset) -> Lines:
    """Where the states of a loop are lost."""
    name, jumps = loop.attrs["parameter"], json.loads(loop.attrs["jumps"])
    where = [f"{jump['kind']} at {name} = {jump['value']:.6g}" if jump["kind"] else "not located" for jump in jumps]
    return [("jump", f"{jump['way']}, {at}") for jump, at in zip(jumps, where, strict=True)] or [("jump", "none")]


def loop_table(loop: xr.Dataset) -> Table:
    """Heads and rows of a loop: the last layer on both ways."""
    last, rows = loop["magnetization"].isel(layer=-1), []
    for way in loop["way"].values:
        for value in loop[loop.attrs["parameter"]].values[:: 1 if way == "forward" else -1]:
            row = {"way": way, loop.attrs["parameter"]: value}
            lost = {0.0: "", 1.0: "jumped"}.get(float(loop["jumped"].sel(row)), "none found")
            rows.append([str(way), f"{value:g}", *(f"{part:.5g}" for part in last.sel(row).values), lost])
    rows = rows[: loop.attrs.get("points")]
    return ("way", loop.attrs["parameter"], "M^x", "M^y", "M^z", ""), rows
