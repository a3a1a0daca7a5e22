"""Valves that depend on time, and spins in a bath, against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import small_valve
from systems import random_spins

import svjax as sv


def one_spin(**changes):
    given = dict(layers=[[0]], j_sd=0.0, anisotropy=0.0)
    return sv.SpinValve.from_bonds(1, [], **given | changes)


def start_of(valve, spins):
    return sv.stationary(valve, jnp.asarray(spins, float))


def test_a_rotating_field_turns_a_spin_as_in_its_rotating_frame():
    """B_1 (cos wt, sin wt, 0) + B_0 z: in the frame that turns with the field, S precesses about (B_1, 0, B_0 + w)."""
    b0, b1, omega, t = 0.7, 0.4, 0.9, 6.0
    valve = one_spin(field=(0.0, 0.0, b0))

    def drive(valve, t):
        field = jnp.array([b1 * jnp.cos(omega * t), b1 * jnp.sin(omega * t), b0])
        return eqx.tree_at(lambda v: v.field, valve, field)

    start = np.array([0.6, 0.0, 0.8])
    run = sv.evolve(valve, start_of(valve, [start]), None, t, dt=0.01, drive=drive, method="rk38")
    frame = np.array([b1, 0.0, b0 + omega])  # dS/dt = S x B, and the frame turns by +omega about z
    axis, angle = frame / np.linalg.norm(frame), -np.linalg.norm(frame) * t
    turned = start * np.cos(angle) + np.cross(axis, start) * np.sin(angle) + axis * (axis @ start) * (1 - np.cos(angle))
    c, s = np.cos(omega * t), np.sin(omega * t)
    assert np.allclose(run.state.spins[0], [[c, -s, 0], [s, c, 0], [0, 0, 1]] @ turned, atol=1e-8)


def test_a_vector_potential_that_is_ramped_up_is_a_field_and_a_constant_one_a_gauge():
    """On an open chain A(t) along x is undone by c_j -> c_j e^(i A x_j): rho_jk changes by phases, densities by none;
    dA/dt is a potential dA/dt x_j of the sites, the same as levels that do not depend on time."""
    positions, bonds = [[float(x), 0.0, 0.0] for x in range(4)], [(0, 1), (1, 2), (2, 3)]
    rate = 0.3
    valve = sv.SpinValve.from_bonds(4, bonds, positions=positions, mu_bar=0.1)
    tilted = sv.SpinValve.from_bonds(4, bonds, positions=positions, mu_bar=0.1 + rate * np.arange(4.0))

    light = lambda valve, t: sv.PeierlsPulse(jnp.array([1.0, 0.0, 0.0]) * rate * t)(valve, 0.0)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8))
    start = sv.State(jnp.asarray(a + a.conj().T), jnp.zeros((8, 0), complex), jnp.zeros((0, 3)))
    observe = lambda v, s: {"charge": sv.site_charge(v, s), "current": sv.bond_currents(v, s)}
    driven = sv.evolve(valve, start, None, 2.0, dt=0.01, drive=light, observe=observe, method="rk38")
    still = sv.evolve(tilted, start, None, 2.0, dt=0.01, observe=observe, method="rk38")
    assert np.allclose(driven.observables["charge"], still.observables["charge"], atol=1e-8)
    assert np.allclose(driven.observables["current"], still.observables["current"], atol=1e-8)
    assert not np.allclose(driven.observables["charge"][-1], sv.site_charge(valve, start), atol=1e-2)


def test_a_ramp_and_a_pulse_of_a_layer():
    valve = small_valve()
    ramp = sv.Ramp("anisotropy[1]", [0.0, 2.0], [0.1, 0.5])
    assert np.allclose([ramp(valve, t).anisotropy[1] for t in (-1.0, 1.0, 5.0)], [0.1, 0.3, 0.5])
    pulse = sv.FieldPulse([0.0, 0.2, 0.0], center=1.0, width=0.5, layer=1)
    field = pulse(valve, jnp.asarray(1.5)).field
    assert np.allclose(field - valve.field, [[0, 0, 0], [0, 0.2 * np.exp(-0.5), 0]])


@pytest.mark.parametrize("name", ["lead_coupling", "temperature", "lead_polarization", "poles"])
def test_a_drive_must_leave_the_leads_alone(name):
    valve = small_valve()
    late = lambda t: jnp.exp(-((t - 1e3) ** 2))  # nothing that samples would see
    drive = lambda v, t: eqx.tree_at(
        lambda v: getattr(v, name), v, jax.tree.map(lambda x: x * (1 + late(t)), getattr(v, name))
    )
    with pytest.raises(ValueError, match=f"must not change `{name}`"):
        sv.evolve(valve, sv.stationary(valve, sv.aligned_spins(valve)), None, 1.0, dt=0.05, drive=drive, method="rk38")


@pytest.mark.parametrize("method", ["rk38", pytest.param("etd", marks=pytest.mark.slow)])
def test_a_driven_run_is_differentiable_and_goes_on_where_it_was(method):
    valve = small_valve(poles=sv.pade_poles(6))
    start = sv.stationary(valve, sv.aligned_spins(valve))
    options = dict(dt=0.025, method=method, save_every=10)

    def tilt(size):
        drive = sv.FieldPulse(jnp.array([0.0, 1.0, 0.0]) * size, center=0.5, width=0.3)
        return sv.evolve(valve, start, (0.3, -0.2), 1.0, drive=drive, **options).state.spins[1, 0]

    slope, step = jax.grad(tilt)(0.4), 1e-4
    assert np.isclose(slope, (tilt(0.4 + step) - tilt(0.4 - step)) / (2 * step), rtol=1e-6)
    drive = sv.FieldPulse([0.0, 0.4, 0.0], center=0.5, width=0.3)
    whole = sv.evolve(valve, start, (0.3, -0.2), 1.0, drive=drive, **options)
    half = sv.evolve(valve, start, (0.3, -0.2), 0.5, drive=drive, **options)
    rest = sv.evolve(valve, half.state, (0.3, -0.2), 0.5, drive=drive, start_step=20, **options)
    assert eqx.tree_equal(rest.state, whole.state)


def test_one_damped_spin_spirals_into_the_field():
    """dtheta/dt = -alpha B sin(theta)/(1 + alpha^2), dphi/dt = -B/(1 + alpha^2)."""
    alpha, b, t, theta = 0.2, 1.3, 5.0, 2.0
    valve = one_spin(field=(0.0, 0.0, b), damping=alpha)
    run = sv.evolve(valve, start_of(valve, [[np.sin(theta), 0.0, np.cos(theta)]]), None, t, dt=0.01, method="rk38")
    rate = b / (1 + alpha**2)
    theta = 2 * np.arctan(np.tan(theta / 2) * np.exp(-alpha * rate * t))
    phi = -rate * t
    wanted = [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
    assert np.allclose(run.state.spins[0], wanted, atol=1e-9)


def magnetizations(x, dt, count, duration, key=0):
    """Mean and standard error of S_z over an ensemble of single spins in a field x at T_s = 1, and the worst |S|."""
    valve = one_spin(field=(0.0, 0.0, x), damping=0.5, spin_temperature=1.0)
    start = start_of(valve, [[0.0, 0.0, 1.0]])
    observe = lambda v, s: {"spins": s.spins}

    def run(key):
        found = sv.evolve(
            valve, start, None, duration, dt=dt, key=key, save_every=round(1.0 / dt), observe=observe, method="rk38"
        )
        return found.observables["spins"][:, 0]

    spins = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(key), count)))[:, 8:]
    each = spins[..., 2].mean(1)
    return each.mean(), each.std() / np.sqrt(count), np.abs(np.linalg.norm(spins, axis=-1) - 1).max()


@pytest.mark.parametrize("x", [0.5, 2.0, 8.0])
def test_a_spin_in_a_bath_has_the_langevin_magnetization(x):
    mean, error, length = magnetizations(x, 0.02, 256, 24.0)
    assert abs(mean - (1 / np.tanh(x) - 1 / x)) < 3 * error
    assert length < 1e-10


@pytest.mark.parametrize(
    ("method", "steps"), [("rk38", (1.25, 0.625)), pytest.param("etd", (0.625, 0.3125), marks=pytest.mark.slow)]
)
def test_the_noise_is_of_first_weak_order(method, steps):
    """Without a field a spin diffuses on the sphere: <S_z> = e^(-2 alpha T_s t/(1 + alpha^2)) from S_z = 1."""
    valve, t = one_spin(damping=0.5, spin_temperature=1.0), 1.25
    start = start_of(valve, [[0.0, 0.0, 1.0]])
    errors, spread = [], []
    for dt in steps:
        run = lambda key, dt=dt: sv.evolve(valve, start, None, t, dt=dt, method=method, key=key).state.spins[0, 2]
        found = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(3), 200_000)))
        errors.append(found.mean() - np.exp(-t * 1.0 / 1.25))
        spread.append(found.std() / np.sqrt(len(found)))
    assert abs(errors[1]) > 6 * spread[1]
    assert 0.4 < errors[1] / errors[0] < 0.6, errors


def test_noise_depends_on_the_key_and_the_step_alone():
    valve = small_valve(damping=0.1, spin_temperature=0.05)
    start = sv.stationary(valve, random_spins(np.random.default_rng(1), 2))
    options = dict(dt=0.05, save_every=5, method="rk38", key=jax.random.key(7))
    whole = sv.evolve(valve, start, (0.3, -0.2), 1.0, **options)
    half = sv.evolve(valve, start, (0.3, -0.2), 0.5, **options)
    rest = sv.evolve(valve, half.state, (0.3, -0.2), 0.5, start_step=10, **options)
    assert eqx.tree_equal(rest.state, whole.state)
    other = sv.evolve(valve, start, (0.3, -0.2), 1.0, **options | {"key": jax.random.key(8)})
    assert np.abs(other.state.spins - whole.state.spins).max() > 1e-3


def pumped_spin(valve, spin, turning, width, level, temperature):
    """The spin current into one level, coupled by J_sd to a spin that turns slowly, from one lead in equilibrium:
    -(Gamma/4 pi) int de (-df/de) Re Tr sigma [i G Omega.sigma - (Gamma/2) G Omega.sigma G^+], Omega = S x dS/dt."""
    sigma = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    omega = np.einsum("a,ast->st", np.cross(spin, turning), sigma)
    h = level * np.eye(2) + float(valve.j_sd) / 2 * np.einsum("a,ast->st", spin, sigma) - 0.5j * width * np.eye(2)
    x, weights = np.polynomial.legendre.leggauss(400)
    e, weights = 30 * temperature * x, 30 * temperature * weights
    green = np.linalg.inv(e[:, None, None] * np.eye(2) - h)
    inner = 1j * green @ omega - width / 2 * green @ omega @ green.conj().swapaxes(1, 2)
    slope = weights / (4 * temperature * np.cosh(e / (2 * temperature)) ** 2)
    return -width / (4 * np.pi) * np.einsum("e,ast,ets->a", slope, sigma, inner).real


def test_a_slowly_precessing_spin_pumps_as_the_adiabatic_formula_says():
    """The difference falls as the square of the frequency, the current itself as the frequency."""
    errors = []
    for field in (0.04, 0.02):
        valve = one_spin(
            contacts=[[0]], j_sd=1.5, mu_bar=0.3, lead_coupling=1.2, temperature=0.15, field=(0.0, 0.0, field),
            poles=sv.optimized_poles(16),
        )  # fmt: skip
        run = sv.evolve(valve, start_of(valve, [[0.8, 0.0, 0.6]]), None, 40.0, dt=0.1, method="etd")
        spin, turning = run.state.spins[0], sv.time_derivative(valve, run.state).spins[0]
        formula = pumped_spin(valve, spin, turning, 1.2, 0.3, 0.15)
        errors.append(np.abs(sv.spin_current(valve, run.state, 0) - formula).max() / np.linalg.norm(formula))
    assert errors[0] < 0.05 and 0.4 < errors[1] / errors[0] < 0.6, errors
