"""Periodic states against closed forms that share no code, against scattering theory and against long runs."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_sylvester
from scipy.optimize import fsolve
from scipy.special import jv
from systems import random_spins
from test_given_spins import Turning

import svjax as sv

BONDS = [(0, 1, 0.8 + 0.3j), (1, 2, 1.0), (2, 0, 0.5j), (2, 3, 0.9 - 0.2j)]
CONTACTS, COUPLING, TEMPERATURE = ([0], [2, 3]), (0.9, 1.4), (0.15, 0.3)
SIGMA = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def crooked(**changes):
    """Four sites with a flux through three of them, spins on two, two leads that differ in all that they can."""
    given = dict(
        layers=[[1], [3]], contacts=CONTACTS, lead_coupling=COUPLING, temperature=TEMPERATURE, j_sd=(1.6, 0.9),
        mu_bar=(0.3, -0.2, 0.1, 0.4), anisotropy=0.0, poles=sv.pade_poles(5),
    )  # fmt: skip
    return sv.SpinValve.from_bonds(4, BONDS, **given | changes)


def dense(spins, j_sd=(1.6, 0.9), mu_bar=(0.3, -0.2, 0.1, 0.4), spin_sites=(1, 3)):
    """H of `crooked`, by hand."""
    h = np.diag(np.array(mu_bar, complex))
    for i, j, amplitude in BONDS:
        h[i, j], h[j, i] = -amplitude, -np.conj(amplitude)
    h = np.kron(h, np.eye(2))
    for site, j, spin in zip(spin_sites, j_sd, spins, strict=True):
        h[2 * site : 2 * site + 2, 2 * site : 2 * site + 2] += j / 2 * np.einsum("a,ast->st", spin, SIGMA)
    return h


def gammas():
    found = np.zeros((2, 8, 8))
    for lead, sites in enumerate(CONTACTS):
        for row in (2 * np.array(sites)[:, None] + [0, 1]).ravel():
            found[lead, row, row] = COUPLING[lead]
    return found


def harmonics(h, mu, swing, omega, poles, orders=(0, 1, 2)):
    """rho_k and the currents' harmonics, k in ``orders``, under mu_l + V_l cos(omega t); mu (leads, 2) of up and down.

    With Pi = exp(i V sin(omega t)/omega) X, X_n = -eta T (H_eff - n omega - chi)^-1 Gamma J_n(V/omega) and
    Pi_k = sum_n J_(n-k) X_n; then (H_eff - k omega) rho_k - rho_k H_eff^+ = -i Q_k.
    """
    gamma, one = gammas(), np.eye(len(h))
    h_eff, xi, eta = h - 0.5j * gamma.sum(0), np.asarray(poles.xi), np.asarray(poles.eta)
    both = sorted({k for order in orders for k in (order, -order)})
    pi = {k: np.zeros((2, len(h), len(h)), complex) for k in both}
    for lead, spin in np.ndindex(2, 2):
        for n in range(-40, 41):
            chi = n * omega + mu[lead][spin] + 1j * xi * TEMPERATURE[lead]
            x = sum(-e * TEMPERATURE[lead] * np.linalg.inv(h_eff - c * one) for e, c in zip(eta, chi, strict=True))
            columns = gamma[lead] * (np.arange(len(h)) % 2 == spin) * jv(n, swing[lead] / omega)
            for k in both:
                pi[k][lead] += jv(n - k, swing[lead] / omega) * x @ columns
    rho, lead_pi = {}, {}
    for k in both:
        q = pi[k].sum(0) + pi[-k].sum(0).conj().T + (k == 0) * gamma.sum(0) / 2
        rho[k] = solve_sylvester(h_eff - k * omega * one, -h_eff.conj().T, -1j * q)
        lead_pi[k] = ((k == 0) * one - 2 * rho[k]) @ gamma / 4 + pi[k]
    of = lambda k, a: np.einsum("ab,lba->l", np.kron(np.eye(4), a), lead_pi[k])
    sign = np.array([1, -1])
    real = lambda k, a: sign * (of(k, a) + of(-k, a).conj()) / 2
    currents = {k: np.stack([real(k, a) for a in (np.eye(2), *SIGMA)], -1) for k in orders}
    return rho, currents


SEEN = ("charge_current", "spin_current", "spins", "site_charge")


def test_photon_assisted_currents_are_sums_over_bessel_functions():
    """Tien and Gordon: the dc current is that of static leads at mu + n omega with weights J_n(V/omega)^2."""
    omega, base, swing = 0.9, np.array([0.4, -0.3]), np.array([1.3, 0.6])
    valve, spins = crooked(), random_spins(np.random.default_rng(3), 2)
    bias = sv.Oscillating(base, swing, omega, np.pi / 2)
    found = sv.periodic_state(valve, bias, 2 * np.pi / omega, spins=spins, observe=SEEN)
    rho, currents = harmonics(dense(spins), np.stack([base, base], 1), swing, omega, valve.poles)
    for k, wanted in currents.items():
        assert np.allclose(found.harmonic("charge_current", k), wanted[:, 0], atol=1e-8, rtol=0), k
        assert np.allclose(found.harmonic("spin_current", k), wanted[:, 1:], atol=1e-8, rtol=0), k
    whole = rho[0] + sum(rho[k] for k in (1, -1, 2, -2))
    assert np.abs(whole - found.state.rho).max() < 0.1  # the harmonics beyond
    static = np.zeros(2)
    still = lambda mu: (
        harmonics(dense(spins), np.stack([mu, mu], 1), 0 * swing, omega, valve.poles, (0,))[1][0][:, 0].real
    )
    for n in range(-12, 13):
        for lead in range(2):
            only = np.where(np.arange(2) == lead, base + n * omega, 0.0)
            static += jv(n, swing[lead] / omega) ** 2 * (still(only) - still(np.zeros(2)))
    assert np.allclose(found.mean("charge_current"), static + still(np.zeros(2)), atol=1e-8, rtol=0)
    assert abs(static[0] - (still(base) - still(np.zeros(2)))[0]) > 1e-3  # photons matter


def test_a_turning_spin_is_at_rest_in_its_frame():
    """In the frame that turns with S the electrons are stationary, with H - omega sigma_z/2 and mu -+ omega/2."""
    omega, mu = 0.7, np.array([0.4, -0.3])
    valve = crooked(layers=[[1]], j_sd=1.6)
    spin = np.array([[0.48, -0.36, 0.8]])
    path, t = Turning(jnp.asarray(spin), jnp.asarray(omega)), 2 * np.pi / omega
    observe = lambda v, s: {"rho": s.rho} | sv.default_observables(v, s)
    found = sv.periodic_state(valve, mu, t, spins=path, observe=observe, steps=400)
    frame = dense(spin, (1.6,), spin_sites=(1,)) - omega / 2 * np.kron(np.eye(4), SIGMA[2])
    rho, currents = harmonics(frame, mu[:, None] + [-omega / 2, omega / 2], np.zeros(2), omega, valve.poles, (0,))
    angle = omega * np.asarray(found.t)
    up = np.tile([1.0, 0.0], 4)
    turn = np.exp(-1j * angle[:, None, None] * (up[:, None] - up))
    assert np.allclose(found.observables["rho"], turn * rho[0], atol=1e-8, rtol=0)
    charge, (x, y, z) = currents[0][:, 0].real, currents[0][:, 1:].real.T
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    wanted = np.stack([c * x - s * y, s * x + c * y, 0 * c + z], -1)
    assert np.allclose(found.observables["spin_current"], wanted, atol=1e-8, rtol=0)
    assert np.allclose(found.observables["charge_current"], charge, atol=1e-8, rtol=0)
    assert np.allclose(found.harmonic("spin_current")[:, 0], (x - 1j * y) / 2, atol=1e-8, rtol=0)
    assert np.allclose(found.pumped_spin[:, 2], t * z, atol=1e-7, rtol=0)
    assert np.allclose(found.pumped_charge, 2 * t * charge, atol=1e-7, rtol=0)
    assert min(abs(x).min(), abs(y).min(), abs(z).min()) > 1e-3


def mixing_conductance(j_sd, temperature):
    """Re g of each lead, sum_m (delta - s_lm(up) s_lm(down)^*), s = 1 - i sqrt(Gamma) G sqrt(Gamma), over -df/de."""
    x, weights = np.polynomial.legendre.leggauss(600)
    width = gammas().sum(0)[::2, ::2]
    h = dense([], (), spin_sites=())[::2, ::2] - 0.5j * width
    lead = [0, 1, 1]
    rows, found = [0, 2, 3], np.zeros(2)
    for e, weight in zip(30 * temperature * x, 30 * temperature * weights, strict=True):
        s = []
        for sign in (1, -1):
            exchange = np.diag([0, sign * j_sd / 2, 0, 0])
            green = np.linalg.inv(e * np.eye(4) - h - exchange)
            s.append(np.eye(3) - 1j * (np.sqrt(width) @ green @ np.sqrt(width))[np.ix_(rows, rows)])
        slope = weight / (4 * temperature * np.cosh(e / (2 * temperature)) ** 2)
        found += slope * np.bincount(lead, 1 - (s[0] * s[1].conj()).sum(1).real)
    return found


@pytest.mark.slow
def test_slow_precession_pumps_what_scattering_theory_says():
    """omega/(4 pi) Re g sin^2(theta) of spin into each lead. What is left of the mean over theta and pi - theta, which
    is odd in omega, falls as its square."""
    temperature, theta, errors = 0.2, 1.1, []
    valve = crooked(layers=[[1]], j_sd=1.6, temperature=temperature, poles=sv.optimized_poles(16))
    formula = mixing_conductance(1.6, temperature) * np.sin(theta) ** 2 / 2  # per period, out of the valve
    for omega in (0.08, 0.04):
        pumped = np.zeros(2)
        for angle in (theta, np.pi - theta):
            path = Turning(jnp.array([[np.sin(angle), 0.0, np.cos(angle)]]), jnp.asarray(omega))
            found = sv.periodic_state(valve, None, 2 * np.pi / omega, spins=path, steps=round(60 / omega))
            pumped -= np.array([1, -1]) * found.pumped_spin[:, 2] / 2
        errors.append(np.abs(pumped / formula - 1).max())
    assert formula.min() > 0.05 and errors[0] < 0.02 and 3.5 < errors[0] / errors[1] < 4.5, errors


def long_run(valve, bias, period, steps, periods, **given):
    """The end of a run of many periods."""
    dt = period / steps
    start = sv.stationary(valve, given.pop("start"), bias(0.0))
    return sv.evolve(valve, start, bias, periods * steps * dt, dt=dt, save_every=steps, **given)


def test_everything_at_once_against_a_long_run():
    """A bias, a vector potential, a path of the spins and a lead with a band, with one period."""
    omega, steps = 1.1, 80
    period = 2 * np.pi / omega
    valve = crooked(
        poles=sv.pade_poles(3),
        bands=(sv.LorentzianBand(1.5, 0.2), None), positions=np.random.default_rng(0).normal(size=(4, 3)),
        lead_polarization=[(0, 0, 0), (0.3, -0.2, 0.4)],
    )  # fmt: skip
    bias = sv.Oscillating([0.3, -0.2], [0.5, 0.2], omega, 0.4)
    drive = sv.PeierlsPulse([0.3, 0.1, -0.2], omega=omega)
    path = Turning(random_spins(np.random.default_rng(5), 2), jnp.asarray(-2 * omega))
    given = dict(spins=path, drive=drive, observe=SEEN, method="rk38")
    found = sv.periodic_state(valve, bias, period, steps=steps, **given)
    run = long_run(valve, bias, period, steps, 30, start=path(0.0), **given)
    assert np.allclose(found.state.rho, run.state.rho, atol=1e-6)
    assert np.allclose(found.state.pi, run.state.pi, atol=1e-6)
    for name in SEEN:
        assert np.allclose(found.observables[name][0], run.observables[name][-1], atol=1e-6), name
    assert np.ptp(found.observables["charge_current"], axis=0).min() > 0.01


@pytest.mark.slow
def test_a_square_wave_against_a_run_period_by_period():
    valve, spins, period, steps = crooked(), random_spins(np.random.default_rng(1), 2), 6.0, 120
    bias = sv.Waveform([0.0, 2.5, 2.5, 6.0], [0.8, 0.8, -0.4, -0.4])
    found = sv.periodic_state(valve, bias, period, spins=spins, steps=steps)
    state = sv.stationary(valve, spins, (0.0, 0.0))
    for _ in range(12):
        state = sv.evolve(valve, state, bias, period, dt=period / steps, freeze_spins=True).state
    assert np.allclose(found.state.rho, state.rho, atol=1e-6)


def test_a_damped_spin_follows_a_rotating_field():
    """In the field's frame it rests where dS/dt = omega z x S, and small turns decay as they do there."""
    b0, b1, omega, alpha = 0.7, 0.4, 0.9, 0.3
    valve = crooked(layers=[[1]], j_sd=0.0, damping=alpha)
    period = 2 * np.pi / omega

    def drive(valve, t):
        field = jnp.array([b1 * jnp.cos(omega * t), b1 * jnp.sin(omega * t), b0])
        return eqx.tree_at(lambda v: v.field, valve, field)

    def slope(spin):
        field = np.array([b1, 0.0, b0])
        free = np.cross(spin, field)
        return (free - alpha * np.cross(spin, free)) / (1 + alpha**2) - omega * np.cross([0, 0, 1.0], spin)

    found = sv.periodic_orbit(
        valve, (0.3, -0.2), period, start=[[0.3, -0.2, np.sqrt(0.87)]], drive=drive, multipliers=2, steps=400,
        method="rk38",
    )  # fmt: skip
    rest = found.state.spins[0]
    wanted = fsolve(lambda s: slope(s) + (s @ s - 1) * s, rest, xtol=1e-13)
    assert np.allclose(slope(wanted), 0, atol=1e-11) and np.allclose(rest, wanted, atol=1e-8)
    step = 1e-6
    jacobian = np.stack([(slope(wanted + step * e) - slope(wanted - step * e)) / (2 * step) for e in np.eye(3)], 1)
    _, _, axes = np.linalg.svd(wanted[None])
    rates = np.linalg.eigvals(axes[1:] @ jacobian @ axes[1:].T)
    assert np.allclose(np.sort_complex(found.multipliers), np.sort_complex(np.exp(rates * period)), atol=1e-6)
    assert np.abs(rates.imag).min() > 0.1


