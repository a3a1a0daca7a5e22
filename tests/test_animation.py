"""A run in motion: which rows are shown, where arrows point, what is coloured, what is written."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import SMALL, small_run, small_valve
from matplotlib.animation import FFMpegWriter
from matplotlib.collections import EllipseCollection
from matplotlib.quiver import Quiver
from PIL import Image

import svjax as sv
from svjax.cli.main import main
from svjax.plot.animation import scene
from svjax.plot.film import Film, film_of, in_plane

OBSERVED = ("spins", "bond_current")


@pytest.fixture(scope="module", name="run")
def fixture_run():
    return sv.three_stage(small_valve(), sv.symmetric(1.0), observe=OBSERVED, **SMALL | dict(relax=25.0, duration=50.0))


@pytest.fixture(autouse=True)
def nothing_stays_open():
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


def arrows(ax):
    """Of the spins and of the bonds, in the order in which they were drawn."""
    return [item for item in ax.collections if isinstance(item, Quiver)]


def film(valve, spins, currents=None):
    """Of the same state at two times, the second one turned over."""
    spins = np.stack([spins, -spins])
    layers = len(valve.lattice.layers)
    trace = np.arange(6.0 * layers).reshape(2, layers, 3) / 10
    return Film(valve.lattice, np.array([0.0, 3.0]), spins, currents, np.array([0.0, 3.0]), trace)


def ring():
    return sv.SpinValve.ring(5, layers=[[1, 2], [4]], contacts=[[0], [3]], j_sd=1.0, anisotropy=0.1)


def test_arrows_point_along_the_components_and_colours_are_the_third():
    spins = np.array([[0.6, 0.64, -0.48], [0.0, 0.8, 0.6], [-0.36, 0.48, 0.8]])
    for plane, (right, up, out) in {"xz": (0, 2, 1), "xy": (0, 1, 2), "yz": (1, 2, 0)}.items():
        figure, show = scene(film(ring(), spins), in_plane(np.stack([spins, -spins]), plane))
        top, below, bar = figure.axes
        (own,), (discs,) = arrows(top), [c for c in top.collections if isinstance(c, EllipseCollection)]
        places = np.array(ring().lattice.positions)[[1, 2, 4], :2]
        for frame, sign in ((0, 1), (1, -1)):
            show(frame)
            np.testing.assert_array_equal(np.stack([own.U, own.V], 1), sign * spins[:, [right, up]])
            np.testing.assert_array_equal(discs.get_array(), sign * spins[:, out])
            assert top.get_title(loc="left") == f"t = {3.0 * frame:.1f}"
        np.testing.assert_array_equal(own.XY, places)
        np.testing.assert_array_equal(discs.get_offsets(), places)
        assert bar.get_ylabel() == f"$S^{'xyz'[out]}$" and discs.get_clim() == (-1, 1)
        assert f"(S^{'xyz'[right]}, S^{'xyz'[up]})" in top.get_title(loc="right")
        line, dots = below.get_lines()[-1], below.collections[-1]
        assert line.get_xdata() == [3.0, 3.0]
        np.testing.assert_allclose(dots.get_offsets(), [(3.0, value) for value in (0.9, 1.0, 1.1)])
        colours = [tuple(colour) for colour in discs.get_edgecolor()]
        assert colours[0] == colours[1] != colours[2]


def test_a_larger_third_component_is_redder():
    spins = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    figure, _ = scene(film(ring(), spins), (0, 1, 2))
    figure.draw_without_rendering()
    (discs,) = [c for c in figure.axes[0].collections if isinstance(c, EllipseCollection)]
    red, _, blue, _ = discs.get_facecolor().T
    assert red[0] > 0.6 > red[2] and blue[2] > 0.6 > blue[0] and abs(red[1] - blue[1]) < 0.05


def test_currents_are_arrows_along_their_bonds_and_one_scale_holds_for_all_frames():
    """A bond written from right to left, with a current from left to right; one that carries nothing."""
    places = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 2.0, 0.0)]
    valve = sv.SpinValve.from_bonds(3, [(1, 0), (1, 2)], layers=[[0]], contacts=[[1]], j_sd=1.0, positions=places)
    currents = np.array([[-0.2, 0.0], [0.05, 0.4]])
    figure, show = scene(film(valve, np.array([[0.0, 0.6, 0.8]]), currents), (0, 2, 1))
    _, own = arrows(figure.axes[0])
    show(0)
    np.testing.assert_allclose(own.XY, [(0.5, 0.0), (1.0, 1.0)])
    assert (own.U[0], own.V[0]) == (0.5, 0.0)
    assert np.asarray(own.Umask).tolist() == [False, True]
    show(1)
    np.testing.assert_allclose([own.U, own.V], [(-0.125, 0.0), (0.0, 1.0)], atol=1e-15)
    assert "up to 0.4" in figure.axes[0].get_title(loc="right")


@pytest.mark.parametrize("still, plane", [(0, "yz"), (1, "xz"), (2, "xy")])
def test_the_plane_is_that_of_the_motion(still, plane):
    angle = np.linspace(0, 5, 40)
    spins = np.stack([np.cos(angle), np.sin(angle), np.zeros(40)], 1)
    spins = np.roll(0.8 * spins + [0, 0, 0.6], still - 2, axis=1)[:, None]
    right, up, out = in_plane(spins, None)
    assert ("xyz"[right] + "xyz"[up], out) == (plane, still)


def test_frames_are_even_in_time_and_rows_those_of_the_run(run, tmp_path):
    seen = film_of(run, None, 7)
    assert len(seen.t) == 7 and np.ptp(np.diff(seen.t)) <= 0.5
    rows = np.searchsorted(run.t, seen.t)
    np.testing.assert_array_equal(run.t[rows], seen.t)
    for name, values in zip(OBSERVED, (seen.spins, seen.currents), strict=True):
        np.testing.assert_array_equal(values, run.observables[name][rows])
    assert len(film_of(run, None, 10**4).t) == len(run.t)
    m = np.stack([sv.magnetization(small_valve(), sv.State(None, None, s)) for s in run.observables["spins"]])
    np.testing.assert_allclose(seen.trace, m, atol=1e-14)
    sv.save_run(tmp_path / "run", run)
    for other in (sv.open(tmp_path / "run"), sv.open(tmp_path / "run").isel(time=slice(10, None))):
        again = film_of(other, None, 7)
        np.testing.assert_array_equal(again.spins, other["spins"].sel(time=again.t))
        np.testing.assert_array_equal(again.currents, other["bond_current"].sel(time=again.t))


@pytest.mark.parametrize(
    "make",
    [
        sv.SpinValve.honeycomb,
        *(pytest.param(x, marks=pytest.mark.slow) for x in (sv.SpinValve.triangular, sv.SpinValve.square)),
    ],
)
def test_a_gif_has_its_frames_and_they_differ(make, tmp_path, capsys):
    valve = make(4, 2, 1, 1, j_sd=2.0, anisotropy=(0.4, 0.1), field=(0, 0.1, 0.05), poles=sv.optimized_poles(6))
    start = sv.stationary(valve, sv.aligned_spins(valve))
    run = sv.evolve(valve, start, sv.symmetric(1.0), 10.0, observe=OBSERVED)
    assert sv.plot.animate(run, tmp_path / "deep" / "spins.gif", valve=valve, frames=4, fps=10) is None
    with Image.open(tmp_path / "deep" / "spins.gif") as picture:
        assert picture.n_frames == 4 and picture.info["duration"] == 100
        frames = []
        for frame in range(4):
            picture.seek(frame)
            frames.append(np.asarray(picture.convert("RGB"), int))
    assert min(np.abs(a - b).max() for a, b in pairwise(frames)) > 50
    assert "4/4" in capsys.readouterr().err


def test_a_page_loads_nothing_from_elsewhere(run, tmp_path):
    sv.plot.animate(run, tmp_path / "spins.html", frames=3)
    moving = sv.plot.animate(run, frames=3)
    for page in ((tmp_path / "spins.html").read_text(), moving._repr_html_()):
        assert page.count('"data:image/png;base64') == 3
        assert "<link" not in page and "http" not in page.replace("http://www.w3.org", "")
        assert '.fa-play::before { content: "\\25b6"; }' in page and '"fa fa-play"' in page


def test_without_a_path_it_is_an_animation_that_notebooks_show(run):
    moving = sv.plot.animate(run, frames=5)
    assert len(list(moving.new_frame_seq())) == 5 and "<script" in moving._repr_html_()


def test_the_command_draws_a_stored_run(run, tmp_path, capsys):
    sv.save_run(tmp_path / "run", run)
    words = ["--frames", "3", "--plane", "yz"]
    assert main(["animate", str(tmp_path / "run"), *words]) == 0
    with Image.open(tmp_path / "run" / "spins.gif") as picture:
        assert picture.n_frames == 3
    assert f"wrote {tmp_path / 'run' / 'spins.gif'}" in capsys.readouterr().out
    assert main(["animate", str(tmp_path / "run"), *words, "--out", str(tmp_path / "a.html")]) == 0
    sv.save_run(tmp_path / "blind", small_run())
    assert main(["animate", str(tmp_path / "blind")]) == 2
    assert 'run with observe=[..., "spins"], on the command line --observe ... spins.' in capsys.readouterr().err
    assert not (tmp_path / "blind" / "spins.gif").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(frames=0), "`frames` must be a whole number of at least 1, but is 0"),
        (dict(fps=0), "`fps` must be a whole number of at least 1, but is 0"),
        (dict(plane="zx"), "`plane` must be one of xz, xy, yz, but is 'zx'"),
        (dict(path="spins.avi"), "`path` must end in .gif, .html or .mp4, but is spins.avi"),
    ],
)
def test_what_cannot_be_drawn_is_refused(run, arguments, message):
    with pytest.raises(ValueError, match=message):
        sv.plot.animate(run, **arguments)


def test_runs_that_hold_no_spins_in_time_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match=r"`run` must have observed spins, but has .*magnetization, "):
        sv.plot.animate(small_run())
    start = run.equilibrium.state
    seen = sv.evolve(small_valve(), start, sv.symmetric(1.0), 1.0, dt=0.05, observe=("spins",), method="rk38")
    with pytest.raises(ValueError, match="`valve` must be given with a trajectory"):
        sv.plot.animate(seen)
    sv.save_run(tmp_path / "run", run)
    lost = sv.open(tmp_path / "run")
    with pytest.raises(ValueError, match="`run` must hold spins that are finite, but holds none"):
        sv.plot.animate(lost.assign(spins=lost["spins"] * np.nan))
    found = sv.sweep(small_valve(), {"voltage": [0.3, 0.6]}, sv.SteadyTask(observe=("spins",)))
    with pytest.raises(ValueError, match=r"`run` must be one run, but has spins along voltage, spin, component"):
        sv.plot.animate(found)


def test_mp4_needs_ffmpeg(run, tmp_path, monkeypatch):
    if FFMpegWriter.isAvailable():
        sv.plot.animate(run, tmp_path / "spins.mp4", frames=3)
        assert (tmp_path / "spins.mp4").read_bytes()[4:8] == b"ftyp"
    monkeypatch.setattr(FFMpegWriter, "isAvailable", classmethod(lambda _: False))
    with pytest.raises(ValueError, match=r"`path` must end in \.gif or \.html where there is no ffmpeg, but is"):
        sv.plot.animate(run, tmp_path / "none.mp4", frames=3)
