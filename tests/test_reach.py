"""What the poles leave in rho: said at every door where it is much, by the number that the closed form gives."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_valve
from systems import random_spins, tangled

import svjax as sv
from svjax.cli.main import main
from svjax.cli.options import RunOptions, SteadyOptions
from svjax.cli.sweep_options import SweepOptions
from svjax.electrons.reach import LIMIT, TOLERANCE, bound_of_pole_error, check_poles, error_within, pole_error
from svjax.reservoirs.bias import as_bias, described
from svjax.reservoirs.poles import _table

WARM = small_valve(poles=sv.optimized_poles(8))
START = sv.aligned_spins(WARM)
FAR = {
    "low temperature": (dict(temperature=0.001), 0.5),
    "large mu_bar": (dict(mu_bar=60.0), 0.5),
    "deep levels": (dict(mu_bar=np.array([0.0, -200.0, 0.0, 0.0])), 0.5),
    "strong coupling": (dict(j_sd=200.0), 0.5),
    "large bias": (dict(), 200.0),
}


def cases():
    tangle = tangled(4)[0]
    band = eqx.tree_at(
        lambda v: v.poles, small_valve(bands=[sv.LorentzianBand(3.0), None]), sv.optimized_poles(5, 100.0)
    )
    yield tangle, random_spins(np.random.default_rng(1), 5), jnp.array([0.4, -0.2, 1.0])
    yield band, START, jnp.array([0.5, -0.3])
    yield (
        small_valve(poles=[sv.pade_poles(6), sv.optimized_poles(4)], lead_polarization=(0.3, 0.0, 0.5)),
        START,
        jnp.array([2.0, 0.0]),
    )


@pytest.mark.parametrize("case", range(3))
def test_the_error_is_that_of_the_closed_form(case):
    valve, spins, mu = list(cases())[case]
    exact = sv.exact_density_matrix(valve, spins, mu)
    expected = np.abs(np.asarray(sv.stationary(valve, spins, mu).rho) - exact).max()
    assert expected > 1e-5
    assert np.isclose(pole_error(valve, spins, mu), expected, rtol=1e-6)
    assert bound_of_pole_error(valve, mu) > expected


def test_the_bound_of_an_expansion_is_that_of_the_table():
    for entry in _table()[::17]:
        poles = sv.Poles(np.array(entry["xi"]), np.array(entry["eta"]))
        assert np.isclose(error_within(poles, entry["reach"]), entry["error"], rtol=0.02)


DOORS = {
    "stationary": lambda valve, voltage: sv.stationary(valve, START, (voltage / 2, -voltage / 2)),
    "steady_state": lambda valve, voltage: sv.steady_state(valve, sv.symmetric(voltage), allow_unstable=True),
    "evolve": lambda valve, voltage: sv.evolve(valve, STATE, sv.symmetric(voltage), 0.001, dt=0.001, method="etd"),
    "sweep": lambda valve, voltage: sv.sweep(
        valve, {"voltage": [0.0, voltage]}, sv.RunTask(0.001, 0.001, "etd", start="aligned")
    ),
}
STATE = sv.stationary(WARM, START)


@pytest.mark.parametrize(
    ("door", "reason"),
    [
        *(("stationary", why) for why in FAR),
        *(("steady_state", "low temperature"), ("steady_state", "large bias")),
        *(("evolve", "low temperature"), ("sweep", "large bias")),
    ],
)
def test_every_door_says_how_much_the_poles_leave(door, reason):
    changes, voltage = FAR[reason]
    valve = small_valve(poles=sv.optimized_poles(8), **changes)
    mu = jnp.array([voltage / 2, -voltage / 2])
    expected = f"error of {pole_error(valve, START, mu):.1e} in rho"
    if door == "steady_state" and reason == "large bias":
        with pytest.raises(ValueError, match=f"`bias` must lie within reach of the valve's poles.*{expected}"):
            DOORS[door](valve, voltage)
        return
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            DOORS[door](valve, voltage)
        except sv.ConvergenceError:
            assert door == "steady_state"
    own = [str(one.message) for one in told if one.category is sv.PolesWarning]
    assert any(expected in message for message in own) and all("poles='auto'" in message for message in own)


def test_within_reach_and_of_traced_values_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_poles(WARM, START, jnp.array([1.0, -1.0]))
        jax.jit(lambda t: sv.stationary(eqx.tree_at(lambda v: v.temperature, WARM, jnp.full(2, t)), START).rho)(1e-4)


@pytest.mark.parametrize("reason", FAR)
def test_chosen_poles_need_no_word(reason):
    changes, voltage = FAR[reason]
    bias, mu = sv.symmetric(voltage), jnp.array([voltage / 2, -voltage / 2])
    valve = small_valve(poles="auto", **changes)
    chosen = eqx.tree_at(lambda v: v.poles, valve, sv.suggest_poles(valve, bias))
    assert bound_of_pole_error(chosen, mu) <= TOLERANCE < LIMIT
    assert pole_error(chosen, START, mu) <= bound_of_pole_error(chosen, mu)
    if reason != "large bias":  # which a valve does not know
        assert bound_of_pole_error(valve, mu) <= TOLERANCE
        assert len(valve.poles.xi) < 32


def test_auto_of_one_lead_of_none_and_out_of_the_table():
    assert len(sv.SpinValve.chain(1, 2, 1, j_sd=1.0, poles="auto").poles.xi) == 30
    with pytest.raises(ValueError, match=r"`poles` cannot be 'auto', since no expansion reaches"):
        small_valve(poles="auto", temperature=1e-6)
    with pytest.raises(ValueError, match="`poles` must be an expansion"):
        small_valve(poles="best")


def test_the_command_line_knows_its_voltages(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shape = dict(length=4, width=1, pinned=1, free=1, poles="auto")
    mu = jnp.array([40.0, 0.0])
    run = RunOptions(**shape, voltage=40.0, drop="asymmetric").valve()
    curve = SteadyOptions(**shape, voltage="0,40,20", drop="asymmetric").valve()
    sweep = SweepOptions(**shape, voltage="-2:40:5", temperature=("0.1:0.01:2",), drop="asymmetric")
    assert run.poles == curve.poles and bound_of_pole_error(run, mu) < TOLERANCE
    cold = eqx.tree_at(lambda v: v.temperature, sweep.valve(), jnp.full(2, 0.01))
    assert bound_of_pole_error(cold, mu) < TOLERANCE
    (tmp_path / "a.toml").write_text('length = 4\nwidth = 1\npinned = 1\nfree = 1\npoles = "auto"\nvoltage = 2.0\n')
    words = ["run", "a.toml", "--relax=0", "--duration=0.1", "--dt=0.01", "--method=etd", "--save-every=10"]
    assert main([*words, "--out", "auto"]) == 0 and "error of" not in capsys.readouterr().err
    monkeypatch.setattr("warnings.filters", [])
    assert main([*words, "--poles", "3", "--pole-kind", "pade", "--out", "few"]) == 3
    shown = capsys.readouterr().err
    assert shown.count("at mu = [0., 0.]") == 1 and "svjax: The poles leave an error of" in shown
    assert main([*words, "--poles", "2", "--pole-kind", "optimized"]) == 2
    assert "Argument `poles` must be 3 to" in capsys.readouterr().err


def test_a_bias_counts_at_all_its_times():
    """Poles that reach the start of a pulse, and not its height."""
    valve = sv.SpinValve.square(4, 1, 1, 1, j_sd=1.0, temperature=0.02, poles=sv.optimized_poles(8))
    spins, start = sv.aligned_spins(valve), sv.stationary(valve, sv.aligned_spins(valve))
    check_poles(valve, spins, jnp.zeros(2))
    pulse = sv.Pulse([0.0, 0.0], [30.0, 0.0], center=50.0, width=2.0)
    with pytest.warns(sv.PolesWarning, match=r"at mu = \[30"):
        sv.evolve(valve, start, pulse, 0.1, dt=0.05)
    late = lambda t: jnp.where(t > 70, -30.0, 0.0) * jnp.array([0.0, 1.0])
    with pytest.warns(sv.PolesWarning, match=r"at mu = \[ ?0., -30"):
        sv.evolve(valve, start, late, 0.1, dt=0.05)
    lost = lambda t: jnp.where(t > 3, jnp.nan, 0.1) * jnp.ones(2)
    for fine in (sv.Pulse([0.0, 0.0], [0.5, 0.0], center=50.0, width=2.0), lost):
        with warnings.catch_warnings():
            warnings.simplefilter("error", sv.PolesWarning)
            check_poles(valve, spins, described(as_bias(fine, 2)).extremes())
