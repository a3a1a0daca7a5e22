"""Leads with a band against integrals over Gamma(e) and against the exact strip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit

import svjax as sv
from svjax.reservoirs.bands import strip_hoppings, strip_self_energy
from svjax.storage.records import valve_from_record, valve_to_record

WIDTH, CENTER, GAMMA, LEVEL, T = (1.3, 0.8), (0.2, -0.3), (0.7, 1.1), 0.15, 0.1
NO_SPINS = np.zeros((0, 3))


def one_level(**changes):
    bands = [sv.LorentzianBand(WIDTH[0], CENTER[0]), sv.LorentzianBand(WIDTH[1], CENTER[1])]
    given = dict(contacts=[[0], [0]], mu_bar=LEVEL, lead_coupling=GAMMA, temperature=T, bands=bands)
    return sv.SpinValve.from_bonds(1, [], **given | {"poles": sv.optimized_poles(14)} | changes)


def gamma(e, mu, lead):
    return GAMMA[lead] * WIDTH[lead] ** 2 / ((e - CENTER[lead] - mu[lead]) ** 2 + WIDTH[lead] ** 2)


def integrals(mu):
    """Occupation and particle current of one level between two Lorentzian leads, both spins, by quadrature."""
    shift = lambda e, k: GAMMA[k] * WIDTH[k] / 2 / (e - CENTER[k] - mu[k] + 1j * WIDTH[k])
    green = lambda e: abs(1 / (e - LEVEL - shift(e, 0) - shift(e, 1))) ** 2 / np.pi
    filled = lambda e, lead: gamma(e, mu, lead) * expit(-(e - mu[lead]) / T)
    tail = quad(lambda x: green(-1 / x) * (gamma(-1 / x, mu, 0) + gamma(-1 / x, mu, 1)) / x**2, 0, 1 / 40)[0]
    body = lambda f: quad(f, -40, 40, limit=2000, points=[-1, 0, 1], epsabs=1e-12)[0]
    occupation = tail + body(lambda e: green(e) * (filled(e, 0) + filled(e, 1)))
    flow = lambda e: green(e) * (gamma(e, mu, 1) * filled(e, 0) - gamma(e, mu, 0) * filled(e, 1))
    return occupation, body(flow)


@pytest.mark.parametrize("mu", [(0.0, 0.0), (0.6, -0.5)])
def test_one_level_between_lorentzian_leads(mu):
    valve = one_level()
    state = sv.stationary(valve, NO_SPINS, mu)
    occupation, current = integrals(mu)
    assert np.isclose(sv.particle_number(valve, state), occupation, atol=1e-9)
    for lead in (0, 1):
        assert np.isclose(2 * sv.charge_current(valve, state, lead), current, atol=1e-9)
    rest = sv.time_derivative(valve, state, mu)
    assert max(float(jnp.abs(part).max()) for part in (rest.rho, rest.pi)) < 1e-11
    assert np.abs(state.rho - sv.exact_density_matrix(valve, NO_SPINS, mu)).max() < 1e-10


@pytest.mark.slow
def test_a_run_after_a_step_of_the_level_ends_in_the_integrals_and_keeps_its_charge_balanced():
    valve, mu = one_level(), (0.6, -0.5)
    start = sv.stationary(valve, NO_SPINS)
    run = sv.evolve(valve, start, mu, 40.0, dt=0.05, method="etd")
    occupation, current = integrals(mu)
    assert np.isclose(sv.particle_number(valve, run.state), occupation, atol=1e-6)
    assert np.isclose(2 * run.observables["charge_current"][-1, 0], current, atol=1e-6)
    assert abs(sv.charge_balance(valve, run.state)) < 1e-12


def after_a_step(mu, times):
    """Particles and the currents from the leads at ``times`` after their levels, with their bands, jumped to ``mu``.

    An electron of lead l and energy e drives the level, i da/dt = LEVEL a + sum_m b_m + e^(-i (e + mu_l) t), where
    b_m = int dt' K_m(t - t') a(t') remembers with K_m = -i (Gamma_m W_m/2) e^(-i (e_m + mu_m - i W_m)(t - t')), the
    Fourier transform of Gamma_m(e): three linear equations for each energy, integrated over f_l(e) Gamma_l(e).
    """
    edges = np.concatenate([-np.geomspace(3e3, 10, 4000), np.linspace(-10, 6, 800)[1:], np.geomspace(6, 3e3, 400)[1:]])
    nodes, weights = np.polynomial.legendre.leggauss(8)
    width = np.diff(edges)[:, None] / 2
    e, weight = (edges[:-1, None] + width * (1 + nodes)).ravel(), (width * weights).ravel() / (2 * np.pi)
    first = np.array([1.0, 0.0, 0.0])

    def matrix(mu):
        m = np.diag([LEVEL, *[CENTER[k] + mu[k] - 1j * WIDTH[k] for k in (0, 1)]]).astype(complex)
        m[0, 1:], m[1:, 0] = 1, [GAMMA[k] * WIDTH[k] / 2 for k in (0, 1)]
        return m

    later = matrix(mu)
    w, right = np.linalg.eig(later)
    solve = lambda e, m: np.linalg.solve(e[:, None, None] * np.eye(3) - m, first[:, None])[..., 0]
    number, flow = np.zeros(len(times)), np.zeros((2, len(times)))
    for lead in (0, 1):
        before, after = solve(e, matrix((0.0, 0.0))), solve(e + mu[lead], later)
        filled = weight * gamma(e, (0.0, 0.0), lead) * expit(-e / T)
        for k, t in enumerate(times):
            turned = (right * np.exp(-1j * w * t)) @ np.linalg.inv(right)
            wave = np.exp(-1j * (e + mu[lead]) * t)
            a, *memory = (turned @ (before - after).T) + wave * after.T
            number[k] += 2 * filled @ np.abs(a) ** 2
            for other in (0, 1):
                flow[other, k] += 4 * filled @ (a.conj() * memory[other]).imag
            flow[lead, k] += 4 * filled @ (a.conj() * wave).imag
    return number, flow


def test_one_level_between_lorentzian_leads_after_a_step_of_their_levels():
    valve, mu, times = one_level(), (0.6, -0.5), np.array([0.5, 2.0, 5.0])
    number, flow = after_a_step(mu, times)
    observe = lambda v, s: sv.default_observables(v, s) | {"number": sv.particle_number(v, s)}
    start = sv.stationary(valve, NO_SPINS)
    run = sv.evolve(valve, start, mu, 5.0, dt=0.0125, save_every=40, method="etd", observe=observe)
    saves = [0, 3, 9]
    assert np.allclose(run.t[np.array(saves)], times)
    assert np.abs(run.observables["number"][np.array(saves)] - number).max() < 1e-7
    assert np.abs(2 * run.observables["charge_current"][np.array(saves)] - (flow * [[1], [-1]]).T).max() < 1e-7
    assert np.abs(np.diff(flow[0])).min() > 1e-2


def test_the_decays_of_the_electrons_follow_the_levels_of_the_leads():
    """One level and one site of the band, at e_0 + mu - i W: w - LEVEL = (Gamma W/2)/(w - e_0 - mu + i W)."""
    mu = 0.8
    valve = one_level(contacts=[[0]], lead_coupling=GAMMA[0], bands=[sv.LorentzianBand(WIDTH[0], CENTER[0])])
    site = CENTER[0] + mu - 1j * WIDTH[0]
    roots = np.roots([1, -LEVEL - site, LEVEL * site - GAMMA[0] * WIDTH[0] / 2])
    found = sv.electron_decays(valve, NO_SPINS, bias=(mu,))
    assert np.allclose(found, np.repeat(np.sort(-2 * roots.imag), 2), atol=1e-12)


def test_a_wide_lorentzian_is_a_wide_band():
    wide, lorentz = one_level(bands=None), one_level(bands=[sv.LorentzianBand(3e5), None])
    found = [sv.site_charge(v, sv.stationary(v, NO_SPINS, (0.6, -0.5)))[0] for v in (wide, lorentz)]
    assert np.isclose(*found, atol=1e-4)


def test_a_lorentzian_magnetic_lead_is_the_matrix_of_lorentzians():
    p = np.array([[0.3, -0.5, 0.4], [0.0, 0.0, 0.0]])
    valve = one_level(lead_polarization=p, j_sd=1.0, layers=[[0]])
    spins = np.array([[0.6, 0.0, 0.8]])
    sigma = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    h = LEVEL * np.eye(2) + 0.5 * np.einsum("a,ast->st", spins[0], sigma)
    spin = [np.eye(2) + np.einsum("a,ast->st", p[lead], sigma) for lead in (0, 1)]
    for e in (-0.7, 0.4):
        shift = sum(GAMMA[k] * WIDTH[k] / 2 / (e - CENTER[k] + 1j * WIDTH[k]) * spin[k] for k in (0, 1))
        green = np.linalg.inv(e * np.eye(2) - h - shift)
        wanted = np.trace(gamma(e, (0, 0), 0) * spin[0] @ green @ (gamma(e, (0, 0), 1) * spin[1]) @ green.conj().T).real
        assert np.isclose(sv.transmission(valve, spins, e), wanted, atol=1e-12)


def test_the_self_energy_of_a_strip_converges():
    e = np.linspace(-1.9, 1.9, 401)
    errors = [
        np.abs(strip_self_energy(np.array(strip_hoppings(m)), e) - (e - 1j * np.sqrt(4 - e**2)) / 2).max()
        for m in (4, 6, 8, 10, 14)
    ]
    assert [sv.StripBand(m).error for m in (4, 6, 8, 10, 14)] == pytest.approx(errors)
    assert sv.LorentzianBand(1.0).error == 0.0
    assert (
        np.all(np.diff(errors) < 0)
        and errors[0] < 0.12
        and errors[2] < 0.022
        and errors[3] < 0.018
        and errors[4] < 0.0125
    )


def test_a_clean_strip_transmits_its_open_channels():
    """Channel k of a strip of width 3 is open for |e + 2 cos(pi k/4)| < 2; both spins."""
    energies = np.array([-2.4, -1.0, 0.3, 1.1, 2.3])
    open_channels = 2 * sum(np.abs(energies + 2 * np.cos(np.pi * k / 4)) < 2 for k in (1, 2, 3))
    errors = []
    for columns in (4, 10):
        bands = [sv.StripBand(columns)] * 2
        valve = sv.SpinValve.square(3, 3, 0, 0, j_sd=0.0, anisotropy=(), bands=bands)
        errors.append(np.abs(sv.transmission(valve, NO_SPINS, energies) - open_channels).max())
    assert errors[1] < 0.02 and errors[1] < errors[0] / 5, errors


def test_the_valve_keeps_its_own_sites_and_has_gradients_in_its_bands():
    valve = one_level()

    def occupation(width):
        changed = one_level(bands=[sv.LorentzianBand(width, CENTER[0]), sv.LorentzianBand(WIDTH[1], CENTER[1])])
        return sv.particle_number(changed, sv.stationary(changed, NO_SPINS, (0.6, -0.5)))

    state = sv.stationary(valve, NO_SPINS)
    assert valve.lattice.n_sites == 1 and state.rho.shape == (6, 6)
    assert sv.site_charge(valve, state).shape == (1,) and sv.site_spin(valve, state).shape == (1, 3)
    slope, step = jax.grad(occupation)(1.3), 1e-4
    assert np.isclose(slope, (occupation(1.3 + step) - occupation(1.3 - step)) / (2 * step), rtol=1e-6)


def test_levels_of_a_band_follow_the_level_of_their_lead():
    """Gauge invariance: shifting all mu_l and mu_bar together changes nothing but the levels."""
    bands = [sv.LorentzianBand(1.3, 0.2), sv.StripBand(4)]
    shifted = [one_level(bands=bands), one_level(bands=bands, mu_bar=LEVEL + 0.7)]
    mus = [(0.3, -0.4), (1.0, 0.3)]
    found = [sv.stationary(v, NO_SPINS, mu).rho for v, mu in zip(shifted, mus, strict=True)]
    assert np.allclose(*found, atol=1e-10)


@pytest.mark.parametrize("bands", [[sv.LorentzianBand(1.0)], ["strip", None], sv.StripBand(4)])
def test_wrong_bands_are_refused(bands):
    with pytest.raises(ValueError, match="Argument `bands` must hold"):
        one_level(bands=bands)


def test_wrong_numbers_of_bands_are_refused():
    for make, match in ((lambda: sv.LorentzianBand(1j), "width"), (lambda: sv.StripBand(2.5), "columns")):
        with pytest.raises(ValueError, match=match):
            make()


def test_bands_come_back_from_a_record():
    valve = one_level(bands=[sv.LorentzianBand(1.3, 0.2), sv.StripBand(4)])
    assert valve_from_record(valve_to_record(valve)) == valve


@pytest.mark.slow
def test_a_report_names_the_error_of_strips():
    poles = sv.optimized_poles(6)
    valve = sv.SpinValve.chain(1, 1, 1, j_sd=1.0, leads=True, bands=[sv.StripBand(4), None], poles=poles)
    report = sv.convergence_report(sv.three_stage(valve, sv.symmetric(0.2), relax=1.0, duration=2.0, dt=0.1))
    check = report["self-energy of the strips"]
    assert check.ok and check.value == pytest.approx(0.109, rel=0.01) and "more columns" in str(report)
