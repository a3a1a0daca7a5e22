"""The oracles against each other and against results known on paper. No test here touches the package."""

import dataclasses

import numpy as np
import oracles as o
import pytest
from scipy.special import expit

MUS, TEMPERATURES, SHIFTS = (0.4, -0.7, 0.15), (0.1, 0.05, 0.2), (0.5, -0.8, 0.9)


def random_spins(rng, n):
    spins = rng.normal(size=(n, 3))
    return spins / np.linalg.norm(spins, axis=1, keepdims=True)


def random_hermitian(rng, n):
    matrix = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))
    return (matrix + o.dagger(matrix)) / 2


def system(poles=10):
    """3x2 sites, complex hopping, three leads of different Gamma and T; site 1 touches two leads. No symmetry left."""
    rng = np.random.default_rng(1)
    return o.System(
        n_sites=6,
        bonds=[(i, j, rng.normal() + 1j * rng.normal()) for i, j in o.square_bonds(3, 2)],
        layers=[[0, 1], [4, 5]],
        contacts=[[0, 1], [4, 5], [1, 3]],
        hopping=0.8,
        mu_bar=0.3,
        j_sd=2.0,
        j_ex=-0.7,
        anisotropy=(0.4, 0.15),
        easy_axes=((1, 0, 0), (0, 0.6, 0.8)),
        field=(0.1, -0.2, 0.05),
        lead_coupling=(1.0, 0.6, 0.35),
        temperature=TEMPERATURES,
        poles=o.pade_poles(poles),
    )


def isolated():
    return dataclasses.replace(system(), contacts=[], lead_coupling=1.0, temperature=1.0)


def electrons():
    """(h, gammas) of `system` at random spins."""
    device = system()
    return device.hamiltonian(random_spins(np.random.default_rng(2), 4)), device.gammas


def valve(length=7, width=3):
    """A square valve with random spins and J_sd = 2 between two leads: (h, gammas)."""
    sites = [*range(2 * width), *range((length - 2) * width, length * width)]
    spins = random_spins(np.random.default_rng(3), len(sites))
    h = o.hamiltonian(length * width, o.square_bonds(length, width), 1.0, 0.0, 2.0, sites, spins)
    contacts = [list(range(width)), list(range((length - 1) * width, length * width))]
    return h, o.gamma_matrices(length * width, contacts, 1.0)


def differ(a, b):
    """Largest difference of two arrays or tuples of arrays."""
    pairs = zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]
    return max(np.max(np.abs(np.asarray(x) - np.asarray(y)), initial=0) for x, y in pairs)


def slope(errors):
    """Order of convergence from the last two errors, each step halved (or each size doubled)."""
    return np.log2(errors[-2] / errors[-1])


def test_the_random_system_has_no_symmetry():
    h, gammas = electrons()
    rho = o.exact_rho(h, gammas, MUS, TEMPERATURES)
    assert differ(rho, o.dagger(rho)) < 1e-14 and np.all(np.linalg.eigvalsh(rho) * (1 - np.linalg.eigvalsh(rho)) > 0)
    assert min(np.abs(rho.imag).max(), differ(rho, rho.T), np.ptp(np.diag(rho).real)) > 0.1


# ------------------------------------------------------------------------------------------------------------ pieces


def test_square_lattice_spectrum():
    length, width = 4, 3
    h = o.hamiltonian(12, o.square_bonds(length, width), 1.3, 0.2, 0.0, [], [])
    kx, ky = (np.pi * np.arange(1, n + 1) / (n + 1) for n in (length, width))
    levels = 0.2 - 2.6 * (np.cos(kx)[:, None] + np.cos(ky))
    assert differ(np.linalg.eigvalsh(h), np.sort(np.repeat(levels, 2))) < 1e-13


def test_hamiltonian_blocks():
    h = o.hamiltonian(2, [(0, 1, 0.5 + 2j)], 2.0, 0.1, 4.0, [1], [(0.6, 0.0, 0.8)])
    assert differ(h[:2, 2:], -(1 + 4j) * np.eye(2)) < 1e-15 and differ(h, o.dagger(h)) == 0
    assert differ(h[2:, 2:], np.array([[1.7, 1.2], [1.2, -1.5]])) < 1e-15
    h = o.hamiltonian(1, [], 1.0, 0.0, 2.0, [0], [(0, 1, 0)])
    assert differ(h, np.array([[0, -1j], [1j, 0]])) == 0


