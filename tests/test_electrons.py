"""Stationary electrons: against the closed digamma form, and with and without leads."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from systems import random_spins, tangled

import svjax as sv

MU = (0.4, -0.7, 0.15)
VALVE = sv.SpinValve.square(j_sd=2.0)
ALIGNED = sv.aligned_spins(VALVE)


def largest(tree):
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("mu", [(0.0, 0.0), (0.5, -0.5), (4.0, 0.0)])
def test_the_papers_valve_is_stationary_and_half_filled(mu):
    state = sv.stationary(VALVE, ALIGNED, mu)
    derivative = sv.time_derivative(VALVE, state, jnp.array(mu))
    assert largest((derivative.rho, derivative.pi)) < 1e-12
    if mu == (0.0, 0.0):
        assert np.allclose(sv.site_charge(VALVE, state), 1, atol=1e-12)
    if mu[0] == -mu[1]:
        assert np.isclose(sv.particle_number(VALVE, state), 48, atol=1e-11)
    assert np.array_equal(state.rho, state.rho.conj().T)


def test_rho_tends_to_the_exact_fermi_function_as_the_fourth_power_of_the_poles():
    h = oracles.hamiltonian(48, oracles.square_bonds(12, 4), 1.0, 0.0, 2.0, VALVE.lattice.spin_sites, ALIGNED)
    gammas = oracles.gamma_matrices(48, VALVE.lattice.contacts, 1.0)
    exact = oracles.exact_rho(h, gammas, (0.5, -0.5), (0.025, 0.025))
    assert np.abs(sv.exact_density_matrix(VALVE, ALIGNED, (0.5, -0.5)) - exact).max() < 1e-13
    errors = []
    for n in (30, 60, 120):
        valve = sv.SpinValve.square(j_sd=2.0, poles=sv.pade_poles(n))
        errors.append(np.abs(np.array(sv.stationary(valve, ALIGNED, (0.5, -0.5)).rho) - exact).max())
    assert errors[0] < 3e-5
    assert np.all(np.abs(np.diff(np.log2(errors)) + 4) < 0.1), errors


def test_any_graph_any_leads_against_the_exact_form():
    """Complex bonds, three unequal leads, one site with two of them: rho, and the currents of each lead."""
    valve, system = tangled(n_poles=120)
    spins = random_spins(np.random.default_rng(4), 5)
    state = sv.stationary(valve, spins, MU)
    h = system.hamiltonian(spins)
    temperatures = np.array(valve.temperature)
    assert np.abs(state.rho - oracles.exact_rho(h, system.gammas, MU, temperatures)).max() < 1e-7
    charge, spin = oracles.exact_lead_currents(h, system.gammas, MU, temperatures)
    for lead in range(3):
        assert np.isclose(sv.charge_current(valve, state, lead), charge[lead], atol=1e-10)
        assert np.allclose(sv.spin_current(valve, state, lead), spin[lead], atol=1e-10)


def test_an_exceptional_point_is_no_obstacle():
    """A dimer with Gamma = 4 on one site: H_eff has one eigenvector, and an eigenbasis would be useless."""
    valve = sv.SpinValve.from_bonds(2, [(0, 1)], contacts=[[0]], lead_coupling=4.0, temperature=0.1)
    state = sv.stationary(valve, np.zeros((0, 3)), (0.3,))
    assert largest(sv.time_derivative(valve, state, jnp.array([0.3])).rho) < 1e-13
    gammas = oracles.gamma_matrices(2, [[0]], 4.0)
    exact = oracles.exact_rho_by_quadrature(oracles.hamiltonian(2, [(0, 1)], 1.0, 0, 0, [], []), gammas, [0.3], [0.1])
    assert np.abs(state.rho - exact).max() < 1e-4


def test_weakly_broadened_states_are_solved_to_the_last_digits():
    valve = sv.SpinValve.square(j_sd=8.0, poles=sv.optimized_poles(14))
    state = sv.stationary(valve, sv.aligned_spins(valve), (0.5, -0.5))
    widths = -2 * np.linalg.eigvals(np.array(sv.effective_hamiltonian(valve, sv.aligned_spins(valve)))).imag
    assert widths.min() < 1e-4
    derivative = sv.time_derivative(valve, state, jnp.array([0.5, -0.5]))
    assert largest(derivative.rho) < 1e-12
    exact = sv.exact_density_matrix(valve, sv.aligned_spins(valve), (0.5, -0.5))
    assert np.abs(state.rho - exact).max() < 1e-9


def test_a_state_out_of_reach_of_the_leads_is_refused():
    valve = sv.SpinValve.from_bonds(3, [(0, 1), (1, 2)], contacts=[[1]])
    with pytest.raises(ValueError, match="no weight on any contact"):
        sv.stationary(valve, np.zeros((0, 3)))


def test_levels_are_refused_by_name():
    with pytest.raises(ValueError, match=r"`mu` must give one level for each of the 2 leads, but has shape \(3,\)"):
        sv.stationary(VALVE, ALIGNED, (0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match="`mu` must be finite"):
        sv.stationary(VALVE, ALIGNED, (0.1, np.nan))
    with pytest.raises(ValueError, match="`temperature` must be None"):
        sv.stationary(VALVE, ALIGNED, temperature=0.1)
    isolated = sv.SpinValve.chain(1, 1, 1, j_sd=1.0)
    with pytest.raises(ValueError, match="`mu` must be None"):
        sv.stationary(isolated, sv.aligned_spins(isolated), (0.1,))
    with pytest.raises(ValueError, match="`temperature` must be positive, but is 0"):
        sv.stationary(isolated, sv.aligned_spins(isolated), temperature=0.0)


@pytest.mark.parametrize("temperature", [None, 0.3])
def test_isolated_chains_are_filled_to_zero_energy_zero_modes_by_half(temperature):
    """An odd chain without coupling to the spins has a zero mode for each spin direction."""
    for j_sd, sites in ((0.0, 5), (1.3, 6)):
        valve = sv.SpinValve.chain(2, sites - 4, 2, j_sd=j_sd)
        spins = random_spins(np.random.default_rng(sites), 4)
        state = sv.stationary(valve, spins, temperature=temperature)
        h = oracles.hamiltonian(sites, oracles.square_bonds(sites, 1), 1.0, 0.0, j_sd, valve.lattice.spin_sites, spins)
        assert np.abs(state.rho - oracles.isolated_rho(h, temperature)).max() < 1e-13
        assert np.isclose(sv.particle_number(valve, state), sites, atol=1e-12)


@pytest.mark.parametrize("temperature", [None, 0.05, 2.0])
def test_isolated_electrons_have_derivatives_where_levels_are_degenerate(temperature):
    """A 4x4 square at J_sd = 0 has many-fold levels, where eigenvectors have no derivative."""
    bonds = oracles.square_bonds(4, 4)
    valve = sv.SpinValve.from_bonds(16, bonds, [[0], [6]], j_sd=0.0, mu_bar=0.1)
    spins = random_spins(np.random.default_rng(7), 2)
    weight = np.random.default_rng(8).normal(size=(32, 32)) + 1j
    loss = jax.jit(lambda v: jnp.sum((sv.stationary(v, spins, temperature=temperature).rho * weight).real))
    slope = jax.grad(loss)(valve)
    for name in ("j_sd", "mu_bar", "hopping"):
        shifted = lambda h, name=name: loss(replaced(valve, name, getattr(valve, name) + h))
        finite = (shifted(1e-5) - shifted(-1e-5)) / 2e-5
        assert np.isclose(getattr(slope, name), finite, rtol=1e-6, atol=1e-8), name


def test_thermal_occupations_have_a_derivative_in_the_temperature():
    valve = sv.SpinValve.chain(2, 1, 2, j_sd=1.0)
    spins = random_spins(np.random.default_rng(1), 4)
    loss = lambda t: sv.stationary(valve, spins, temperature=t).rho[0, 3].real
    finite = (loss(0.2 + 1e-5) - loss(0.2 - 1e-5)) / 2e-5
    assert np.isclose(jax.grad(loss)(0.2), finite, rtol=1e-7)
    assert np.isclose(jax.jacfwd(loss)(0.2), finite, rtol=1e-7)


def replaced(valve, name, value):
    return eqx.tree_at(lambda v: getattr(v, name), valve, value)


def test_stationary_electrons_have_derivatives_in_the_levels():
    valve, _ = tangled(n_poles=4)
    spins = random_spins(np.random.default_rng(4), 5)
    rng = np.random.default_rng(9)
    weight, weight_pi = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for shape in ((14, 14), (14, 40)))

    def loss(mu):
        state = sv.stationary(valve, spins, mu)
        return jnp.sum((state.rho * weight).real) + jnp.sum((state.pi * weight_pi).real)

    mu, one = jnp.array(MU), jnp.array([0, 1e-5, 0])
    slope = jax.grad(loss)(mu)[1]
    assert np.isclose(slope, (loss(mu + one) - loss(mu - one)) / 2e-5, rtol=1e-7)
    assert np.isclose(slope, jax.jvp(loss, (mu,), (jnp.array([0.0, 1, 0]),))[1], rtol=1e-11)


def test_a_common_shift_of_all_levels_changes_nothing():
    """Gauge invariance, below Eq. (9): mu_bar and every mu_l up by the same amount."""
    valve, _ = tangled()
    mu = np.array([0.3, -0.4, 0.1])
    shifted = eqx.tree_at(lambda v: v.mu_bar, valve, valve.mu_bar + 0.37)
    spins = random_spins(np.random.default_rng(3), len(valve.lattice.spin_sites))
    one, other = sv.stationary(valve, spins, mu), sv.stationary(shifted, spins, mu + 0.37)
    assert np.abs(one.rho - other.rho).max() < 1e-13
    assert np.abs(one.pi - other.pi).max() < 1e-13
