"""The microscopic LLG against the grand potential, the currents, driven runs and the exact modes of the same valve."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.special import loggamma
from systems import random_spins

import svjax as sv
from svjax.macrospin.layer_response import layers_at, parallel
from svjax.macrospin.modes import at_rest

BIAS = (0.3, 1.1)


def valve(layer=1, poles=None, **changes):
    parameters = dict(j_sd=2.0, temperature=0.1, mu_bar=0.15, poles=poles or sv.pade_poles(12))
    return sv.SpinValve.square(6, 1, layer, layer, **parameters | changes)


@cache
def model(bias=BIAS):
    return sv.effective_llg(valve(), bias, angles=25, at=0.05)


def grand_potential(valve, spins):
    """2 T Re sum_n log Gamma(1/2 + i w_n/(2 pi T)) + Re w_n/2 over the eigenvalues w_n of H_eff: the electrons at rest
    in leads of one T and mu = 0, whose density of states is -Im sum_n 1/(e - w_n)/pi."""
    w = np.linalg.eigvals(np.asarray(sv.effective_hamiltonian(valve, spins)))
    t = float(valve.temperature[0])
    return np.sum(2 * t * loggamma(0.5 + 0.5j * w / (np.pi * t)).real + w.real / 2)


@pytest.mark.parametrize("layer", [1, 2])
def test_at_zero_voltage_the_field_is_the_slope_of_the_grand_potential(layer):
    """Of two spins a layer with what their exchange costs, both relaxed at the given directions."""
    case, h = valve(layer, sv.optimized_poles(28)), 1e-3
    at = lambda angle: layers_at(case, jnp.zeros(2), jnp.asarray(np.cos(angle)), jnp.asarray(0.05), parallel(case))

    def energy(angle):
        m = np.array([[0, 0, 1.0], [np.sin(angle), 0, np.cos(angle)]])
        normal = np.array([[0, 1.0, 0]] * 2)
        frame = np.stack([np.cross(normal, m), normal, m], 1)[case.lattice.spin_layers]
        _, local = at(angle)
        spins = np.einsum("jx,jxb->jb", local, frame)
        inside = case.j_ex * sum(spins[i] @ spins[i + 1] for i in (0, 2)) if layer == 2 else 0.0
        return grand_potential(case, spins) + float(inside)

    slope = lambda h: (energy(1.1 + h) - energy(1.1 - h)) / (2 * h)
    layers, _ = at(1.1)
    turning = layers.length * layers.field[:, 0]
    assert abs(turning[1] + (4 * slope(h) - slope(2 * h)) / 3) < 1e-8 < abs(turning[1])
    assert abs(turning[0] + turning[1]) < 1e-8 and np.abs(layers.field[:, 1]).max() < 1e-8


def test_the_torque_is_the_current_driven_torque():
    """Eq. (15) of the layer's own electrons at rest, for directions neither in a plane of axes nor at a node."""
    m = np.asarray(random_spins(np.random.default_rng(3), 2))
    theta = np.arccos(m[0] @ m[1])
    torque = 0
    for sign, bias in ((1, BIAS), (-1, (0.0, 0.0))):
        fields = model(bias).torques(theta)
        torque += sign * np.cross(m[1], fields.field_like[1] * m[0] + fields.damping_like[1] * np.cross(m[0], m[1]))
    states = [sv.stationary(valve(), m, mu) for mu in (BIAS, (0.0, 0.0))]
    expected = np.asarray(sv.current_driven_torque(valve(), *states))
    assert np.abs(torque - expected).max() < 1e-10 < 1e-3 < np.abs(expected).max()


def test_the_table_is_right_between_its_angles_and_says_how_wrong_it_is():
    angle, case = 0.83, valve()
    exact, _ = layers_at(case, jnp.array(BIAS), jnp.asarray(np.cos(angle)), jnp.asarray(0.05), parallel(case))
    few = sv.effective_llg(case, BIAS, angles=9, at=0.05)
    errors = [np.abs(m.damping(angle).tensor - exact.inertia).max() for m in (few, model())]
    assert errors[1] < 1e-8 < errors[0] < 3 * float(few.table.error) and float(few.table.error) < 100 * errors[0]