def test_pade_poles():
    assert differ(o.pade_poles(1), (np.array([2 * np.sqrt(3)]), np.array([1.5]))) < 1e-14
    x = np.linspace(-20, 20, 81)
    xi, eta = o.pade_poles(10)
    assert differ(0.5 - 2 * x * (eta / (x[:, None] ** 2 + xi**2)).sum(axis=1), expit(-x)) < 1e-13
    assert differ(xi[:3], np.pi * np.array([1, 3, 5])) < 1e-9 and differ(eta[:3], np.ones(3)) < 1e-9  # Matsubara
    assert abs((eta / xi**2).sum() - 1 / 8) < 1e-14  # f = 1/2 - x/4 + ...


def test_field_is_minus_the_gradient_of_the_energy():
    rng, device = np.random.default_rng(4), system()
    spins, density, direction = random_spins(rng, 4), rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    change = [o.classical_energy(device, spins + s * 1e-5 * direction, density) for s in (1, -1)]
    expected = np.sum(o.effective_field(device, spins, density) * direction)
    assert abs((change[0] - change[1]) / 2e-5 + expected) < 1e-9


# --------------------------------------------------------------------------------------------- stationary electrons


def test_exact_rho_equals_quadrature():
    h, gammas = electrons()
    a, b = (f(h, gammas, MUS, TEMPERATURES) for f in (o.exact_rho, o.exact_rho_by_quadrature))
    assert differ(a, b) < 1e-13


def test_exact_rho_at_low_temperature_is_the_arctangent():
    level, gamma, mu = 0.3, 0.8, -0.1
    rho = o.exact_rho(level * np.eye(2), gamma * np.eye(2)[None], (mu,), (1e-6,))
    assert differ(rho, (0.5 + np.arctan(2 * (mu - level) / gamma) / np.pi) * np.eye(2)) < 1e-11


def test_pade_sum_converges_to_exact_rho_as_the_fourth_power():
    h, gammas = electrons()
    exact = o.exact_rho(h, gammas, MUS, TEMPERATURES)
    errors = [differ(o.stationary(h, gammas, MUS, TEMPERATURES, *o.pade_poles(n))[0], exact) for n in (40, 80, 160)]
    assert errors[-1] < 1e-8 and abs(slope(errors) - 4) < 0.05


def test_exceptional_point_needs_no_eigenbasis():
    h = o.hamiltonian(2, [(0, 1)], 1.0, 0.0, 0.0, [], [])
    gammas = o.gamma_matrices(2, [[0]], 4.0)
    assert np.linalg.cond(o.eigenbasis(h, gammas)[1]) > 1e6
    rho, _ = o.stationary(h, gammas, (0.2,), (0.1,), *o.pade_poles(100))
    assert differ(rho, o.exact_rho_by_quadrature(h, gammas, (0.2,), (0.1,))) < 2e-7


def test_equilibrium_is_the_thermal_state_for_weak_leads():
    device = system()
    h = electrons()[0]
    gammas = o.gamma_matrices(6, device.contacts, 1e-7)
    assert differ(o.exact_rho(h, gammas, (0.0,) * 3, (0.2,) * 3), o.isolated_rho(h, 0.2)) < 1e-6
    chain = o.hamiltonian(3, [(0, 1), (1, 2)], 1.0, 0.0, 0.0, [], [])
    assert differ(np.diag(o.isolated_rho(chain)).real, np.full(6, 0.5)) < 1e-14  # zero modes are filled by half


def test_stationary_is_a_fixed_point_of_the_textbook_equations():
    device, spins = system(), random_spins(np.random.default_rng(2), 4)
    rho, pi = o.stationary(device.hamiltonian(spins), device.gammas, MUS, TEMPERATURES, *device.poles)
    rate = o.time_derivative(device, o.State(rho, pi, spins), MUS, frozen=True)
    assert max(np.abs(x).max() for x in rate) < 1e-12
    assert np.abs(o.time_derivative(device, o.State(rho, pi, spins), MUS).spins).max() > 0.1


