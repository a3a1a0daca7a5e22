"""What a run observes is checked before it starts, and any name and number that a file can hold is kept."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_run, small_valve
from matplotlib.figure import Figure

import svjax as sv

BRIEF = dict(relax=1.0, duration=1.0, dt=0.05, save_every=5)


def never(now):
    raise AssertionError("the run has begun")


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        (lambda v, s: {"dM/dt": s.spins}, r"letters, digits, spaces and .*but has 'dM/dt'"),
        (lambda v, s: {"": s.spins}, "but has ''"),
        (lambda v, s: {".hidden": s.spins}, "but has '.hidden'"),
        (lambda v, s: {"n" * 200: s.spins}, "but has 'nnnn"),
        (lambda v, s: {1: s.spins}, "but has 1"),
        (lambda v, s: {"status": sv.site_charge(v, s)}, "must not use the name 'status'"),
        (lambda v, s: {"final_rho": s.rho}, "must not use the name 'final_rho'"),
        (lambda v, s: {"a": s.spins, "a_1": s.spins}, "must not use the name 'a_1'"),
        (lambda v, s: {"a": {"b": s.spins}}, "must return arrays of numbers, but 'a' is of type dict"),
        (lambda v, s: {"a": [s.spins, s.spins]}, "but 'a' is of type list"),
        (lambda v, s: {"a": "text"}, "but 'a' is of type str"),
        (lambda v, s: {"a": None}, "but 'a' is of type NoneType"),
        (lambda v, s: {"a": s.spins.astype(jnp.float16)}, "but 'a' is an array of float16"),
        (lambda v, s: {}, "must return a dict of arrays, but returns empty"),
        (lambda v, s: s.spins, "must return a dict of arrays, but returns an array of float64"),
        ("energy", r"must be a sequence of names, such as \('energy',\), but is 'energy'"),
        ({"energy"}, "must be a sequence of names"),
        (["energie"], "but has 'energie'; near is 'energy'"),
        ([3], "must name observables, but has 3"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_the_run(observe, message):
    with pytest.raises(ValueError, match=f"Argument `observe` {message}|Argument `observe` must .*{message}"):
        sv.three_stage(small_valve(), sv.symmetric(1.0), **BRIEF, observe=observe, progress=never)


def test_integers_truth_values_and_shapes_of_ones_own_are_kept(tmp_path):
    def observe(valve, state):
        z = state.spins[:, 2]
        shapes = {"charge_current": jnp.arange(4.0) * z[0], "spin_current": z, "energy": z[:1]}
        return {"up": z > 0.5, "which": jnp.argmax(z), "M, (x+y)": z[0] + 1j} | shapes

    run = sv.three_stage(small_valve(), sv.symmetric(1.0), **BRIEF, observe=observe)
    sv.save_run(tmp_path / "run", run)
    stored = sv.open_run(tmp_path / "run")
    for name, values in run.observables.items():
        assert np.array_equal(stored[name], values) and stored[name].dtype == values.dtype
    assert stored["which"].values.tolist() == [1] * 9 and stored["up"].values[0].tolist() == [False, True]
    for name in ("charge_current", "spin_current", "energy"):
        assert stored[name].dims == ("time", f"{name}_1") and stored[name].units == ""
    assert sv.convergence_report(run)["step at the end"].value < 1e-4


def test_what_lies_on_bonds_and_layers_has_their_dimensions_and_units(tmp_path):
    names = ("magnetization", "bond_current", "bond_spin_current", "site_charge")
    run = sv.three_stage(small_valve(), sv.symmetric(1.0), **BRIEF, observe=names)
    sv.save_run(tmp_path / "run", run)
    stored = sv.open_run(tmp_path / "run")
    assert stored["bond_current"].dims == ("time", "bond") and stored["bond_current"].units == "hopping/hbar"
    assert stored["bond_spin_current"].dims == ("time", "bond", "component")
    assert stored["magnetization"].dims == ("time", "layer", "component") and stored["site_charge"].dims[1] == "site"
    assert np.array_equal(stored["bond_current"], run.observables["bond_current"])


def test_an_equilibrium_with_other_observables_gives_its_last_row(tmp_path):
    rest, names = small_run().equilibrium, ("energy", "spins")
    run = sv.three_stage(small_valve(), sv.symmetric(1.0), duration=1.0, dt=0.05, equilibrium=rest, observe=names)
    assert run.t.tolist() == [0.0, 0.5, 1.0] and run.stage.tolist() == [1, 2, 2]
    assert run.observables["energy"][0] == sv.energy(small_valve(), rest.state)
    assert np.array_equal(run.observables["spins"][0], rest.state.spins)
    sv.save_run(tmp_path / "run", run)
    assert set(sv.load_equilibrium(sv.open_run(tmp_path / "run")).observables) == set(names)
    with pytest.raises(ValueError, match="`equilibrium` must belong to the same valve"):
        sv.three_stage(small_valve(j_sd=1.0), None, duration=1.0, dt=0.05, equilibrium=rest, observe=names)


def test_evolve_takes_names_and_arrays_for_times_and_says_when_nothing_would_be_saved():
    valve, start = small_valve(), small_run().equilibrium.state
    run = sv.evolve(valve, start, None, jnp.asarray(1.0), dt=np.float64(0.05), save_every=20, observe=["spins"])
    assert list(run.observables) == ["spins"] and np.array_equal(run.observables["spins"][-1], run.state.spins)
    with pytest.raises(ValueError, match="`save_every` must be at most the 20 steps of the run, but is 21"):
        sv.evolve(valve, start, None, 1.0, dt=0.05, save_every=21)
    with pytest.raises(ValueError, match=r"`duration` must be one number, but has shape \(2,\)"):
        sv.evolve(valve, start, None, [1.0, 2.0], dt=0.05)
    assert sv.RunTask(jnp.asarray(1.0), dt=np.float32(0.5)) == sv.RunTask(1.0, dt=0.5)
    with pytest.raises(ValueError, match="must be a sequence of names"):
        sv.RunTask(1.0, observe="energy")


def test_rows_of_a_short_protocol_fall_on_multiples_of_save_every():
    run = sv.three_stage(small_valve(), sv.symmetric(1.0), relax=0.15, duration=0.6, dt=0.05, save_every=5)
    assert np.allclose(run.t, [-0.15, 0.0, 0.25, 0.5]) and run.stage.tolist() == [0, 1, 2, 2]
    assert np.array_equal(run.observables["magnetization"][1], run.equilibrium.state.spins)


def test_a_picture_is_saved_with_all_its_subfigures(tmp_path):
    figure = Figure()
    sv.plot.save(figure.subfigures(1, 2)[0].subplots(), tmp_path / "part.png")
    sv.plot.save(figure.add_subplot(), tmp_path / "whole.png")
    assert (tmp_path / "part.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="`ax` must be the axes of a picture, but is of type Figure"):
        sv.plot.save(figure, tmp_path / "x.png")
