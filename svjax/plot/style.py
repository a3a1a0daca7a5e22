"""The look of all pictures: colours, labels, sizes, and the axes that they appear on."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {
    "black": "#000000",
    "vermillion": "#D55E00",
    "blue": "#0072B2",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
}
"""Colours of Okabe & Ito, which all kinds of colour vision tell apart."""
COMPONENTS = {"x": COLOURS["vermillion"], "y": COLOURS["blue"], "z": COLOURS["black"]}
CHARGE = COLOURS["green"]
RELAXATION = "#FFF3C4"
TIME = r"time $t$ ($\hbar/\gamma$)"
RELAXATION_TIME = r"relaxation time $t_R$ ($\hbar/\gamma$)"
VOLTAGE = r"voltage $V$ ($\gamma/e$)"
ENERGY = r"energy $\varepsilon$ ($\gamma$)"
SIZE = (5.2, 3.2)
STYLE = {
    "figure.figsize": SIZE,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": cycler(color=COLOURS.values()),
    "axes.grid": False,
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "pdf.fonttype": 42,
}
"""The look for figures of your own: ``plt.rcParams.update(sv.plot.STYLE)``; in a PDF text stays text."""


def save(ax: Axes, path: str | os.PathLike) -> None:
    """Write the figure of ``ax`` to a file, the whole one if it has subfigures; its ending chooses the format."""
    if not isinstance(ax, Axes):
        raise ValueError(f"Argument `ax` must be the axes of a picture, but is of type {type(ax).__name__}.")
    figure = ax.figure.figure
    assert isinstance(figure, Figure)
    figure.savefig(path, dpi=200)


def save_picture(ax: Axes, folder: Path, name: str) -> None:
    """Write the figure of ``ax`` to a folder, for the screen and for print."""
    for kind in ("png", "pdf"):
        save(ax, folder / f"{name}.{kind}")


def axes(ax: Axes | None) -> Axes:
    """Given axes, or the current ones, in the house's size where there is no figure yet."""
    if ax is None:
        ax = plt.gca() if plt.get_fignums() else own_figure(None, SIZE).subplots()
    ax.tick_params(direction="in", which="both", top=True, right=True)
    return ax


def blank() -> Axes:
    """Axes of the house's size on a figure of their own, which pyplot does not keep."""
    return Figure(SIZE, layout="constrained").subplots()


def own_figure(figure: Figure | None, size: tuple[float, float]) -> Figure:
    """The figure, or a new one of pyplot."""
    return plt.figure(figsize=size, layout="constrained") if figure is None else figure