def test_collinear_layers_are_no_exception():
    """The same at an angle of 0 and pi as close by, also in derivatives."""
    for angle in (0.0, np.pi):
        m = np.array([[0, 0, 1.0], [0, 0, np.cos(angle)]])
        near = np.array([[0, 0, 1.0], [1e-6 * np.cos(0.7), 1e-6 * np.sin(0.7), np.cos(angle)]])
        rates = [jax.jacfwd(model().time_derivative)(jnp.asarray(x)) for x in (m, near)]
        assert np.all(np.isfinite(rates[0])) and np.abs(rates[0] - rates[1]).max() < 1e-4 * np.abs(rates[0]).max()


@pytest.mark.slow
def test_retardation_against_electrons_driven_by_a_precessing_layer():
    """One layer goes round a small circle at the frequency of the table; electrons are integrated in time."""
    case, mu, rate, size = valve(), jnp.array(BIAS), 0.05, 0.02
    angle, frame = 1.0, np.array([[np.cos(1.0), 0, -np.sin(1.0)], [0, 1.0, 0]])
    still = np.array([[0, 0, 1.0], [np.sin(angle), 0, np.cos(angle)]])

    def spins(t):
        moved = still[1] + size * (jnp.cos(rate * t) * frame[0] - jnp.sin(rate * t) * frame[1])
        return jnp.stack([jnp.asarray(still[0]), moved / jnp.linalg.norm(moved)])

    def slope(t, electrons):
        change = sv.time_derivative(case, sv.State(*electrons, spins(t)), mu)
        return change.rho, change.pi

    def step(electrons, t, dt=0.05):
        add = lambda k, h: jax.tree.map(lambda y, k: y + h * k, electrons, k)
        k1 = slope(t, electrons)
        k2 = slope(t + dt / 2, add(k1, dt / 2))
        k3 = slope(t + dt / 2, add(k2, dt / 2))
        k4 = slope(t + dt, add(k3, dt))
        weighted = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4)
        return add(weighted, dt), None

    end = 300.0
    start = sv.stationary(case, spins(0.0), mu)
    times = jnp.arange(6000) * 0.05
    electrons = jax.jit(lambda y: jax.lax.scan(step, y, times)[0])((start.rho, start.pi))
    now, turn = spins(end), jax.jvp(spins, (end,), (1.0,))[1]
    late = [sv.spin_density(case, s) for s in (sv.State(*electrons, now), sv.stationary(case, now, mu))]
    delayed = -2.0 * np.asarray(late[0] - late[1])
    tensor = np.asarray(sv.effective_llg(case, BIAS, angles=25, at=rate).damping(np.arccos(now[0] @ now[1])).tensor)
    normal = np.cross(*np.asarray(now)) / np.linalg.norm(np.cross(*now))
    axes = np.stack([[np.cross(normal, x), normal] for x in np.asarray(now)])
    rate_along = np.einsum("lxb,lb->lx", axes, turn)
    own = np.einsum("lxky,ky->lx", tensor, rate_along) + np.stack([-rate_along[:, 1], rate_along[:, 0]], 1)
    measured = np.einsum("lxb,lb->lx", axes, delayed)
    assert np.abs(measured + own).max() < 0.01 * np.abs(own).max()
    assert np.abs(measured[0] + own[0]).max() < 0.02 * np.abs(own[0]).max()


def test_modes_are_those_of_the_whole_valve():
    case = valve()
    llg = sv.effective_llg(case, BIAS, angles=7)  # as many as for the default frequency: one program
    exact = complex(sv.relaxation_modes(case, sv.steady_state(case, BIAS, allow_unstable=True), BIAS)[0])
    mode = complex(llg.modes()[0])
    assert abs(mode.real / exact.real - 1) < 0.03 and abs(mode.imag / exact.imag - 1) < 0.01
    assert float(llg.rate) == pytest.approx(exact.imag, rel=0.01)


