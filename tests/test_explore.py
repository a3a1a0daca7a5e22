"""Sliders over a valve: numbers by other routes, pictures that move, no further compilation, and a browser."""

import builtins
import io
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import nbformat
import numpy as np
import pytest
from PIL import Image

import svjax as sv
from svjax.plot.answers import Explored
from svjax.plot.explore import DECAYING, GROWING, Picture

STABLE, UNSTABLE, NONE = (1.3, 55.0, 2.6, 0.8), (-1.3, 65.0, 2.1, 0.9), (-2.0, 90.0, 3.0, 1.0)
"""Voltage, angle, J_sd and Gamma."""


def uneven_valve(**changes):
    """Layers, couplings and leads that differ, and a field across the plane of the easy axes."""
    parameters = dict(j_sd=[2.0, 1.6], lead_coupling=[1.0, 0.7], mu_bar=-0.5, temperature=0.1, field=(0.0, 0.01, 0.0))
    more = dict(anisotropy=(0.4, 0.02), poles=sv.pade_poles(16))
    return sv.SpinValve.square(6, 1, 2, 1, **parameters | more | changes)


@pytest.fixture(scope="module", name="explored")
def fixture_explored():
    explored = Explored(uneven_valve())
    explored(*STABLE)  # compiles
    return explored


def at_hand(angle, j_sd, gamma):
    """The same valve, built anew: the free layer's axis at ``angle`` from x towards z."""
    turned = np.cos(np.radians(angle)), 0.0, np.sin(np.radians(angle))
    axes = [(1.0, 0.0, 0.0), turned]
    return uneven_valve(j_sd=[j_sd, 0.8 * j_sd], lead_coupling=[gamma, 0.7 * gamma], easy_axes=axes)


@pytest.mark.parametrize("numbers", [STABLE, UNSTABLE], ids=["stable", "unstable"])
def test_numbers_are_those_of_the_single_functions(explored, numbers):
    answer, valve, bias = explored(*numbers), at_hand(*numbers[1:]), sv.symmetric(numbers[0])
    passed = sv.transmission(valve, sv.aligned_spins(valve), explored.energies)
    state = sv.steady_state(valve, bias, allow_unstable=True)
    torque = sv.current_driven_torque(valve, state, sv.steady_state(valve, None))
    assert answer.found and answer.complete and np.abs(torque).max() > 1e-3
    np.testing.assert_allclose(answer.transmission, passed, atol=1e-9)
    np.testing.assert_allclose(answer.magnetization, sv.magnetization(valve, state), atol=1e-8)
    np.testing.assert_allclose(answer.current, sv.charge_current(valve, state, 0), atol=1e-8)
    np.testing.assert_allclose(answer.torque, torque, atol=1e-8)
    np.testing.assert_allclose(answer.rates, sv.relaxation_modes(valve, state, bias), atol=1e-8)
    assert np.any(answer.rates.real > 0) == (not sv.is_stable(valve, state, bias)) == (numbers == UNSTABLE)


def test_axes_that_are_parallel_turn_too():
    along = np.array([[0.6, 0.0, 0.8], [0.6, 0.0, 0.8]])
    explored = Explored(uneven_valve(easy_axes=along, j_sd=0.0))
    assert explored.angle == 0.0
    valve = explored.at(35.0, 1.5, 0.6)
    spins = sv.aligned_spins(valve)
    np.testing.assert_allclose(spins[:-1], along[[0] * (len(spins) - 1)], atol=1e-12)
    np.testing.assert_allclose(spins[0] @ spins[-1], np.cos(np.radians(35.0)), atol=1e-12)
    np.testing.assert_allclose(valve.j_sd, 1.5)


def test_picture_shows_the_numbers(explored):
    picture = Picture(explored.energies)
    for numbers in (STABLE, UNSTABLE):
        answer = explored(*numbers)
        picture.show(numbers[0], answer)
        decaying, growing = ([*zip(*points.get_data(), strict=True)] for points in picture.modes)
        assert len(growing) == (numbers == UNSTABLE)
        assert {complex(*point) for point in decaying + growing} == set(answer.rates.tolist())
        assert all(re > 0 for re, _ in growing) and all(re < 0 for re, _ in decaying)
        assert ("a mode grows" in picture.words.get_text()) == (numbers == UNSTABLE)
        assert np.array_equal(picture.line.get_ydata(), answer.transmission)
        assert np.array_equal([bar.get_height() for bar in picture.layers], answer.magnetization.ravel())
        assert np.array_equal([bar.get_height() for bar in picture.driven], [answer.current, *answer.torque])
        window = picture.window.get_x(), picture.window.get_x() + picture.window.get_width()
        assert window == pytest.approx((-abs(numbers[0]) / 2, abs(numbers[0]) / 2))
        everything = [picture.line.get_ydata() / picture.axes[0].get_ylim()[1], *answer.rates.real]
        assert np.max(everything[0]) < 1 and picture.axes[1].get_xlim()[1] > np.abs(everything[1:]).max()
    assert [points.get_color() for points in picture.modes] == [DECAYING, GROWING]


def test_a_steady_state_is_shown_before_its_modes(explored):
    picture = Picture(explored.energies)
    first, problem = explored.without_modes(*UNSTABLE)
    picture.show(UNSTABLE[0], first)
    assert first.rates is None and picture.words.get_text().endswith("its modes follow.")
    assert not any(len(points.get_data()[0]) for points in picture.modes)
    whole, wanted = explored.with_modes(first, problem), explored(*UNSTABLE)
    assert all(np.array_equal(one, other) for one, other in zip(whole, wanted, strict=True))


