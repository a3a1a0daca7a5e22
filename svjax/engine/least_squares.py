"""The engine of fits: descent of a loss (optax) and least squares (optimistix), step by step from a host loop.

It knows no physics. A problem is a compiled function of u, (n,), that returns a value and its derivative together; each
is evaluated once, in the mode of differentiation that was chosen, and serves every step that needs it.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix as optx
from jaxtyping import Array, Bool, PyTree

from svjax.engine.error_bars import inverse_curvature, noise_variance

Value = TypeVar("Value", bound=PyTree)
Problem = Callable[[Array], tuple[Array, Array]]
Report = Callable[[str, int, float, np.ndarray], object]
"""Called with the stage, the number of the step, the loss and u after each step."""

TINY = 1e-8
"""Changes relative to this are no longer worth a step."""

PRECISION = 1e-3
"""A fit has converged when the next step is below this part of every error bar."""

LBFGS = optax.scale_by_lbfgs()
_next = jax.jit(LBFGS.update)

LONGEST = 0.3
"""No descending step changes any u by more: a long step may leave the valley that the start was chosen in."""


class Outcome(NamedTuple):
    """Where a descent ended: u, the value and its derivative there, whether it converged, and why it stopped."""

    u: Array
    value: Array
    derivative: Array
    converged: bool
    reason: str


def with_derivative(function: Callable[[Array], Array], mode: str) -> Problem:
    """The compiled pair of a function's value and its derivative, by ``mode`` "forward" or "reverse"."""

    def twice(u):
        value = function(u)
        return value, value

    @jax.jit
    def both(u):
        if mode == "forward":
            value, slopes = along(lambda du: jax.jvp(function, (u,), (du,)), jnp.eye(len(u), dtype=u.dtype))
            return value, jnp.moveaxis(slopes, 0, -1)
        derivative, value = jax.jacrev(twice, has_aux=True)(u)
        return value, derivative

    return both


def along(move: Callable[..., tuple[Value, PyTree]], *tangents: PyTree) -> tuple[Value, PyTree]:
    """The value, and its derivatives along each of several tangents, of a function of a tangent that returns both.

    The value is the same for all of them, but that is not left to JAX to find: it fails where parts are empty.
    """
    values, slopes = jax.vmap(move)(*tangents)
    return jax.tree.map(lambda value: value[0], values), slopes


def halved_square(problem: Problem) -> Problem:
    """|r|^2/2 and its gradient of a problem with residuals r."""

    def loss(u):
        residuals, jacobian = problem(u)
        return residuals @ residuals / 2, jacobian.T @ residuals

    return loss


def descend(problem: Problem, u: Array, most: int, report: Report, stage: str = "descent") -> Outcome:
    """The minimum of a scalar loss by L-BFGS steps (optax), halved until the loss falls enough (Armijo).

    What is not finite counts as too large.
    """
    loss, gradient = problem(u)
    state, idle, first = LBFGS.init(u), 0, float(np.max(np.abs(gradient)))
    outcome = lambda converged, reason: Outcome(u, loss, gradient, converged, reason)
    for step in range(1, most + 1):
        if float(np.max(np.abs(gradient))) <= TINY * max(first, abs(float(loss))):
            return outcome(True, "converged: the gradient vanishes")
        direction, state = _next(gradient, state, u)
        if not float(np.vdot(direction, gradient)) > 0:  # the curvature seen so far misleads: forget it
            direction, state = _next(gradient, LBFGS.init(u), u)
        direction = np.asarray(direction) * min(1.0, LONGEST / float(np.max(np.abs(direction))))
        found = _shorter(problem, u, loss, gradient, direction)
        if found is None:
            return outcome(False, "stopped: no step along the gradient lowers the loss")
        before, (u, loss, gradient) = loss, found
        report(stage, step, float(loss), np.asarray(u))
        idle = idle + 1 if float(before) - float(loss) <= TINY * abs(float(before)) else 0
        if idle == 2:
            return outcome(True, f"converged: the loss falls by less than {TINY:g} of itself")
    return outcome(False, f"stopped: {most} steps were made")


