"""The right-hand side, the fields and the observables against the paper's equations written out in full."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from systems import as_state, random_spins, random_state, tangled

import svjax as sv
from svjax.model.hamiltonian import hamiltonian
from svjax.model.spins import effective_field, spin_energy

MU = np.array([0.4, -0.7, 0.15])


def worst(a, b):
    return max(float(np.abs(np.asarray(x) - np.asarray(y)).max(initial=0)) for x, y in zip(a, b, strict=True))


def test_every_derivative_is_that_of_the_printed_equations():
    valve, system = tangled()
    state, reference = random_state(valve, system)
    expected = as_state(valve, oracles.time_derivative(system, reference, MU))
    found = sv.time_derivative(valve, state, MU)
    assert worst(jax.tree.leaves(found), jax.tree.leaves(expected)) < 1e-12


def test_current_matrices_vanish_outside_their_contact_columns():
    valve, system = tangled()
    derivative = oracles.time_derivative(system, random_state(valve, system)[1], MU)
    for lead, rows in enumerate(valve.lattice.contact_rows):
        others = np.setdiff1d(np.arange(valve.lattice.dim), rows)
        assert np.all(derivative.pi[lead][:, :, others] == 0)


def test_isolated_valve_follows_liouville_and_the_spin_equation():
    rng = np.random.default_rng(3)
    valve = sv.SpinValve.chain(2, 1, 2, j_sd=1.5, anisotropy=(0.2, 0.1), field=(0.3, -0.1, 0.2), mu_bar=0.2)
    bonds = [(x, x + 1) for x in range(4)]
    spins = random_spins(rng, 4)
    a = rng.normal(size=(10, 10)) + 1j * rng.normal(size=(10, 10))
    rho = a + a.conj().T
    h = oracles.hamiltonian(5, bonds, 1.0, 0.2, 1.5, [0, 1, 3, 4], spins)
    found = sv.time_derivative(valve, sv.State(jnp.asarray(rho), jnp.zeros((10, 0), complex), spins))
    assert np.allclose(found.rho, -1j * (h @ rho - rho @ h), atol=1e-12)
    assert found.pi.shape == (10, 0)
    density = oracles.site_spin_density(rho)[[0, 1, 3, 4]]
    axes = np.repeat([[1, 0, 0], [0, 0, 1]], 2, axis=0)
    k = np.repeat([0.2, 0.1], 2)[:, None]
    neighbour = spins[np.array([1, 0, 3, 2])]
    field = (
        neighbour + np.array([0.3, -0.1, 0.2]) + 2 * k * np.sum(spins * axes, 1, keepdims=True) * axes - 1.5 * density
    )
    assert np.allclose(found.spins, np.cross(spins, field), atol=1e-12)


def test_dense_hamiltonian_is_that_of_eq_1():
    valve, system = tangled()
    spins = random_spins(np.random.default_rng(1), 5)
    assert np.allclose(hamiltonian(valve, spins), system.hamiltonian(spins), atol=1e-14)
    h_eff = oracles.effective_hamiltonian(system.hamiltonian(spins), system.gammas)
    assert np.allclose(sv.effective_hamiltonian(valve, spins), h_eff, atol=1e-14)


def test_the_field_is_minus_the_gradient_of_the_energy():
    valve, _ = tangled()
    rng = np.random.default_rng(2)
    spins, density = jnp.asarray(random_spins(rng, 5)), jnp.asarray(rng.normal(size=(5, 3)))
    energy = lambda s: spin_energy(valve, s) + valve.j_sd * jnp.sum(density * s)
    assert np.allclose(effective_field(valve, spins, density), -jax.grad(energy)(spins), atol=1e-12)


def test_currents_and_torques_are_those_of_the_printed_equations():
    valve, system = tangled()
    state, reference = random_state(valve, system)
    charge, spin = oracles.lead_currents(oracles.current_matrices(system, reference))
    for lead in range(3):
        assert np.isclose(sv.charge_current(valve, state, lead), charge[lead], atol=1e-12)
        assert np.allclose(sv.spin_current(valve, state, lead), spin[lead], atol=1e-12)
    assert abs(sv.charge_balance(valve, state)) < 1e-12
    rate = jnp.trace(sv.time_derivative(valve, state, MU).rho).real
    assert np.isclose(rate, 2 * charge.sum(), atol=1e-12)


def test_two_leads_carry_the_papers_signs():
    valve = sv.SpinValve.square(4, 2, 1, 1, j_sd=1.3, poles=sv.pade_poles(4), lead_coupling=(1.0, 0.6))
    state = sv.stationary(valve, random_spins(np.random.default_rng(0), 4), (0.8, -0.3))
    left, right = (sv.charge_current(valve, state, lead) for lead in (0, 1))
    assert left > 0.05
    assert np.isclose(left, right, atol=1e-12)
    inflow = oracles.lead_currents(
        oracles.current_matrices(
            oracles.System(
                8, oracles.square_bonds(4, 2), [[0, 1], [6, 7]], [[0, 1], [6, 7]], 1.0, 0.0, 1.3, -1.0, (0.4, 0.02),
                np.eye(3)[[0, 2]], np.zeros(3), (1.0, 0.6), 0.025, (*map(np.array, (valve.poles.xi, valve.poles.eta)),),
            ),
            oracles.State(np.array(state.rho), full_pi(valve, state), np.array(state.spins)),
        )
    )  # fmt: skip
    assert np.allclose(sv.spin_current(valve, state, 1), -inflow[1][1], atol=1e-12)


def full_pi(valve, state):
    """The stored columns back in their places, (leads, poles, 2N, 2N)."""
    n_poles, dim = len(valve.poles.xi), valve.lattice.dim
    pi = np.zeros((len(valve.lattice.contacts), n_poles, dim, dim), complex)
    start = 0
    for lead, rows in enumerate(valve.lattice.contact_rows):
        for pole in range(n_poles):
            pi[lead, pole][:, rows] = state.pi[:, start : start + len(rows)]
            start += len(rows)
    return pi


def test_interface_currents_are_those_of_the_printed_equations_between_any_monolayers():
    valve = sv.SpinValve.square(5, 2, 1, 2, j_sd=1.3, hopping=0.8, poles=sv.pade_poles(3))
    state, _ = random_state(valve, None)
    h = np.array(hamiltonian(valve, state.spins))
    for monolayer in (None, 0, 1, 2, 3):
        x = 2 if monolayer is None else monolayer
        pairs = [(2 * x + y, 2 * x + 2 + y) for y in range(2)]
        charge, spin = oracles.bond_currents(h, np.array(state.rho), pairs)
        found = sv.interface_currents(valve, state, monolayer)
        assert np.isclose(found[0], charge, atol=1e-12)
        assert np.allclose(found[1], spin, atol=1e-12)
    with pytest.raises(ValueError, match=r"`monolayer` must lie between 0 and 3, but is 4"):
        sv.interface_currents(valve, state, 4)


def test_interface_of_a_lattice_numbered_backwards():
    """A complex bond listed from the free layer to the spacer carries its current in the same direction."""
    parameters = dict(layers=[[0], [2]], contacts=[[0], [2]], j_sd=1.0, poles=sv.pade_poles(3))
    forward = sv.SpinValve.from_bonds(3, [(0, 1), (1, 2, 0.5 + 0.8j)], **parameters)
    backward = sv.SpinValve.from_bonds(3, [(0, 1), (2, 1, 0.5 - 0.8j)], **parameters)
    state, _ = random_state(forward, None)
    for a, b in zip(sv.interface_currents(forward, state), sv.interface_currents(backward, state), strict=True):
        assert np.allclose(a, b, atol=1e-13)
    h = np.array(hamiltonian(forward, state.spins))
    charge, spin = oracles.bond_currents(h, np.array(state.rho), [(1, 2)])
    assert np.isclose(sv.interface_currents(forward, state)[0], charge, atol=1e-13)
    assert np.allclose(sv.interface_currents(forward, state)[1], spin, atol=1e-13)


def test_densities_energy_and_polarization_from_their_definitions():
    valve, system = tangled()
    state, reference = random_state(valve, system)
    rho = np.array(state.rho)
    density = oracles.site_spin_density(rho)
    charge = np.array([np.trace(rho[2 * j : 2 * j + 2, 2 * j : 2 * j + 2]).real for j in range(7)])
    assert np.allclose(sv.site_spin(valve, state), density, atol=1e-13)
    assert np.allclose(sv.spin_density(valve, state), density[[2, 0, 6, 4, 5]], atol=1e-13)
    assert np.allclose(sv.site_charge(valve, state), charge, atol=1e-13)
    assert np.allclose(sv.monolayer_polarization(valve, state), 2 * density / charge[:, None], atol=1e-12)
    assert np.isclose(sv.particle_number(valve, state), charge.sum())
    assert np.allclose(sv.total_spin(valve, state), density.sum(0) + np.array(state.spins).sum(0))
    assert np.isclose(sv.energy(valve, state), oracles.total_energy(system, rho, reference.spins))
    assert np.allclose(sv.magnetization(valve, state)[1], np.array(state.spins)[2:].mean(0))


def test_monolayers_of_the_strip_are_its_columns():
    valve = sv.SpinValve.square(6, 3, 1, 2, j_sd=1.0, buffer=1)
    assert valve.lattice.monolayers[2] == (6, 7, 8)
    assert valve.lattice.layers == ((3, 4, 5), (9, 10, 11, 12, 13, 14))
    assert valve.lattice.contacts == ((0, 1, 2), (15, 16, 17))
    assert valve.lattice.bond_array[valve.lattice.interface()[0]].tolist() == [[6, 9], [7, 10], [8, 11]]


def test_exchange_joins_neighbours_of_one_layer_only_whatever_their_hopping():
    bonds = [(0, 1, 0.2), (1, 2), (2, 3, 2.0)]
    valve = sv.SpinValve.from_bonds(4, bonds, [[0, 1], [2, 3]], j_sd=0.0, j_ex=-0.7)
    spins = random_spins(np.random.default_rng(5), 4)
    assert np.isclose(spin_energy(valve, spins), -0.7 * (spins[0] @ spins[1] + spins[2] @ spins[3]))


def test_a_leaf_replaced_by_a_number_gives_an_equal_valve_with_gradients():
    valve = sv.SpinValve.square(4, 1, 1, 1, j_sd=2.0, poles=sv.pade_poles(3))
    changed = eqx.tree_at(lambda v: (v.j_sd, v.lead_coupling), valve, (3.0, 0.5))
    built = sv.SpinValve.square(4, 1, 1, 1, j_sd=3.0, lead_coupling=0.5, poles=sv.pade_poles(3))
    assert changed == built
    assert changed != valve
    spins = sv.aligned_spins(valve)
    loss = lambda v: sv.stationary(v, spins).rho[0, 3].imag + sv.stationary(v, spins).rho[0, 2].real
    slope = jax.grad(loss)(changed).j_sd
    finite = loss(eqx.tree_at(lambda v: v.j_sd, built, 3.0 + 1e-5)) - loss(
        eqx.tree_at(lambda v: v.j_sd, built, 3.0 - 1e-5)
    )
    assert np.isclose(slope, finite / 2e-5, atol=1e-8)


BAD = {
    "temperature": (0.0, "positive"),
    "lead_coupling": (-1.0, "not be negative"),
    "j_sd": (np.nan, "finite"),
    "field": ((0.0, np.inf, 0.0), "finite"),
    "anisotropy": ((0.1, 0.2, 0.3), r"shape \(2,\)"),
    "easy_axes": (((0, 0, 0), (0, 0, 1)), "directions"),
}


@pytest.mark.parametrize("name", BAD)
def test_impossible_parameters_are_refused_by_name(name):
    value, message = BAD[name]
    with pytest.raises(ValueError, match=f"`{name}` must.*{message}"):
        sv.SpinValve.square(**{"j_sd": 1.0, name: value})


def test_impossible_lattices_are_refused():
    with pytest.raises(ValueError, match=r"`length` must be at least .* = 12, but is 11"):
        sv.SpinValve.square(11, 2, 6, 6, j_sd=1.0)
    with pytest.raises(ValueError, match="join two different sites"):
        sv.SpinValve.from_bonds(2, [(0, 2)])
    with pytest.raises(ValueError, match=r"each pair of sites once.*\(0, 1\)"):
        sv.SpinValve.from_bonds(2, [(0, 1), (1, 0)])
    with pytest.raises(ValueError, match="share a site"):
        sv.SpinValve.from_bonds(2, [(0, 1)], [[0], [0, 1]])
    with pytest.raises(ValueError, match="`contacts` must list different sites between 0 and 1"):
        sv.SpinValve.from_bonds(2, [(0, 1)], contacts=[[2]])


def test_spins_of_wrong_shape_or_length_are_refused():
    valve = sv.SpinValve.square(4, 1, 1, 1, j_sd=1.0, poles=sv.pade_poles(3))
    with pytest.raises(ValueError, match=r"`spins` must have shape \(2, 3\), but has shape \(3, 3\)"):
        sv.stationary(valve, np.eye(3))
    with pytest.raises(ValueError, match="`spins` must be of unit length, but lengths reach 2"):
        sv.stationary(valve, 2 * np.eye(3)[:2])
    with pytest.raises(ValueError, match="`spins` must be of unit length"):
        sv.stationary(valve, np.full((2, 3), np.nan))


def test_double_precision_is_asked_for_not_switched_on():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(RuntimeError, match="jax_enable_x64"):
            sv.SpinValve.square(j_sd=1.0)
        single = sv.SpinValve.square(4, 1, 1, 1, j_sd=1.0, poles=sv.pade_poles(3), dtype="float32")
        assert sv.stationary(single, sv.aligned_spins(single)).rho.dtype == np.complex64
    finally:
        jax.config.update("jax_enable_x64", True)
