"""J_eff without time evolution: the static torque and the root in the rotating frame."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from systems import tangled

import svjax as sv

PAULIS = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
UNEQUAL = dict(
    n_sites=6,
    bonds=[(0, 1, 0.8), (1, 2), (2, 3, 1.3), (3, 4, 0.9), (4, 5), (1, 3, 0.4)],
    layers=[[0], [3, 5]],
    j_sd=1.7,
    mu_bar=0.2,
    easy_axes=((1.0, 2.0, -1.0), (0.5, 0.0, 1.0)),
)
"""Layers of one and two spins, a triangle of bonds: neither mirror nor particle-hole symmetry."""


def chain(spacer=10, layer=5, **parameters):
    return sv.SpinValve.chain(layer, spacer, layer, **{"j_sd": 1.0} | parameters)


def ground_state(h):
    energies, states = np.linalg.eigh(h)
    occupied = states[:, energies < 0]
    return occupied @ occupied.conj().T


def torques(valve, spins, rho):
    """-J_sd sum_j S_j x s_j of each layer, straight from rho's blocks."""
    lattice, total = valve.lattice, np.zeros((2, 3))
    for spin, site, layer in zip(spins, lattice.spin_sites, lattice.spin_layers, strict=True):
        block = rho[2 * site : 2 * site + 2, 2 * site : 2 * site + 2]
        density = np.einsum("ast,ts->a", PAULIS, block).real / 2
        total[layer] -= float(valve.j_sd) * np.cross(spin, density)
    return total


@pytest.mark.parametrize(("spacer", "static"), [(10, -2.4119e-4), (11, 6.2470e-4)])
def test_static_coupling_of_the_paper_s_chains(spacer, static):
    found = sv.exchange_coupling(chain(spacer))
    np.testing.assert_allclose(found.static, static, atol=6e-9)
    assert found.converged and abs(found.imbalance) < 1e-12
    np.testing.assert_allclose(found.frequency, -np.sqrt(2) * 5 * found.rotating, rtol=1e-13)
    np.testing.assert_allclose(found.ratio, found.rotating / found.static)


@pytest.mark.parametrize("angle", [0.7, np.pi / 2])
def test_static_coupling_is_the_slope_of_the_energy(angle):
    """Eq. (19): E = -J_eff N_l N_r cos(angle), so that dE/d(angle) = J_eff N_l N_r sin(angle)."""
    valve = chain(spacer=4, layer=2, j_sd=1.4)

    def spins(angle):
        right = jnp.array([jnp.cos(angle), 0, -jnp.sin(angle)])
        return jnp.stack([jnp.array([1.0, 0, 0])] * 2 + [right] * 2)

    def energy(angle):
        levels = np.linalg.eigvalsh(np.asarray(sv.hamiltonian(valve, spins(angle))))
        return levels[levels < 0].sum()

    slope = (energy(angle + 1e-4) - energy(angle - 1e-4)) / 2e-4
    np.testing.assert_allclose(sv.exchange_coupling(valve, spins(angle)).static, slope / (4 * np.sin(angle)), rtol=1e-6)


