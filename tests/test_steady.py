"""Steady states: the equations of motion stand still, derivatives, branches, torques, and clear errors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import svjax as sv
from svjax.dynamics.branches import _follow
from svjax.dynamics.steady_state import _search
from svjax.dynamics.torques import force_across, linearize


def small(**changes):
    parameters = dict(j_sd=1.3, leads=True, anisotropy=(0.4, 0.15), temperature=0.1, poles=sv.pade_poles(3))
    return sv.SpinValve.chain(1, 2, 1, **(parameters | changes))


def torque(valve, state, mu):
    return float(jnp.max(jnp.abs(sv.time_derivative(valve, state, jnp.asarray(mu)).spins)))


@pytest.mark.parametrize("bias", [None, (0.6, -0.1), sv.asymmetric(1.0)])
def test_nothing_moves(bias):
    valve = small()
    state = sv.steady_state(valve, bias)
    mu = (0.0, 0.0) if bias is None else bias if isinstance(bias, tuple) else bias(0.0)
    slope = sv.time_derivative(valve, state, jnp.asarray(mu))
    assert torque(valve, state, mu) < 1e-10
    assert max(jnp.max(jnp.abs(slope.rho)), jnp.max(jnp.abs(slope.pi))) < 1e-10
    electrons = sv.stationary(valve, state.spins, mu)
    assert jnp.max(jnp.abs(electrons.rho - state.rho)) < 1e-12
    assert jnp.max(jnp.abs(electrons.pi - state.pi)) < 1e-12
    assert jnp.max(jnp.abs(jnp.linalg.norm(state.spins, axis=1) - 1)) < 1e-14
    assert jnp.max(jnp.abs(state.spins - sv.aligned_spins(valve))) > 1e-3


@pytest.mark.slow
def test_three_leads_and_three_layers():
    bonds = [(0, 1), (1, 2), (2, 3, 0.7 + 0.4j), (3, 4), (1, 4)]
    valve = sv.SpinValve.from_bonds(
        5, bonds, [[0], [2], [4]], [[0], [2], [4]], j_sd=1.1, anisotropy=(0.3, 0.4, 0.2), temperature=(0.1, 0.2, 0.1),
        easy_axes=((1, 0, 0), (0, 1, 0), (0, 0, 1)), lead_coupling=(1, 0.5, 2), poles=sv.pade_poles(8),
    )  # fmt: skip
    mu = (0.3, -0.4, 0.1)
    state = sv.steady_state(valve, mu)
    assert torque(valve, state, mu) < 1e-10
    total = sum(sv.charge_current(valve, state, lead) for lead in range(3))
    assert abs(total) < 1e-12
    assert sv.is_stable(valve, state, mu)


def test_evolution_ends_there():
    valve = small(anisotropy=(0.6, 0.5), j_sd=2.5)
    state = sv.steady_state(valve, (0.3, -0.2))
    kicked = np.asarray(state.spins) + np.array([[0, 0.05, 0.03]] * 2)
    start = sv.State(state.rho, state.pi, kicked / np.linalg.norm(kicked, axis=1, keepdims=True))
    run = sv.evolve(valve, start, (0.3, -0.2), 400.0, dt=0.05, method="rk38")
    assert jnp.max(jnp.abs(run.state.spins - state.spins)) < 1e-3 * jnp.max(jnp.abs(kicked - state.spins))


def test_derivatives_in_the_voltage_match_finite_differences():
    """Those in the parameters of the valve are in the table of `test_gradients`."""
    valve, step, weights = small(), 1e-4, jnp.array([0.3, -1.0, 0.7, 0.2, 1.1, -0.6])

    def values(voltage):
        return sv.magnetization(valve, sv.steady_state(valve, (voltage, jnp.zeros(())))).ravel()

    @jax.jit
    def program(voltage):
        found, forward = jax.linearize(values, voltage)
        return found, forward(jnp.ones(())), jax.linear_transpose(forward, voltage)(weights)[0]

    at = lambda voltage: program(jnp.asarray(voltage))
    by = lambda h: (at(0.4 + h)[0] - at(0.4 - h)[0]) / (2 * h)
    finite, (_, forward, reverse) = (4 * by(step) - by(2 * step)) / 3, at(0.4)
    assert np.abs(finite).max() > 0.01
    assert np.abs(forward - finite).max() < 1e-6 * np.abs(finite).max()
    assert np.abs(reverse - weights @ forward) < 1e-10


@pytest.mark.slow
def test_second_derivative_under_jit():
    valve = small()
    x_component = lambda v: sv.magnetization(valve, sv.steady_state(valve, sv.symmetric(v)))[1, 0]
    first = jax.jit(jax.grad(x_component))
    second = jax.jit(jax.grad(jax.grad(x_component)))(0.4)
    assert abs(second - (first(0.401) - first(0.399)) / 0.002) < 1e-4 * abs(second)


@pytest.mark.slow
def test_exceptional_point_does_without_eigenvectors():
    """A dimer with Gamma = 4 has no eigenbasis; near it both ways agree."""
    dimer = lambda coupling: sv.SpinValve.from_bonds(
        2, [(0, 1)], [[1]], [[0]], j_sd=0.9, anisotropy=0.3, easy_axes=(0.6, 0, 0.8), lead_coupling=coupling,
        temperature=0.2, poles=sv.pade_poles(8), field=(0.1, 0.05, 0.0),
    )  # fmt: skip
    at, near = (sv.steady_state(dimer(c), (0.4,)) for c in (4.0, 4.0 + 1e-6))
    assert jnp.max(jnp.abs(at.spins - near.spins)) < 1e-6
    bare = dimer(4.0)
    electrons_only = eqx.tree_at(lambda v: v.j_sd, bare, 0.0)
    state = sv.steady_state(electrons_only, (0.4,))
    assert jnp.max(jnp.abs(state.rho - sv.stationary(electrons_only, state.spins, (0.4,)).rho)) < 1e-10
    valve = small()
    state = sv.steady_state(valve, (0.5, 0.0))
    mu = jnp.array([0.5, 0.0])
    exact = jax.jacfwd(lambda angles: force_across(valve, mu, state.spins, angles))(jnp.zeros(2 * len(state.spins)))
    assert jnp.max(jnp.abs(linearize(valve, mu, state.spins, False).stiffness - exact)) < 1e-8
    direct = _search(valve, mu, sv.aligned_spins(valve), True, print).state
    assert jnp.max(jnp.abs(direct.spins - state.spins)) < 1e-8


def test_branches_are_kept():
    valve = small()
    voltages = np.linspace(0, 1.5, 4)
    branch = sv.steady_states(valve, [sv.symmetric(v) for v in voltages])
    mirrored = sv.steady_states(valve, [sv.symmetric(v) for v in voltages], spins=-sv.aligned_spins(valve))
    for one, other in zip(branch, mirrored, strict=True):
        assert jnp.max(jnp.abs(one.spins + other.spins)) < 1e-8
        assert one.spins[-1, 2] > 0.5
    alone = sv.steady_state(valve, sv.symmetric(voltages[-1]))
    assert jnp.max(jnp.abs(alone.spins - branch[-1].spins)) < 1e-8


@pytest.mark.parametrize("turn", [2.5, 10.0])
def test_a_branch_is_bridged_where_spins_turn_far(turn):
    """A spin at the angle ``turn`` times the bias, whose mirror image is found from starts further than 1 away."""

    def solve(value, start):
        angle = turn * float(value)
        along = np.array([[np.cos(angle), np.sin(angle), 0.0]])
        return sv.State(None, None, along if start is None or np.arccos((along * start).sum()) < 1 else -along)

    states = _follow(solve, [np.array(0.0), np.array(1.0), np.array(2.0)], None)
    for state, value in zip(states, (0.0, 1.0, 2.0), strict=True):
        assert np.abs(state.spins - solve(value, None).spins).max() < 1e-12


def test_the_end_of_a_branch_is_told():
    """The spin jumps by a right angle at 0.3, however small the steps are."""
    solve = lambda value, start: sv.State(None, None, np.array([[1.0, 0, 0] if value < 0.3 else [0.0, 1, 0]]))
    with pytest.raises(sv.ConvergenceError, match=r"The branch ends near 0\.3"):
        _follow(solve, [np.array(0.0), np.array(1.0)], None)


def test_voltage_maps_to_level():
    """Fig. 14 on a small valve."""
    valve = sv.SpinValve.square(4, 2, 1, 1, j_sd=3.0, anisotropy=(0.4, 0.05), temperature=0.05)
    voltages = np.linspace(0, 4, 5)
    driven = sv.steady_states(valve, [sv.symmetric(v) for v in voltages])
    shifted = sv.equilibrium_states(valve, voltages / 2)
    x = [[sv.magnetization(valve, state)[1, 0] for state in states] for states in (driven, shifted)]
    assert np.abs(np.subtract(*x)).max() < 1e-9
    assert np.ptp(x[0]) > 0.01


def test_effective_torque_balances_the_current():
    """With one spin a layer the two torques of Figs. 12, 13 differ only to second order in the change."""
    valve = small(j_sd=1.0, anisotropy=(0.6, 0.5))
    equilibrium, driven = (sv.steady_state(valve, (v, 0.0)) for v in (0.0, 0.4))
    current = sv.current_driven_torque(valve, driven, equilibrium)
    effective = sv.effective_torque(valve, driven, equilibrium)[1]
    assert effective.shape == (3,) and jnp.max(jnp.abs(current)) > 1e-3
    assert jnp.max(jnp.abs(current - effective)[:2]) < 0.1 * jnp.max(jnp.abs(current))


def test_zero_mode_is_named():
    with pytest.raises(sv.ConvergenceError, match=r"zero mode lambda = .* turns layer 0 .* and layer 1"):
        sv.steady_state(small(anisotropy=0.0), (0.2, 0.0))


def test_growing_mode_is_named():
    valve = small()
    against = jnp.array([[0.0, 1.0, 0.0]] * 2)
    with pytest.raises(sv.ConvergenceError, match=r"the mode lambda = .* grows") as error:
        sv.steady_state(valve, (0.2, 0.0), spins=against)
    assert error.value.mode.real > 0 and error.value.residual < 1e-10
    state = sv.steady_state(valve, (0.2, 0.0), spins=against, allow_unstable=True)
    assert torque(valve, state, (0.2, 0.0)) < 1e-10
    assert not sv.is_stable(valve, state, (0.2, 0.0))


@pytest.mark.slow
def test_a_limit_cycle_has_no_steady_state():
    """A free layer with an easy plane, and a current polarised across it: the spin goes round and never stops."""
    valve = small(easy_axes=(0.0, 0.0, 1.0), j_sd=2.0, anisotropy=(2.0, -0.3), poles=sv.optimized_poles(8))
    bias, pinned = sv.asymmetric(0.5), [0.0, 0.0, 1.0]
    for free, reason in ((pinned, "grows"), ([0.6, 0, 0.8], "No steady state was reached")):
        with pytest.raises(sv.ConvergenceError, match=reason):
            sv.steady_state(valve, bias, spins=jnp.array([pinned, free]))
    start = sv.stationary(valve, jnp.array([pinned, [0.6, 0, 0.8]]))
    run = sv.evolve(valve, start, bias, 400.0, save_every=50)
    x, y, z = np.asarray(run.observables["magnetization"][-100:, 1]).T
    turns = np.diff(np.unwrap(np.arctan2(y, x)))
    assert np.ptp(z) < 1e-6 and np.ptp(turns) < 1e-6 and abs(turns[0]) > 0.1


@pytest.mark.parametrize("bias", [sv.symmetric(60.0), sv.asymmetric(20.0)])
def test_bias_beyond_the_poles_is_refused(bias):
    with pytest.raises(ValueError, match="reach of the valve's poles"):
        sv.steady_state(sv.SpinValve.chain(1, 1, 1, j_sd=1.0, leads=True, anisotropy=0.2), bias)


def test_bad_arguments():
    valve = small()
    with pytest.raises(ValueError, match="must not depend on time"):
        sv.steady_state(valve, sv.Oscillating((0.0, 0.0), (0.1, 0.0), 1.0))
    with pytest.raises(ValueError, match="leads"):
        sv.steady_state(sv.SpinValve.chain(1, 1, 1, j_sd=1.0), None)
    with pytest.raises(ValueError, match="finite"):
        sv.steady_state(valve, (np.nan, 0.0))
    with pytest.raises(ValueError, match="bias"):
        sv.steady_state(valve, (0.1,))


def test_equilibrium_and_currents_of_the_large_valve():
    valve = sv.SpinValve.square(j_sd=2.0)
    assert np.allclose(sv.magnetization(valve, sv.steady_state(valve, None))[1], [0.0834, 0, 0.9965], atol=5e-5)
    for bias in (sv.symmetric(8.0), sv.asymmetric(4.0)):
        state = sv.steady_state(valve, bias, allow_unstable=True)
        currents = [sv.charge_current(valve, state, lead) for lead in (0, 1)]
        currents += [sv.interface_currents(valve, state, m)[0] for m in (None, 3, 7)]
        assert np.abs(np.array(currents) - sv.landauer_current(valve, state.spins, bias)).max() < 1e-10


@pytest.mark.slow
def test_figure_14():
    valve = sv.SpinValve.square(j_sd=3.0)
    voltages = np.linspace(0, 8, 33)
    driven = sv.steady_states(valve, [sv.symmetric(v) for v in voltages])
    shifted = sv.equilibrium_states(valve, voltages / 2)
    x = [[sv.magnetization(valve, state)[1, 0] for state in states] for states in (driven, shifted)]
    assert np.abs(np.subtract(*x)).max() < 1e-9
