"""Modes against the full Jacobian of the equations of motion, their derivatives, counts of roots, and envelope fits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import random_spins

import svjax as sv
from svjax.dynamics.eigenproblem import find_roots, linearization
from svjax.dynamics.stability import count_growing
from svjax.model.equations import coupled_derivative

BIAS = (0.3, -0.45)


def small(**changes):
    parameters = dict(j_sd=1.3, leads=True, anisotropy=(0.4, 0.15), temperature=0.1, poles=sv.pade_poles(3))
    return sv.SpinValve.chain(1, 2, 1, **(parameters | changes))


def jacobian_eigenvalues(valve, state, mu):
    """All eigenvalues of the equations of motion of rho (Hermitian), Pi and the spins, linearised by `jax.jacfwd`."""
    dim = len(state.rho)
    upper, columns = np.triu_indices(dim, 1), state.pi.size

    def pack(s):
        off = s.rho[upper]
        parts = (jnp.diagonal(s.rho).real, off.real, off.imag, s.pi.real, s.pi.imag, s.spins)
        return jnp.concatenate([part.ravel() for part in parts])

    def unpack(x):
        pairs = len(upper[0])
        diagonal, real, imag, pi_real, pi_imag, spins = jnp.split(
            x, np.cumsum([dim, pairs, pairs, columns, columns]).tolist()
        )
        rho = jnp.zeros((dim, dim), complex).at[upper].set(real + 1j * imag)
        rho = rho + rho.conj().T + jnp.diag(diagonal)
        return sv.State(rho, (pi_real + 1j * pi_imag).reshape(state.pi.shape), spins.reshape(-1, 3))

    slope = lambda x: pack(coupled_derivative(valve, unpack(x), jnp.asarray(mu)))
    return np.linalg.eigvals(np.asarray(jax.jacfwd(slope)(pack(state))))


@pytest.fixture(scope="module")
def solved():
    valve = small()
    state = sv.steady_state(valve, BIAS)
    return valve, state, jacobian_eigenvalues(valve, state, BIAS)


def test_modes_are_eigenvalues_of_the_full_jacobian_and_none_is_missed(solved):
    valve, state, exact = solved
    modes = np.asarray(sv.relaxation_modes(valve, state, BIAS))
    assert len(modes) == 2 and np.all(modes.imag >= 0)
    assert np.abs(exact[:, None] - modes).min(0).max() < 1e-9
    slowest_electrons = float(sv.electron_decays(valve, state.spins, 1)[0])
    moving = exact[(exact.real > -slowest_electrons + 1e-6) & (np.abs(exact) > 1e-6) & (exact.imag >= 0)]
    near = moving[np.abs(moving) <= np.abs(modes).max() + 0.5]
    assert len(near) == 2 and np.abs(near[:, None] - modes).min(1).max() < 1e-9


@pytest.mark.slow
def test_modes_of_damped_spins_with_every_term_are_eigenvalues_of_the_full_jacobian():
    """Damping, exchange along a spin bond with a Dzyaloshinskii-Moriya part, Rashba coupling, levels and couplings of
    their own, a magnetic lead and one with a band."""
    valve = sv.SpinValve.chain(
        1, 1, 1, leads=True, anisotropy=(0.4, 0.15), temperature=0.1, poles=sv.pade_poles(3),
        damping=(0.05, 0.2), spin_bonds=[(0, 2, np.array([[0.1, 0.05, 0.0], [-0.02, 0.15, 0.03], [0.04, 0.0, 0.08]]))],
        rashba=0.3, mu_bar=(0.1, -0.2, 0.3), j_sd=(1.3, 0.9), field=(0.02, -0.05, 0.03),
        lead_polarization=[(0.2, -0.3, 0.4), (0.1, 0.0, 0.0)], bands=[None, sv.LorentzianBand(1.5, 0.2)],
    )  # fmt: skip
    state = sv.steady_state(valve, BIAS)
    exact = jacobian_eigenvalues(valve, state, BIAS)
    modes = np.asarray(sv.relaxation_modes(valve, state, BIAS))
    assert len(modes) == 2 and np.all(modes.real < -1e-3)
    assert np.abs(exact[:, None] - modes).min(0).max() < 1e-9
    bare = np.asarray(sv.relaxation_modes(eqx.tree_at(lambda v: v.damping, valve, jnp.zeros(2)), state, BIAS))
    assert np.abs(bare - modes).max() > 1e-2


def test_orders_and_shapes(solved):
    valve, state, _ = solved
    by_frequency = sv.relaxation_modes(valve, state, BIAS)
    by_decay = sv.relaxation_modes(valve, state, BIAS, order="decay")
    assert jnp.all(jnp.diff(jnp.abs(by_frequency)) > 0) and jnp.all(jnp.diff(-by_decay.real) > 0)
    assert sv.relaxation_modes(valve, state, BIAS, count=1).shape == (1,)
    modes = sv.mode_shapes(valve, state, BIAS)
    assert jnp.max(jnp.abs(jnp.sum(modes.shapes * state.spins, -1))) < 1e-12
    assert jnp.allclose(jnp.sum(jnp.abs(modes.shapes) ** 2, (1, 2)), 1)


def test_a_kick_decays_as_the_mode_says(solved):
    valve, state, _ = solved
    modes = sv.mode_shapes(valve, state, BIAS)
    kicked = state.spins + 1e-3 * modes.shapes[0].real
    start = sv.State(state.rho, state.pi, kicked / jnp.linalg.norm(kicked, axis=1, keepdims=True))
    run = sv.evolve(valve, start, BIAS, 240.0, dt=0.05, save_every=10, method="rk38")
    fit = sv.fit_relaxation(run.t, run.observables["magnetization"][:, 1, 1], start=60.0)
    assert abs(fit.t_r * -modes.rates[0].real - 1) < 1e-3
    assert abs(fit.frequency / modes.rates[0].imag - 1) < 1e-4
    assert fit.error < 0.01 * fit.t_r


@pytest.mark.slow
def test_derivatives_of_modes_in_the_voltage(solved):
    """Those in the parameters of the valve are in the table of `test_gradients`."""
    valve, _, _ = solved

    def modes(voltage):
        bias = (voltage, jnp.asarray(-0.45))
        rates = sv.relaxation_modes(valve, sv.steady_state(valve, bias), bias, count=2)
        return jnp.concatenate([rates.real, rates.imag])

    step, weight = 1e-4, jnp.array([1.0, -0.3, 0.2, 0.5])
    forward = jax.jit(jax.jacfwd(modes))(0.3)
    reverse = jax.jit(jax.grad(lambda x: weight @ modes(x)))(0.3)
    finite = (modes(jnp.asarray(0.3 + step)) - modes(jnp.asarray(0.3 - step))) / (2 * step)
    assert np.abs(forward - finite).max() < 1e-6 and np.abs(finite).max() > 1e-3
    assert np.abs(reverse - weight @ forward) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        [[0.0, 1, 0], [0, 1, 0]],
        [[0.0, 0, 1], [1, 0, 0]],
        [[-1.0, 0, 0], [0, 0, -1]],
    ],
)
def test_growing_roots_are_counted(start):
    """The count against the full Jacobian, at stable and unstable states."""
    valve = small()
    state = sv.steady_state(valve, BIAS, spins=jnp.array(start), allow_unstable=True)
    exact = jacobian_eigenvalues(valve, state, BIAS)
    growing = np.sum(exact.real > 1e-7)
    assert count_growing(linearization(valve, state, jnp.array(BIAS))) == growing
    assert sv.is_stable(valve, state, BIAS) == (growing == 0)


def tangled_chain(damping):
    """Two layers of two spins with complex bonds, levels and leads of their own."""
    valve = sv.SpinValve.chain(
        2, 1, 2, leads=True, anisotropy=(0.4, 0.15), temperature=0.1, poles=sv.pade_poles(2), damping=(0.0, 0.0),
        rashba=0.3, mu_bar=(0.1, -0.2, 0.3, 0.05, -0.1), j_sd=(1.3, 0.9), field=(0.02, -0.05, 0.03),
        lead_polarization=[(0.2, -0.3, 0.4), (0.1, 0.0, 0.0)],
    )  # fmt: skip
    return eqx.tree_at(lambda v: v.damping, valve, jnp.asarray(damping, float))


TANGLED_BIAS = (0.5, -0.25)
ONE, TWO = [(1e-3,), (-1e-3,), (1e-6,), (-1e-5,)], [(1e-3, -1e-4), (-1e-5, 1e-3), (-1e-6, -1e-6), (1e-5, 1e-6)]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("seed", "cases"),
    [(0, ONE), *(pytest.param(*case, marks=SLOW) for case in ((1, TWO), (2, ONE), (5, []), (7, TWO)))],
)
def test_roots_close_to_the_axis_are_counted(seed, cases):
    """States of rest that random spins lead to, two of them stable, three saddles. The damping of the layers, which
    moves no state of rest, is chosen (also negative) so that one or two modes are close to the axis, on either side;
    the count is that of the full Jacobian's eigenvalues."""
    spins = random_spins(np.random.default_rng(seed), 4)
    rest = sv.steady_state(tangled_chain((0, 0)), TANGLED_BIAS, spins=spins, allow_unstable=True)
    problem = lambda damping: linearization(tangled_chain(damping), rest, jnp.array(TANGLED_BIAS))
    rates = lambda damping: np.asarray(find_roots(problem(damping), 4).rates)
    moving = lambda damping: jacobian_eigenvalues(tangled_chain(damping), rest, TANGLED_BIAS)
    start = rates(np.zeros(2))
    assert count_growing(problem(np.zeros(2))) == np.sum(moving(np.zeros(2)).real > 1e-7)
    for distances in cases:
        damping, followed = np.zeros(2), start[np.argsort(np.abs(start.real))[: len(distances)]]
        for _ in range(12):
            here, *beside = (
                found[np.abs(found[:, None] - followed).argmin(0)]
                for found in (rates(damping), *(rates(damping + step) for step in 1e-6 * np.eye(2)))
            )
            slope = np.stack([(other - here).real for other in beside], 1) / 1e-6
            move = np.linalg.lstsq(slope, np.array(distances) - here.real)[0]
            damping, followed = damping + np.clip(move, -0.1, 0.1), here
        exact = moving(damping)
        near = exact[np.abs(exact[:, None] - followed).argmin(0)].real
        assert np.abs(near - distances).max() < 0.1 * np.abs(distances).min()
        assert count_growing(problem(damping)) == np.sum(exact.real > 1e-7)


