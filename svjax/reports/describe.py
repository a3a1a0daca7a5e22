"""A stored run in words and numbers, for people: in the model's units, or in those of the laboratory."""

import json
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from svjax.engine.quantities import Quantity
from svjax.model.units import Units
from svjax.model.valve import QUANTITIES
from svjax.simulations.runs import load_convergence
from svjax.storage.lock import is_locked

Lines = list[tuple[str, str]]
Table = tuple[tuple[str, ...], list[list[str]]]
"""Heads and rows."""


def describe(run: xr.Dataset, units: Units | None = None) -> str:
    """What is in a run (the dataset of `open_run`): parameters, ends of its stages, convergence.

    With ``units`` times, energies, fields, currents and temperatures also appear in fs, eV, tesla, microampere, kelvin.
    """
    show, valve = Show(units), valve_lines(json.loads(run.attrs["valve"]), Show(units))
    lines = [("status", run_status(run)), *saves_lines(run, show), *valve, *run_lines(run, show), made_with(run.attrs)]
    report = load_convergence(run)
    return aligned(lines) if report is None else f"{aligned(lines)}\n\n{report}"


def run_status(run: xr.Dataset) -> str:
    """Of a run, with the reason if there is one."""
    return run.attrs["status"] + (f": {run.attrs['reason']}" if run.attrs["reason"] else "")


def settled(run: xr.Dataset, path: Path) -> xr.Dataset:
    """The run at ``path``, called stopped where nothing writes to it any more."""
    if run.attrs["status"] != "running" or is_locked(path):
        return run
    return run.assign_attrs(status="stopped", reason=f"{goes_on(path)}.")


def saves_lines(run: xr.Dataset, show: "Show") -> Lines:
    """How many rows a run has saved, from when to when and how often."""
    t = run["time"].values
    span = f"from t = {show.time(t[0])} to {show.time(t[-1])}" if len(t) else "none"
    return [("saves", f"{len(t)} {span}, every {run.attrs['save_every']} steps of {show.time(run.attrs['dt'])}")]


def run_lines(run: xr.Dataset, show: "Show") -> Lines:
    """The bias of a run and the ends of its stages."""
    lines = [bias_line(run)]
    for stage, label in ((1, "before the quench"), (2, "at the end")):
        rows = np.flatnonzero(run["stage"].values == stage)
        if len(rows):
            lines += _row_lines(run.isel(time=int(rows[-1])), label, show)
    return lines


def bias_line(store: xr.Dataset, swept: Collection[str] = ()) -> tuple[str, str]:
    """The bias of a run or a sweep, without what of it is ``swept``."""
    bias = json.loads(store.attrs["bias"])
    kind = bias.pop("kind")
    shown = (f"{name} as above" if name in swept else f"{name} = {value}" for name, value in bias.items())
    return "bias", f"{kind}: {', '.join(shown)}"


def goes_on(path: Path) -> str:
    """How a store that was stopped is taken to its end."""
    return f"`svjax resume {shlex.quote(str(path))}` goes on"


def describe_curve(curve: xr.Dataset, units: Units | None = None) -> str:
    """A table of steady states along the voltage, and the valve they belong to."""
    heads, rows = curve_table(curve, units)
    text = [aligned(valve_lines(json.loads(curve.attrs["valve"]), Show(units))), ""]
    text.append(f"{heads[0]}  " + " ".join(f"{head:>11}" for head in heads[1:-1]) + f"  {heads[-1]}")
    for voltage, *values, last in rows:
        parts = f"{voltage:>11}", " ".join(f"{value:>11}" for value in values), last
        text.append("  ".join(part for part in parts if part))
    return "\n".join(text)


def curve_table(curve: xr.Dataset, units: Units | None = None) -> Table:
    """Heads and rows of a curve: what a voltage's steady state is, or why there is none."""
    factor, time = (1.0, 1.0) if units is None else (units.microampere_per_current, units.fs_per_time)
    heads = "M_r^x", "M_r^y", "M_r^z", "current" if units is None else "I (uA)", "t_R" if units is None else "t_R (fs)"
    rows = []
    for number, reason in enumerate(json.loads(curve.attrs["reasons"])):
        row = curve.isel(voltage=number)
        values = [
            *row["magnetization"].values[1],
            row["interface_charge_current"] * factor,
            row["relaxation_time"] * time,
        ]
        stable = {1.0: "yes", 0.0: "NO"}.get(float(row["stable"]), "")
        found = [] if reason else [f"{float(value):.5g}" for value in values]
        rows.append([f"{float(row['voltage']):g}", *found, reason or stable])
    return (f"{curve.attrs['drop']} V", *heads, "stable"), rows


def describe_diagram(diagram: xr.Dataset, units: Units | None = None) -> str:
    """For each voltage of a diagram at how many fields the last layer switched, and how fast; and the valve."""
    valve = valve_lines(json.loads(diagram.attrs["valve"]), Show(units))
    own = [("status", diagram_status(diagram)), *diagram_lines(diagram, Show(units))]
    text = [aligned([*valve, *own, made_with(diagram.attrs)]), ""]
    heads, rows = diagram_table(diagram, units)
    for first, *others in (heads, *rows):
        text.append(f"{first:>11}  " + " ".join(f"{cell:>12}" for cell in others))
    return "\n".join(text)


def diagram_status(diagram: xr.Dataset) -> str:
    """Whether a diagram is complete, and else how many of its tables there are."""
    status = diagram.attrs.get("status", "complete")
    if "tables" not in diagram.attrs:
        return status
    goes_on = "; `svjax resume` goes on" if status == "stopped" else ""
    return f"{status}, {diagram.attrs['tables']} of {diagram.sizes['voltage']} tables{goes_on}"


