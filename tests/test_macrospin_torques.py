"""Macrospins with damping and torques: known ones recovered, relaxation in closed form, the 12x4 valve, units."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import constants

import svjax as sv
from svjax.macrospin.model import solve_macrospin

AXES = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def model(**changes):
    known = dict(j_eff=2e-3, n_s=(4, 3), anisotropy=(0.3, 0.05), damping=(0.02, 0.04), damping_like=(0.0, -0.004))
    return sv.MacrospinModel(**known | changes)


def directions(*rows):
    rows = np.array(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_parameters_of_a_noisy_macrospin_run_are_recovered():
    truth, t = model(), np.arange(0.0, 150.0, 1.0)
    start = directions((1.0, 0.02, -0.01), (0.25, -0.1, 1.0))
    m = np.asarray(solve_macrospin(truth, start, t)) + 1e-3 * np.random.default_rng(0).normal(size=(150, 2, 3))
    guess = model(j_eff=1.4e-3, anisotropy=(0.3, 0.06), damping=(0.02, 0.03), damping_like=0.0)
    found = sv.fit_torques(t, m, guess, ["j_eff", "anisotropy[1]", "damping[1]", "damping_like[1]"])
    expected = {"j_eff": 2e-3, "anisotropy[1]": 0.05, "damping[1]": 0.04, "damping_like[1]": -0.004}
    for name, value in expected.items():
        assert abs(found.fit.values[name] - value) < 3 * found.fit.errors[name] < 0.3 * abs(value)
    mode = sv.macrospin_modes(truth, m[-1])[0]
    assert abs(found.relaxation_time + 1 / mode.real) < 3 * found.relaxation_error < 0.2 * found.relaxation_time
    assert abs(found.frequency - mode.imag) < 3 * found.frequency_error
    assert np.abs(found.start - start).max() < 1e-3 and found.model.anisotropy[0] == 0.3
    assert "t_R = " in str(found) and found.fit.growth == 0


def test_modes_of_one_damped_spin_in_closed_form():
    """m = z under B z and K along z: lambda = (-alpha +- i) b/(1 + alpha^2), b = B + 2 K."""
    alone = model(j_eff=0.0, anisotropy=(0.3, 0.05), damping=(0.0, 0.1), damping_like=0.0, field=(0.0, 0.0, 0.2))
    modes = sv.macrospin_modes(alone, directions((1.0, 0.1, 0.3), (0.1, 0.1, 1.0)))
    assert np.abs(modes - (1j - 0.1) * 0.3 / 1.01).min() < 1e-12
    assert len(modes) == 2 and np.all(np.diff(np.abs(modes)) > 0)


def test_modes_are_those_of_the_motion():
    t = np.arange(0.0, 400.0, 0.5)
    m = np.asarray(solve_macrospin(model(), directions((1.0, 0, 0), (0.05, 0, 1.0)), t))
    mode = sv.macrospin_modes(model(), m[-1])[0]
    fit = sv.fit_relaxation(t, m[:, 1, 0], start=100.0)
    assert fit.t_r == pytest.approx(-1 / mode.real, rel=1e-3) and fit.frequency == pytest.approx(mode.imag, rel=1e-3)


def test_an_exchange_and_a_field_like_torque_cannot_both_be_free():
    """Along p_r = m_l they are one field on the free layer: f_r + J_eff N_l; the pinned layer hardly moves."""
    still = model(anisotropy=(1e4, 0.05), damping_like=0.0)
    t, start = np.arange(0.0, 20.0, 1.0), directions((1.0, 0, 0), (0.05, 0, 1.0))
    m = np.asarray(solve_macrospin(model(anisotropy=(0.3, 0.05)), start, t))
    with pytest.raises(ValueError, match=r"\((j_eff, field_like\[1\]|field_like\[1\], j_eff)\) changed as \(.*-"):
        sv.fit(still, ["j_eff", "field_like[1]"], lambda model, _: model.time_derivative(jnp.asarray(m[3])).ravel()[3:])


@pytest.mark.parametrize(("damping", "rate"), [(0.05, 0.1 / 1.0025), pytest.param(0.0, None, marks=pytest.mark.slow)])
def test_relaxation_after_a_wide_swing(damping, rate):
    """A layer that is still far from rest: its own easy axis is where it ends, if it is damped."""
    truth = sv.MacrospinModel(j_eff=0.0, n_s=1, anisotropy=(0.4, 0.1), damping=(0.05, damping))
    t = np.linspace(0.0, 8.0, 60)
    m = np.asarray(solve_macrospin(truth, directions((1.0, 0, 0), (np.sin(1.2), 0, np.cos(1.2))), t))
    found = sv.fit_torques(t, m, truth, {"anisotropy[1]": 0.11}, sigma=1e-3)
    assert found.fit.values["anisotropy[1]"] == pytest.approx(0.1, abs=1e-4)
    if rate is None:
        assert np.isnan(found.relaxation_time)
    else:
        slow = 2 * 0.1 * damping / (1 + damping**2)
        assert found.relaxation_time == pytest.approx(1 / slow, rel=1e-3) and np.isfinite(found.relaxation_error)


def test_numbers_for_micromagnetic_codes():
    units = sv.Units(gamma_ev=0.8)
    torques = model(damping_like=(0.0, 1e-3), field_like=(0.0, 5e-4))
    pinned, free = sv.micromagnetic_parameters(torques, units, spin_volume_nm3=0.02, thickness_nm=1.5)
    moment = 2 * constants.physical_constants["Bohr magneton"][0]
    joule = 0.8 * constants.e
    np.testing.assert_allclose(free["Msat"].value, moment / 0.02e-27)
    np.testing.assert_allclose(pinned["Ku1"].value, 0.3 * joule / 0.02e-27)
    np.testing.assert_allclose([pinned["alpha"].value, free["alpha"].value], [0.02, 0.04])
    np.testing.assert_allclose(free["B_exchange"].value, 2e-3 * 4 * joule / moment, rtol=1e-8)
    np.testing.assert_allclose(free["B_damping_like"].value, 1e-3 * joule / moment, rtol=1e-8)
    # the fields that Slonczewski's torque has in mumax3 and OOMMF: beta epsilon and beta epsilon'
    beta = constants.hbar * free["J"].value / (constants.e * free["Msat"].value * 1.5e-9)
    np.testing.assert_allclose(beta / 2, free["B_damping_like"].value)
    np.testing.assert_allclose(beta * free["EpsilonPrime"].value, free["B_field_like"].value)
    assert "EpsilonPrime" not in pinned and pinned["J"].value == 0
    with pytest.raises(ValueError, match="Argument `thickness_nm` must be positive"):
        sv.micromagnetic_parameters(torques, units, spin_volume_nm3=0.02, thickness_nm=0.0)


def test_bad_runs_raise():
    t, m = np.arange(6.0), np.tile(np.array(AXES), (6, 1, 1))
    for times, values, message in (
        (t[:2], m[:2], "`t` must be at least 4 increasing times"),
        (t, m[:5], "`magnetization` must have shape"),
        (t, np.where(m > 0, np.nan, m), "`magnetization` must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            sv.fit_torques(times, values, model(), ["j_eff"])
    with pytest.raises(RuntimeError, match="No state of rest was found"):
        sv.macrospin_modes(model(field=(np.nan, 0.0, 0.0)), np.array(AXES))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("voltage", "t_r", "free"),
    [
        (0.0, 586.3, ["j_eff", "anisotropy[1]", "damping[1]"]),
        (1.0, 530.1, ["field_like[1]", "anisotropy[1]", "damping[1]", "damping_like[1]"]),
    ],
)
def test_relaxation_of_the_papers_valve(voltage, t_r, free):
    """The macrospin that moves as the 12x4 valve does relaxes as `relaxation_modes` says, within its error bar."""
    valve = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(8))
    tilted = valve if voltage else sv.set_parameters(valve, None, {"field[0]": 0.002})[0]
    start = sv.stationary(valve, sv.steady_state(tilted, None).spins)
    run = sv.evolve(valve, start, sv.symmetric(voltage), 1600.0, dt=0.2, save_every=10, method="etd")
    late = run.t >= 100
    guess = sv.MacrospinModel(j_eff=1e-5, n_s=16, anisotropy=(0.4, 0.02), damping=(0.01, 0.02))
    found = sv.fit_torques(run.t[late], run.observables["magnetization"][late], guess, free)
    assert found.fit.converged
    assert abs(found.relaxation_time - t_r) < found.relaxation_error < 10