@pytest.mark.slow
def test_homotopy_finds_the_same_roots(solved):
    valve, state, _ = solved
    problem = linearization(valve, state, jnp.array(BIAS))
    assert jnp.max(jnp.abs(find_roots(problem, 2, 4).rates - find_roots(problem, 2).rates)) < 1e-10


def test_fit_of_known_traces():
    rng = np.random.default_rng(1)
    t = np.arange(0, 2000, 0.5)
    wave = lambda t_r: 0.08 * np.exp(-t / t_r) * np.cos(0.05 * t + 0.7)
    transient = 0.3 * np.exp(-t / 25) * np.cos(0.75 * t)
    drift = 0.1 + 0.03 * np.exp(-t / 1500)
    for t_r in (300.0, 900.0, 4e4):
        fit = sv.fit_relaxation(t, wave(t_r) + transient + drift)
        assert abs(fit.t_r - t_r) < max(3 * fit.error, 1e-3 * t_r) and abs(fit.t_r / t_r - 1) < 0.02
        assert abs(fit.frequency - 0.05) < 1e-5 and abs(fit.amplitude - 0.08) < 1e-3
    noisy = sv.fit_relaxation(t, wave(600.0) + 1e-3 * rng.normal(size=t.size))
    assert abs(noisy.t_r - 600) < 4 * noisy.error and noisy.error < 20
    growing = sv.fit_relaxation(t, 0.01 * np.exp(t / 800) * np.cos(0.05 * t))
    assert abs(growing.t_r + 800) < 1


