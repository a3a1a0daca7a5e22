"""Pictures of a run, one function each: data in (the dataset of `open_run`), axes out.

As everywhere in matplotlib they appear on the axes that are given, and otherwise on the current ones of pyplot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from svjax.dynamics.evolve import Trajectory
from svjax.model.equations import State
from svjax.model.valve import SpinValve
from svjax.plot.maps import configuration
from svjax.plot.style import (
    CHARGE,
    COLOURS,
    COMPONENTS,
    RELAXATION,
    RELAXATION_TIME,
    TIME,
    VOLTAGE,
    axes,
    blank,
    own_figure,
    save,
    save_picture,
)


def magnetization(run: xr.Dataset, layer: int = 1, *, ax: Axes | None = None) -> Axes:
    """The components of a layer's magnetisation against time, stage 1 shaded, as in the paper's Fig. 6.

    Arguments: run, the dataset of `open_run`; layer, 1 being the free one; ax, where to draw (the current axes).
    """
    ax = axes(ax)
    data = run["magnetization"].sel(layer=layer)
    t = run["time"].values
    for name, colour in COMPONENTS.items():
        ax.plot(t, data.sel(component=name), color=colour, lw=1.0, label=rf"$M^{name}$")
    if t[0] < 0:
        ax.axvspan(t[0], 0, color=RELAXATION, lw=0, zorder=0)
        ax.axvline(0, color="0.5", lw=0.8, zorder=1)
    inside = ax.get_xaxis_transform()
    for label, span in {"stage 1": (t[0], min(0.0, t[-1])), "stage 2": (0.0, t[-1])}.items():
        if span[1] - span[0] > 0.08 * (t[-1] - t[0]):
            ax.text(sum(span) / 2, 0.03, label, transform=inside, ha="center", va="bottom", color="0.35")
    side = {0: "l", 1: "r"}.get(layer, str(layer))
    ax.set_xlabel(TIME)
    ax.set_ylabel(rf"magnetization $\mathbf{{M}}_{side} / N_S$")
    ax.set_xlim(t[0], t[-1] if t[-1] > t[0] else None)
    ax.set_ylim(-1.08, 1.08)
    _legend(ax)
    return ax


def currents(run: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Charge and spin currents of stage 2 against the logarithm of time, as in the paper's Fig. 7.

    Solid lines: the right lead, Eqs. (11), (12). Dashed lines: the interface of spacer and free layer, Eqs. (13), (14),
    less its equilibrium spin current, whose y component J_F^y(0) is the only one that does not vanish. Arguments: as
    in `magnetization`.
    """
    ax = axes(ax)
    after = run.isel(time=np.flatnonzero(run["stage"].values == 2))
    if after.sizes["time"] == 0:
        raise ValueError("Argument `run` must reach stage 2, but stopped before.")
    rest = run["interface_spin_current"].isel(time=np.flatnonzero(run["stage"].values < 2)[-1])
    local = after["interface_spin_current"] - rest
    lead, t = after.isel(lead=-1), after["time"].values
    lines = {"charge": (lead["charge_current"], after["interface_charge_current"], CHARGE, r"$\mathcal{I}$")}
    for name, colour in COMPONENTS.items():
        spin = lead["spin_current"].sel(component=name), local.sel(component=name)
        lines[name] = (*spin, colour, rf"$\mathcal{{J}}^{name}$")
    for solid, dashed, colour, label in lines.values():
        ax.plot(t, solid, color=colour, lw=1.2, label=label)
        ax.plot(t, dashed, color=colour, lw=1.0, ls=(0, (4, 1.5)))
    ax.plot([], [], color="0.4", lw=1.2, label="right lead")
    ax.plot([], [], color="0.4", lw=1.0, ls=(0, (4, 1.5)), label="SL-FL interface")
    ax.axhline(0, color="0.8", lw=0.6, zorder=0)
    ax.set_xscale("log")
    ax.set_xlim(t[0], t[-1] if t[-1] > t[0] else None)
    ax.set_xlabel(TIME)
    ax.set_ylabel(r"current ($\gamma/\hbar$)")
    _legend(ax)
    return ax


def steady_curve(curve: xr.Dataset, *, figure: Figure | None = None) -> tuple[Axes, ...]:
    """Four panels along the voltage: M_r, the charge current, the torques on the free layer and the relaxation time.

    The current-driven torque (lines) is balanced by the effective one of the anisotropy (circles), Figs. 12 and 13; the
    relaxation time is that of the slowest precession, Fig. 8. Arguments: the dataset of `curve.steady_curve`; figure,
    an empty one to draw on (a new one of pyplot if None).
    """
    panels = own_figure(figure, (7.2, 5.0)).subplots(2, 2, sharex=True)
    first, second, third, fourth = (axes(ax) for ax in panels.ravel())
    v, layer = curve["voltage"].values, curve.isel(layer=1)
    for name, colour in COMPONENTS.items():
        first.plot(v, layer["magnetization"].sel(component=name), color=colour, lw=1.2, label=rf"$M^{name}$")
        third.plot(v, curve["current_driven_torque"].sel(component=name), color=colour, lw=1.2)
        balance = layer["effective_torque"].sel(component=name)
        third.plot(v, balance, "o", color=colour, ms=3, mfc="none", label=rf"$\mathcal{{T}}^{name}$")
    second.plot(v, curve["interface_charge_current"], color=CHARGE, lw=1.2)
    fourth.semilogy(v, curve["relaxation_time"], color=COLOURS["purple"], lw=1.2, marker=".", ms=4)
    first.set_ylabel(r"magnetization $\mathbf{M}_r / N_S$")
    second.set_ylabel(r"charge current $\mathcal{I}$ ($\gamma/\hbar$)")
    third.set_ylabel(r"torque on the free layer ($\gamma$)")
    fourth.set_ylabel(RELAXATION_TIME)
    for ax in (third, fourth):
        ax.set_xlabel(f"{curve.attrs['drop']} {VOLTAGE}")
    for ax in (first, third):
        _legend(ax)
    return first, second, third, fourth


