"""A run as a moving picture: its spins, and its currents where they were observed, on the lattice."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, FuncAnimation, HTMLWriter, PillowWriter
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from tqdm import tqdm

from svjax.engine.arrays import whole_number
from svjax.lattices.lattice import Lattice
from svjax.lattices.sketch import places
from svjax.model.valve import SpinValve
from svjax.plot.film import Film, Moving, film_of, in_plane
from svjax.plot.maps import along_bonds, draw_lattice, layer_colour
from svjax.plot.style import COLOURS, COMPONENTS, RELAXATION, TIME, axes
from svjax.storage.plain import tidy_path

WIDTH, TRACE, HEIGHTS = 6.4, 1.8, (1.4, 5.0)
"""Of the figure, of the trace below the lattice, and of the lattice between these, in inches."""
SIGNS = {
    "minus": r"\2212",
    "fast-backward": r"\ab",
    "step-backward": r"\2039",
    "play": r"\25b6",
    "pause": r"\2016",
    "step-forward": r"\203a",
    "fast-forward": r"\bb",
    "plus": "+",
}
"""Of the buttons of a page, as CSS has them."""


def animate(
    run: Moving,
    path: str | os.PathLike | None = None,
    *,
    valve: SpinValve | None = None,
    plane: str | None = None,
    frames: int = 200,
    fps: int = 20,
) -> FuncAnimation | None:
    """The spins of a run as they move, on the lattice: arrows are two of their components, colours the third.

    Bonds carry arrows where the run observed "bond_current", longest for the largest current of all frames.
    Below are the magnetisations, that of the last layer in full lines and others in dotted ones, with the present time.

    **Arguments:**

    - `run`: a run that observed "spins", as `three_stage` or `open` gives it, one point of a sweep of runs, or a
      `Trajectory`, which needs its ``valve``.
    - `path`: a file that ends in .gif, .html (with buttons, nothing is loaded from elsewhere) or .mp4 (needs ffmpeg).
    - `plane`: "xz", "xy" or "yz", the components of the arrows, to the right and up; those that vary most if None.
    - `frames`: at most so many, evenly in time; `fps` of them in a second.

    **Returns:** the animation, which notebooks show, if there is no ``path``.
    """
    film, fps = film_of(run, valve, whole_number(frames, "frames", 1)), whole_number(fps, "fps", 1)
    components = in_plane(film.spins, plane)
    if path is None:
        return _moving(film, components, fps)
    target = tidy_path(path)
    writer = _writer(target, fps)
    target.parent.mkdir(parents=True, exist_ok=True)
    quiet = 0.1 if sys.stderr.isatty() else 30.0
    with tqdm(total=len(film.t), unit="frame", mininterval=quiet, file=sys.stderr) as bar:
        count = lambda *_: bar.update()
        _moving(film, components, fps).save(target, writer=writer, dpi=100, progress_callback=count)
    if isinstance(writer, HTMLWriter):
        target.write_text(_whole(target.read_text()))
    return None


class _Moving(FuncAnimation):
    """Shown by notebooks, whatever the settings of matplotlib."""

    def _repr_html_(self) -> str:
        return _whole(self.to_jshtml())


def _moving(film: Film, components: tuple[int, int, int], fps: int) -> _Moving:
    figure, show = scene(film, components)
    return _Moving(figure, show, frames=len(film.t), interval=1000 / fps)


def scene(film: Film, components: tuple[int, int, int]) -> tuple[Figure, Callable[[int], list[Artist]]]:
    """The figure of a film, which pyplot does not keep, and what shows the frame of a number on it."""
    span = np.ptp(places(film.lattice), axis=0) + 1.0
    height = float(np.clip(WIDTH * span[1] / span[0], *HEIGHTS))
    figure = Figure((WIDTH, height + TRACE), layout="constrained")
    top, below = figure.subplots(2, height_ratios=(height, TRACE))
    parts = [_spins(top, film, components), _trace(below, film)]
    if film.currents is not None:
        parts.append(_currents(top, film.lattice, film.currents))
    right, up, _ = ("xyz"[part] for part in components)
    told = f"black: $(S^{right}, S^{up})$"
    if film.currents is not None:
        told += rf", green: currents up to {np.abs(film.currents).max(initial=0.0):.2g} $\gamma/\hbar$"
    top.set_title(told, loc="right", fontsize=9)
    clock = top.set_title("", loc="left", fontsize=9)

    def show(frame: int) -> list[Artist]:
        clock.set_text(f"t = {film.t[frame]:.1f}")
        for part in parts:
            part(frame)
        return []

    show(0)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure, show


def _spins(ax: Axes, film: Film, components: tuple[int, int, int]) -> Callable[[int], None]:
    """An arrow on each spin's site, on a disc in the colour of the third component with a rim in that of the layer."""
    right, up, colour = components
    at = draw_lattice(ax, film.lattice)
    own, (_, _, usual) = at[film.lattice.spin_sites], along_bonds(at, film.lattice)
    rims = [layer_colour(layer) for layer in film.lattice.spin_layers.tolist()]
    wide = np.full(len(own), 0.28 * usual)
    discs = EllipseCollection(wide, wide, 0 * wide, units="xy", offsets=own, offset_transform=ax.transData)
    discs.set(cmap="coolwarm", clim=(-1, 1), edgecolor=rims, linewidth=1.2, zorder=2)
    ax.add_collection(discs)
    style = _arrow_style(0.7, usual, "0.1")
    arrows = ax.quiver(*own.T, *film.spins[0][:, [right, up]].T, **style, zorder=3)
    ends = np.array([at.min(0), at.max(0)]) + 0.45 * usual * np.array([[-1], [1]])
    ax.set(xlim=ends[:, 0], ylim=ends[:, 1])
    label = f"$S^{'xyz'[colour]}$"
    ax.figure.colorbar(discs, ax=ax, label=label, shrink=0.8, aspect=12, pad=0.02, ticks=[-1, 0, 1])

    def show(frame: int) -> None:
        arrows.set_UVC(*film.spins[frame][:, [right, up]].T)
        discs.set_array(film.spins[frame, :, colour])

    return show


