"""Pictures of phase diagrams."""

from __future__ import annotations

from pathlib import Path

import xarray as xr
from matplotlib.axes import Axes

from svjax.plot.style import VOLTAGE, axes, blank, save_picture


def phase_diagram(diagram: xr.Dataset, layer: int = 1, *, ax: Axes | None = None) -> Axes:
    """The switching time of a layer over voltage and field, grey where it did not switch.

    Arguments: the dataset of `svjax.phase_diagram`; layer, 1 being the free one; ax, where to draw (the current axes).
    """
    ax = axes(ax)
    times = diagram["switching_time"].sel(layer=layer).transpose("field", "voltage")
    ax.set_facecolor("0.85")
    image = ax.pcolormesh(diagram["voltage"], diagram["field"], times, cmap="viridis", shading="nearest")
    ax.figure.colorbar(image, ax=ax, label=r"switching time ($\hbar/\gamma$)")
    ax.set_xlabel(VOLTAGE)
    ax.set_ylabel(r"field $B$ ($\gamma$)")
    return ax


def diagram_pictures(folder: Path, diagram: xr.Dataset) -> None:
    """Save the picture of a diagram to ``folder``, as diagram.png and diagram.pdf."""
    save_picture(phase_diagram(diagram, ax=blank()), folder, "diagram")
