"""Spin-orbit coupling, flux, exchange along bonds and magnetic leads against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, expit

import svjax as sv

NO_SPINS = np.zeros((0, 3))
SIGMA = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
ONE = np.eye(2)
HAMILTONIAN, EFFECTIVE = jax.jit(sv.hamiltonian), jax.jit(sv.effective_hamiltonian)
build = sv.SpinValve


def along(vector):
    """vector.sigma."""
    return np.einsum("a,ast->st", vector, SIGMA)


WIRE = dict(hopping=1.1, lead_coupling=(0.8, 1.3), mu_bar=np.array([0.3, -0.2, 0.1, 0.5]))
PLACES = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.4, 1.8]])
RASHBA = 0.6


def wire(positions, **changes):
    given = WIRE | dict(positions=positions, rashba=RASHBA) | changes
    return build.from_bonds(4, [(0, 1), (2, 1), (2, 3)], [], [[0], [3]], **given)


def turns(positions):
    """The spin's turn from the first site to the last, by 2 arctan(lambda/gamma) about z x d at each bond."""
    total = ONE
    for step in np.diff(positions, axis=0):
        half = np.arctan(RASHBA / WIRE["hopping"])
        total = (np.cos(half) * ONE + 1j * np.sin(half) * along([-step[1], step[0], 0.0])) @ total
    return total


def plain_wire(hopping, left, right):
    """H_eff of the wire without spin-orbit coupling between leads Gamma ``left``, ``right``, 2x2 matrices."""
    h = np.kron(np.diag(WIRE["mu_bar"]) - hopping * (np.eye(4, k=1) + np.eye(4, k=-1)), ONE).astype(complex)
    h[:2, :2] -= 0.5j * left
    h[6:, 6:] -= 0.5j * right
    return h


@pytest.mark.parametrize("positions", [np.arange(4)[:, None] * [1.0, 0.0], PLACES], ids=["straight", "bent"])
def test_rashba_coupling_turns_the_spin_on_a_wire(positions):
    """The amplitude is that of a wire with the hopping sqrt(gamma^2 + lambda^2), times the turns; so magnetic leads
    transmit as those of that wire do, one of them turned back."""
    p = np.array([[0.5, -0.2, 0.6], [-0.3, 0.7, 0.1]])
    turn, hopping = turns(positions), np.hypot(WIRE["hopping"], RASHBA)
    left, right = WIRE["lead_coupling"]
    plain, magnet = wire(positions), wire(positions, lead_polarization=p)
    for e in (-0.9, 0.35):
        amplitude = np.linalg.inv(e * np.eye(8) - np.asarray(EFFECTIVE(plain, NO_SPINS)))[6:, :2]
        bare = np.linalg.inv(e * np.eye(8) - plain_wire(hopping, left * ONE, right * ONE))[6:, :2]
        assert np.allclose(amplitude, turn @ bare, atol=1e-12)
        gammas = left * (ONE + along(p[0])), turn.conj().T @ (right * (ONE + along(p[1]))) @ turn
        through = np.linalg.inv(e * np.eye(8) - plain_wire(hopping, *gammas))[6:, :2]
        wanted = np.trace(gammas[1] @ through @ gammas[0] @ through.conj().T).real
        assert np.isclose(sv.transmission(magnet, NO_SPINS, e, lead=1, other=0), wanted, atol=1e-12)


def test_a_ring_carries_the_derivative_of_its_grand_potential_in_the_flux():
    n, t, flux, hopping, level = 5, 0.3, 0.8, 1.2, -0.1
    ring = lambda flux: build.ring(n, flux=flux, hopping=hopping, mu_bar=level)
    phase = (2 * np.pi * np.arange(n) + flux) / n
    energies = level - 2 * hopping * np.cos(phase)
    assert np.allclose(np.linalg.eigvalsh(HAMILTONIAN(ring(flux), NO_SPINS))[::2], np.sort(energies), atol=1e-12)
    current = np.sum(2 * expit(-energies / t) * 2 * hopping / n * np.sin(phase))
    potential = lambda flux: -t * jnp.sum(jnp.logaddexp(0.0, -sv.energy_levels(ring(flux), NO_SPINS) / t))
    state = sv.stationary(ring(flux), NO_SPINS, temperature=t)
    assert np.isclose(jax.grad(potential)(flux), current, atol=1e-12)
    assert np.allclose(sv.bond_currents(ring(flux), state), current, atol=1e-12)
    assert abs(current) > 0.05