@pytest.mark.slow
def test_modes_are_those_of_the_motion():
    llg = model()
    rest, _, _ = at_rest(llg, llg.easy_axes)
    start = rest + 0.01 * jnp.array([[0.0, 0, 0], [0.3, 1.0, -0.2]])
    times = np.arange(0.0, 700.0, 1.0)
    m = np.asarray(llg.solve(start / jnp.linalg.norm(start, axis=1, keepdims=True), times))
    assert np.abs(np.linalg.norm(m, axis=-1) - 1).max() < 1e-6
    fit = sv.fit_relaxation(times[50:], m[50:, 1, 0] - float(rest[1, 0]), start=50.0)
    mode = complex(llg.modes()[0])
    assert fit.t_r == pytest.approx(-1 / mode.real, rel=0.01) and fit.frequency == pytest.approx(mode.imag, rel=0.01)


@pytest.mark.slow
def test_gilbert_damping_adds_to_that_of_the_electrons():
    more = sv.effective_llg(valve(damping=0.1), BIAS, angles=9, at=0.05).damping(1.0)
    less = sv.effective_llg(valve(), BIAS, angles=9, at=0.05).damping(1.0)
    assert np.allclose(more.alpha - less.alpha, 0.1 * np.eye(2), atol=1e-12)
    assert np.allclose(more.moment, less.moment, atol=1e-12) and np.all(less.alpha[[0, 1], [0, 1]] > 0)


def test_the_exchange_is_the_slope_of_the_energy():
    """The grand potential at 0, 90 and 180 degrees gives both parts where no higher ones are left."""
    case = valve()
    found = sv.effective_llg(case, (0.0, 0.0), angles=25, at=0.05).exchange()
    angles = np.linspace(0.05, np.pi - 0.05, 30)
    spins = [np.array([[0, 0, 1.0], [np.sin(a), 0, np.cos(a)]]) for a in angles]
    c, energies = np.cos(angles), np.array([grand_potential(case, m) for m in spins])
    fitted = np.polyfit(c, energies, 6)
    slope = np.polyval(np.polyder(fitted), np.cos(np.pi * (np.arange(64) + 0.5) / 64))
    assert found.bilinear == pytest.approx(-np.mean(slope) * np.ones(2), rel=1e-3)
    assert np.all(found.remainder < 0.2 * np.abs(found.bilinear))


@pytest.mark.slow
def test_a_phase_diagram_is_made_of_single_runs():
    start = np.array([[1.0, 0, 0], [0.2, 0.1, 1.0]]) / np.sqrt([[1.0], [1.05]])
    case = valve(field=(0.0, 0.0, 0.02))
    diagram = sv.phase_diagram(
        case, [0.2, 0.8], [0.0, -0.2], bias=lambda v: (0.3, v), start=start, duration=400.0, angles=7, rtol=1e-8
    )
    times = np.linspace(0.0, 400.0, 8001)
    llg = sv.effective_llg(case, (0.3, 0.8), angles=7, at=sv.effective_llg(case, (0.3, 0.2), angles=7).rate)
    for k, field in enumerate((0.02, -0.18)):
        own = eqx.tree_at(lambda m: m.field, llg, jnp.array([[0, 0, field]] * 2))
        m = np.asarray(own.solve(start, times))
        point = diagram.sel(voltage=0.8).isel(field=k)
        assert np.abs(m[-1] - point["final"].values).max() < 1e-4
        turned = np.sum(m * start, -1) < 0
        when = np.where(turned.any(0), times[turned.argmax(0)], np.nan)
        assert np.allclose(point["switching_time"], when, atol=0.1, equal_nan=True)
    switched = diagram["switching_time"].sel(layer=1).values
    assert np.all(np.isnan(switched[:, 0])) and np.all(switched[:, 1] < 300)
    ax = sv.plot.phase_diagram(diagram, ax=plt.figure().gca())
    assert ax.collections[0].get_array().shape == (2, 2) and "V" in ax.get_xlabel()
    with pytest.raises(ValueError, match="`axis` must be a direction"):
        sv.phase_diagram(case, [0.0], [0.0], axis=(0, 0))


