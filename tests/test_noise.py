"""Noise and heat against scattering matrices in NumPy, closed forms of one level, and the laws of equilibrium."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.special import expit
from systems import TANGLED, random_spins, tangled

import svjax as sv

NO_SPINS, MU = np.zeros((0, 3)), (0.5, -0.4, 0.1)
SPINS = np.asarray(random_spins(np.random.default_rng(3), 5))
SIGMA = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
POLARIZATION = np.array([[0.3, -0.5, 0.4], [0.0, 0.0, 0.0], [-0.2, 0.1, 0.6]])
TURN = np.array([[0.8, 0.36 + 0.48j], [-0.36 + 0.48j, 0.8]])
"""A 2x2 bond that turns the spin about an axis of its own."""


def twisted(polarization=POLARIZATION, temperature=TANGLED["temperature"]):
    """The valve of TANGLED with a bond that turns spins, magnetic leads, and equal temperatures on request."""
    changes = dict(bonds=[*TANGLED["bonds"], (0, 4, TURN)], lead_polarization=polarization, temperature=temperature)
    return sv.SpinValve.from_bonds(**TANGLED | changes)


def one_level(**changes):
    given = dict(contacts=[[0], [0]], mu_bar=0.15, lead_coupling=(0.3, 0.8), temperature=0.1)
    return sv.SpinValve.from_bonds(1, [], **given | changes)


class Scattering:
    """s(e) of `twisted` in the channels of all leads, and the integrals over e, on a grid of Gauss-Legendre panels."""

    def __init__(self, valve, mu):
        n, contacts = 7, TANGLED["contacts"]
        sites = [site for layer in TANGLED["layers"] for site in layer]
        h = oracles.hamiltonian(n, TANGLED["bonds"], 1.2, 0.3, 1.7, sites, SPINS)
        h[0:2, 8:10] += -1.2 * TURN
        h[8:10, 0:2] += -1.2 * TURN.conj().T
        columns, self.lead = [], []
        for lead, own in enumerate(contacts):
            gamma = TANGLED["lead_coupling"][lead] * np.einsum(
                "a,ast->st", [1, *np.asarray(valve.lead_polarization)[lead]], SIGMA
            )
            values, states = np.linalg.eigh(gamma)
            root = (states * np.sqrt(values)) @ states.conj().T
            for site in own:
                columns.append(np.kron(np.eye(n)[:, [site]], root))
                self.lead += [lead, lead]
        w, self.lead, self.mu = np.hstack(columns), np.array(self.lead), np.array(mu)
        self.temperature = np.asarray(valve.temperature)
        x, weight = np.polynomial.legendre.leggauss(20)
        edges = np.linspace(-13, 13, 401)
        half = np.diff(edges)[:, None] / 2
        self.e, self.weight = (edges[:-1, None] + half * (1 + x)).ravel(), (half * weight).ravel()
        green = np.linalg.inv(self.e[:, None, None] * np.eye(2 * n) - h + 0.5j * w @ w.conj().T)
        self.s = np.eye(w.shape[1]) - 1j * w.conj().T @ green @ w
        self.f = expit((self.mu - self.e[:, None]) / self.temperature)

    def current(self, lead, axis=0):
        """A(l) of 1 or sigma_a: what enters minus what leaves, in the channels of all leads."""
        observable = np.kron(np.diag((self.lead == lead)[::2]), SIGMA[axis])
        return observable - self.s.conj().swapaxes(1, 2) @ observable @ self.s

    def noise(self, one, other):
        f = self.f[:, self.lead]
        occupied = f[:, :, None] * (1 - f[:, None, :])
        traces = np.einsum("eij,eij,eji->e", one, occupied, other) + np.einsum("eij,eij,eji->e", other, occupied, one)
        return self.weight @ traces / (2 * np.pi)

    def mean(self, one, energy=1.0):
        return self.weight @ (np.einsum("eii,ei->e", one, self.f[:, self.lead]) * energy).real / (2 * np.pi)


def test_noise_and_heat_of_three_magnetic_leads_at_three_temperatures_are_those_of_scattering_matrices():
    valve = twisted()
    known = Scattering(valve, MU)
    assert np.abs(known.s @ known.s.conj().swapaxes(1, 2) - np.eye(10)).max() < 1e-12
    charge = [known.current(lead) for lead in range(3)]
    expected = [[known.noise(one, other) for other in charge] for one in charge]
    found = sv.zero_frequency_noise(valve, SPINS, MU)
    np.testing.assert_allclose(found, expected, atol=1e-11)
    assert np.abs(found - found.T).max() < 1e-13 and np.abs(found.sum(0)).max() < 1e-13
    currents = [known.mean(one) for one in charge]
    for lead in range(3):
        np.testing.assert_allclose(2 * sv.landauer_current(valve, SPINS, MU, lead=lead), currents[lead], atol=1e-11)
    np.testing.assert_allclose(sv.fano_factors(valve, SPINS, MU), np.diag(found) / 2 / np.abs(currents), rtol=1e-9)
    heat = [known.mean(one, known.e - MU[lead]) for lead, one in enumerate(charge)]
    np.testing.assert_allclose(sv.heat_current(valve, SPINS, MU), heat, atol=1e-11)
    assert abs(np.sum(heat) + np.dot(MU, currents)) < 1e-11 and np.abs(heat).min() > 1e-3


def test_spin_noise_is_that_of_scattering_matrices():
    """For a lead without polarisation the channels carry sigma itself."""
    valve = twisted(np.zeros((3, 3)))
    known = Scattering(valve, MU)
    found = sv.spin_noise(valve, SPINS, MU)
    for one in ((0, 1), (2, 3)):
        for other in ((0, 2), (1, 3), (2, 3)):
            expected = known.noise(known.current(one[0], one[1]), known.current(other[0], other[1])) / 4
            np.testing.assert_allclose(found[*(one[0], one[1] - 1), *(other[0], other[1] - 1)], expected, atol=1e-11)
    transposed = np.transpose(found, (2, 3, 0, 1))
    assert np.abs(found - transposed).max() < 1e-12 < np.abs(found).min()


def test_collinear_spin_noise_is_that_of_two_kinds_of_electrons():
    """Up and down do not mix: <zz> = (S_up + S_down)/4, and each is half of a valve with that level for both."""
    valve = one_level(layers=[[0]], j_sd=0.8)
    field = lambda sign: one_level(mu_bar=0.15 + sign * 0.4)
    kinds = [sv.zero_frequency_noise(field(sign), NO_SPINS, (0.3, -0.2)) / 2 for sign in (1, -1)]
    up = np.array([[0.0, 0.0, 1.0]])
    np.testing.assert_allclose(sv.zero_frequency_noise(valve, up, (0.3, -0.2)), sum(kinds), atol=1e-12)
    np.testing.assert_allclose(sv.spin_noise(valve, up, (0.3, -0.2))[:, 2, :, 2], sum(kinds) / 4, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.2, 1e-3])
def test_noise_without_bias_is_four_times_temperature_times_conductance(temperature):
    valve = twisted(temperature=temperature)
    noise = np.asarray(sv.zero_frequency_noise(valve, SPINS, (0.1, 0.1, 0.1)))
    g = lambda lead, other: 2 * sv.conductance(valve, SPINS, 0.1, lead=lead, other=other)
    for lead in range(3):
        out = sum(g(lead, other) for other in range(3) if other != lead)
        np.testing.assert_allclose(noise[lead, lead], 4 * temperature * out, rtol=1e-10)
    np.testing.assert_allclose(noise[0, 2], -2 * temperature * (g(0, 2) + g(2, 0)), rtol=1e-10)


def test_shot_noise_of_one_level_in_closed_form():
    """T -> 0: S = (2/pi) int de Theta (1 - Theta) and I = (1/pi) int de Theta, Theta = G_l G_r/(x^2 + G^2/4) per spin.

    With x = (G/2) tan(a) both are elementary; what is left of the temperature 1e-6 is 4 T/pi Theta^2 at the two edges.
    """
    left, right, mu, t = 0.3, 0.8, np.array([40.0, -0.6]), 1e-6
    total, x = left + right, mu - 0.15
    a = np.arctan(2 * x / total)
    area = np.ptp(a) * 2 / total
    square = np.ptp(a / 2 + np.sin(2 * a) / 4) * 8 / total**3
    theta = left * right / (x**2 + total**2 / 4)
    expected = 2 / np.pi * (left * right * area - (left * right) ** 2 * square) + 2 * t / np.pi * np.sum(theta**2)
    valve = one_level(temperature=t)
    noise = sv.zero_frequency_noise(valve, NO_SPINS, mu)
    np.testing.assert_allclose(noise, expected * np.array([[1, -1], [-1, 1]]), atol=1e-10)
    fano = sv.fano_factors(one_level(mu_bar=0.0), NO_SPINS, (2e4, -2e4))
    np.testing.assert_allclose(fano, (left**2 + right**2) / total**2, rtol=1e-4)


def test_a_tunnel_contact_has_poissonian_noise():
    valve = sv.SpinValve.from_bonds(2, [(0, 1, 1e-4)], contacts=[[0], [1]], temperature=0.01)
    np.testing.assert_allclose(sv.fano_factors(valve, NO_SPINS, (0.5, -0.3)), 1, rtol=1e-6)
    np.testing.assert_allclose(sv.fano_factors(valve, NO_SPINS, (0.01, 0.0)), 1 / np.tanh(0.5), rtol=1e-6)


@pytest.mark.slow
def test_a_lead_with_a_band_gives_the_integral_over_its_gamma():
    band, mu = sv.LorentzianBand(1.3, 0.2), (0.4, -0.5)
    valve = one_level(bands=[band, None])
    x, weight = np.polynomial.legendre.leggauss(4000)
    e, weight = 6 * x, 6 * weight
    gamma = 0.3 * 1.3**2 / ((e - 0.2 - mu[0]) ** 2 + 1.3**2)
    shift = 0.3 * 1.3 / 2 / (e - 0.2 - mu[0] + 1.3j)
    theta = gamma * 0.8 / abs(e - 0.15 - shift + 0.4j) ** 2
    f = expit((np.array(mu)[:, None] - e) / 0.1)
    expected = weight @ (theta * np.sum(f * (1 - f), 0) + theta * (1 - theta) * (f[0] - f[1]) ** 2) * 2 / np.pi
    np.testing.assert_allclose(sv.zero_frequency_noise(valve, NO_SPINS, mu)[1, 1], expected, rtol=1e-10)
    heat = weight @ (theta * (e - mu[1]) * (f[1] - f[0])) / np.pi
    np.testing.assert_allclose(sv.heat_current(valve, NO_SPINS, mu)[1], heat, rtol=1e-10)


def test_wiedemann_franz_and_mott_hold_at_low_temperature():
    t = 1e-3
    valve = twisted(temperature=t)
    found = sv.thermoelectric(valve, SPINS, 0.2, lead=0, other=2)
    np.testing.assert_allclose(found.conductance, 2 * sv.conductance(valve, SPINS, 0.2, other=2), rtol=1e-10)
    np.testing.assert_allclose(found.thermal_conductance / found.conductance, np.pi**2 * t / 3, rtol=1e-4)
    theta = lambda e: sv.transmission(valve, SPINS, e, other=2)
    slope = (theta(0.2 + 1e-4) - theta(0.2 - 1e-4)) / 2e-4
    np.testing.assert_allclose(found.thermopower, -(np.pi**2) * t / 3 * slope / theta(0.2), rtol=1e-3)
    np.testing.assert_allclose(found.conductance, theta(0.2) / (2 * np.pi), rtol=1e-3)


def test_thermoelectric_coefficients_are_slopes_of_the_currents_and_onsager_reciprocal():
    """The heat that a difference of levels drives is T times what a difference of temperatures drives of particles."""
    valve = one_level()
    found, step = sv.thermoelectric(valve, NO_SPINS, 0.05), 1e-4
    hot = lambda sign: one_level(temperature=(0.1 + sign * step, 0.1))
    heat = lambda v, mu: sv.heat_current(v, NO_SPINS, (0.05 + mu, 0.05))[0]
    by_level = (heat(valve, step) - heat(valve, -step)) / (2 * step)
    by_temperature = (heat(hot(1), 0.0) - heat(hot(-1), 0.0)) / (2 * step)
    flow = [2 * sv.landauer_current(hot(sign), NO_SPINS, (0.05, 0.05)) for sign in (1, -1)]
    np.testing.assert_allclose(by_level, 0.1 * (flow[0] - flow[1]) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(by_level, -0.1 * found.thermopower * found.conductance, rtol=1e-6)
    kept = by_temperature - by_level**2 / found.conductance / 0.1
    np.testing.assert_allclose(kept, found.thermal_conductance, rtol=1e-6)


def test_reversing_the_time_exchanges_the_leads():
    """Theta_lm of reversed spins, magnetic leads and fluxes is Theta_ml."""
    valve, back = twisted(temperature=0.1), twisted(-POLARIZATION, 0.1)
    y = np.array([[0, -1j], [1j, 0]])
    reversed_bonds = jnp.einsum("st,btu,uv->bsv", y, back.bonds.conj(), y)
    back = eqx.tree_at(lambda v: v.bonds, back, reversed_bonds)
    there = sv.thermoelectric(valve, SPINS, 0.1, lead=0, other=2)
    again = sv.thermoelectric(back, -SPINS, 0.1, lead=2, other=0)
    straight = sv.thermoelectric(valve, SPINS, 0.1, lead=2, other=0)
    for name in ("conductance", "thermopower", "thermal_conductance"):
        np.testing.assert_allclose(getattr(there, name), getattr(again, name), rtol=1e-10)
    assert abs(there.thermopower / straight.thermopower - 1) > 1e-3
    noise = [sv.zero_frequency_noise(*given, (0.1, 0.1, 0.1)) for given in ((valve, SPINS), (back, -SPINS))]
    np.testing.assert_allclose(*noise, atol=1e-12)


@pytest.mark.slow
def test_derivatives_of_noise_and_heat():
    valve, _ = tangled()

    def values(parameters):
        j_sd, temperature, voltage = parameters
        changed = eqx.tree_at(lambda v: (v.j_sd, v.temperature), valve, (j_sd, temperature * jnp.ones(3)))
        mu = voltage * jnp.array([0.5, -0.5, 0.1])
        noise = sv.zero_frequency_noise(changed, SPINS, mu)[0, 1]
        return jnp.stack([noise, sv.heat_current(changed, SPINS, mu)[2], sv.spin_noise(changed, SPINS, mu)[0, 0, 2, 1]])

    at, step = jnp.array([1.7, 0.15, 0.9]), 1e-4
    reverse = jax.jit(jax.jacrev(values))(at)
    finite = [(values(at + step * e) - values(at - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(reverse, np.transpose(finite), atol=1e-7)


def test_bad_arguments():
    valve = one_level()
    with pytest.raises(ValueError, match="`other` must lie between 0 and 1, but is 2"):
        sv.thermoelectric(valve, NO_SPINS, other=2)
    with pytest.raises(ValueError, match="`bias`"):
        sv.zero_frequency_noise(valve, NO_SPINS, (np.nan, 0.0))
    with pytest.raises(ValueError, match="leads"):
        isolated = sv.SpinValve.chain(1, 1, 1, j_sd=1.0)
        sv.heat_current(isolated, sv.aligned_spins(isolated), None)