def test_a_picture_keeps_nothing_of_the_one_before_it(explored):
    """Drawn over another one it is the same as drawn alone, also where no axis changes."""
    near = (STABLE[0] + 0.01, *STABLE[1:])
    seen = lambda picture, numbers: np.asarray(Image.open(io.BytesIO(picture.show(numbers[0], explored(*numbers)))))
    picture, last = Picture(explored.energies), None
    for numbers in (UNSTABLE, STABLE, near, NONE, near):
        last, before = seen(picture, numbers), last
        assert np.array_equal(last, seen(Picture(explored.energies), numbers)) or numbers == NONE
        assert before is None or (before != last).any()


def test_a_point_without_a_steady_state_says_so_and_the_next_one_goes_on(explored):
    picture, answer = Picture(explored.energies), explored(*NONE)
    with pytest.raises(sv.ConvergenceError):
        sv.steady_state(at_hand(*NONE[1:]), sv.symmetric(NONE[0]), allow_unstable=True)
    picture.show(NONE[0], answer)
    assert not answer.found and picture.words.get_text().startswith("No isolated steady state was found here")
    assert np.isnan([bar.get_height() for bar in (*picture.layers, *picture.driven)]).all()
    assert np.isfinite(answer.transmission).all() and np.array_equal(picture.line.get_ydata(), answer.transmission)
    picture.show(STABLE[0], explored(*STABLE))
    assert picture.words.get_text().startswith("Steady state") and picture.layers[0].get_height() > 0.5


def test_spins_that_nothing_holds_have_no_steady_state():
    answer = Explored(uneven_valve(anisotropy=(0.0, 0.0), field=(0.0, 0.0, 0.0)))(1.0, 90.0, 1.5, 1.0)
    assert not answer.found


def test_a_slider_moves_the_picture_and_compiles_nothing():
    pytest.importorskip("ipywidgets")
    *sliders, image = sv.explore(uneven_valve()).children
    assert [slider.description for slider in sliders] == ["voltage", "angle (°)", "J_sd", "Gamma"]
    assert [slider.value for slider in sliders] == pytest.approx([1.0, 90.0, 2.0, 1.0])
    names, seen = [], [np.asarray(Image.open(io.BytesIO(image.value)))]
    listen = lambda event, _, fun_name="", **more: names.append(fun_name) if "backend_compile" in event else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    pictures = []
    image.observe(lambda change: pictures.append(change["new"]), "value")
    for slider, value in zip(sliders, UNSTABLE, strict=True):
        slider.value = value
        seen.append(np.asarray(Image.open(io.BytesIO(image.value))))
    jax.monitoring.unregister_event_duration_listener(listen)
    assert not names and len(pictures) == 2 * len(sliders)  # without the modes, and with them
    assert {picture.shape for picture in seen} == {(460, 840, 4)}
    assert all((one != other).any(-1).sum() > 200 for one, other in zip(seen[1:], seen[:-1], strict=True))


def test_only_valves_of_two_layers_and_two_leads():
    with pytest.raises(ValueError, match=r"Argument `valve` must have two layers and two leads, but has 1 and 2\."):
        sv.explore(sv.SpinValve.square(4, 1, 0, 1, j_sd=2.0))


def test_without_ipywidgets_it_says_how_to_install_it(monkeypatch):
    own = builtins.__import__

    def without(name, *more):
        if name.split(".")[0] == "ipywidgets":
            raise ImportError
        return own(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"`explore` needs ipywidgets: pip install 'svjax\[notebooks\]'"):
        sv.explore(uneven_valve())


CELL = """import jax
jax.config.update("jax_enable_x64", True)
import svjax as sv
sv.explore(sv.SpinValve.square(4, 1, 1, 1, j_sd=2.0, anisotropy=(0.4, 0.1), poles=sv.optimized_poles(8)))"""
BROWSERS = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"


@pytest.fixture(name="page_of_sliders")
def fixture_page_of_sliders(tmp_path):
    """The address of a notebook with sliders, served with a kernel behind it."""
    pytest.importorskip("voila")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbformat.write(notebook, tmp_path / "sliders.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "voila", "sliders.ipynb", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    paths = os.pathsep.join([str(Path(sv.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": paths.rstrip(os.pathsep)}
        )
        try:
            for _ in range(300):
                with socket.socket() as door:
                    if server.poll() is not None or not door.connect_ex(("127.0.0.1", port)):
                        break
                time.sleep(0.1)
            assert server.poll() is None, (tmp_path / "log").read_text()
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(20)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no chromium or chrome on the PATH")
def test_a_slider_that_is_moved_in_a_browser_changes_the_picture(page_of_sliders):
    playwright = pytest.importorskip("playwright.sync_api")
    browser = next(path for path in map(shutil.which, BROWSERS) if path)
    launched = dict(executable_path=browser, args=["--no-sandbox"], timeout=60e3)
    with playwright.sync_playwright() as driver, driver.chromium.launch(**launched) as chromium:
        page = chromium.new_page()
        page.goto(page_of_sliders, timeout=120e3)
        image = page.wait_for_selector("img.widget-image", timeout=120e3)
        page.wait_for_function("image => image.naturalWidth == 840", arg=image, timeout=30e3)
        before, first = image.get_attribute("src"), image.screenshot()
        angle = page.locator(".noUi-handle").nth(1)
        assert angle.get_attribute("aria-valuenow") == "90.0"
        angle.press("ArrowLeft")
        changed = "([image, before]) => image.src != before && image.complete && image.naturalWidth == 840"
        page.wait_for_function(changed, arg=[image, before], timeout=30e3)
        assert angle.get_attribute("aria-valuenow") == "89.0"
        pictures = [np.asarray(Image.open(io.BytesIO(shot))) for shot in (first, image.screenshot())]
    assert pictures[0].shape == pictures[1].shape and (pictures[0] != pictures[1]).any(-1).sum() > 20