def test_what_the_table_cannot_hold_is_refused_with_its_number():
    cases = {
        r"two layers, but has 1": sv.SpinValve.from_bonds(2, [(0, 1)], [[0]], [[0], [1]], j_sd=1.0),
        r"`rashba` must not fix .* part of 0.3": valve(rashba=0.3),
        r"`lead_polarization` must not fix .* 0.2": valve(lead_polarization=((0, 0, 0.2), (0, 0, 0))),
        r"`anisotropy` must be the same": valve(2, anisotropy=(0.4, 0.3, 0.1, 0.1)),
        r"rigid layers, but .* has the stiffness -": valve(2, sv.optimized_poles(28), j_ex=2.0),
    }
    for message, case in cases.items():
        with pytest.raises(ValueError, match=message):
            sv.effective_llg(case, BIAS, angles=5)
    with pytest.raises(ValueError, match="`at` must be one positive frequency"):
        sv.effective_llg(valve(), BIAS, at=-1.0)
    with pytest.raises(RuntimeError, match="No state of rest"):
        eqx.tree_at(lambda m: m.anisotropy, sv.effective_llg(valve(), BIAS, angles=7, at=0.05), jnp.zeros(2)).modes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bias", "damping"),
    [((v / 2, -v / 2), 0.03) for v in (0.0, 1.0, 2.0, 4.0)]
    + [((v, 0.0), 0.03) for v in (1.0, 2.0)]
    + [((0.0, 4.0), 0.05)],
)
def test_the_slow_mode_of_the_papers_valve(bias, damping):
    """Relaxation times and the growth rate, of layers of 16 spins, relaxed inside."""
    case = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(8))
    mode = complex(sv.effective_llg(case, bias, angles=17).modes()[0])
    exact = complex(sv.relaxation_modes(case, sv.steady_state(case, bias, allow_unstable=True), bias)[0])
    assert abs(mode.real / exact.real - 1) < damping and abs(mode.imag / exact.imag - 1) < 0.01


@pytest.mark.slow
def test_the_switching_of_the_readme():
    """From the directions at t = 100, when the electrons have settled after the quench, to the same end."""
    case = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(8))
    start = sv.steady_state(case, None)
    run = sv.evolve(case, start, (0.0, 4.0), 3000.0, dt=0.2, method="etd", save_every=5)
    t, m = np.asarray(run.t)[99:], np.asarray(run.observables["magnetization"])[99:]
    llg = sv.effective_llg(case, (0.0, 4.0), angles=21)
    found = np.asarray(llg.solve(m[0] / np.linalg.norm(m[0], axis=1, keepdims=True), t, rtol=1e-6, atol=1e-6))
    passed = [t[np.argmax(x[:, 1, 2] < 0.5)] for x in (found, m)]
    assert passed[0] == pytest.approx(passed[1], rel=0.03)
    assert np.abs(found[-1] - m[-1]).max() < 1e-3 and m[-1, 1, 0] < -0.99


def test_the_form_of_other_codes_and_the_fit_to_a_run_agree_where_the_form_holds():
    """At 90 degrees, about which the layers of a run go round, with the error of the form at all other angles."""
    llg = eqx.tree_at(lambda m: m.field, model(), jnp.array([[0.0, 0, 0.3]] * 2))
    form = sv.slonczewski_form(llg)
    theta = np.linspace(0.1, 3.0, 30)
    lam, torques = np.asarray(form.asymmetry), llg.torques(theta)
    shape = 2 * lam**2 / ((lam**2 + 1) + (lam**2 - 1) * np.cos(theta)[:, None])
    weight = np.sin(theta)[:, None]
    left = np.asarray(torques.damping_like) - form.damping_like * shape
    share = np.linalg.norm(weight * left, axis=0) / np.linalg.norm(weight * torques.damping_like, axis=0)
    assert share == pytest.approx(np.asarray(form.damping_like_error), rel=0.2)
    units = sv.Units(gamma_ev=1.0)
    export = sv.micromagnetic_parameters(form.model, units, spin_volume_nm3=0.02, thickness_nm=1.0)[1]
    expected = units.field_to_tesla(float(form.damping_like[1]))
    assert export["B_damping_like"].value == pytest.approx(expected)
    assert export["alpha"].value == pytest.approx(float(form.damping[1]))
