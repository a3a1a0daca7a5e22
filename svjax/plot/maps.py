"""Pictures on the sites and bonds of a valve: its spins, and maps of currents, torques and densities."""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from svjax.dynamics.evolve import Trajectory
from svjax.engine.arrays import Numbers, real_array
from svjax.lattices.lattice import Lattice
from svjax.lattices.sketch import places
from svjax.model.equations import State
from svjax.model.valve import SpinValve
from svjax.observables.by_name import Observables
from svjax.plot.style import COLOURS, axes
from svjax.simulations.dataset import UNITS
from svjax.simulations.loop import Run
from svjax.storage.records import lattice_from_record

Result = xr.Dataset | Run | Trajectory | State


def configuration(valve: SpinValve, spins: Numbers, *, ax: Axes | None = None) -> Axes:
    """The sites of a valve, where they are, with its spins as arrows (S^x, S^z): the paper's Fig. 1.

    Layers are coloured in the order of the valve, other sites are open circles, contacts of the leads are shaded.
    Arguments: valve; spins (N_S, 3); ax as in `magnetization`.
    """
    ax = axes(ax)
    lattice = valve.lattice
    at = draw_lattice(ax, lattice)
    own, spins = at[list(lattice.spin_sites)], np.asarray(spins)
    for layer in range(len(lattice.layers)):
        chosen, colour = lattice.spin_layers == layer, layer_colour(layer)
        ax.plot(*own[chosen].T, "o", color=colour, ms=4)
        x, y, u, v = *own[chosen].T, *spins[chosen][:, [0, 2]].T
        quiver = ax.quiver(
            x, y, u, v, color=colour, angles="xy", scale_units="xy", scale=1.25, width=0.006, pivot="mid"
        )
        quiver.set_zorder(3)
    return ax


def layer_colour(layer: int) -> str:
    """The colour of a layer, by its number."""
    colours = list(COLOURS.values())
    return colours[1 + layer % (len(colours) - 1)]


def map(
    result: Result,
    what: str,
    *,
    valve: SpinValve | None = None,
    component: str = "z",
    row: int = -1,
    ax: Axes | None = None,
) -> Axes:
    """An observable on the lattice: arrows on bonds, colours on sites and spins, a number beside each scale.

    **Arguments:**

    - `result`: a run as `three_stage` or `open` gives it, one point of a sweep, a `Trajectory` or a `State`.
    - `what`: the name of an observable of bonds, sites or spins, such as "bond_current", "site_charge" or
      "local_torque". Of states it is computed, of what holds rows it must be among them or is that of the last state.
    - `valve`: of a trajectory or a state, which do not know theirs.
    - `component`: of a vector, "x", "y" or "z".
    - `row`: which of the saved rows.
    - `ax`: where to draw (the current axes).
    """
    dims, units, meaning = UNITS.get(what, ((), "", ""))
    if not dims or dims[0] not in PLACES:
        of_places = ", ".join(name for name, (dims, *_) in UNITS.items() if dims and dims[0] in PLACES)
        raise ValueError(f"Argument `what` must name an observable of bonds, sites or spins, but is {what!r}, not one "
                         f"of {of_places}.")  # fmt: skip
    if len(dims) == 2 and component not in tuple("xyz"):
        raise ValueError(f"Argument `component` must be 'x', 'y' or 'z', but is {component!r}.")
    lattice, values = _found(result, what, valve, row)
    if len(dims) == 2:
        values, meaning = values[:, "xyz".index(component)], f"{meaning}, {component}"
    return _draw(lattice, values, dims[0], f"{meaning} ({units})" if units != "1" else meaning, ax)


def map_values(
    valve: SpinValve, values: Numbers, place: str = "site", *, label: str = "", ax: Axes | None = None
) -> Axes:
    """As `map`, for numbers of your own, one per "site", "bond" or "spin": a difference of two states (accumulation),
    or ``local_density_of_states(...).sum(-1)`` at one energy. Along a bond (i, j) they are positive from i to j."""
    if place not in PLACES:
        raise ValueError(f"Argument `place` must be one of {', '.join(PLACES)}, but is {place!r}.")
    return _draw(valve.lattice, np.asarray(real_array(values, "values"), float), place, label, ax)