@pytest.mark.slow
def test_spins_and_electrons_under_light_and_field_against_a_long_run():
    omega, steps = 1.3, 80
    period = 2 * np.pi / omega
    valve = crooked(
        damping=0.4,
        poles=sv.pade_poles(3),
        anisotropy=(0.4, 0.1),
        easy_axes=[(0.6, 0, 0.8), (0, 1, 0)],
        field=(0.1, -0.2, 0.3),
    )
    bias, drive = sv.Oscillating([0.3, -0.2], [0.5, 0.2], omega), sv.FieldPulse([0.0, 0.3, 0.2], omega=omega, layer=1)
    given = dict(drive=drive, observe=("spins",), method="rk38")
    found = sv.periodic_orbit(valve, bias, period, steps=steps, multipliers=2, **given)
    run = long_run(valve, bias, period, steps, 60, start=sv.aligned_spins(valve), **given)
    assert np.allclose(found.state.rho, run.state.rho, atol=1e-6)
    assert np.allclose(found.state.spins, run.state.spins, atol=1e-6)
    assert np.ptp(found.observables["spins"], axis=0).max() > 0.05
    leading = np.abs(found.multipliers[0])
    gaps = np.linalg.norm(run.observables["spins"] - found.state.spins, axis=(1, 2))
    assert leading < 1 and np.isclose((gaps[9] / gaps[5]) ** (1 / 4), leading, rtol=0.3)


