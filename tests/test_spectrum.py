"""Spectra of static configurations, Figs. 2, 4(b, c), 16 and 18, and the RKKY law of Fig. 5."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.special import sici
from systems import TANGLED, random_spins, tangled

import svjax as sv


def chain(spacer=10, layer=5, **parameters):
    return sv.SpinValve.chain(layer, spacer, layer, **{"j_sd": 1.0} | parameters)


def with_j_sd(valve, j_sd):
    return eqx.tree_at(lambda v: v.j_sd, valve, j_sd)


def parallel(valve):
    return jnp.tile(jnp.array([0.0, 0.0, 1.0]), (len(valve.lattice.spin_sites), 1))


def test_no_coupling_gives_the_chain_on_paper():
    """Levels -2 cos(k pi/(N+1)), each twice, unpolarised; weights sum_j sin^2(k pi j/(N+1)) 2/(N+1)."""
    valve, n = chain(j_sd=0.0), 20
    found = sv.spectrum(valve, sv.aligned_spins(valve))
    k, j = np.arange(1, n + 1)[:, None], np.arange(1, n + 1)
    on_sites = np.repeat(2 / (n + 1) * np.sin(k * j * np.pi / (n + 1)) ** 2, 2, axis=0)
    np.testing.assert_allclose(found.energies, -2 * np.cos(np.repeat(k, 2) * np.pi / (n + 1)), atol=1e-13)
    expected = np.stack([on_sites[:, :5].sum(1), on_sites[:, 15:].sum(1), on_sites[:, 5:15].sum(1)], 1)
    np.testing.assert_allclose(found.weights, expected, atol=1e-12)
    np.testing.assert_allclose(found.polarization, 0, atol=1e-12)


def test_parallel_layers_give_two_separate_chains():
    """Fig. 2(a): states are up or down; +J_sd/2 on the magnetic sites pushes those up that are up along M."""
    valve = chain(j_sd=2.3)
    found = sv.spectrum(valve, parallel(valve))
    hopping = -np.eye(20, k=1) - np.eye(20, k=-1)
    magnetic = np.diag([1.15] * 5 + [0.0] * 10 + [1.15] * 5)
    levels = np.concatenate([np.linalg.eigvalsh(hopping + magnetic), np.linalg.eigvalsh(hopping - magnetic)])
    order = np.argsort(levels)
    np.testing.assert_allclose(found.energies, levels[order], atol=1e-13)
    up = np.where(order < 20, 1.0, -1.0)
    np.testing.assert_allclose(found.polarization, np.outer(up, [0, 0, 1]), atol=1e-12)


def test_states_of_a_valve_without_symmetry_agree_with_numpy():
    valve, _ = tangled()
    spins = random_spins(np.random.default_rng(3), 5)
    found = sv.spectrum(valve, spins)
    sites = [site for layer in TANGLED["layers"] for site in layer]
    h = oracles.hamiltonian(7, TANGLED["bonds"], 1.2, 0.3, 1.7, sites, np.asarray(spins))
    energies, states = np.linalg.eigh(h)
    np.testing.assert_allclose(found.energies, energies, atol=1e-13)
    np.testing.assert_allclose(sv.energy_levels(valve, spins), energies, atol=1e-13)
    paulis = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    for n, state in enumerate(states.T):
        spin = [(state.conj() @ np.kron(np.eye(7), sigma) @ state).real for sigma in paulis]
        np.testing.assert_allclose(found.polarization[n], spin, atol=1e-12)
        on_sites = np.sum(np.abs(state.reshape(7, 2)) ** 2, 1)
        expected = [on_sites[[2, 0]].sum(), on_sites[[6, 4, 5]].sum(), on_sites[[1, 3]].sum()]
        np.testing.assert_allclose(found.weights[n], expected, atol=1e-12)
    np.testing.assert_allclose(found.polarization.sum(0), 0, atol=1e-12)


def test_strong_coupling_splits_the_spectrum_into_three_bands():
    """Fig. 2: for J_sd > 7 the outer bands are those of the layers, the middle one that of the spacer."""
    valve = chain(j_sd=8.0)
    found = sv.spectrum(valve, sv.aligned_spins(valve))
    spacer = np.asarray(found.weights[:, 2])
    assert np.all(spacer[:10] < 0.03) and np.all(spacer[10:30] > 0.97) and np.all(spacer[30:] < 0.03)
    assert found.energies[10] - found.energies[9] > 0.35
    mixed = sv.spectrum(with_j_sd(valve, 2.0), sv.aligned_spins(valve))
    assert np.max(mixed.weights[:10, 2]) > 0.5 > np.min(mixed.weights[10:30, 2])


def test_highest_occupied_states_leave_the_layers_above_the_transition():
    """Appendix B: below J_sd = 3 weights are mixed, above 4.5 the states next to the Fermi level live in the spacer."""
    valve = chain(spacer=12)
    at = lambda j_sd: sv.spectrum(with_j_sd(valve, j_sd), sv.aligned_spins(valve)).weights[20:22, 2]
    weights = np.asarray(jax.vmap(at)(jnp.array([1.0, 2.0, 5.0, 6.0, 8.0])))
    assert np.all(weights[:2] < 0.75) and np.all(weights[2:] > 0.85)


def test_splitting_and_gap_are_those_of_the_levels():
    valve = chain()
    levels = np.linalg.eigvalsh(np.asarray(sv.hamiltonian(valve, sv.aligned_spins(valve))))
    np.testing.assert_allclose(sv.level_splitting(valve, sv.aligned_spins(valve)), levels[19] - levels[18], atol=1e-13)
    np.testing.assert_allclose(sv.level_gap(valve, sv.aligned_spins(valve)), levels[20] - levels[19], atol=1e-13)
    shifted = eqx.tree_at(lambda v: v.mu_bar, valve, -0.15)  # one level fewer below 0 than levels[20] = 0.118
    np.testing.assert_allclose(
        sv.level_splitting(shifted, sv.aligned_spins(valve)), levels[20] - levels[19], atol=1e-13
    )
    np.testing.assert_allclose(sv.level_gap(shifted, sv.aligned_spins(valve)), levels[21] - levels[20], atol=1e-13)


def test_half_of_the_zero_modes_count_as_occupied():
    valve = chain(spacer=11, j_sd=0.0)
    assert sv.level_gap(valve, sv.aligned_spins(valve)) < 1e-14
    spacing = 2 * np.cos(10 * np.pi / 22)
    np.testing.assert_allclose(sv.level_splitting(valve, sv.aligned_spins(valve)), spacing, atol=1e-13)


def test_empty_and_full_valves_have_no_gap():
    for level in (10.0, -10.0):
        valve = eqx.tree_at(lambda v: v.mu_bar, chain(), level)
        assert np.isnan(sv.level_gap(valve, sv.aligned_spins(valve)))
    empty = eqx.tree_at(lambda v: v.mu_bar, chain(), 10.0)
    assert np.isnan(sv.level_splitting(empty, sv.aligned_spins(empty)))


def test_observables_along_a_run_are_those_of_the_spins_at_each_time():
    valve = chain(spacer=3, layer=2, j_sd=3.0)
    start = sv.stationary(valve, sv.aligned_spins(valve))
    run = sv.evolve(valve, start, None, 6.0, dt=0.1, save_every=20, observe=sv.spectral_observables, method="rk38")
    found = run.observables
    assert found["spins"].shape == (3, 4, 3)
    np.testing.assert_array_equal(found["spins"][-1], run.state.spins)
    for spins, splitting, gap in zip(found["spins"], found["splitting"], found["gap"], strict=True):
        levels = np.linalg.eigvalsh(np.asarray(sv.hamiltonian(valve, spins)))
        np.testing.assert_allclose(splitting, levels[6] - levels[5], atol=1e-12)
        np.testing.assert_allclose(gap, levels[7] - levels[6], atol=1e-12)
    assert np.ptp(found["gap"]) > 1e-3


def test_broadened_dos_is_minus_the_green_functions_imaginary_part():
    valve, width = chain(spacer=12), 0.05
    energies = np.linspace(-1, 1, 7)
    found = sv.broadened_dos(valve, sv.aligned_spins(valve), energies, width)
    h = np.asarray(sv.hamiltonian(valve, sv.aligned_spins(valve)))
    green = [np.trace(np.linalg.inv((e + 1j * width) * np.eye(44) - h)) for e in energies]
    np.testing.assert_allclose(found, -np.imag(green) / (22 * np.pi), rtol=1e-12)
    wide = np.linspace(-100, 100, 20_001)
    total = np.trapezoid(sv.broadened_dos(valve, sv.aligned_spins(valve), wide, width), wide)
    np.testing.assert_allclose(total, 2, atol=2 * 2 * width / (100 * np.pi))


def test_rkky_law_alternates_decays_and_has_a_derivative():
    spacer = np.arange(1, 41)
    law = sv.rkky_law(1.3, spacer)
    np.testing.assert_allclose(law, 1.3**2 * (sici(np.pi * spacer)[0] - np.pi / 2), rtol=1e-10)
    assert np.all(law[::2] > 0) and np.all(law[1::2] < 0)
    np.testing.assert_allclose(np.abs(law[20:]) * np.pi * spacer[20:], 1.3**2, rtol=1e-3)
    slopes = jax.grad(sv.rkky_law, argnums=(0, 1))(1.3, 4.5)
    np.testing.assert_allclose(slopes[0], 2.6 * (sici(4.5 * np.pi)[0] - np.pi / 2), rtol=1e-10)
    np.testing.assert_allclose(slopes[1], 1.3**2 / 4.5, rtol=1e-10)


def test_a_scan_is_one_call_with_derivatives():
    valve = chain()
    splitting = lambda j_sd: sv.level_splitting(with_j_sd(valve, j_sd), sv.aligned_spins(valve))
    couplings, h = jnp.array([0.7, 1.0, 5.0]), 1e-4
    batch = jax.vmap(splitting)(couplings)
    np.testing.assert_allclose(batch, [splitting(j) for j in couplings], atol=1e-13)
    expected = (jax.vmap(splitting)(couplings + h) - jax.vmap(splitting)(couplings - h)) / (2 * h)
    np.testing.assert_allclose(jax.vmap(jax.grad(splitting))(couplings), expected, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.jacfwd(splitting))(couplings), expected, atol=1e-6)


def test_weights_and_polarisation_have_derivatives():
    valve, _ = tangled()
    spins = random_spins(np.random.default_rng(3), 5)
    value = lambda j_sd: sv.spectrum(with_j_sd(valve, j_sd), spins)
    flat = lambda j_sd: jnp.concatenate([value(j_sd).polarization[2], value(j_sd).weights[6]])
    h = 1e-4
    expected = (flat(1.7 + h) - flat(1.7 - h)) / (2 * h)
    np.testing.assert_allclose(jax.jacfwd(flat)(1.7), expected, atol=1e-6)
    np.testing.assert_allclose(jax.jacrev(flat)(1.7), expected, atol=1e-6)


def test_wrong_spins_raise():
    with pytest.raises(ValueError, match=r"Argument `spins` must have shape \(10, 3\)"):
        sv.spectrum(chain(), np.ones((3, 3)))