def _currents(ax: Axes, lattice: Lattice, currents: np.ndarray) -> Callable[[int], None]:
    """An arrow in the middle of each bond, three tenths of most bonds for the largest current of all frames."""
    middle, along, usual = along_bonds(places(lattice), lattice)
    most = np.abs(currents).max(initial=0.0)
    arrows = ax.quiver(*middle.T, *along.T / usual, **_arrow_style(0.3, usual, COLOURS["green"]), zorder=1.5)

    def show(frame: int) -> None:
        values = currents[frame]
        which = np.ma.array(along / usual * (values / (most or 1.0))[:, None])
        which[np.abs(values) <= 0.005 * most] = np.ma.masked
        arrows.set_UVC(*which.T)

    return show


def _arrow_style(length: float, usual: float, colour: str) -> dict[str, Any]:
    """Of arrows that are as long as this part of most bonds where their numbers are 1."""
    head = dict(headwidth=4, headlength=4.5, headaxislength=4.0)
    scale = dict(angles="xy", units="xy", scale_units="xy", scale=1 / (length * usual), width=0.04 * usual)
    return dict(color=colour, pivot="mid", **scale, **head)


def _trace(ax: Axes, film: Film) -> Callable[[int], None]:
    """The magnetisations of the layers, and dots on those of the last at the time of the frame."""
    ax, last = axes(ax), film.trace.shape[1] - 1
    for layer in range(last + 1):
        style: dict[str, Any] = dict(lw=1.0) if layer == last else dict(lw=0.8, ls=":")
        for part, (name, colour) in enumerate(COMPONENTS.items()):
            label = f"$M^{name}$" if layer == last else None
            ax.plot(film.trace_t, film.trace[:, layer, part], color=colour, label=label, **style)
    if film.trace_t[0] < 0:
        ax.axvspan(film.trace_t[0], min(0.0, film.trace_t[-1]), color=RELAXATION, lw=0, zorder=0)
    ends = (film.trace_t[0], film.trace_t[-1]) if len(film.trace_t) > 1 else None
    ax.set(xlabel=TIME, ylabel=r"$\mathbf{M} / N_S$", xlim=ends, ylim=(-1.08, 1.08))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, handlelength=1.2)
    line = ax.axvline(film.t[0], color="0.5", lw=0.8)
    dots = ax.scatter([film.t[0]] * 3, [0.0] * 3, c=list(COMPONENTS.values()), s=14, zorder=4)
    rows = np.searchsorted(film.trace_t, film.t)

    def show(frame: int) -> None:
        t = film.t[frame]
        line.set_xdata([t, t])
        dots.set_offsets(np.stack([np.full(3, t), film.trace[rows[frame], last]], 1))

    return show


def _writer(path: Path, fps: int) -> AbstractMovieWriter:
    """What writes a file of this ending."""
    if path.suffix == ".gif":
        return PillowWriter(fps)
    if path.suffix == ".html":
        return HTMLWriter(fps, embed_frames=True, embed_limit=1000)
    if path.suffix != ".mp4":
        raise ValueError(f"Argument `path` must end in .gif, .html or .mp4, but is {path}.")
    if not FFMpegWriter.isAvailable():
        raise ValueError(f"Argument `path` must end in .gif or .html where there is no ffmpeg, but is {path}.")
    return FFMpegWriter(fps)


def _whole(page: str) -> str:
    """A page of matplotlib with its buttons' signs in it, in place of a link to them."""
    signs = "".join(f'.fa-{name}::before {{ content: "{sign}"; }}' for name, sign in SIGNS.items())
    style = f"<style>.fa {{ font-style: normal; }} .fa-flip-horizontal {{ transform: scaleX(-1); }} {signs}</style>"
    return re.sub(r"<link\b[^>]*>", lambda _: style, page)