def _draw(lattice: Lattice, values: np.ndarray, place: str, label: str, ax: Axes | None) -> Axes:
    ax, count = axes(ax), lattice.sizes[PLACES[place]]
    if values.shape != (count,):
        raise ValueError(f"Argument `values` must hold {count} numbers, one per {place}, but has shape {values.shape}.")
    if not np.all(np.isfinite(values)):
        raise ValueError("Argument `values` must be finite, but is not.")
    at = draw_lattice(ax, lattice)
    if place == "bond":
        _draw_arrows(ax, at, lattice, values, label)
    else:
        _draw_colours(ax, at if place == "site" else at[lattice.spin_sites], values, label)
    return ax


PLACES = {"bond": "bonds", "site": "sites", "spin": "spins"}


def _found(result: Result, what: str, valve: SpinValve | None, row: int) -> tuple[Lattice, np.ndarray]:
    """The lattice and the values of an observable."""
    if isinstance(result, xr.Dataset):
        lattice = lattice_from_record(json.loads(result.attrs["valve"])["lattice"])
        if what not in result:
            raise ValueError(f"Argument `what` must be among what was observed, but {what!r} is not in {list(result)}.")
        part = result[what].isel(time=row) if "time" in result[what].dims else result[what]
        if part.ndim > len(UNITS[what][0]):
            raise ValueError(
                f"Argument `result` must be one point of a sweep, but has {part.dims[0]!r}: choose with .sel."
            )
        return lattice, part.values
    if isinstance(result, Run):
        valve = result.plan.valve
    if valve is None:
        raise ValueError("Argument `valve` must be given with a trajectory or a state.")
    rows = {} if isinstance(result, State) else result.observables
    if what in rows:
        return valve.lattice, np.asarray(rows[what][row])
    state = result if isinstance(result, State) else result.state
    return valve.lattice, np.asarray(jax.jit(Observables((what,)))(valve, state)[what])


def draw_lattice(ax: Axes, lattice: Lattice) -> np.ndarray:
    """Bonds, contacts and sites in grey; returns where the sites are."""
    at = places(lattice)
    for i, j in lattice.bonds:
        ax.plot(*at[[i, j]].T, color="0.85", lw=0.8, zorder=0)
    for sites in lattice.contacts:
        ax.plot(*at[list(sites)].T, "s", color="0.75", ms=11, zorder=0.5)
    ax.plot(*at.T, "o", color="0.6", mfc="white", ms=4)
    ax.set_aspect("equal")
    ax.margins(0.08, 0.2)
    ax.set_axis_off()
    return at


def along_bonds(at: np.ndarray, lattice: Lattice) -> tuple[np.ndarray, np.ndarray, float]:
    """The middle of each bond, an arrow along it as long as most bonds are, and that length."""
    first, second = at[lattice.bond_array].swapaxes(0, 1)
    length = np.linalg.norm(second - first, axis=1)
    usual = float(np.median(length)) if len(length) else 1.0
    return (first + second) / 2, (second - first) / length[:, None] * usual, usual


def _draw_arrows(ax: Axes, at: np.ndarray, lattice: Lattice, values: np.ndarray, label: str) -> None:
    """An arrow in the middle of each bond, as long as the bond for the largest number, with a key below; none where
    less than half a percent of that flows."""
    middle, along, usual = along_bonds(at, lattice)
    most = np.abs(values).max(initial=0.0)
    along = along * (values / (most or 1.0))[:, None]
    shown = np.abs(values) > 0.005 * most
    style: dict[str, Any] = dict(
        angles="xy", scale_units="xy", scale=1.1, width=0.007, headwidth=4, headlength=4.5, headaxislength=4.0
    )
    arrows = ax.quiver(*middle[shown].T, *along[shown].T, color=COLOURS["green"], pivot="mid", zorder=3, **style)
    ax.quiverkey(arrows, 0.5, -0.04, usual, f"{most:.3g}: {label}", labelpos="S", coordinates="axes")


def _draw_colours(ax: Axes, at: np.ndarray, values: np.ndarray, label: str) -> None:
    """A disc on each site, blue below and red above zero, or on one scale where all have the same sign."""
    most = np.abs(values).max(initial=0.0) or 1.0
    signed = values.min(initial=0.0) < 0 < values.max(initial=0.0) or not np.any(values)
    scale = dict(cmap="RdBu_r", vmin=-most, vmax=most) if signed else dict(cmap="viridis")
    discs = ax.scatter(*at.T, c=values, s=60, edgecolors="0.3", linewidths=0.5, zorder=3, **scale)
    ticks = MaxNLocator(5)
    ax.figure.colorbar(discs, ax=ax, label=label, location="bottom", shrink=0.7, pad=0.04, ticks=ticks)
