"""Currents, torques and energies of single bonds and sites: they balance, and agree with the leads and the layers."""

import jax
import numpy as np
import pytest
from helpers import small_valve
from systems import TANGLED, random_spins, random_state, tangled

import svjax as sv

MU = (0.5, -0.4, 0.1)
SPINS = np.asarray(random_spins(np.random.default_rng(3), 5))


@pytest.fixture(scope="module", name="held")
def fixture_held():
    valve, _ = tangled()
    return valve, sv.stationary(valve, SPINS, MU)


def into_sites(valve, along):
    """What currents along the bonds bring each site."""
    total = np.zeros((valve.lattice.n_sites, *np.shape(along)[1:]))
    for (i, j), flow in zip(valve.lattice.bonds, np.asarray(along), strict=True):
        total[j] += flow
        total[i] -= flow
    return total


@pytest.mark.parametrize("bands", [None, (sv.LorentzianBand(1.3, 0.2), None, sv.StripBand(3))])
def test_charge_obeys_kirchhoff_on_every_site(bands):
    valve = sv.SpinValve.from_bonds(**TANGLED | {"bands": bands})
    state = sv.stationary(valve, SPINS, MU)
    inflow = np.asarray(sv.site_inflow(valve, state))
    assert np.abs(into_sites(valve, sv.bond_currents(valve, state)) + inflow).max() < 1e-12
    assert np.abs(inflow).max() > 1e-2
    np.testing.assert_allclose(inflow.sum(), 2 * sum(sv.charge_current(valve, state, k) for k in range(3)), atol=1e-13)


def test_the_rate_of_every_sites_charge_and_spin_is_what_flows_in():
    """In no steady state at all: the equation of motion on the one side, bonds, leads and torques on the other."""
    valve, reference = tangled()
    state, _ = random_state(valve, reference)
    rate = np.asarray(sv.time_derivative(valve, state, MU).rho).reshape(7, 2, 7, 2)[range(7), :, range(7), :]
    charge = into_sites(valve, sv.bond_currents(valve, state)) + sv.site_inflow(valve, state)
    np.testing.assert_allclose(np.einsum("nss->n", rate).real, charge, atol=1e-12)
    pauli = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    spin = into_sites(valve, sv.bond_spin_currents(valve, state)) + np.asarray(sv.site_spin_inflow(valve, state))
    spin[valve.lattice.spin_sites] -= sv.spin_transfer_torques(valve, state)
    np.testing.assert_allclose(np.einsum("ast,nts->na", pauli, rate).real / 2, spin, atol=1e-12)


def test_torques_of_the_electrons_are_the_spin_that_stays_on_the_sites(held):
    valve, state = held
    arriving = into_sites(valve, sv.bond_spin_currents(valve, state)) + sv.site_spin_inflow(valve, state)
    torques = np.asarray(sv.spin_transfer_torques(valve, state))
    np.testing.assert_allclose(arriving[valve.lattice.spin_sites], torques, atol=1e-12)
    assert np.abs(np.delete(arriving, valve.lattice.spin_sites, 0)).max() < 1e-12 < 1e-2 < np.abs(torques).max()


def test_torques_add_up_to_those_of_the_layers(held):
    valve, state = held
    step = 1e-6
    rate = jax.jvp(
        lambda s: sv.magnetization(valve, sv.State(state.rho, state.pi, s)),
        (state.spins,),
        (sv.time_derivative(valve, state, MU).spins,),
    )[1]
    torques = np.asarray(sv.local_torques(valve, state))
    for layer, size in enumerate((2, 3)):
        own = torques[valve.lattice.spin_layers == layer]
        np.testing.assert_allclose(own.sum(0) / size, rate[layer], atol=1e-12)
    moved = sv.evolve(valve, state, MU, step, dt=step, save_every=1).state.spins
    np.testing.assert_allclose((moved - state.spins) / step, torques, atol=1e-5)
    assert np.abs(torques).max() > 0.1


def test_energy_flows_undivided_between_the_leads():
    """Away from contacts and their neighbours the current is the integral over the leads' energies."""
    poles = sv.optimized_poles(28)
    mu = np.array([0.5, -0.3])
    valve = sv.SpinValve.square(7, 2, 2, 2, j_sd=1.3, temperature=0.2, poles=poles)
    spins = random_spins(np.random.default_rng(5), 8)
    state = sv.stationary(valve, spins, mu)
    flow = np.asarray(sv.bond_energy_currents(valve, state))
    particles = 2 * float(sv.charge_current(valve, state, 0))
    expected = float(sv.heat_current(valve, spins, mu)[0]) + mu[0] * particles
    inner = into_sites(valve, flow)[4:-4]
    assert np.abs(inner).max() < 1e-11
    for column in range(1, 5):
        across = [b for b, (i, j) in enumerate(valve.lattice.bonds) if i // 2 == column and j // 2 == column + 1]
        np.testing.assert_allclose(flow[across].sum(), expected, atol=1e-8)
    assert abs(expected) > 1e-3


def test_isolated_sites_exchange_the_energy_of_half_their_bonds():
    """d/dt of [P_i H + H P_i]/2 at frozen spins, from -i [H, rho]."""
    valve = sv.SpinValve.from_bonds(**TANGLED | {"contacts": [], "lead_coupling": 1.0, "temperature": 0.1})
    rng = np.random.default_rng(1)
    rho = rng.normal(size=(14, 14)) + 1j * rng.normal(size=(14, 14))
    rho, h = rho + rho.conj().T, np.asarray(sv.hamiltonian(valve, SPINS))
    rate = -1j * (h @ rho - rho @ h)
    own = np.einsum("ab,ba->a", h, rate).real.reshape(7, 2).sum(1)
    found = into_sites(valve, sv.bond_energy_currents(valve, sv.State(rho, np.zeros((14, 0)), SPINS)))
    np.testing.assert_allclose(found, own, atol=1e-12)


def test_steady_states_of_a_sweep_are_observed_by_name():
    names = ("bond_current", "local_torque", "bond_energy_current")
    found = sv.sweep(small_valve(), {"voltage": [0.3, 0.6]}, sv.SteadyTask(observe=names))
    assert found["bond_current"].dims == ("voltage", "bond") and found["local_torque"].dims[1:] == ("spin", "component")
    state = sv.steady_state(small_valve(), sv.symmetric(0.6))
    for name, direct in (("bond_current", sv.bond_currents), ("bond_energy_current", sv.bond_energy_currents)):
        np.testing.assert_allclose(found[name][1], direct(small_valve(), state), atol=1e-9)
    with pytest.raises(ValueError, match="near is 'bond_current'"):
        sv.SteadyTask(observe=("bond_curent",))