@pytest.mark.parametrize("make", [lambda: chain(11), lambda: sv.SpinValve.from_bonds(**UNEQUAL)])
def test_rotating_coupling_agrees_with_numpy(make):
    """The root by bracketing of "mean over the layers of J_eff from the torque" = -omega/|M|, from dense matrices."""
    valve = make()
    spins = np.asarray(sv.aligned_spins(valve))
    h = np.asarray(sv.hamiltonian(valve, spins))
    sums = np.array([spins[valve.lattice.spin_layers == layer].sum(0) for layer in (0, 1)])
    total, across = sums.sum(0), np.cross(*sums)
    spin = np.kron(np.eye(len(h) // 2), np.einsum("a,ast->st", total / np.linalg.norm(total), PAULIS)) / 2

    def couplings(omega):
        found = torques(valve, spins, ground_state(h - omega * spin))
        return found @ across / (across @ across) * [1, -1]

    found = sv.exchange_coupling(valve)
    np.testing.assert_allclose(found.static, couplings(0).mean(), rtol=1e-9)
    mismatch = lambda omega: couplings(omega).mean() + omega / np.linalg.norm(total)
    omega = brentq(mismatch, *sorted([0.9 * float(found.frequency), 1.1 * float(found.frequency)]), xtol=1e-14)
    np.testing.assert_allclose(found.frequency, omega, rtol=1e-9)
    np.testing.assert_allclose(found.imbalance, np.subtract(*couplings(omega)), atol=1e-12)
    assert found.converged


def test_the_valve_turns_as_one_body_at_the_rotating_root():
    """Equations of motion: at that state d rho/dt = -i omega [n.s, rho] and dM_l/dt = omega n x M_l for both layers."""
    valve = chain(spacer=4, layer=2, j_sd=2.0)
    found, spins = sv.exchange_coupling(valve), sv.aligned_spins(valve)
    axis = np.array([1.0, 0, 1.0]) / np.sqrt(2)
    spin = np.kron(np.eye(8), np.einsum("a,ast->st", axis, PAULIS)) / 2
    omega = float(found.frequency)
    rho = ground_state(np.asarray(sv.hamiltonian(valve, spins)) - omega * spin)
    rate = sv.time_derivative(valve, sv.State(jnp.asarray(rho), jnp.zeros((16, 0), complex), spins))
    np.testing.assert_allclose(rate.rho, -1j * omega * (spin @ rho - rho @ spin), atol=1e-12)
    for layer in (slice(0, 2), slice(2, 4)):
        np.testing.assert_allclose(rate.spins[layer].sum(0), omega * np.cross(axis, spins[layer].sum(0)), atol=1e-12)
    assert abs(omega) > 1e-4


def test_common_rotation_of_all_spins_changes_nothing():
    valve = sv.SpinValve.from_bonds(**UNEQUAL)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    spins = sv.aligned_spins(valve)
    one, other = sv.exchange_coupling(valve, spins), sv.exchange_coupling(valve, spins @ turn.T)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


def test_fields_and_anisotropies_are_no_part_of_it():
    plain = sv.exchange_coupling(chain(4, 2))
    other = sv.exchange_coupling(chain(4, 2, anisotropy=(0.4, 0.02), field=(0.1, 0.2, 0.3), j_ex=-3.0))
    np.testing.assert_allclose([other.static, other.rotating], [plain.static, plain.rotating], atol=1e-15)


def test_weak_coupling_is_quadratic_and_does_not_care_for_the_rotation():
    valve = lambda j_sd: sv.exchange_coupling(chain(4, 2, j_sd=j_sd))
    np.testing.assert_allclose(valve(2e-3).static / valve(1e-3).static, 4, rtol=1e-4)
    np.testing.assert_allclose(valve(1e-3).ratio, 1, atol=1e-2)


def test_temperature_is_that_of_the_electrons():
    valve = chain(4, 2, j_sd=2.0)
    cold, hot = (sv.exchange_coupling(valve, temperature=t) for t in (1e-3, 0.5))
    plain = sv.exchange_coupling(valve)
    np.testing.assert_allclose([cold.static, cold.rotating], [plain.static, plain.rotating], rtol=1e-8)
    assert abs(hot.static) < 0.7 * abs(plain.static) and hot.converged


def test_a_scan_is_one_call():
    couplings = jnp.array([0.5, 1.0, 5.0, 8.0])
    at = lambda j_sd: sv.exchange_coupling(eqx.tree_at(lambda v: v.j_sd, chain(4, 2), j_sd))
    batch = jax.vmap(at)(couplings)
    assert np.all(batch.converged) and batch.ratio.shape == (4,)
    for k, j_sd in enumerate(couplings):
        np.testing.assert_allclose(batch.rotating[k], at(j_sd).rotating, rtol=1e-9)


def test_derivatives_against_differences():
    """Forward and reverse, with respect to the couplings of a generic valve and to the direction of its spins."""
    valve = sv.SpinValve.from_bonds(**UNEQUAL)

    def both(x):
        moved = eqx.tree_at(lambda v: (v.j_sd, v.hopping, v.mu_bar), valve, (x[0], x[1], x[2]))
        spins = sv.aligned_spins(valve) + jnp.outer(jnp.array([1.0, -2.0, 0.5]), jnp.array([x[3], 0.0, x[3]]))
        found = sv.exchange_coupling(moved, spins / jnp.linalg.norm(spins, axis=-1, keepdims=True), temperature=x[4])
        return jnp.stack([found.static, found.rotating])

    x, h = jnp.array([1.7, 1.1, 0.2, 0.1, 0.05]), 1e-3
    both = jax.jit(both)
    step = lambda k, n: both(x.at[k].add(n * h))
    expected = np.stack([(8 * (step(k, 1) - step(k, -1)) - step(k, 2) + step(k, -2)) / (12 * h) for k in range(5)], 1)
    assert np.min(np.abs(expected)) > 1e-4
    np.testing.assert_allclose(jax.jit(jax.jacfwd(both))(x), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.jacrev(both))(x), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("j_sd", [1.0, 5.0])
def test_derivatives_of_the_paper_s_chain_at_zero_temperature(j_sd):
    both = lambda j: jnp.stack(
        [
            getattr(sv.exchange_coupling(eqx.tree_at(lambda v: v.j_sd, chain(), j)), name)
            for name in ("static", "rotating")
        ]
    )
    h = 1e-3
    expected = (8 * (both(j_sd + h) - both(j_sd - h)) - both(j_sd + 2 * h) + both(j_sd - 2 * h)) / (12 * h)
    np.testing.assert_allclose(jax.jacfwd(both)(j_sd), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jacrev(both)(j_sd), expected, rtol=1e-6)


def test_what_is_not_possible_raises():
    valve, _ = tangled()
    with pytest.raises(ValueError, match=r"Argument `valve` must be isolated, but has 3 leads\."):
        sv.exchange_coupling(valve)
    with pytest.raises(ValueError, match=r"Argument `valve` must have two layers, but has 1\."):
        sv.exchange_coupling(sv.SpinValve.from_bonds(2, [(0, 1)], [[0]], j_sd=1.0))
    with pytest.raises(ValueError, match=r"Argument `spins` must have layers that are not collinear"):
        sv.exchange_coupling(chain(4, 1), [(0, 0, 1), (0, 0, -1)])
    with pytest.raises(ValueError, match=r"Argument `temperature` must be positive, but is 0\."):
        sv.exchange_coupling(chain(4, 1), temperature=0.0)