def diagram_lines(diagram: xr.Dataset, show: "Show") -> Lines:
    """How the runs of a diagram were made."""
    return [
        ("fields", f"{diagram.sizes['field']} along {numbers(diagram.attrs['axis'])}"),
        ("start", numbers(np.reshape(diagram.attrs["start"], (2, 3)))),
        ("time of each run", show.time(diagram.attrs["duration"])),
    ]


def diagram_table(diagram: xr.Dataset, units: Units | None = None) -> Table:
    """Heads and rows of a diagram: where and how fast the last layer switched at a voltage."""
    times = diagram.isel(layer=-1)["switching_time"] * (1.0 if units is None else units.fs_per_time)
    heads = ("switched", "from field", "to field", "fastest" + ("" if units is None else " (fs)"))
    rows = []
    for voltage in diagram["voltage"].values:
        row = times.sel(voltage=voltage).dropna("field")
        fields = row["field"].values
        ends = [f"{value:.5g}" for value in (fields.min(), fields.max(), row.values.min())] if len(fields) else []
        rows.append([f"{voltage:g}", str(len(fields)), *ends])
    return (f"{diagram.attrs['drop']} V", *heads), rows


def aligned(lines: Lines) -> str:
    """Names and values below each other."""
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def made_with(attributes: Mapping[str, Any]) -> tuple[str, str]:
    """Versions, precision and device of a dataset."""
    made = [attributes[name] for name in ("svjax_version", "jax_version", "python_version", "precision", "device")]
    return "made with", "svjax {}, jax {}, python {}, {} on {}".format(*made)


class Show:
    """Numbers with their units, laboratory units in brackets where they are known."""

    def __init__(self, units: Units | None):
        self.units = units

    def time(self, value: Any) -> str:
        return self._both(value, "hbar/gamma", self.units and self.units.time_to_fs, "fs")

    def energy(self, value: Any) -> str:
        return self._both(value, "gamma", self.units and self.units.energy_to_ev, "eV")

    def field(self, value: Any) -> str:
        return self._both(value, "gamma", self.units and self.units.field_to_tesla, "T")

    def temperature(self, value: Any) -> str:
        return self._both(value, "gamma/k_B", self.units and self.units.temperature_to_kelvin, "K")

    def current(self, value: Any) -> str:
        return self._both(value, "gamma/hbar", self.units and self.units.current_to_microampere, "uA")

    def quantity(self, kind: Quantity, value: Any) -> str:
        """A parameter of the table."""
        if kind.unit == "hopping/k_B":
            return self.temperature(value)
        if kind.unit == "hopping":
            return self.field(value) if kind.symbol == "B" else self.energy(value)
        return numbers(value) + ("" if kind.unit == "1" else f" {kind.unit}")

    def _both(self, value: Any, unit: str, convert: Any, other: str) -> str:
        plain = f"{numbers(value)} {unit}"
        return plain if convert is None else f"{plain} [{numbers(convert(np.asarray(value, float)))} {other}]"


def numbers(value: Any) -> str:
    """A number, a vector or rows of vectors with five significant digits."""
    array = np.asarray(value, float)
    if array.ndim == 0:
        return f"{array + 0.0:.5g}"
    return "(" + ", ".join(numbers(part) for part in array) + ")"


def valve_lines(valve: dict[str, Any], show: Show) -> Lines:
    """The shape and the parameters of a recorded valve."""
    lines = [("valve", shape(valve))]
    lines += [(name, show.quantity(QUANTITIES[name], value)) for name, value in parameters(valve).items()]
    return [*lines, *bands(valve)]


def bands(valve: dict[str, Any]) -> Lines:
    """The bands of those leads of a recorded valve that have one."""
    lines, found = [], valve.get("bands")
    for lead, band in enumerate([] if found is None else found):
        if band is not None:
            told = ", ".join(f"{name} = {value}" for name, value in band.items() if name != "kind")
            lines.append((f"bands[{lead}]", f"{band['kind']}: {told}"))
    return lines


def shape(valve: dict[str, Any]) -> str:
    """Sites, spins, leads and poles of a recorded valve."""
    lattice, poles = valve["lattice"], valve["poles"]
    sizes = " + ".join(str(len(layer)) for layer in lattice["layers"]) or "no"
    counts = " + ".join(str(len(part["xi"])) for part in (poles if isinstance(poles, list) else [poles]))
    return f"{lattice['n_sites']} sites, {sizes} spins, {len(lattice['contacts'])} leads, {counts} poles"


def parameters(valve: dict[str, Any]) -> dict[str, np.ndarray]:
    """Those of a recorded valve that are not zero, complex amplitudes as their absolute values."""
    recorded = valve["parameters"]
    values = {name: _numeric(recorded[name]) for name in QUANTITIES if name in recorded}
    return {name: value for name, value in values.items() if np.any(value)}


def _numeric(value: Any) -> np.ndarray:
    if isinstance(value, dict):
        return np.hypot(value["real"], value["imag"])
    return np.array(value)


def _row_lines(row: xr.Dataset, label: str, show: Show) -> Lines:
    """The magnetisations and currents of one saved row. Spin currents are spins, which have no ampere."""
    lines = [(label, f"t = {show.time(row['time'].item())}")]
    if "magnetization" in row:
        lines.append(("  magnetization / N_S", numbers(row["magnetization"].values)))
    for name in ("charge_current", "interface_charge_current"):
        if name in row:
            lines.append((f"  {name}", show.current(row[name].values)))
    for name in ("spin_current", "interface_spin_current"):
        if name in row:
            lines.append((f"  {name}", f"{numbers(row[name].values)} gamma/hbar"))
    return lines