def run_pictures(folder: Path, dataset: xr.Dataset) -> list[str]:
    """Save the pictures that the saved rows of a run allow to ``folder``; returns the names of the files."""
    drawn = run_axes(dataset)
    files = [f"{name}.{kind}" for name in drawn for kind in ("png", "pdf")]
    for file in files:
        save(drawn[Path(file).stem], folder / file)
    return files


def run_axes(dataset: xr.Dataset) -> dict[str, Axes]:
    """The pictures that the saved rows of a run allow, by name, each on a figure of its own."""
    drawn = {}
    if "magnetization" in dataset and dataset.sizes["layer"] and dataset.sizes["time"] > 1:
        drawn["magnetization"] = magnetization(dataset, layer=dataset.sizes["layer"] - 1, ax=blank())
    if {"spin_current", "interface_spin_current"} <= dataset.keys() and (dataset["stage"].values == 2).any():
        drawn["currents"] = currents(dataset, ax=blank())
    return drawn


def curve_pictures(folder: Path, curve: xr.Dataset) -> None:
    """Save the picture of steady states along the voltage to ``folder``, as steady.png and steady.pdf."""
    first, *_ = steady_curve(curve, figure=Figure((7.2, 5.0), layout="constrained"))
    save_picture(first, folder, "steady")


def hysteresis(loop: xr.Dataset, layer: int = -1, *, ax: Axes | None = None) -> Axes:
    """The magnetisation of a layer along a loop: solid forward, dashed back, dotted lines at the jumps.

    Arguments: the dataset of `svjax.hysteresis`; layer, the last one by default; ax, where to draw (the current axes).
    """
    ax, parameter = axes(ax), loop.attrs["parameter"]
    values, found = loop[parameter], loop["magnetization"].isel(layer=layer)
    for name, colour in COMPONENTS.items():
        for way, style in (("forward", "-"), ("back", "--")):
            label = rf"$M^{name}$" if way == "forward" else None
            ax.plot(values, found.sel(way=way, component=name), style, color=colour, marker=".", ms=3, label=label)
    for jump in json.loads(loop.attrs["jumps"]):
        if jump["kind"]:
            ax.axvline(jump["value"], color="0.6", lw=0.8, ls=":")
    ax.set_xlabel(f"{parameter} ({values.attrs['units']})".replace("hopping", r"$\gamma$"))
    ax.set_ylabel(r"magnetization $\mathbf{M} / N_S$")
    ax.set_ylim(-1.05, 1.05)
    _legend(ax)
    return ax


def loop_pictures(folder: Path, loop: xr.Dataset) -> None:
    """Save the picture of a loop to ``folder``, as hysteresis.png and hysteresis.pdf."""
    save_picture(hysteresis(loop, ax=blank()), folder, "hysteresis")


def switching(valve: SpinValve, run: Trajectory, before: State, *, figure: Figure | None = None) -> tuple[Axes, ...]:
    """A run in three panels: the spins before and after it above the magnetisation of the last layer in between.

    Arguments: the valve; its run, from `evolve`; the state that the run started from; figure as in
    `steady_curve`.
    """
    panels = own_figure(figure, (7.2, 3.9)).subplot_mosaic([["first", "last"], ["run", "run"]], height_ratios=(1, 1.6))
    first, last, below = (axes(panels[name]) for name in ("first", "last", "run"))
    configuration(valve, before.spins, ax=first).set_title("$t = 0$", fontsize=9)
    configuration(valve, run.state.spins, ax=last).set_title(f"$t = {run.t[-1]:g}$", fontsize=9)
    for k, (name, colour) in enumerate(COMPONENTS.items()):
        below.plot(run.t, run.observables["magnetization"][:, -1, k], color=colour, lw=1.0, label=f"$M^{name}$")
    below.set(xlabel=TIME, ylabel=r"magnetization $\mathbf{M}_r / N_S$", xlim=(0, run.t[-1]), ylim=(-1.08, 1.08))
    below.legend(ncols=3, frameon=False, fontsize=9, loc="lower left")
    return first, last, below


def _legend(ax: Axes) -> None:
    """Three columns above the axes, where no curve can run into them."""
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9, handlelength=2.2)
