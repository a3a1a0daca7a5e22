"""Torque-free steady states of spins and electrons together, by Newton's method, and branches of them along a bias."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from svjax.dynamics.eigenproblem import linearization
from svjax.dynamics.stability import first_growing_mode
from svjax.dynamics.torques import (
    Point,
    electrons_hold,
    force_across,
    is_isolated,
    linearize,
    newton_step,
    torque_limit,
)
from svjax.electrons.fermi import check_unique
from svjax.electrons.reach import check_poles
from svjax.electrons.stationary import stationary, stationary_state
from svjax.engine.arrays import PerLead, Spins, known
from svjax.engine.clock import finished
from svjax.model.equations import State
from svjax.model.levels import BiasLike, constant_levels
from svjax.model.spins import turn, turn_rate
from svjax.model.valve import SpinValve, aligned_spins, check_spins, prepare

STEPS = 60
"""The most steps of Newton's iteration."""


class ConvergenceError(RuntimeError):
    """No isolated, stable steady state was reached.

    ``residual`` is max |S x B|, ``state`` the last state, ``mode`` the rate lambda of the zero or growing mode (or
    None).
    """

    def __init__(self, message: str, residual: float, state: State, mode: complex | None = None):
        super().__init__(message)
        self.residual, self.state, self.mode = residual, state, mode

    def __reduce__(self):
        return type(self), (*self.args, self.residual, self.state, self.mode)


def steady_state(
    valve: SpinValve,
    bias: BiasLike,
    *,
    spins: ArrayLike | None = None,
    allow_unstable: bool = False,
    progress: Callable[[str], object] | None = None,
) -> State:
    """The state in which nothing changes: electrons stationary, S x B = 0 on every spin.

    Newton's method on the two tangent angles of each spin, with the electrons in closed form and the exact derivative
    of their spin density, `svjax.electrons.response`. It is quadratic: three or four steps from aligned spins.

    **Arguments:**

    - `bias`: one chemical potential per lead, `symmetric(V)`, `asymmetric(V)`, or None for equilibrium; constant in
      time.
    - `spins`: (N_S, 3) start; the state is on the branch reached from there. Aligned with the easy axes if None.
    - `allow_unstable`: return torque-free states also when a mode grows.
    - `progress`: called with a line of text after each of Newton's steps, between which Ctrl-C is heard too.

    **Returns:** a `State` with max |S x B| <= 1e-10 (1e-4 in single precision); without spins, stationary electrons.
    Derivatives in the valve and the bias, forward and reverse and of any order, are those of the implicit function.
    Inside ``jit``, ``vmap`` or ``grad`` nothing can be raised: the state is nan where Newton's method did not converge,
    and stability is not checked.

    Raises `ConvergenceError` with the residual when the torques do not vanish, and with the mode when it is a zero mode
    (spins free to turn, as for K = 0) or a growing one (the dynamics end elsewhere, for instance on a limit cycle).
    Growth is judged to first order in the electrons' retardation; `is_stable` counts. Raises ValueError for a bias
    beyond the reach of the valve's poles, and where some state of the electrons is out of reach of every lead.
    """
    valve = prepare(valve)
    mu = constant_levels(valve, bias)
    spins = aligned_spins(valve) if spins is None else check_spins(valve, spins)
    if not known(*jax.tree.leaves((valve, mu, spins))):
        return _traced_steady_state(valve, mu, spins)
    if not len(spins):
        return stationary(valve, spins, mu)
    check_poles(valve, spins, mu, refuse=True)
    tell = progress or (lambda message: None)
    point = _search(valve, mu, spins, False, tell)
    if not (point.sound and electrons_hold(valve, point.state, mu)):
        point = _search(valve, mu, spins, True, tell)
    _raise_if_wrong(valve, mu, point, allow_unstable)
    return point.state


