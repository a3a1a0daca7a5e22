import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import small_run, small_valve
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

import svjax as sv


@pytest.fixture(scope="module", name="dataset")
def fixture_dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    sv.save_run(path, small_run())
    return sv.open_run(path)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def trajectory():
    return sv.evolve(
        small_valve(), small_run().equilibrium.state, sv.symmetric(1.0), 2.0, dt=0.05, save_every=5, method="rk38"
    )


def lines(ax, colour, style):
    chosen = [line for line in ax.get_lines() if line.get_color() == colour and line.get_linestyle() == style]
    return [line for line in chosen if len(line.get_xdata()) > 2]


def test_magnetization_shows_every_component_and_marks_the_stages(dataset):
    ax = sv.plot.magnetization(dataset)
    for k, name in enumerate("xyz"):
        (line,) = lines(ax, sv.plot.COMPONENTS[name], "-")
        assert np.array_equal(line.get_xdata(), small_run().t)
        assert np.array_equal(line.get_ydata(), small_run().observables["magnetization"][:, 1, k])
    (shade,) = [patch for patch in ax.patches if patch.get_facecolor() == to_rgba(sv.plot.RELAXATION)]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (-50.0, 0.0)
    assert [text.get_text() for text in ax.texts] == ["stage 1", "stage 2"]
    assert "hbar" in ax.get_xlabel() and ax.get_ylabel() and ax.get_legend() is not None
    assert ax.get_xlim() == (-50.0, 50.0)


def test_currents_are_solid_at_the_lead_and_dashed_at_the_interface_less_equilibrium(dataset):
    ax = sv.plot.currents(dataset)
    after, rows = small_run().stage == 2, small_run().observables
    rest = rows["interface_spin_current"][small_run().t == 0.0]
    assert np.abs(rest).max() > 1e-3
    for k, name in enumerate("xyz"):
        (solid,), (dashed,) = (lines(ax, sv.plot.COMPONENTS[name], style) for style in ("-", "--"))
        assert np.array_equal(solid.get_xdata(), small_run().t[after])
        assert np.array_equal(solid.get_ydata(), rows["spin_current"][after, 1, k])
        assert np.array_equal(dashed.get_ydata(), (rows["interface_spin_current"][after] - rest)[:, k])
    (solid,), (dashed,) = (lines(ax, sv.plot.CHARGE, style) for style in ("-", "--"))
    assert np.array_equal(solid.get_ydata(), rows["charge_current"][after, 1])
    assert np.array_equal(dashed.get_ydata(), rows["interface_charge_current"][after])
    assert ax.get_xscale() == "log" and "gamma" in ax.get_ylabel() and "hbar" in ax.get_xlabel()


def test_pictures_draw_on_given_axes_and_leave_pyplot_alone(dataset, tmp_path):
    before = plt.get_fignums(), dict(plt.rcParams)
    ax = Figure(layout="constrained").subplots()
    assert sv.plot.currents(dataset, ax=ax) is ax
    for kind in ("png", "pdf"):
        sv.plot.save(ax, tmp_path / f"picture.{kind}")
        assert (tmp_path / f"picture.{kind}").stat().st_size > 5000
    assert sv.plot.run_pictures(tmp_path, dataset)
    assert (plt.get_fignums(), dict(plt.rcParams)) == before


def test_pictures_appear_on_the_current_axes(dataset, tmp_path):
    """As `plt.savefig` after a picture, and a picture after `plt.subplots`, should have it."""
    ax = sv.plot.magnetization(dataset)
    assert plt.gcf() is ax.figure and plt.gca() is ax
    plt.savefig(tmp_path / "picture.png")
    assert len(np.unique(plt.imread(tmp_path / "picture.png").reshape(-1, 4), axis=0)) > 10
    figure, (_, below) = plt.subplots(2)
    assert sv.plot.currents(dataset) is below and plt.gcf() is figure
    own = plt.figure()
    assert all(
        ax.figure is own for ax in sv.plot.switching(small_valve(), trajectory(), trajectory().state, figure=own)
    )


def test_sites_are_drawn_where_they_are():
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (1.5, 0.87), (1.0, 1.73), (0.0, 1.73), (-0.5, 0.87)])
    ring = [(k, (k + 1) % 6) for k in range(6)]
    valve = sv.SpinValve.from_bonds(6, ring, [[0], [3]], positions=corners)
    ax = sv.plot.configuration(valve, sv.aligned_spins(valve))
    first, second = ax.collections
    assert np.array_equal(first.XY, [corners[0]]) and np.array_equal(second.XY, [corners[3]])


def test_currents_need_a_second_stage(dataset):
    with pytest.raises(ValueError, match="`run` must reach stage 2"):
        sv.plot.currents(dataset.isel(time=slice(0, 50)))


def test_configuration_puts_arrows_of_every_layer_on_its_sites():
    valve = small_valve()
    spins = np.array([[0.6, 0.0, 0.8], [0.0, 0.6, -0.8]])
    ax = sv.plot.configuration(valve, spins)
    first, second = ax.collections
    assert np.array_equal([first.U, first.V], [[0.6], [0.8]]) and np.array_equal([second.U, second.V], [[0.0], [-0.8]])
    assert np.array_equal(first.XY, [[0, 0]]) and np.array_equal(second.XY, [[3, 0]])
    colours = {tuple(arrows.get_facecolor()[0]) for arrows in (first, second)}
    assert len(colours) == 2


def test_switching_shows_the_run_between_its_ends():
    valve = small_valve()
    start = small_run().equilibrium.state
    run = trajectory()
    first, last, below = sv.plot.switching(valve, run, start)
    for k, name in enumerate("xyz"):
        (line,) = lines(below, sv.plot.COMPONENTS[name], "-")
        assert np.array_equal(line.get_ydata(), run.observables["magnetization"][:, 1, k])
    for ax, spins in ((first, start.spins), (last, run.state.spins)):
        assert np.array_equal(ax.collections[1].U, spins[1:, 0])
    assert first.get_title() == "$t = 0$" and last.get_title() == "$t = 2$"