def test_bad_arguments(solved):
    valve, state, _ = solved
    with pytest.raises(ValueError, match="torque-free"):
        sv.relaxation_modes(valve, sv.stationary(valve, sv.aligned_spins(valve), BIAS), BIAS)
    with pytest.raises(ValueError, match="order"):
        sv.relaxation_modes(valve, state, BIAS, order="size")
    with pytest.raises(ValueError, match="count"):
        sv.relaxation_modes(valve, state, BIAS, count=0)
    with pytest.raises(ValueError, match="three periods"):
        sv.fit_relaxation(np.arange(500.0), np.exp(-np.arange(500.0) / 100))
    with pytest.raises(ValueError, match="points"):
        sv.fit_relaxation(np.arange(50.0), np.ones(50))


def test_modes_of_the_large_valve():
    valve = sv.SpinValve.square(j_sd=2.0)
    for voltage, t_r in ((0.0, 586.3), (1.0, 530.1)):
        bias = sv.symmetric(voltage)
        modes = sv.relaxation_modes(valve, sv.steady_state(valve, bias), bias)
        assert abs(-1 / modes[0].real - t_r) < 0.1
    bias = sv.symmetric(8.0)
    modes = sv.relaxation_modes(valve, sv.steady_state(valve, bias), bias)
    for expected in (-0.00133 + 0.6433j, -0.002537 + 0.64504j):
        assert jnp.min(jnp.abs(modes - expected)) < 1e-5
    assert len(modes) == 4


@pytest.mark.slow
@pytest.mark.parametrize("drop", [sv.symmetric, sv.asymmetric])
@pytest.mark.parametrize("voltage", [0.5, 1.0, 2.0, 4.0])
def test_modes_agree_with_simulated_runs(drop, voltage):
    valve = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(10))
    start = sv.steady_state(valve, None)
    bias = drop(voltage)
    mode = sv.relaxation_modes(valve, sv.steady_state(valve, bias, spins=start.spins), bias, count=1)[0]
    run = sv.evolve(valve, start, bias, 1600.0, dt=0.1, method="etd", save_every=10)
    fit = sv.fit_relaxation(run.t, run.observables["magnetization"][:, 1, 0])
    assert abs(fit.t_r * -mode.real - 1) < 0.01, (fit, mode)
    assert abs(fit.frequency / mode.imag - 1) < 0.01
