import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import small_run, small_valve
from matplotlib.quiver import Quiver

import svjax as sv


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def arrows(ax):
    """Where the arrows of a map are and point."""
    (quiver,) = [item for item in ax.collections if isinstance(item, Quiver)]
    return quiver.XY, np.stack([quiver.U, quiver.V], 1)


def lattices():
    far = dict(j_sd=1.0, anisotropy=0.1)
    yield sv.SpinValve.square(4, 2, 1, 1, **far)
    yield sv.SpinValve.honeycomb(4, 2, 1, 1, **far)
    yield sv.SpinValve.triangular(4, 2, 1, 1, **far)
    yield sv.SpinValve.cubic(3, 2, 2, 1, 1, **far)
    yield sv.SpinValve.ring(5, layers=[[1]], contacts=[[0], [2]], **far)
    yield sv.SpinValve.from_bonds(3, [(0, 1), (2, 1)], layers=[[2]], contacts=[[0]], **far)


@pytest.mark.parametrize("valve", list(lattices()), ids=lambda valve: f"{valve.lattice.n_sites} sites")
def test_numbers_of_bonds_sites_and_spins_appear_where_these_are(valve):
    rng, lattice = np.random.default_rng(0), valve.lattice
    along = rng.normal(size=len(lattice.bonds)) + 0.1
    where, which = arrows(sv.plot.map_values(valve, along, "bond", ax=plt.figure().subplots()))
    assert len(where) == np.sum(np.abs(along) > 0.005 * np.abs(along).max())
    sizes = np.linalg.norm(which, axis=1)
    shown = np.abs(along)[np.abs(along) > 0.005 * np.abs(along).max()]
    np.testing.assert_allclose(sizes / sizes.max(), shown / shown.max(), rtol=1e-10)
    ax = sv.plot.map_values(valve, np.arange(lattice.n_sites), ax=plt.figure().subplots())
    at = np.asarray(ax.collections[-1].get_offsets())
    assert len(np.unique(np.round(at, 9), axis=0)) == lattice.n_sites
    np.testing.assert_array_equal(ax.collections[-1].get_array(), np.arange(lattice.n_sites))
    spins = sv.plot.map_values(valve, np.arange(len(lattice.spin_sites)), "spin", ax=plt.figure().subplots())
    np.testing.assert_array_equal(np.asarray(spins.collections[-1].get_offsets()), at[lattice.spin_sites])


def test_arrows_point_with_the_current_and_have_a_scale():
    """A bond written from right to left carries a negative current from left to right."""
    valve = sv.SpinValve.from_bonds(2, [(1, 0)], contacts=[[0], [1]], positions=[(0.0, 0.0, 0.0), (1.0, 0.0, 0.0)])
    state = sv.stationary(valve, np.zeros((0, 3)), (0.5, -0.5))
    current = float(sv.bond_currents(valve, state)[0])
    ax = sv.plot.map(state, "bond_current", valve=valve)
    where, which = arrows(ax)
    assert current < 0 and which[0, 0] == 1.0 and which[0, 1] == 0.0
    np.testing.assert_allclose(where, [[0.5, 0.0]])
    (key,) = [item for item in ax.get_children() if type(item).__name__ == "QuiverKey"]
    assert (
        key.text.get_text().startswith(f"{-current:.3g}: particles per time") and "hopping/hbar" in key.text.get_text()
    )


def test_runs_their_datasets_and_their_states_give_the_same_map(tmp_path):
    run = small_run()
    sv.save_run(tmp_path / "run", run)
    observed = sv.evolve(
        small_valve(), run.equilibrium.state, sv.symmetric(1.0), 2.0, dt=0.05, observe=("bond_current",)
    )
    numbers = lambda ax: arrows(ax)[1]
    last = numbers(sv.plot.map(observed, "bond_current", valve=small_valve(), ax=plt.figure().subplots()))
    direct = numbers(sv.plot.map(observed.state, "bond_current", valve=small_valve(), ax=plt.figure().subplots()))
    np.testing.assert_allclose(last, direct, atol=1e-12)
    first = sv.plot.map(observed, "bond_current", valve=small_valve(), row=0, ax=plt.figure().subplots())
    assert len(observed.t) > 1 and not np.array_equal(
        observed.observables["bond_current"][0], observed.observables["bond_current"][-1]
    )
    assert len(arrows(first)[1]) == 3
    ax = sv.plot.map(run, "spin_density", component="x", ax=plt.figure().subplots())
    expected = sv.spin_density(small_valve(), run.state)[:, 0]
    np.testing.assert_allclose(ax.collections[-1].get_array(), expected, atol=1e-14)
    with pytest.raises(ValueError, match="must be among what was observed"):
        sv.plot.map(sv.open_run(tmp_path / "run"), "bond_current")


def test_a_point_of_a_sweep_is_drawn_and_a_whole_sweep_is_not():
    found = sv.sweep(small_valve(), {"voltage": [0.3, 0.6]}, sv.SteadyTask(observe=("site_charge", "magnetization")))
    ax = sv.plot.map(found.sel(voltage=0.6), "site_charge")
    np.testing.assert_array_equal(ax.collections[-1].get_array(), found["site_charge"][1])
    with pytest.raises(ValueError, match="must be one point of a sweep, but has 'voltage'"):
        sv.plot.map(found, "site_charge")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(what="energy"), "must name an observable of bonds, sites or spins, but is 'energy'"),
        (dict(what="site_spin", component="w"), "`component` must be 'x', 'y' or 'z'"),
        (dict(what="site_spin", valve=None), "`valve` must be given"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sv.plot.map(small_run().state, **dict(valve=small_valve()) | arguments)


@pytest.mark.parametrize(
    ("values", "message"), [(np.zeros(3), "4 numbers, one per site"), ([1, 2, 3, np.nan], "finite")]
)
def test_wrong_numbers_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        sv.plot.map_values(small_valve(), values)
