"""Limit cycles against long runs, against the normal form of Hopf, and against electrons in a frame that turns."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_sylvester
from scipy.optimize import fsolve
from test_continuation import one_spin

import svjax as sv

LOST = -0.7922366226475376
"""The voltage of the Hopf point of `hard`."""
SEEN = ("spins", "charge_current")
ROUGH = dict(observe=SEEN, steps=400)
UNEVEN = ((0.3, 0.0, 0.7), (0.0, 0.0, 0.0))


def hard(**changes):
    """A spin with a hard axis along a field, which electrons of a magnetic lead turn away from it, and around it."""
    given = dict(anisotropy=-0.15, field=(0.05, 0.02, 0.5), damping=0.02, lead_polarization=UNEVEN)
    return one_spin(**dict(j_sd=1.0, lead_coupling=0.5) | given | changes)


def easy():
    """A spin that electrons turn from one end of its easy axis to the other."""
    return hard(anisotropy=0.1, field=(0.02, 0.01, 0.0), damping=0.01)


@pytest.fixture(scope="module", name="far")
def fixture_far():
    return sv.limit_cycle(hard(), sv.symmetric(LOST - 0.3), **ROUGH)


def test_a_long_run_ends_in_the_cycle(far):
    """Period and amplitude, read off a run with steps of its own, and by what its distance shrinks in a period."""
    valve, bias, dt = hard(), sv.symmetric(LOST - 0.3), 0.05
    start = sv.stationary(valve, [[0.8, 0.0, 0.6]], bias(0.0))
    run = sv.evolve(valve, start, bias, 1000.0, dt=dt, save_every=1, observe=SEEN)
    last = slice(-round(4.5 * far.period / dt), None)
    t, spins = np.asarray(run.t)[last], np.asarray(run.observables["spins"])[last, 0]
    crossings, highest = [], []
    for n in np.flatnonzero((spins[:-1, 0] < 0) & (spins[1:, 0] >= 0)):
        near = slice(n - 2, n + 4)
        crossings.append(t[n] + np.polynomial.Polynomial.fit(spins[near, 0], t[near] - t[n], 5)(0.0))
    np.testing.assert_allclose(np.diff(crossings), far.period, atol=1e-6)
    for name, atol in (("spins", 1e-6), ("charge_current", 1e-7)):
        values = np.asarray(run.observables[name])[last].reshape(len(t), -1)
        highest = [[_top(sign * column) for column in values.T] for sign in (1, -1)]
        np.testing.assert_allclose(np.ravel(far.amplitude(name)), np.mean(highest, 0), atol=atol)
        assert np.min(far.amplitude(name)) > 1e-4
    assert far.stable and abs(far.shift_multiplier - 1) < 1e-7
    orbit, before = np.asarray(far.observables["spins"])[:, 0], np.asarray(run.observables["spins"])[:, 0]
    gap = [_distance(orbit, before[round(n * float(far.period) / dt)]) for n in (6, 12)]
    assert np.isclose((gap[1] / gap[0]) ** (1 / 6), far.multipliers[0].real, rtol=0.03), gap


def _top(values):
    """The maximum of a parabola through the largest value and its neighbours."""
    n = np.argmax(values[1:-1]) + 1
    before, at, after = values[n - 1 : n + 2]
    return at - (after - before) ** 2 / (8 * (before - 2 * at + after))


def _distance(orbit, spin):
    """From a closed orbit, by straight pieces."""
    along = np.roll(orbit, -1, 0) - orbit
    share = np.clip(np.sum((spin - orbit) * along, 1) / np.sum(along**2, 1), 0, 1)[:, None]
    return np.linalg.norm(orbit + share * along - spin, axis=1).min()


def test_a_cycle_is_born_as_hopf_says(far):
    """Amplitude as the square root of the distance d, period 2 pi/Im lambda + O(d), and small changes of its size decay
    with -2 Re lambda of the steady state within."""
    (point,) = sv.follow(hard(), sv.symmetric(0.0), "voltage", [0.0, -1.0]).critical
    assert point.kind == "hopf" and np.isclose(point.value, LOST, atol=1e-7)
    sizes, periods = [], []
    for distance in (0.02, 0.005):
        bias = sv.symmetric(LOST - distance)
        cycle = sv.limit_cycle(hard(), bias, **ROUGH)
        sizes.append(np.asarray(cycle.amplitude("spins")).ravel())
        periods.append(float(cycle.period - 2 * np.pi / point.rate.imag))
        rest = sv.steady_state(hard(), bias, allow_unstable=True)
        growth = sv.relaxation_modes(hard(), rest, bias)[0].real
        assert growth > 0 and cycle.stable and abs(cycle.shift_multiplier - 1) < 1e-7
        decay = np.log(cycle.multipliers[0].real) / cycle.period
        assert np.isclose(decay, -2 * growth, rtol=4 * distance), (distance, decay, growth)
    np.testing.assert_allclose(sizes[0] / sizes[1], 2, rtol=0.05)
    assert np.isclose(periods[0] / periods[1], 4, rtol=0.05) and abs(periods[1]) > 0.01
    assert np.all(np.asarray(far.amplitude("spins")).ravel() > sizes[0])


def test_an_unstable_cycle_around_a_stable_state():
    """Where a spin switches for good there is one before it does: from inside the spin comes to rest, from outside it
    leaves."""
    bias = sv.symmetric(-0.62)
    cycle = sv.limit_cycle(easy(), bias, **ROUGH)
    rest = sv.steady_state(easy(), bias)
    assert cycle.multipliers[0].real > 1.01 and not cycle.stable and abs(cycle.shift_multiplier - 1) < 1e-7
    dt = cycle.period / 400
    sizes = []
    for share in (0.0, -0.1, 0.1):
        spins = cycle.state.spins + share * (cycle.state.spins - rest.spins)
        state = dataclasses.replace(cycle.state, spins=spins / jnp.linalg.norm(spins))
        sizes.append(jnp.linalg.norm(sv.evolve(easy(), state, bias, 1600 * dt, dt=dt).state.spins - rest.spins))
    start = jnp.linalg.norm(cycle.state.spins - rest.spins)
    assert abs(sizes[0] - start) < 1e-8 and sizes[1] < 0.89 * start and sizes[2] > 1.11 * start


def test_cycles_along_a_voltage_start_from_each_other(far):
    bias = sv.symmetric(LOST - 0.25)
    found = sv.limit_cycle(hard(), bias, start=far, **ROUGH)
    again = sv.limit_cycle(hard(), bias, **ROUGH)
    assert np.isclose(found.period, again.period, atol=1e-9) and abs(found.period - far.period) > 0.1
    np.testing.assert_allclose(found.amplitude("spins"), again.amplitude("spins"), atol=1e-7)
    np.testing.assert_allclose(found.mean("charge_current"), again.mean("charge_current"), atol=1e-9)


def turning(valve, theta, omega, mu):
    """dS/dt - omega z x S of a spin at ``theta``, with electrons stationary in the frame that turns with it."""
    names = "j_sd", "lead_coupling", "temperature", "anisotropy", "damping"
    j, gamma, t, hard_axis, alpha = (float(np.ravel(getattr(valve, name))[0]) for name in names)
    sigma = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    spin = np.array([np.sin(theta), 0.0, np.cos(theta)])
    widths = gamma * (1 + np.asarray(valve.lead_polarization)[:, 2, None] * [1, -1])
    h_eff = j / 2 * np.einsum("a,ast->st", spin, sigma) - omega / 2 * sigma[2] - 0.5j * np.diag(widths.sum(0))
    q = np.diag(widths.sum(0)).astype(complex) / 2
    for lead, s in np.ndindex(2, 2):
        for xi, eta in zip(np.asarray(valve.poles.xi), np.asarray(valve.poles.eta), strict=True):
            chi, pi = mu[lead] + omega * (s - 0.5) + 1j * xi * t, np.zeros((2, 2), complex)
            pi[:, s] = -eta * t * np.linalg.inv(h_eff - chi * np.eye(2))[:, s] * widths[lead, s]
            q += pi + pi.conj().T
    rho = solve_sylvester(h_eff, -h_eff.conj().T, -1j * q)
    density = np.einsum("st,ats->a", rho, sigma).real / 2
    field = np.array([0, 0, np.ravel(valve.field)[2] + 2 * hard_axis * spin[2]]) - j * density
    free = np.cross(spin, field)
    return (free - alpha * np.cross(spin, free)) / (1 + alpha**2) - omega * np.cross([0, 0, 1], spin)


def test_where_nothing_fixes_a_direction_the_cycle_is_a_turn():
    """At an angle and a frequency at which spin and electrons rest in the frame that turns. A turn is a shift in time:
    one multiplier is 1, not two."""
    valve = hard(field=(0.0, 0.0, 0.5), lead_polarization=((0.0, 0.0, 0.7), (0.0, 0.0, 0.0)))
    bias = sv.symmetric(LOST - 0.4)
    cycle = sv.limit_cycle(valve, bias, **ROUGH)
    spins = cycle.observables["spins"][:, 0]
    assert np.ptp(spins[:, 2]) < 1e-8 and 0.1 < spins[0, 2] < 0.95 and cycle.multipliers[0].real < 0.99
    theta, omega = float(np.arccos(spins[0, 2])), float(np.sign(jnp.cross(spins[0], spins[1])[2]) * 2 * np.pi)
    balance = lambda both: turning(valve, *both, np.asarray(bias(0.0)))[1:]
    wanted = fsolve(balance, [1.05 * theta, 0.95 * omega / cycle.period], xtol=1e-12)
    assert np.abs(turning(valve, *wanted, np.asarray(bias(0.0)))).max() < 1e-10
    np.testing.assert_allclose([theta, omega / cycle.period], wanted, atol=1e-7)
    assert np.abs(cycle.harmonic("charge_current")).max() < 1e-10


@pytest.mark.slow
def test_a_family_of_cycles_has_another_multiplier_of_one(far):
    """Beside the spin of the cycle one that rests wherever it points."""
    bonds, contacts = [], [[0, 1], [0, 1]]
    given = dict(j_sd=(1.0, 0.0), anisotropy=(-0.15, 0.0), easy_axes=(0.0, 0.0, 1.0), temperature=0.2)
    more = dict(field=[(0.05, 0.02, 0.5), (0, 0, 0)], damping=(0.02, 0.1), lead_coupling=0.5, lead_polarization=UNEVEN)
    valve = sv.SpinValve.from_bonds(2, bonds, [[0], [1]], contacts, **given, **more, poles=sv.optimized_poles(8))
    spins = jnp.concatenate([far.state.spins, jnp.array([[0.48, -0.36, 0.8]])])
    bias = sv.symmetric(LOST - 0.3)
    start = sv.stationary(valve, spins, bias(0.0))
    cycle = sv.limit_cycle(valve, bias, start=start, period=1.02 * float(far.period), multipliers=3, **ROUGH)
    assert np.isclose(cycle.period, far.period, atol=1e-8)
    np.testing.assert_allclose([cycle.shift_multiplier, *cycle.multipliers[:2]], 1, atol=1e-6)
    np.testing.assert_allclose(cycle.multipliers[2], far.multipliers[0], atol=1e-6)
    assert cycle.stable and np.ptp(cycle.observables["spins"][:, 1], axis=0).max() < 1e-9


@pytest.mark.slow
def test_what_has_no_cycle_is_told():
    with pytest.raises(sv.ConvergenceError, match="No cycle was found around the steady state, whose leading mode"):
        sv.limit_cycle(easy(), sv.symmetric(0.3), **ROUGH)
    spins = [[-1.0, 0.0, 0.0]]
    saddle = one_spin(field=(-0.1, 0.0, 0.0))
    with pytest.raises(sv.ConvergenceError, match=r"its leading mode lambda = .* does not turn"):
        sv.limit_cycle(saddle, None, spins=spins)
    rest = sv.steady_state(easy(), None)
    with pytest.raises(sv.ConvergenceError, match=r"No cycle was found: the spins come to rest|Newton's method"):
        sv.limit_cycle(easy(), None, start=rest, period=20.0, **ROUGH)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(period=3.0), "`period` must be positive with a State as `start`, None without"),
        (dict(bias=sv.Oscillating([0.1, 0.0], [0.1, 0.2], 0.7)), "`bias` must not depend on time"),
        (dict(multipliers=-1), "`multipliers` must be a whole number"),
        (dict(steps=3), "`dt` must stay below the stability limit"),
        (dict(valve=one_spin(layers=[])), "`valve` must have spins"),
    ],
)
def test_bad_arguments(given, message):
    with pytest.raises(ValueError, match=message):
        sv.limit_cycle(**dict(valve=easy(), bias=sv.symmetric(-0.62)) | given)


def test_whether_a_state_is_stable_takes_multipliers(far):
    with pytest.raises(ValueError, match="`multipliers` must be at least 1"):
        _ = dataclasses.replace(far, multipliers=None).stable
