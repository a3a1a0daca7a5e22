"""Biases that say what they are, and steps that know of it: jumps, limits, and runs that say when they went wrong."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import largest_difference, random_spins

import svjax as sv
from svjax.reservoirs.bias import described

VALVE = sv.SpinValve.square(4, 1, 1, 1, j_sd=1.0, poles=sv.optimized_poles(8))
START = sv.stationary(VALVE, random_spins(np.random.default_rng(5), 2))
SPIN = sv.SpinValve.from_bonds(1, [], layers=[[0]], j_sd=0.0, field=(0, 0, 10.0))


def jump(t):
    """From 0.3 to 1 at time ``t``."""
    return sv.Waveform([0.0, t, t, 9.0], [0.3, 0.3, 1.0, 1.0])


def spins_only(valve, state):
    """Little to compile."""
    return {"spins": state.spins}


QUICK = dict(observe=spins_only)
FINE = dict(observe=spins_only, save_every=200)
"""For 200 steps: one program, with one copy of the step."""


@pytest.mark.parametrize(
    ("t", "method", "dt", "error"),
    [pytest.param(0.5, "rk38", 0.01, 1e-7, marks=pytest.mark.slow), (0.53, "etd", 0.1, 2e-6)],
)
def test_a_jump_in_the_middle_of_a_run_costs_no_accuracy(t, method, dt, error):
    """On a step's end and inside of a step; the reference stops there and begins anew with the other level."""
    before = sv.evolve(VALVE, START, sv.symmetric(0.3), t, dt=t / 200, **FINE).state
    exact = sv.evolve(VALVE, before, sv.symmetric(1.0), 1.0 - t, dt=(1.0 - t) / 200, **FINE).state
    function = sv.FunctionBias(lambda s: jnp.where(s < t, 0.3, 1.0) * jnp.array([0.5, -0.5]), jumps=[t])
    for bias in (jump(t), function):
        found = sv.evolve(VALVE, START, bias, 1.0, dt=dt, method=method, **QUICK).state
        assert largest_difference(found, exact) < error


def test_a_ramp_of_a_parameter_may_jump_too():
    drive = sv.Ramp("j_sd", [0.0, 0.53, 0.53], [1.0, 1.0, 2.0])
    first = sv.evolve(VALVE, START, None, 0.53, dt=0.53 / 200, **FINE).state
    other, _ = sv.set_parameters(VALVE, None, {"j_sd": 2.0})
    exact = sv.evolve(other, first, None, 0.47, dt=0.47 / 200, **FINE).state
    found = sv.evolve(VALVE, START, None, 1.0, dt=0.05, method="etd", drive=drive, **QUICK).state
    assert largest_difference(found, exact) < 1e-6


def test_any_whole_number_starts_a_run():
    run = lambda start: (
        sv.evolve(VALVE, START, sv.symmetric(1.0), 1.0, dt=0.1, method="etd", start_step=start, **QUICK).state
    )
    for start in (np.int64(0), np.uint8(0), jnp.asarray(0)):
        assert largest_difference(run(start), run(0)) == 0
    with pytest.raises(ValueError, match=r"`start_step` must be a whole number, but is 0.0"):
        run(0.0)


def test_a_bias_says_whether_it_is_constant():
    """A late pulse looks constant at its start."""
    for bias in (sv.Pulse([0, 0], [1.0, 0], 50.0, 1.0), jump(5.0), lambda t: jnp.where(t > 30, 1.0, 0.5) * jnp.ones(2)):
        with pytest.raises(ValueError, match=r"`bias` must not depend on time"):
            sv.steady_state(VALVE, bias)
    level = jnp.array([0.2, -0.1])
    assert described(lambda t: level + jnp.array([0.1, 0.0])).constant
    assert largest_difference(sv.steady_state(VALVE, lambda t: level), sv.steady_state(VALVE, level)) < 1e-12


def test_functions_that_cannot_be_traced_are_refused_with_advice():
    for bias in (lambda t: (np.sin(t), 0.0), lambda t: (1.0, 0.0) if t > 1 else (0.0, 0.0)):
        with pytest.raises(ValueError, match=r"`bias` must be a function of the time made of operations of jax.numpy"):
            sv.evolve(VALVE, START, bias, 1.0, dt=0.1, method="rk38")