def test_shifting_every_potential_changes_nothing():
    h, gammas = electrons()
    moved = o.exact_rho(h + 0.37 * np.eye(12), gammas, np.add(MUS, 0.37), TEMPERATURES)
    assert differ(moved, o.exact_rho(h, gammas, MUS, TEMPERATURES)) < 1e-14


# --------------------------------------------------------------------------------------------------------- currents


def test_digamma_currents_equal_landauer():
    h, gammas = electrons()
    exact = o.exact_lead_currents(h, gammas, MUS, TEMPERATURES)
    assert differ(exact, o.landauer_currents(h, gammas, MUS, TEMPERATURES)) < 1e-13
    assert abs(exact[0].sum()) < 1e-14 and np.abs(exact[0]).min() > 1e-2 and np.abs(exact[1]).max() > 1e-3
    edges = np.array(MUS) + 1j * np.pi * np.array(TEMPERATURES)
    e, weight = o.graded_nodes(np.append(edges, np.linalg.eigvals(o.effective_hamiltonian(h, gammas))), -9, 9)
    fermi = [expit((mu - e) / temperature) for mu, temperature in zip(MUS, TEMPERATURES, strict=True)]
    dense = sum(weight @ (o.transmission(h, gammas, e, 0, m) * (fermi[0] - fermi[m])) for m in (1, 2)) / (4 * np.pi)
    assert abs(exact[0][0] - dense) < 1e-13
    equilibrium = o.exact_lead_currents(h, gammas, (0.2,) * 3, (0.1,) * 3)
    assert differ(equilibrium, (np.zeros(3), np.zeros((3, 3)))) < 1e-14


def test_current_is_half_of_the_particle_current():
    device, rng = system(), np.random.default_rng(5)
    pi = rng.normal(size=(3, 10, 12, 12)) + 1j * rng.normal(size=(3, 10, 12, 12))
    state = o.State(random_hermitian(rng, 12), pi, random_spins(rng, 4))
    charge, _ = o.lead_currents(o.current_matrices(device, state))
    rate = o.time_derivative(device, state, MUS).rho
    assert abs(np.trace(rate) - 2 * charge.sum()) < 1e-12 * np.abs(pi).sum()
    assert differ(rate, o.dagger(rate)) < 1e-12 * np.abs(pi).sum()


def test_bond_currents_fill_the_far_side():
    rng, h = np.random.default_rng(6), electrons()[0]
    rho = random_hermitian(rng, 12)
    device = dataclasses.replace(isolated(), j_sd=0.0)
    state = o.State(rho, np.zeros((0, 10, 12, 12)), random_spins(rng, 4))
    rate = o.time_derivative(device, state, ()).rho
    charge, spin = o.bond_currents(h, rho, [(2, 4), (3, 5)])
    assert abs(np.trace(rate[8:, 8:]).real - 2 * charge) < 1e-13  # half of dN/dt
    assert differ(o.site_spin_density(rate)[4:].sum(axis=0), spin) < 1e-13  # ds/dt, for spin-independent hopping


def test_steady_current_is_the_same_through_lead_and_bonds():
    h, gammas = valve()
    rho = o.exact_rho(h, gammas, (0.5, -0.5), (0.025, 0.025))
    charge, _ = o.exact_lead_currents(h, gammas, (0.5, -0.5), (0.025, 0.025))
    across, _ = o.bond_currents(h, rho, [(9 + y, 12 + y) for y in range(3)])
    assert differ(charge, np.array([across, -across])) < 1e-13 and across > 0.05


# --------------------------------------------------------------------------------------------------- a step in time


@pytest.mark.parametrize("time", [0.3, 10.0])
def test_keldysh_step_equals_many_poles(time):
    h, gammas = electrons()
    rho, totals = o.keldysh_step(h, gammas, MUS, TEMPERATURES, SHIFTS, time)
    errors, unity = [], np.eye(12)
    for n in (100, 200):
        rho_n, pi_n = o.pole_step(h, gammas, MUS, TEMPERATURES, *o.pade_poles(n), SHIFTS, time)
        totals_n = (unity - 2 * rho_n) @ gammas / 4 + pi_n.sum(axis=1)
        errors.append((differ(rho, rho_n), differ(o.lead_currents(totals), o.lead_currents(totals_n))))
    assert errors[-1][0] < 5e-9 and errors[-1][1] < 5e-10
    assert np.all(np.abs([slope([e[k] for e in errors]) - 4 for k in (0, 1)]) < 0.05)


