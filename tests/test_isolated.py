"""The isolated valve in motion: Sec. III A, Figs. 3-5 and 18. Runs of thousands of steps are marked slow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import svjax as sv


def chain(spacer=10, layer=5, **parameters):
    return sv.SpinValve.chain(layer, spacer, layer, **{"j_sd": 1.0} | parameters)


def scan(valve, couplings, duration, **options):
    """A scan over J_sd in one call."""
    at = lambda j_sd: sv.effective_coupling(eqx.tree_at(lambda v: v.j_sd, valve, j_sd), duration, **options)
    return jax.jit(jax.vmap(at))(jnp.asarray(couplings, float))


def without_a_run(valve, couplings):
    at = lambda j_sd: sv.exchange_coupling(eqx.tree_at(lambda v: v.j_sd, valve, j_sd))
    return jax.vmap(at)(jnp.asarray(couplings, float))


def extrema(curve):
    """How often a sampled curve turns."""
    return np.count_nonzero(np.diff(np.sign(np.diff(curve))))


def test_fit_of_a_short_run_is_the_three_calls_by_hand():
    valve = chain(spacer=2, layer=2, j_sd=2.0)
    fit = sv.effective_coupling(valve, 60.0, dt=0.1, save_every=4)
    start = sv.stationary(valve, sv.aligned_spins(valve))
    run = sv.evolve(valve, start, None, 60.0, dt=0.1, save_every=4)
    left, right = np.moveaxis(np.asarray(run.observables["magnetization"]), 1, 0)
    by_hand = sv.fit_macrospin(run.t, left, right, 2)
    np.testing.assert_allclose(fit.j_eff, by_hand.j_eff, rtol=1e-10)
    np.testing.assert_allclose(fit.residual, by_hand.residual, rtol=1e-8)
    assert fit.j_eff < 0 and abs(fit.j_eff / sv.exchange_coupling(valve).rotating - 1) < 0.3


@pytest.mark.slow
def test_scan_of_short_runs_is_the_single_runs():
    valve = chain(spacer=3, layer=1)
    fits = scan(valve, [0.5, 2.0], 40.0, dt=0.1)
    single = sv.effective_coupling(eqx.tree_at(lambda v: v.j_sd, valve, 2.0), 40.0, dt=0.1)
    np.testing.assert_allclose(fits.j_eff[1], single.j_eff, rtol=1e-8)
    assert fits.j_eff.shape == (2,) and np.all(fits.j_eff > 0) and np.all(fits.converged)


@pytest.mark.slow
def test_start_and_temperature_reach_the_run():
    valve = chain(spacer=2, layer=1, j_sd=2.0)
    spins = jnp.array([[0.0, 0.6, 0.8], [0.0, 0.0, 1.0]])
    cold = sv.effective_coupling(valve, 20.0, spins=spins, dt=0.1)
    hot = sv.effective_coupling(valve, 20.0, spins=spins, dt=0.1, temperature=1.0)
    np.testing.assert_allclose(cold.start, spins[:, None].reshape(2, 3), atol=0.2)
    assert abs(hot.j_eff) < 0.8 * abs(cold.j_eff)


def test_one_layer_has_no_coupling():
    with pytest.raises(ValueError, match=r"Argument `valve` must have two layers, but has 1\."):
        sv.effective_coupling(sv.SpinValve.from_bonds(2, [(0, 1)], [[0]], j_sd=1.0), 1.0)


@pytest.mark.slow
def test_isolated_valve_keeps_energy_spin_and_number():
    valve = chain(j_sd=3.3)
    start = sv.stationary(valve, sv.aligned_spins(valve))
    end = sv.evolve(valve, start, None, 300.0, dt=0.05, save_every=6000, method="rk38").state
    np.testing.assert_allclose(sv.energy(valve, end), sv.energy(valve, start), atol=1e-5)
    np.testing.assert_allclose(sv.total_spin(valve, end), sv.total_spin(valve, start), atol=1e-5)
    np.testing.assert_allclose(sv.particle_number(valve, end), 20, atol=1e-10)
    assert np.linalg.norm(end.spins - start.spins) > 0.5


@pytest.mark.slow
def test_three_runs_of_fig_3():
    fits = scan(chain(), [1.0, 3.3, 5.0], 2000.0, dt=0.1)
    np.testing.assert_allclose(fits.j_eff[0], -2.680e-4, atol=1e-7)
    np.testing.assert_allclose(fits.j_eff[2], -1.738e-3, atol=1e-6)
    assert fits.residual[0] < 1e-3 and fits.residual[2] < 5e-3
    assert fits.residual[1] > 0.03
    np.testing.assert_array_equal(fits.ok, [True, False, True])
    bad = jax.tree.map(lambda x: x[1], fits)
    assert "the layers do not move as two macrospins" in bad.message


RATIOS = {
    4: (1.109, 1.010), 5: (0.940, 1.119), 6: (1.110, 1.008), 7: (0.954, 1.108), 8: (1.111, 1.007), 9: (0.966, 1.099),
    10: (1.111, 1.006), 11: (0.976, 1.090), 12: (1.111, 1.006), 13: (0.986, 1.083), 14: (1.111, 1.005),
    15: (0.994, 1.077), 16: (1.111, 1.005), 17: (1.001, 1.071), 18: (1.111, 1.005), 19: (1.008, 1.066),
    20: (1.111, 1.005), 21: (1.013, 1.061), 22: (1.111, 1.005), 23: (1.019, 1.057), 24: (1.111, 1.004),
}  # fmt: skip
"""At N_S = 5, J_sd = 1, per N_NM: fit/static and rotating/fit, from runs of 2,000 time units."""


@pytest.mark.slow
def test_coupling_alternates_and_decays_with_the_spacer_and_the_rotating_frame_knows_it():
    """Fig. 5(a, b) at J_sd = 1, and the table of the three values of J_eff."""
    fits = {spacer: sv.effective_coupling(chain(spacer), 2000.0, dt=0.1) for spacer in RATIOS}
    for spacer, fit in fits.items():
        found = sv.exchange_coupling(chain(spacer))
        assert fit.ok and found.converged
        assert np.sign(fit.j_eff) == np.sign(sv.rkky_law(1.0, spacer)) == (1 if spacer % 2 else -1)
        np.testing.assert_allclose([fit.j_eff / found.static, found.rotating / fit.j_eff], RATIOS[spacer], atol=2e-3)
        if spacer % 2 == 0:
            assert abs(found.rotating / fit.j_eff - 1) < 0.015
    np.testing.assert_allclose(fits[11].j_eff, 6.10e-4, atol=1e-6)
    np.testing.assert_allclose(fits[12].j_eff, -2.390e-4, atol=1e-7)
    for parity in (0, 1):
        spacers = np.array([spacer for spacer in RATIOS if spacer % 2 == parity and spacer >= 8])
        values = np.log([abs(float(fits[spacer].j_eff)) for spacer in spacers])
        power, rest = np.polyfit(np.log(spacers), values, 1, full=True)[:2]
        assert -1.0 < power[0] < -0.4
        exponential = np.polyfit(spacers, values, 1, full=True)[1]
        assert rest[0] < 0.5 * exponential[0]  # a power law rather than an exponential


STRONG = {10: (1.0148, 1.0064, 1.0032), 11: (1.0610, 1.0502, 1.0427), 12: (1.0121, 1.0053, 1.0027)}
"""At N_S = 5, J_sd = 6, 7, 8, per N_NM: rotating/fit."""


@pytest.mark.slow
def test_rotating_frame_at_strong_coupling():
    """There the fit is about twice the static value, and the rotating frame knows it."""
    couplings = np.array([6.0, 7.0, 8.0])
    for spacer, expected in STRONG.items():
        valve = chain(spacer)
        fits = scan(valve, couplings, 1000.0, dt=0.1)
        found = without_a_run(valve, couplings)
        np.testing.assert_allclose(found.rotating / fits.j_eff, expected, atol=1e-3)
        np.testing.assert_allclose(fits.j_eff / found.static, 1.85 if spacer % 2 else 2, atol=0.04)


@pytest.mark.slow
def test_coupling_as_a_function_of_j_sd():
    """Fig. 4: one broad maximum for N_S = 1; several extrema below 4.5, one common curve above, for N_S = 5 and 10."""
    single = -scan(chain(12, 1), np.arange(0.5, 8.1, 0.5), 400.0, dt=0.1).j_eff
    assert extrema(single) == 1 and 2.0 <= np.arange(0.5, 8.1, 0.5)[np.argmax(single)] <= 3.0
    couplings = np.append(np.arange(0.25, 4.6, 0.25), [5.0, 6.0, 8.0])
    curves = {n: -(n**2) * np.asarray(scan(chain(12, n), couplings, 1000.0, dt=0.1).j_eff) for n in (5, 10)}
    for curve in curves.values():
        assert extrema(curve[couplings <= 4.5]) >= 4
        assert np.all(np.diff(curve[couplings >= 4.5]) < 0)
    above = couplings > 4.5
    np.testing.assert_allclose(curves[5][above], curves[10][above], rtol=0.04)


@pytest.mark.slow
def test_spectrum_fluctuates_in_between_only():
    """Fig. 18: the splitting of the two highest occupied levels is steady at J_sd = 0.45 and 5 but not at 3.5."""
    spread = []
    for j_sd in (0.45, 3.5, 5.0):
        valve = chain(j_sd=j_sd)
        start = sv.stationary(valve, sv.aligned_spins(valve))
        run = sv.evolve(
            valve, start, None, 500.0, dt=0.1, save_every=10, observe=sv.spectral_observables, method="rk38"
        )
        spread.append(np.std(run.observables["splitting"]) / np.mean(run.observables["splitting"]))
    assert spread[1] > 3 * max(spread[0], spread[2])


@pytest.mark.slow
def test_a_long_spacer_delays_and_damps():
    """Fig. 5(c): N_NM = 400 in a field along z; the news reaches the second layer after N_NM/2 time units."""
    valve = chain(400, j_sd=3.3, field=(0.0, 0.0, 1.0))
    start = sv.stationary(valve, sv.aligned_spins(valve))
    observe = lambda valve, state: {"m": sv.magnetization(valve, state)}
    run = sv.evolve(valve, start, None, 225.0, dt=0.1, save_every=5, observe=observe, method="rk38")
    first, second = np.moveaxis(np.linalg.norm(run.observables["m"][:, :, :2], axis=-1), 1, 0)
    assert np.all(second[run.t <= 195] < 2e-3)
    assert np.any(second > 0.02)
    assert first[0] > 0.9 and np.all(first[run.t >= 180] < 0.01)