WRONG = {
    "Argument `valve` must have leads": dict(valve=lambda: sv.SpinValve.chain(1, 1, 1, j_sd=1.0), bias=None),
    "Argument `period` must be positive, but is -1": dict(period=-1.0),
    "Argument `steps` must be a whole number of at least 1": dict(steps=0),
    "Argument `bias` must come back after a period": dict(bias=sv.Oscillating([0.1, 0.0], [0.1, 0.2], 0.7)),
    "Argument `drive` must come back after a period": dict(drive=sv.FieldPulse([0, 0, 1.0], omega=0.7)),
    "Argument `spins` must come back after a period": dict(spins=Turning(jnp.eye(3)[:2], jnp.asarray(0.7))),
    "Argument `spins` must be of unit length": dict(spins=np.ones((2, 3))),
    "Argument `dt` must stay below the stability limit": dict(steps=2),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_has_no_such_period_is_refused(words):
    given = dict(valve=crooked, bias=(0.1, 0.0), period=5.0) | WRONG[words]
    with pytest.raises(ValueError, match=words):
        sv.periodic_state(given.pop("valve")(), given.pop("bias"), given.pop("period"), **given)


def test_names_of_what_was_not_observed_are_refused():
    found = sv.periodic_state(crooked(), (0.1, 0.0), 2.0, steps=40, observe=("spins",))
    with pytest.raises(ValueError, match="Argument `name` must be one of"):
        _ = found.pumped_charge


@pytest.mark.slow
def test_spins_that_may_turn_together_have_an_orbit_among_many():
    """Without anisotropy and field a turn of all spins costs nothing, and neither grows nor decays."""
    valve, period = crooked(damping=0.4, poles=sv.pade_poles(3)), 2 * np.pi / 1.3
    bias, spins = sv.Oscillating([0.3, -0.2], [0.5, 0.2], 1.3), random_spins(np.random.default_rng(0), 2)
    found = sv.periodic_orbit(
        valve, bias, period, start=spins, steps=80, method="rk38", observe=("spins",), multipliers=2
    )
    assert np.allclose(found.multipliers, 1, atol=1e-6)
    after = sv.evolve(valve, found.state, bias, period, dt=period / 80, method="rk38").state
    assert np.allclose(after.spins, found.state.spins, atol=1e-9) and np.allclose(after.rho, found.state.rho, atol=1e-9)


def test_what_becomes_infinite_in_a_period_has_no_periodic_state():
    bias = lambda t: jnp.where(jnp.sin(np.pi * t) > 0.9, jnp.nan, 0.1) * jnp.array([1.0, -1.0])
    with pytest.raises(sv.ConvergenceError, match=r"No periodic state was found: .* changes the state by nan"):
        sv.periodic_state(crooked(), bias, 2.0, steps=40, observe=("spins",), spins=sv.aligned_spins(crooked()))


@pytest.mark.slow
def test_single_precision():
    given = dict(spins=[[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]], steps=60, method="rk38")
    bias = sv.Oscillating([0.3, -0.2], [0.5, 0.2], 1.3)
    found, wanted = (
        sv.periodic_state(crooked(poles=sv.pade_poles(3), dtype=dtype), bias, 2 * np.pi / 1.3, **given)
        for dtype in ("float32", "float64")
    )
    assert found.state.rho.dtype == np.complex64 and np.allclose(found.state.rho, wanted.state.rho, atol=1e-5)