def test_keldysh_step_begins_and_ends_in_stationary_states():
    h, gammas = electrons()
    for time, mus in ((0.0, MUS), (500.0, np.add(MUS, SHIFTS))):
        rho, totals = o.keldysh_step(h, gammas, MUS, TEMPERATURES, SHIFTS, time)
        assert differ(rho, o.exact_rho(h, gammas, mus, TEMPERATURES)) < 1e-13
        expected = o.exact_lead_currents(h, gammas, mus, TEMPERATURES)
        assert differ(o.lead_currents(totals), expected) < 1e-13


def test_keldysh_step_obeys_the_equation_of_motion():
    h, gammas = electrons()
    times, dt = 1.3 + 1e-3 * np.array([-2, -1, 0, 1, 2]), 1e-3
    rhos, totals = zip(*(o.keldysh_step(h, gammas, MUS, TEMPERATURES, SHIFTS, t) for t in times), strict=True)
    rate = (8 * (rhos[3] - rhos[1]) - (rhos[4] - rhos[0])) / (12 * dt)
    total = totals[2].sum(axis=0)
    assert differ(rate, -1j * (h @ rhos[2] - rhos[2] @ h) + total + o.dagger(total)) < 1e-10


def test_keldysh_step_of_a_valve():
    h, gammas = valve()
    mus, shifts, temperatures = (0.0, 0.0), (0.5, -0.5), (0.025, 0.025)
    rho, totals = o.keldysh_step(h, gammas, mus, temperatures, shifts, 6.0)
    rho_n, pi_n = o.pole_step(h, gammas, mus, temperatures, *o.pade_poles(100), shifts, 6.0)
    totals_n = (np.eye(42) - 2 * rho_n) @ gammas / 4 + pi_n.sum(axis=1)
    assert differ(rho, rho_n) < 3e-7 and differ(o.lead_currents(totals), o.lead_currents(totals_n)) < 1e-9


# ------------------------------------------------------------------------------------------ textbook time evolution


def test_textbook_evolution_equals_the_exact_step():
    """At frozen spins and a fixed pole list, with the order of the 3/8 rule."""
    device, spins = system(poles=4), random_spins(np.random.default_rng(2), 4)
    h, gammas, mus = device.hamiltonian(spins), device.gammas, np.add(MUS, SHIFTS)
    start = o.State(*o.stationary(h, gammas, MUS, TEMPERATURES, *device.poles), spins)
    exact = o.pole_step(h, gammas, MUS, TEMPERATURES, *device.poles, SHIFTS, 1.2)
    errors = []
    for steps in (20, 40, 80):
        end = o.evolve(device, start, lambda t: mus, 1.2 / steps, steps, frozen=True)
        errors.append(differ((end.rho, end.pi), exact))
    assert errors[-1] < 1e-5 and abs(slope(errors) - 4) < 0.15


def test_textbook_evolution_of_a_level_equals_keldysh():
    device = o.System(1, [], contacts=[[0], [0]], lead_coupling=(0.7, 0.4), mu_bar=0.3, temperature=(0.1, 0.2))
    device = dataclasses.replace(device, poles=o.pade_poles(20))
    h, gammas, mus, shifts = device.hamiltonian([]), device.gammas, (0.2, -0.1), (0.9, -0.6)
    spins = np.zeros((0, 3))
    start = o.State(*o.stationary(h, gammas, mus, device.temperatures, *device.poles), spins)
    end = o.evolve(device, start, lambda t: np.add(mus, shifts), 0.01, 200, frozen=True)
    rho, totals = o.keldysh_step(h, gammas, mus, device.temperatures, shifts, 2.0)
    assert differ(end.rho, rho) < 5e-6 and differ(rho, start.rho) > 0.02
    assert differ(o.lead_currents(o.current_matrices(device, end)), o.lead_currents(totals)) < 5e-6
    exact = o.pole_step(h, gammas, mus, device.temperatures, *device.poles, shifts, 2.0)
    assert differ((end.rho, end.pi), exact) < 1e-7  # what is left above is the pole error, not the step's


