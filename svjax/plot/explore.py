"""A valve with sliders in a notebook: its transmission, steady state and relaxation modes at once."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from svjax.model.valve import SpinValve
from svjax.plot.answers import LARGEST_VOLTAGE, Answer, Explored
from svjax.plot.style import CHARGE, COLOURS, COMPONENTS, ENERGY, RELAXATION, axes

if TYPE_CHECKING:
    from ipywidgets import VBox

GROWING, DECAYING = COLOURS["vermillion"], COLOURS["blue"]


class Picture:
    """One figure whose lines, bars and points move; all else of it is drawn again only where an axis changes."""

    def __init__(self, energies: np.ndarray):
        self.energies = energies
        self.figure = Figure((8.4, 4.6), layout=ConstrainedLayoutEngine(w_pad=0.1))
        self.canvas = FigureCanvasAgg(self.figure)
        panels = self.figure.subplots(2, 2, width_ratios=(1.5, 1))
        through, plane, layers, driven = (axes(ax) for ax in panels.ravel())
        self._transmission(through)
        self._plane(plane)
        names = [rf"$M_{side}^{name}$" for side in "lr" for name in COMPONENTS]
        self.layers = layers.bar(names, 0.0, color=[*COMPONENTS.values()] * 2)
        layers.set(ylim=(-1.08, 1.08), ylabel="magnetization")
        names = [r"$\mathcal{I}$", *(rf"$\mathcal{{T}}^{name}$" for name in COMPONENTS)]
        self.driven = driven.bar(names, 0.0, color=[CHARGE, *COMPONENTS.values()])
        driven.set(ylabel=r"current, torque ($\gamma$)", ylim=(-0.15, 0.15))
        for ax in (layers, driven):
            ax.axhline(0, color="0.5", lw=0.6)
        self.axes = through, plane, layers, driven
        self.words = self.figure.suptitle(" ", fontsize=10)
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        self.moving = [self.window, self.line, *self.layers, *self.driven, *self.modes, self.words]
        for artist in self.moving:
            artist.set_animated(True)
        self.behind: tuple[object, object] = None, None

    def _transmission(self, ax: Axes) -> None:
        (self.line,) = ax.plot(self.energies, np.zeros_like(self.energies), color=COLOURS["black"], lw=1.0)
        self.window = ax.axvspan(0, 0, color=RELAXATION, lw=0, zorder=0)
        ax.set_title("spins along their easy axes", fontsize=9, loc="left")
        ax.set(xlim=self.energies[[0, -1]], ylim=(0, 1), xlabel=ENERGY, ylabel=r"transmission $\Theta$")

    def _plane(self, ax: Axes) -> None:
        ax.axvline(0, color="0.5", lw=0.6)
        marks = {"decays": (DECAYING, "o"), "grows": (GROWING, "^")}
        self.modes = [ax.plot([], [], mark, color=c, ms=6, label=k)[0] for k, (c, mark) in marks.items()]
        ax.legend(frameon=False, fontsize=8, loc="upper left", ncols=2, handlelength=1.0)
        ax.set(xlim=(-0.01, 0.01), ylim=(0, 1))
        ax.set(xlabel=r"Re $\lambda$ ($\gamma/\hbar$)", ylabel=r"Im $\lambda$ ($\gamma/\hbar$)")
        ax.ticklabel_format(axis="x", scilimits=(-3, 3))

    def show(self, voltage: float, answer: Answer) -> bytes:
        """The picture of an ``answer``, as PNG."""
        through, plane, _, driven = self.axes
        self.line.set_ydata(answer.transmission)
        through.set_ylim(0, _limit(answer.transmission))
        self.window.set(x=-abs(voltage) / 2, width=abs(voltage))
        blank = 1.0 if answer.found else np.nan
        for bars, heights in ((self.layers, answer.magnetization.ravel()), (self.driven, self._drives(answer))):
            for bar, height in zip(bars, heights * blank, strict=True):
                bar.set_height(height)
        rates = np.asarray([] if answer.rates is None else answer.rates, complex) * blank
        growing = np.real(rates) > 0
        for points, chosen in zip(self.modes, (~growing, growing), strict=True):
            points.set_data(rates.real[chosen], rates.imag[chosen])
        if answer.found:
            driven.set_ylim(*(np.array([-1, 1]) * _limit(self._drives(answer))))
        if answer.found and len(rates):
            plane.set_xlim(*(np.array([-1, 1]) * _limit(rates.real)))
            plane.set_ylim(*(np.array([-0.1, 1.3]) * _limit(rates.imag)))
        self.words.set(text=in_words(answer), color=COLOURS["black"] if answer.found else GROWING)
        return self._drawn()

    def _drawn(self) -> bytes:
        """The picture, as PNG."""
        limits = [(*ax.get_xlim(), *ax.get_ylim()) for ax in self.axes]
        if self.behind[0] != limits:
            self.canvas.draw()
            self.behind = limits, self.canvas.copy_from_bbox(self.figure.bbox)
        self.canvas.restore_region(self.behind[1])
        for artist in self.moving:
            (artist.axes or self.figure).draw_artist(artist)
        target = BytesIO()
        Image.fromarray(np.asarray(self.canvas.buffer_rgba())).save(target, "png", compress_level=1)
        return target.getvalue()

    def _drives(self, answer: Answer) -> np.ndarray:
        return np.array([answer.current, *answer.torque])


def in_words(answer: Answer) -> str:
    """What the picture says of an answer."""
    if not answer.found:
        return "No isolated steady state was found here from layers along their easy axes."
    if answer.rates is None:
        return f"Steady state: I = {answer.current:.3g} $\\gamma/\\hbar$; its modes follow."
    growing = np.any(answer.rates.real > 0)
    held = "unstable, a mode grows" if growing else "its slow modes decay"
    lost = "" if answer.complete else "; not all of them were told apart"
    return f"Steady state: I = {answer.current:.3g} $\\gamma/\\hbar$; {held}{lost}."


def _limit(values: ArrayLike) -> float:
    """A limit of an axis somewhat above the largest of ``values``, one of few, so that it rarely jumps."""
    largest = 1.05 * np.max(np.abs(values), where=np.isfinite(np.asarray(values)), initial=1e-6)
    scale = 10 ** np.floor(np.log10(largest))
    return scale * next(step for step in (1.5, 2, 3, 5, 7.5, 10) if step * scale >= largest)


def explore(valve: SpinValve) -> VBox:
    """Sliders for voltage, angle, J_sd and Gamma above a picture of the valve, for Jupyter.

    The picture has the transmission Theta(e) of spins along their easy axes with the bias window shaded, and of the
    steady state that is reached from there its magnetisations, charge current (of lead 0), current-driven torque on
    the free layer, Eq. (15), and its relaxation modes of smallest |lambda|, with those that grow marked.

    **Arguments:**

    - `valve`: of two layers and two leads. The voltage V is symmetric, mu = (V/2, -V/2), in units of the hopping; the
      angle that between the easy axes of the layers, in degrees. J_sd and Gamma are the largest of the valve; where
      they differ between spins or leads they keep their ratios.

    **Returns:** a box of ipywidgets, which a notebook shows; where there is no steady state the picture says so. Modes
    take most of the time and follow in a second picture. The first picture compiles, which takes some seconds. Raises
    ImportError without ipywidgets.
    """
    try:
        import ipywidgets as widgets
    except ImportError:
        raise ImportError("`explore` needs ipywidgets: pip install 'svjax[notebooks]'.") from None
    explored = Explored(valve)
    picture = Picture(explored.energies)
    ranges = {
        "voltage": ("voltage", -LARGEST_VOLTAGE, LARGEST_VOLTAGE, 0.05, 1.0),
        "angle": ("angle (°)", 0.0, 180.0, 1.0, explored.angle),
        "j_sd": ("J_sd", -explored.most["j_sd"], explored.most["j_sd"], 0.05, explored.j_sd),
        "gamma": ("Gamma", min(0.05, explored.gamma), explored.most["gamma"], 0.05, explored.gamma),
    }
    sliders = {
        name: widgets.FloatSlider(description=label, min=low, max=high, step=step, value=value)
        for name, (label, low, high, step, value) in ranges.items()
    }

    image = widgets.Image(format="png")

    def draw(*_: object) -> None:
        numbers = {name: slider.value for name, slider in sliders.items()}
        first, problem = explored.without_modes(**numbers)
        image.set_trait("value", picture.show(numbers["voltage"], first))
        image.set_trait("value", picture.show(numbers["voltage"], explored.with_modes(first, problem)))

    draw()
    for slider in sliders.values():
        slider.observe(draw, "value")
    return widgets.VBox([*sliders.values(), image])
