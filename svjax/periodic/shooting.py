"""Newton's method for a state of free spins that repeats after a period of its own, which is not known."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.sparse.linalg import gmres

from svjax.dynamics.torques import LARGEST_TURN
from svjax.engine.arrays import Spins
from svjax.engine.parts import apart
from svjax.model.equations import State
from svjax.model.spins import tangents
from svjax.periodic.period_map import (
    DIRECTIONS,
    RESTARTS,
    TOLERANCE,
    Change,
    Found,
    PeriodMap,
    flat,
    moved,
    operator,
    propagated,
    residual,
    summed,
    tangent,
)

LARGEST_STRETCH = 0.2
"""By what share of itself the period changes at most in a step of Newton's method."""


def with_period(period: PeriodMap, length: Array | float) -> PeriodMap:
    """The map over a period of another ``length``, in as many steps."""
    dt = jnp.asarray(length / period.count, period.step.dt.dtype)
    return eqx.tree_at(lambda p: p.step.dt, period, dt)


class Shot(NamedTuple):
    """A map over a period, what a step of Newton's method found with it, and how far a spin goes in that period."""

    period: PeriodMap
    found: Found
    reach: float


def shot(period: PeriodMap, state: State) -> Shot:
    """The next state and the next period T of Newton's method for Phi_T(y) = y, and the map over that period.

    Where nothing depends on the time a state of the cycle is as good as another one: y is moved across the direction
    in which the spins go, (dS/dt).dS = 0, in place of which T is free,

        (1 - dPhi) dy - (dPhi/dT) dT = Phi(y) - y.

    Preconditioned as in `svjax.periodic.period_map.newton_step`.
    """
    none = period.none(apart(state))
    rest, samples = residual(period, state, none)
    u, factors = propagated(period, samples.path)
    vector, whole = ravel_pytree(rest)
    stretched = _stretch(period, state, rest, samples.path[-1])
    size = np.linalg.norm(stretched.spins)
    if np.all(np.isfinite(vector)) and size > 0:
        along, across = flat(stretched) / size, np.asarray(stretched.spins) / size

        def without_its_image(both: np.ndarray) -> np.ndarray:
            change = whole(jnp.asarray(both[:-1]))
            left = -flat(tangent(period, state, change)) - along * both[-1]
            return np.append(left, across @ np.asarray(change.spins))

        def nearly_solved(both: np.ndarray) -> np.ndarray:
            return np.append(flat(summed(u, factors, whole(jnp.asarray(both[:-1])))[0]), both[-1])

        bordered = jnp.append(vector, 0)
        found, _ = gmres(
            operator(without_its_image, bordered),
            np.asarray(bordered),
            rtol=TOLERANCE[True],
            restart=DIRECTIONS,
            maxiter=RESTARTS,
            M=operator(nearly_solved, bordered),
        )
        change, longer = whole(jnp.asarray(found[:-1])), found[-1] / size
        longest = np.linalg.norm(change.spins.reshape(-1, 2), axis=-1).max(initial=0.0)
        share = min(1.0, LARGEST_TURN / max(longest, 1e-300), LARGEST_STRETCH / max(abs(longer), 1e-300))
        state = moved(period, state, jax.tree.map(lambda x: share * x, change))
        period = with_period(period, period.step.dt * period.count * (1 + share * longer))
    left, samples = residual(period, state, none)
    found = Found(state, float(np.abs(flat(left)).max()), samples.observables, summed(u, factors, rest)[1])
    return Shot(period, found, float(np.ptp(samples.path, axis=0).max()))


@eqx.filter_jit
def _stretch(period: PeriodMap, state: State, rest: Change, spins: Spins) -> Change:
    """T dPhi/dT from the state that a period leads to, ``rest`` away from that at its start and with these ``spins``:
    T dy/dt there, to the order of the method."""
    step, start = period.step.prepared(), apart(state)
    slope = step.derivative(jnp.zeros_like(step.dt), State(start.rho + rest.rho, start.pi + rest.pi, spins))
    turns = jnp.einsum("jxb,jb->jx", tangents(state.spins), slope.spins).ravel()
    return jax.tree.map(lambda x: step.dt * period.count * x, State(slope.rho, slope.pi, turns))