def _shorter(problem: Problem, u: Array, loss: Array, gradient: Array, direction: np.ndarray, most: int = 12):
    """u, loss and gradient after the longest of the steps -direction/2^k that lowers the loss enough, or None."""
    slope = float(np.vdot(direction, gradient))
    for length in 0.5 ** np.arange(most):
        trial = jnp.asarray(np.asarray(u) - length * direction)
        value, derivative = problem(trial)
        if float(value) <= float(loss) - 1e-4 * length * slope and np.all(np.isfinite(derivative)):
            return trial, value, derivative
    return None


@partial(jax.jit, static_argnums=(2, 3))
def error_bars(
    residuals: Array, jacobian: Array, known_noise: bool, times: int
) -> tuple[Array, Array, Bool[Array, ""]]:
    """The next Gauss-Newton step, the covariance of u, and whether the residuals determine u.

    The noise is one in the units of the residuals where it is known; else it is theirs, ``times`` of them in a row.
    """
    inverse, determined = inverse_curvature(jacobian)
    variance = 1.0 if known_noise else noise_variance(residuals.reshape(times, -1), len(inverse))
    return -inverse @ (jacobian.T @ residuals), variance * inverse, determined


def polish(
    problem: Problem, u: Array, most: int, report: Report, noise: tuple[bool, int], stage: str = "polish"
) -> Outcome:
    """The minimum of |r|^2 by Levenberg and Marquardt's method (optimistix), in coordinates scaled by the Jacobian.

    It has converged when the next Gauss-Newton step is below `PRECISION` of every error bar (see `error_bars`, with
    ``noise``). A trial point where r is not finite counts as a step too long.
    """
    best = (u, *problem(u))
    lengths = jnp.linalg.norm(best[2], axis=0)
    lengths = jnp.where(lengths > 0, lengths, 1.0)
    size = jnp.mean(lengths) / 10  # a damping of one is then a hundredth of a typical curvature
    scale = lengths / jnp.mean(lengths)
    pair = lambda value, derivative: (value / size, derivative / scale / size)
    solver, v = _solver(), u * scale
    linear = lambda v, pair: (pair[0] + pair[1] @ (v - jax.lax.stop_gradient(v)), None)
    state = solver.init(linear, v, pair(*best[1:]), {}, jax.eval_shape(lambda: best[1]), None, frozenset())
    advance = eqx.filter_jit(lambda v, pair, state: solver.step(linear, v, pair, {}, state, frozenset())[:2])
    value, derivative = best[1:]
    for step in range(1, most + 1):
        at, accepted = state.y_eval / scale, int(state.num_accepted_steps)
        v, state = advance(v, pair(value, derivative), state)
        if int(state.num_accepted_steps) > accepted:
            best = (at, value, derivative)
            report(stage, step, float(value @ value) / 2, np.asarray(at))
            shift, covariance, _ = error_bars(value, derivative, *noise)
            if bool(jnp.all(jnp.abs(shift) <= PRECISION * jnp.sqrt(jnp.diagonal(covariance)) + TINY)):
                return Outcome(*best, True, f"converged: the next step is below {PRECISION:g} of every error bar")
        elif int(state.num_steps_since_acceptance) > 12:
            return Outcome(*best, False, "stopped: no step lowers the loss, although the gradient does not vanish")
        value, derivative = problem(state.y_eval / scale)
        value = jnp.where(jnp.isfinite(value), value, 1e150)
        derivative = jnp.where(jnp.isfinite(derivative), derivative, 0.0)
    return Outcome(*best, False, f"stopped: {most} steps were made")


def _solver() -> optx.LevenbergMarquardt:
    """Steps that achieve three quarters of the predicted fall lessen the damping, not only nearly perfect ones."""
    solver = optx.LevenbergMarquardt(rtol=TINY, atol=TINY)
    return eqx.tree_at(lambda s: s.search, solver, optx.ClassicalTrustRegion(high_cutoff=0.75))