def test_textbook_evolution_has_order_four_with_moving_spins_and_potentials():
    rng, device = np.random.default_rng(7), system(poles=3)
    spins = random_spins(rng, 4)
    start = o.State(*o.stationary(device.hamiltonian(spins), device.gammas, MUS, TEMPERATURES, *device.poles), spins)

    def mu(t):
        return (0.4 + np.sin(3 * t), -0.7 + t**2, 0.15 * np.cos(t))

    ends = [o.evolve(device, start, mu, 1.0 / steps, steps) for steps in (20, 40, 80)]
    errors = [differ(tuple(ends[k]), tuple(ends[k + 1])) for k in (0, 1)]
    assert errors[-1] < 1e-5 and abs(slope(errors) - 4) < 0.25
    assert differ(ends[-1].spins, spins) > 0.1
    assert differ(np.linalg.norm(ends[-1].spins, axis=1), np.ones(4)) < 1e-7


def test_isolated_conservation_laws():
    """Energy and particles always; the total spin only without anisotropy and field."""
    rng, device = np.random.default_rng(8), isolated()
    spins = random_spins(rng, 4)
    rho = o.isolated_rho(device.hamiltonian(spins) + 0.3 * random_hermitian(rng, 12), 0.5)
    start = o.State(rho, np.zeros((0, 10, 12, 12)), spins)
    for anisotropy, field in (((0.4, 0.15), (0.1, -0.2, 0.05)), ((0.0, 0.0), (0.0, 0.0, 0.0))):
        case = dataclasses.replace(device, anisotropy=anisotropy, field=field)
        end = o.evolve(case, start, lambda t: (), 0.01, 150)
        energies = [o.total_energy(case, y.rho, y.spins) for y in (start, end)]
        totals = [y.spins.sum(axis=0) + o.site_spin_density(y.rho).sum(axis=0) for y in (start, end)]
        assert abs(energies[1] - energies[0]) < 1e-7 and abs(np.trace(end.rho - rho)) < 1e-12
        assert (differ(*totals) < 1e-7) == (anisotropy == (0.0, 0.0))
        assert differ(end.spins, spins) > 0.1


# --------------------------------------------------------------------------------------------------------- Landauer


def test_landauer_functions_of_one_magnetic_site():
    """Theta_s = Gamma_l Gamma_r / [(e - s J/2)^2 + Gamma^2/4], s = +1 (up) and -1 (down), for S along z."""
    h = o.hamiltonian(1, [], 1.0, 0.0, 1.6, [0], [(0, 0, 1)])
    gammas, e = o.gamma_matrices(1, [[0], [0]], (0.7, 0.4)), np.linspace(-2, 2, 9)
    up, down = (0.28 / ((e - s * 0.8) ** 2 + 0.55**2) for s in (1, -1))
    assert differ(o.transmission(h, gammas, e), up + down) < 1e-14
    assert differ(o.spin_polarization(h, gammas, e), up - down) < 1e-14
    assert differ(o.density_of_states(h, gammas, e), 1.1 * (up + down) / 0.28 / (2 * np.pi)) < 1e-14


def test_landauer_functions_of_the_random_system():
    h, gammas = electrons()
    e = np.linspace(-3, 3, 5)
    out, back = o.transmission(h, gammas, e, 0, 2), o.transmission(h, gammas, e, 2, 0)
    assert np.all(out > 0) and differ(out, back) > 1e-3  # no time-reversal symmetry
    injected = [sum(o.transmission(h, gammas, e, m, n) for m in (0, 1, 2) if m != n) for n in (0, 1, 2)]
    received = [sum(o.transmission(h, gammas, e, n, m) for m in (0, 1, 2) if m != n) for n in (0, 1, 2)]
    assert differ(np.array(injected), np.array(received)) < 1e-14  # unitarity
    z, weight = o.graded_nodes(np.linalg.eigvals(o.effective_hamiltonian(h, gammas)), -1e6, 1e6)
    assert abs(weight @ o.density_of_states(h, gammas, z) - 2) < 1e-5
