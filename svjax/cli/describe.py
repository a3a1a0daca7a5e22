"""A stored run in words and numbers, for people: in the model's units, or in those of the laboratory."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from svjax.engine.quantities import Quantity
from svjax.model.units import Units
from svjax.model.valve import QUANTITIES
from svjax.simulations.runs import load_convergence


def describe(run: xr.Dataset, units: Units | None = None) -> str:
    """What is in a run (the dataset of `open_run`): parameters, ends of its stages, convergence.

    With ``units`` times, energies, fields, currents and temperatures also appear in fs, eV, tesla, microampere, kelvin.
    """
    show = Show(units)
    valve, bias = json.loads(run.attrs["valve"]), json.loads(run.attrs["bias"])
    t = run["time"].values
    span = f"from t = {show.time(t[0])} to {show.time(t[-1])}" if len(t) else "none"
    lines = [("status", run.attrs["status"] + (f": {run.attrs['reason']}" if run.attrs["reason"] else ""))]
    lines.append(("saves", f"{len(t)} {span}, every {run.attrs['save_every']} steps of {show.time(run.attrs['dt'])}"))
    lines += valve_lines(valve, show)
    shown = ", ".join(f"{name} = {value}" for name, value in bias.items() if name != "kind")
    lines.append(("bias", f"{bias['kind']}: {shown}"))
    for stage, label in ((1, "before the quench"), (2, "at the end")):
        rows = np.flatnonzero(run["stage"].values == stage)
        if len(rows):
            lines += _row_lines(run.isel(time=int(rows[-1])), label, show)
    text = aligned([*lines, made_with(run.attrs)])
    report = load_convergence(run)
    return text if report is None else f"{text}\n\n{report}"


def describe_curve(curve: xr.Dataset, units: Units | None = None) -> str:
    """A table of steady states along the voltage, and the valve they belong to."""
    show = Show(units)
    text = [aligned(valve_lines(json.loads(curve.attrs["valve"]), show))]
    factor = 1.0 if units is None else units.microampere_per_current
    time = 1.0 if units is None else units.fs_per_time
    heads = "M_r^x", "M_r^y", "M_r^z", "current" if units is None else "I (uA)", "t_R" if units is None else "t_R (fs)"
    text += ["", f"{curve.attrs['drop']} V  " + " ".join(f"{head:>11}" for head in heads) + "  stable"]
    for number, reason in enumerate(json.loads(curve.attrs["reasons"])):
        row = curve.isel(voltage=number)
        values = [
            *row["magnetization"].values[1],
            row["interface_charge_current"] * factor,
            row["relaxation_time"] * time,
        ]
        table = " ".join(f"{float(value):11.5g}" for value in values)
        stable = {1.0: "yes", 0.0: "NO"}.get(float(row["stable"]), "")
        text.append(f"{float(row['voltage']):11g}  {reason or f'{table}  {stable}'}")
    return "\n".join(text)


def describe_diagram(diagram: xr.Dataset, units: Units | None = None) -> str:
    """For each voltage of a diagram at how many fields the last layer switched, and how fast; and the valve."""
    show, layer = Show(units), diagram.isel(layer=-1)
    times = layer["switching_time"] * (1.0 if units is None else units.fs_per_time)
    start = np.reshape(diagram.attrs["start"], (2, 3))
    lines = [
        *valve_lines(json.loads(diagram.attrs["valve"]), show),
        ("fields", f"{diagram.sizes['field']} along {numbers(diagram.attrs['axis'])}"),
        ("start", numbers(start)),
        ("time of each run", show.time(diagram.attrs["duration"])),
        made_with(diagram.attrs),
    ]
    heads = ("switched", "from field", "to field", "fastest" + ("" if units is None else " (fs)"))
    text = [aligned(lines), "", f"{diagram.attrs['drop']} V  " + " ".join(f"{head:>12}" for head in heads)]
    for voltage in diagram["voltage"].values:
        row = times.sel(voltage=voltage).dropna("field")
        fields = row["field"].values
        ends = f"{fields.min():12.5g} {fields.max():12.5g} {row.values.min():12.5g}" if len(fields) else ""
        text.append(f"{voltage:11g}  {len(fields):12d} {ends}".rstrip())
    return "\n".join(text)


def aligned(lines: list[tuple[str, str]]) -> str:
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


def valve_lines(valve: dict[str, Any], show: Show) -> list[tuple[str, str]]:
    """The shape and the parameters of a recorded valve."""
    lattice, value = valve["lattice"], valve["parameters"]
    sizes = " + ".join(str(len(layer)) for layer in lattice["layers"]) or "no"
    shape = f"{lattice['n_sites']} sites, {sizes} spins, {len(lattice['contacts'])} leads"
    lines = [("valve", f"{shape}, {len(valve['poles']['xi'])} poles")]
    known = {name: value[name] for name in QUANTITIES if name in value and np.any(_numeric(value[name]))}
    return [*lines, *((name, show.quantity(QUANTITIES[name], _numeric(part))) for name, part in known.items())]


def _numeric(value: Any) -> np.ndarray:
    """A recorded parameter, complex amplitudes as their absolute values."""
    return (
        np.abs(np.asarray(value["re"]) + 1j * np.asarray(value["im"])) if isinstance(value, dict) else np.array(value)
    )


def _row_lines(row: xr.Dataset, label: str, show: Show) -> list[tuple[str, str]]:
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
