"""Spectra and currents against dense NumPy Green functions, symmetries at half filling, currents of the equations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import svjax as sv
from svjax.electrons.fermi import polygamma

PAULI_Z = np.diag([1.0, -1.0])
ENERGIES = np.linspace(-5, 5, 41)


def tilted(valve, seed=0, size=0.4):
    spins = np.asarray(sv.aligned_spins(valve)) + size * np.random.default_rng(seed).normal(size=(8, 3))
    return spins / np.linalg.norm(spins, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def system():
    valve = sv.SpinValve.square(5, 2, 2, 2, j_sd=2.3, lead_coupling=(0.8, 1.1), temperature=0.05)
    return valve, tilted(valve)


def dense(valve, spins, energies):
    """G^R, Gamma_left and Gamma_right, from the lattice and Eq. (1) by hand."""
    length, width, n = 5, 2, 10
    h = np.zeros((2 * n, 2 * n), complex)
    for x in range(length):
        for y in range(width):
            j = x * width + y
            for k in [j + width] * (x + 1 < length) + [j + 1] * (y + 1 < width):
                h[2 * j : 2 * j + 2, 2 * k : 2 * k + 2] = h[2 * k : 2 * k + 2, 2 * j : 2 * j + 2] = -np.eye(2)
    for j, (sx, sy, sz) in zip([0, 1, 2, 3, 6, 7, 8, 9], spins, strict=True):
        block = np.array([[sz, sx - 1j * sy], [sx + 1j * sy, -sz]])
        h[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] = float(valve.j_sd) / 2 * block
    left, right = np.zeros(2 * n), np.zeros(2 * n)
    left[:4], right[-4:] = valve.lead_coupling[0], valve.lead_coupling[1]
    h_eff = h - 0.5j * np.diag(left + right)
    return np.linalg.inv(energies[:, None, None] * np.eye(2 * n) - h_eff), np.diag(left), np.diag(right)


def test_spectra_match_dense_green_functions(system):
    valve, spins = system
    g, left, right = dense(valve, spins, ENERGIES)
    dagger = g.conj().swapaxes(1, 2)
    sigma_z = np.kron(np.eye(10), PAULI_Z)
    theta = np.trace(left @ g @ right @ dagger, axis1=1, axis2=2).real
    polarization = np.trace(left @ g @ (right @ sigma_z) @ dagger, axis1=1, axis2=2).real
    local = np.diagonal(1j * (g - dagger), axis1=1, axis2=2).real / (2 * np.pi)
    assert np.abs(sv.transmission(valve, spins, ENERGIES) - theta).max() < 1e-12
    assert np.abs(sv.spin_polarization(valve, spins, ENERGIES) - polarization).max() < 1e-12
    assert np.abs(sv.local_density_of_states(valve, spins, ENERGIES).reshape(41, 20) - local).max() < 1e-12
    assert np.abs(sv.density_of_states(valve, spins, ENERGIES) - local.sum(1) / 10).max() < 1e-12
    layers = sv.layer_density_of_states(valve, spins, ENERGIES)
    assert np.abs(layers - local.reshape(41, 5, 2, 2).sum(2)).max() < 1e-12
    assert np.abs(polarization).max() > 0.05


def test_shapes_follow_the_energies(system):
    valve, spins = system
    assert sv.transmission(valve, spins, 0.3).shape == ()
    assert sv.local_density_of_states(valve, spins, np.zeros((2, 3))).shape == (2, 3, 10, 2)


def test_half_filling_symmetries():
    valve = sv.SpinValve.square(5, 2, 2, 2, j_sd=2.0)
    spins = tilted(valve, seed=3)
    theta, p, dos = (
        np.asarray(f(valve, spins, ENERGIES)) for f in (sv.transmission, sv.spin_polarization, sv.density_of_states)
    )
    assert np.abs(theta - theta[::-1]).max() < 1e-12
    assert np.abs(p + p[::-1]).max() < 1e-12
    assert np.abs(dos - dos[::-1]).max() < 1e-12


@pytest.mark.parametrize("bias", [(0.7, -0.2), (3.0, 0.0)])
def test_current_matches_quadrature_and_the_equations_of_motion(system, bias):
    valve, spins = system
    x, weight = np.polynomial.legendre.leggauss(40)
    edges = np.linspace(-3, 6, 61)
    half = np.diff(edges)[:, None] / 2
    energies, weight = (edges[:-1, None] + half * (1 + x)).ravel(), (half * weight).ravel()
    f = 1 / (1 + np.exp(np.clip((energies[:, None] - np.array(bias)) / 0.05, -700, 700)))
    expected = weight @ (np.asarray(sv.transmission(valve, spins, energies)) * (f[:, 0] - f[:, 1])) / (4 * np.pi)
    current = sv.landauer_current(valve, spins, bias)
    assert abs(current - expected) < 1e-11
    state = sv.stationary(valve, spins, jnp.array(bias))
    for lead in (0, 1):
        assert abs(sv.charge_current(valve, state, lead) - current) < 1e-10
        assert abs(sv.landauer_current(valve, spins, bias, lead=lead) - current) < 1e-13
    for monolayer in range(4):
        assert abs(sv.interface_currents(valve, state, monolayer)[0] - current) < 1e-10


def test_conductance_is_the_slope_of_the_current(system):
    valve, spins = system
    step = 1e-4
    current = lambda v: sv.landauer_current(valve, spins, (0.2 + v / 2, 0.2 - v / 2))
    assert abs(sv.conductance(valve, spins, 0.2) - (current(step) - current(-step)) / (2 * step)) < 1e-8


def test_gradients_of_the_current(system):
    valve, spins = system

    def current(parameters):
        j_sd, temperature, voltage = parameters
        changed = eqx.tree_at(lambda v: (v.j_sd, v.temperature), valve, (j_sd, temperature))
        return sv.landauer_current(changed, spins, sv.symmetric(voltage))

    at = jnp.array([2.3, 0.05, 0.9])
    forward, reverse = jax.jit(jax.jacfwd(current))(at), jax.jit(jax.grad(current))(at)
    step = 1e-5
    finite = [(current(at + step * e) - current(at - step * e)) / (2 * step) for e in np.eye(3)]
    assert np.allclose(forward, finite, atol=1e-8) and np.allclose(reverse, forward, atol=1e-12)


def test_polygamma():
    scipy_special = pytest.importorskip("scipy.special")
    z = jnp.array([0.5, 0.5 + 0.3j, 2 - 7j, 0.7 + 300j, 40 + 1j])
    assert np.abs(polygamma(z)[0] / scipy_special.digamma(np.asarray(z)) - 1).max() < 1e-13
    for order in (0, 1):
        slope = (polygamma(z + 1e-5)[order] - polygamma(z - 1e-5)[order]) / 2e-5
        assert np.all(np.abs(polygamma(z)[order + 1] - slope) < 1e-8 * np.maximum(1, np.abs(slope)))


def test_bad_arguments(system):
    valve, spins = system
    with pytest.raises(ValueError, match="other"):
        sv.transmission(valve, spins, 0.0, other=2)
    with pytest.raises(ValueError, match="energies"):
        sv.density_of_states(valve, spins, np.nan)
    with pytest.raises(ValueError, match="leads"):
        isolated = sv.SpinValve.chain(1, 1, 1, j_sd=1.0)
        sv.transmission(isolated, sv.aligned_spins(isolated), 0.0)
