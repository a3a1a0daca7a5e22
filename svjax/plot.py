"""Pictures of a run, one function each: data in (the dataset of `open_run`), axes out. No global state is touched."""

import os
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COMPONENTS = {"x": "#D55E00", "y": "#0072B2", "z": "#000000"}
"""Colours of Okabe & Ito, which all kinds of colour vision tell apart: vermillion, blue, black."""
CHARGE = "#009E73"
RELAXATION = "#FFF3C4"
TIME = r"time $t$ ($\hbar/\gamma$)"


def magnetization(run: xr.Dataset, layer: int = 1, *, ax: Axes | None = None) -> Axes:
    """The components of a layer's magnetisation against time, stage 1 shaded, as in the paper's Fig. 6.

    Arguments: run, the dataset of `open_run`; layer, 1 being the free one; ax, where to draw (a new figure if None).
    """
    ax = _axes(ax)
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
    ax = _axes(ax)
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


def steady_curve(curve: xr.Dataset) -> tuple[Axes, ...]:
    """Four panels along the voltage: M_r, the charge current, the torques on the free layer and the relaxation time.

    The current-driven torque (lines) is balanced by the effective one of the anisotropy (circles), Figs. 12 and 13; the
    relaxation time is that of the slowest precession, Fig. 8. Argument: the dataset of `curve.steady_curve`.
    """
    panels = Figure(figsize=(7.2, 5.0), layout="constrained").subplots(2, 2, sharex=True)
    first, second, third, fourth = (_axes(ax) for ax in panels.ravel())
    v, layer = curve["voltage"].values, curve.isel(layer=1)
    for name, colour in COMPONENTS.items():
        first.plot(v, layer["magnetization"].sel(component=name), color=colour, lw=1.2, label=rf"$M^{name}$")
        third.plot(v, curve["current_driven_torque"].sel(component=name), color=colour, lw=1.2)
        balance = layer["effective_torque"].sel(component=name)
        third.plot(v, balance, "o", color=colour, ms=3, mfc="none", label=rf"$\mathcal{{T}}^{name}$")
    second.plot(v, curve["interface_charge_current"], color=CHARGE, lw=1.2)
    fourth.semilogy(v, curve["relaxation_time"], color="#CC79A7", lw=1.2, marker=".", ms=4)
    first.set_ylabel(r"magnetization $\mathbf{M}_r / N_S$")
    second.set_ylabel(r"charge current $\mathcal{I}$ ($\gamma/\hbar$)")
    third.set_ylabel(r"torque on the free layer ($\gamma$)")
    fourth.set_ylabel(r"relaxation time $t_R$ ($\hbar/\gamma$)")
    for ax in (third, fourth):
        ax.set_xlabel(rf"{curve.attrs['drop']} voltage $V$ ($\gamma/e$)")
    for ax in (first, third):
        _legend(ax)
    return first, second, third, fourth


def run_pictures(folder: Path, dataset: xr.Dataset) -> list[str]:
    """Save the pictures that the saved rows of a run allow to ``folder``; returns the names of the files."""
    drawn = {}
    if "magnetization" in dataset and dataset.sizes["layer"] and dataset.sizes["time"] > 1:
        drawn["magnetization"] = magnetization(dataset, layer=dataset.sizes["layer"] - 1)
    if {"spin_current", "interface_spin_current"} <= dataset.keys() and (dataset["stage"].values == 2).any():
        drawn["currents"] = currents(dataset)
    files = [f"{name}.{kind}" for name in drawn for kind in ("png", "pdf")]
    for file in files:
        save(drawn[Path(file).stem], folder / file)
    return files


def save(ax: Axes, path: str | os.PathLike) -> None:
    """Write the figure of ``ax`` to a file; its ending chooses the format."""
    figure = ax.figure
    assert isinstance(figure, Figure)
    figure.savefig(path, dpi=200)


def _legend(ax: Axes) -> None:
    """Three columns above the axes, where no curve can run into them."""
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9, handlelength=2.2)


def _axes(ax: Axes | None) -> Axes:
    """Given axes, or new ones on a figure that pyplot does not know of, so that nothing has to be closed."""
    if ax is None:
        ax = Figure(figsize=(5.2, 3.2), layout="constrained").subplots()
    ax.tick_params(direction="in", which="both", top=True, right=True)
    return ax