def _search(valve: SpinValve, mu: PerLead, spins: Spins, beside: bool, tell: Callable[[str], object]) -> Point:
    """Newton's iteration step by step, so that it can be watched and stopped; raises where electrons are not unique."""
    point = finished(linearize(valve, mu, spins, beside))
    for number in range(1, STEPS + 1):
        check_unique(point.unique)
        if not point.torque > torque_limit(valve.dtype) / 10:
            break
        point = finished(newton_step(valve, mu, point, beside))
        tell(f"Newton step {number}: max |S x B| = {float(point.torque):.1e}")
    return point


def _traced_steady_state(valve: SpinValve, mu: PerLead, spins: Spins) -> State:
    """`steady_state` for traced values: the implicit function of valve and mu, and nan where there is none."""
    if not len(spins):
        state, unique = stationary_state(valve, spins, mu)
        return jax.tree.map(lambda x: jnp.where(unique, x, jnp.nan), state)
    fixed_valve, fixed_mu, start = jax.lax.stop_gradient((valve, mu, spins))
    limit = torque_limit(valve.dtype)

    def unfinished(carry):
        k, point = carry
        return (k < STEPS) & point.unique & (point.torque > limit / 10)

    def step(carry):
        return carry[0] + 1, newton_step(fixed_valve, fixed_mu, carry[1], False)

    _, point = jax.lax.while_loop(unfinished, step, (0, linearize(fixed_valve, fixed_mu, start, False)))
    good = (point.torque <= limit) & point.unique
    found = jax.lax.stop_gradient(jnp.where(good, point.state.spins, jnp.nan))
    inverse = jax.lax.stop_gradient(jnp.linalg.inv(point.stiffness))
    angles = jax.lax.custom_root(
        lambda angles: force_across(valve, mu, found, angles),
        jnp.zeros_like(point.force),
        lambda _, start: start,
        lambda linear, y: jax.lax.custom_linear_solve(linear, y, lambda _, b: inverse @ b, lambda _, b: inverse.T @ b),
    )
    return stationary_state(valve, turn(found, angles), mu)[0]


def _raise_if_wrong(valve: SpinValve, mu: PerLead, point: Point, allow_unstable: bool) -> None:
    state, residual, answer = point.state, float(point.torque), np.asarray(point.stiffness)
    if not np.all(np.isfinite(answer)) or not residual <= torque_limit(valve.dtype):
        raise ConvergenceError(
            f"No steady state was reached: max |S x B| = {residual:.2e} after Newton's iteration. "
            "Start from other `spins`, or follow a branch with `steady_states`.",
            residual,
            state,
        )
    rates, modes = np.linalg.eig(np.asarray(turn_rate(valve, jnp.asarray(answer))))
    if not is_isolated(point.stiffness):
        softest = rates[np.argmin(np.abs(rates))]
        shape = _shape(valve, np.linalg.svd(answer)[2][-1])
        raise ConvergenceError(
            f"The steady state is not isolated: the zero mode lambda = {softest:.1e} turns {shape} at no cost. "
            "Anisotropy or a field must hold the spins.",
            residual,
            state,
            complex(softest),
        )
    if allow_unstable:
        return
    growing = first_growing_mode(linearization(valve, state, mu), rates, modes)
    if growing is not None:
        rate, vector = growing
        raise ConvergenceError(
            f"The torque-free state is unstable: the mode lambda = {rate:.4g}, which turns {_shape(valve, vector)}, "
            "grows. The dynamics end elsewhere, perhaps on a limit cycle; `allow_unstable=True` gives this state.",
            residual,
            state,
            rate,
        )


def _shape(valve: SpinValve, vector: np.ndarray) -> str:
    """The layers' shares of a mode in words."""
    weight = np.abs(vector.reshape(-1, 2)) ** 2
    share = np.bincount(valve.lattice.spin_layers, weight.sum(1)) / weight.sum()
    return " and ".join(f"layer {layer} (weight {part:.2f})" for layer, part in enumerate(share) if part > 0.005)