@pytest.mark.slow
def test_the_voltage_and_the_time_of_a_jump_have_their_gradients():
    def end(v, t):
        bias = sv.Waveform(jnp.stack([0.0, t, t, 9.0]), jnp.stack([0.3, 0.3, v, v]))
        return sv.evolve(VALVE, START, bias, 1.0, dt=0.1, method="etd", **QUICK).state.spins[1, 0]

    for function, at in ((lambda v: end(v, 0.53), 1.0), (lambda t: end(1.0, t), 0.53)):
        slope = (function(at + 1e-3) - function(at - 1e-3)) / 2e-3
        np.testing.assert_allclose(jax.jvp(function, (at,), (1.0,))[1], slope, rtol=1e-4)
        np.testing.assert_allclose(jax.grad(function)(at), slope, rtol=1e-4)


def test_steps_are_limited_by_the_spins():
    with pytest.raises(ValueError, match=r"`dt` must stay below the stability limit 0.1415"):
        sv.evolve(SPIN, sv.stationary(SPIN, [[1.0, 0, 0]]), None, 10.0, dt=0.2, method="rk38")
    with pytest.warns(UserWarning, match=r"`dt` is 0.1, too long to follow the spins; 0.005 would do"):
        sv.evolve(SPIN, sv.stationary(SPIN, [[1.0, 0, 0]]), None, 10.0, dt=0.1, method="rk38")
    run = sv.evolve(SPIN, sv.stationary(SPIN, [[1.0, 0, 0]]), None, 10.0, dt=sv.suggest_dt(SPIN), method="rk38")
    np.testing.assert_allclose(run.state.spins[0], [np.cos(100), -np.sin(100), 0], atol=1e-4)
    assert abs(jnp.linalg.norm(run.state.spins) - 1) < 1e-6


def test_steps_are_limited_by_a_bias_at_all_of_its_times():
    pulse = sv.Pulse([0.0, 0.0], [20.0, 0.0], 50.0, 1.0)
    with pytest.warns(UserWarning, match=r"too long to follow the levels of the leads; 0.025 would do"):
        sv.evolve(VALVE, START, pulse, 1.0, dt=0.1, method="etd")
    assert sv.stability_limit(VALVE, pulse, "etd") < 0.13 < sv.stability_limit(VALVE, None, "etd")
    assert np.isclose(sv.stability_limit(VALVE, lambda t: pulse(t), "etd"), sv.stability_limit(VALVE, pulse, "etd"))
    assert sv.suggest_dt(VALVE, sv.Oscillating([0, 0], [20.0, 0.0], 1.0)) <= 0.025 < sv.suggest_dt(VALVE, method="etd")


@pytest.fixture
def fast(monkeypatch):
    """A valve whose spins precess too fast for the step, and leave for it."""
    warnings.simplefilter("ignore", UserWarning)
    return sv.SpinValve.square(4, 1, 1, 1, j_sd=2.0, field=(3, 0, 10.0), poles=sv.optimized_poles(8))


def test_a_run_whose_spins_shrink_says_so(fast, tmp_path):
    """Two segments of it: the second starts from spins that are no unit vectors any more."""
    run = sv.three_stage(fast, sv.symmetric(1.0), relax=0.0, duration=60.0, dt=0.1, method="etd")
    assert run.status == "inaccurate" and run.reason.startswith("The spins have changed their length by ")
    report = sv.convergence_report(run)
    assert not report["length of the spins"].ok and not report.ok and "NOT OK" in repr(report)
    sv.save_run(tmp_path / "run", run)
    assert sv.open_run(tmp_path / "run").attrs["status"] == "inaccurate"


@pytest.mark.slow
def test_points_of_a_sweep_whose_spins_shrink_say_so():
    warnings.simplefilter("ignore", UserWarning)
    task = sv.RunTask(20.0, 0.1, "etd", start="aligned", observe=("spins",))
    found = sv.sweep(VALVE, {"field[0]": [0.0, 7.0, 80.0]}, task)
    flags = found.status.attrs["flag_meanings"].split()
    assert [flags[k] for k in found.status.values] == ["complete", "inaccurate", "refused"]
    assert found.reason.values[1].startswith("The spins have changed their length by ")
    length = np.linalg.norm(found["spins"].values[:, -1], axis=-1)
    assert np.abs(length[0] - 1).max() < 1e-6 < np.abs(length[1] - 1).max() and np.isnan(length[2]).all()