def test_a_rashba_ring_has_aharonov_casher_phases():
    """On a regular polygon, a = 2 pi/n, in the frame that turns with it the hopping is -gamma cos(a/2) + i v.sigma,
    v = (-lambda, 0, gamma sin(a/2)), with half-integer angular momenta k: -2 gamma cos(a/2) cos k -+ 2 |v| sin k."""
    n, rashba, flux, hopping = 7, 0.45, 0.9, 1.2
    k, a = (2 * np.pi * (np.arange(n) + 0.5) + flux) / n, 2 * np.pi / n
    size = np.hypot(rashba, hopping * np.sin(a / 2))
    energies = [-2 * hopping * np.cos(a / 2) * np.cos(k) + sign * 2 * size * np.sin(k) for sign in (1, -1)]
    found = np.linalg.eigvalsh(HAMILTONIAN(build.ring(n, flux=flux, rashba=rashba, hopping=hopping), NO_SPINS))
    assert np.allclose(found, np.sort(np.ravel(energies)), atol=1e-12)


EXCHANGE, DMI, COUNT = -0.8, 0.5, 3


def spiral(**changes):
    """A chain of spins, each beside an electrons' site with a lead, with D along z and its first spin held along x."""
    matrix = EXCHANGE * np.eye(3) + DMI * np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0.0]])
    given = dict(layers=[range(COUNT)], spin_bonds=[(j, j + 1, matrix) for j in range(COUNT - 1)])
    given |= dict(anisotropy=np.eye(COUNT)[0], easy_axes=[(1.0, 0.0, 0.0)] * COUNT)
    return build.from_bonds(COUNT, [], **given | changes)


TILTED = np.array([[1.0, 0.0, 0.0], [0.8, 0.0, 0.6], [0.6, 0.0, -0.8]])


def winding(spins):
    """The angle from each spin to the next in the plane of the spiral; raises where they leave it."""
    assert np.abs(spins[:, 2]).max() < 1e-6
    angle = np.arctan2(spins[:, 1], spins[:, 0])
    return (np.diff(angle) + np.pi) % (2 * np.pi) - np.pi


def test_dzyaloshinskii_moriya_exchange_winds_a_chain():
    """D.(S_i x S_j) - |J| S_i.S_j is least for an angle q from i to j with tan q = -D/|J|."""
    valve = spiral(contacts=[range(COUNT)], poles=sv.pade_poles(3))
    state = sv.steady_state(valve, (0.0,))
    assert np.allclose(winding(state.spins), -np.arctan(DMI / -EXCHANGE), atol=1e-9)


def test_damping_winds_a_chain_as_far():
    valve = spiral(damping=0.8)
    run = sv.evolve(valve, sv.stationary(valve, TILTED), None, 250.0)
    assert np.allclose(winding(run.state.spins), -np.arctan(DMI / -EXCHANGE), atol=1e-6)


LEVEL, GAMMA, P = 0.2, 0.7, 0.6


def junction(first, second, **changes):
    """One level between two leads of one coupling, polarised along two directions."""
    given = dict(contacts=[[0], [0]], mu_bar=LEVEL, lead_coupling=GAMMA, lead_polarization=[first, second])
    return build.from_bonds(1, [], **given | changes)


def test_tunnel_magnetoresistance_of_one_level():
    """Parallel leads: each spin a level between Gamma (1 +- p); antiparallel: Gamma (1 + p) and Gamma (1 - p); none
    passes between antiparallel half metals."""
    z = np.array([0.0, 0.0, 1.0])
    e = np.array([-0.8, 0.25, 1.3])
    breit_wigner = lambda a, b: a * b / ((e - LEVEL) ** 2 + (a + b) ** 2 / 4)
    for p in (P, 1.0):
        more, less = GAMMA * (1 + p), GAMMA * (1 - p)
        parallel = sv.transmission(junction(p * z, p * z), NO_SPINS, e)
        antiparallel = sv.transmission(junction(p * z, -p * z), NO_SPINS, e)
        assert np.allclose(parallel, breit_wigner(more, more) + breit_wigner(less, less), atol=1e-13)
        assert np.allclose(antiparallel, 2 * breit_wigner(more, less), atol=1e-13)
    spread = sv.spin_polarization(junction(P * z, P * z), NO_SPINS, e)
    more, less = GAMMA * (1 + P), GAMMA * (1 - P)
    assert np.allclose(spread, breit_wigner(more, more) - breit_wigner(less, less), atol=1e-13)


def test_the_signal_of_a_level_between_magnetic_leads_at_an_angle():
    """With P = (p_1 + p_2)/2, x = e - level: 2 Gamma^2 [(x^2 + Gamma^2)(1 + p_1.p_2) - (3 - p^2) Gamma^2 P^2]
    / |(x + i Gamma)^2 + Gamma^2 P^2|^2, far from the level 2 (Gamma/x)^2 (1 + p^2 cos theta)."""
    rng = np.random.default_rng(4)
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    for theta in (0.4, 1.9, 3.0):
        first, second = P * frame[0], P * (np.cos(theta) * frame[0] + np.sin(theta) * frame[1])
        valve, half = junction(first, second), P**2 * (1 + np.cos(theta)) / 2
        x = np.array([-0.7, 0.05, 1.1, 90.0])
        up = (x**2 + GAMMA**2) * (1 + P**2 * np.cos(theta)) - (3 - P**2) * GAMMA**2 * half
        wanted = 2 * GAMMA**2 * up / np.abs((x + 1j * GAMMA) ** 2 + GAMMA**2 * half) ** 2
        found = sv.transmission(valve, NO_SPINS, LEVEL + x)
        assert np.allclose(found, wanted, atol=1e-12)
        assert np.isclose(found[-1] / (2 * (GAMMA / x[-1]) ** 2), 1 + P**2 * np.cos(theta), atol=1e-3)


def test_spin_accumulates_along_a_source_and_against_a_drain():
    """Each spin is a level of its own between Gamma (1 +- p) at mu_1 and Gamma at mu_2."""
    z, t, mu = np.array([0.0, 0.0, P]), 0.1, (0.6, -0.4)

    def filling(width, mu):
        psi = digamma(0.5 + width / (4 * np.pi * t) + 1j * (LEVEL - mu) / (2 * np.pi * t))
        return 0.5 - psi.imag / np.pi

    occupied = []
    for spin in (1, -1):
        shares = GAMMA * (1 + spin * P), GAMMA
        occupied.append(sum(share * filling(sum(shares), m) for share, m in zip(shares, mu, strict=True)) / sum(shares))
    valve = junction(z, 0 * z, temperature=t, poles=sv.optimized_poles(20))
    found = [sv.site_spin(valve, sv.stationary(valve, NO_SPINS, m))[0] for m in (mu, mu[::-1])]
    assert np.allclose(found[0], [0, 0, (occupied[0] - occupied[1]) / 2], atol=1e-7)
    assert found[0][2] > 0.03 and found[1][2] < -0.03


def test_transmission_of_a_disordered_flake_is_that_of_kwant():
    """Random levels and 2x2 bonds, Rashba coupling on top, leads given to kwant by their self-energies -i Gamma/2."""
    kwant = pytest.importorskip("kwant", reason="kwant is not installed")
    rng = np.random.default_rng(8)
    lattice, system = kwant.lattice.square(norbs=2), kwant.Builder()
    flake = [lattice(x, y) for x in range(4) for y in range(3) if (x, y) != (1, 1)]
    for site in flake:
        system[site] = rng.uniform(-1, 1) * ONE
    for a in flake:
        for b in flake:
            if np.isclose(np.linalg.norm(step := b.pos - a.pos), 1) and a.tag < b.tag:
                random = rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))
                system[a, b] = -ONE + 0.3 * random + 0.4j * along([-step[1], step[0], 0.0])
    p, width = np.array([[0.3, -0.4, 0.5], [0.1, 0.6, -0.2]]), (0.9, 1.4)
    for lead, x in enumerate((0, 3)):
        gamma = width[lead] * (ONE + along(p[lead]))
        own = [site for site in flake if site.tag[0] == x]
        shift = np.kron(np.eye(len(own)), -0.5j * gamma)
        system.leads.append(kwant.builder.SelfEnergyLead(lambda e, args=(), params=None, s=shift: s, own, ()))
    system = system.finalized()
    valve = sv.from_kwant(system, lead_coupling=width, lead_polarization=p)
    for e in (-1.3, 0.2, 0.9):
        wanted = kwant.greens_function(system, e).transmission(1, 0)
        assert np.isclose(sv.transmission(valve, NO_SPINS, e, lead=1, other=0), wanted, atol=1e-10)
