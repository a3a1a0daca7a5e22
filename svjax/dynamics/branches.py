"""Branches of steady states along a bias or a level, and the torques along them (Figs. 12-14)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from svjax.dynamics.steady_state import ConvergenceError, steady_state
from svjax.dynamics.torques import LARGEST_TURN
from svjax.engine.arrays import Spins
from svjax.model.equations import State
from svjax.model.levels import BiasLike, constant_levels
from svjax.model.valve import SpinValve, per_spin, prepare

Solver = Callable[[Array, Any], State]
"""The state at a value, from these spins."""


def steady_states(
    valve: SpinValve,
    biases: Iterable[BiasLike],
    *,
    spins: ArrayLike | None = None,
    allow_unstable: bool = False,
) -> list[State]:
    """The branch of steady states along ``biases``: each starts from the one before it, the first from ``spins``.

    Where a spin would turn by more than 0.5 between two biases, biases in between are solved too, so that the branch is
    not lost to a mirrored one. Arguments and errors as `steady_state`.
    """
    valve = prepare(valve)
    solve = _solver(valve, allow_unstable)
    return _follow(solve, [constant_levels(valve, bias) for bias in biases], spins)


def next_steady_state(valve: SpinValve, before: tuple[BiasLike, State], bias: BiasLike) -> State:
    """The state at ``bias`` on the branch of the state at the bias ``before``, as in `steady_states`, stable or not."""
    first, last = (constant_levels(valve, levels) for levels in (before[0], bias))
    return _step(_solver(valve, allow_unstable=True), first, before[1], last)


def equilibrium_states(
    valve: SpinValve, levels: Iterable[ArrayLike], *, spins: ArrayLike | None = None, allow_unstable: bool = False
) -> list[State]:
    """The branch of equilibria (all mu_l = 0) along ``levels`` of mu_bar.

    At half filling that with mu_bar = V/2 maps to `steady_states` at the symmetric voltage drop V, Fig. 14.
    """
    valve = prepare(valve)

    def solve(level: Array, start: Spins | None) -> State:
        shifted = eqx.tree_at(lambda v: v.mu_bar, valve, level)
        return steady_state(shifted, None, spins=start, allow_unstable=allow_unstable)

    return _follow(solve, [jnp.asarray(level, valve.j_sd.dtype) for level in levels], spins)


def effective_torque(valve: SpinValve, state: State, equilibrium: State) -> Float[Array, "layers 3"]:
    """2 K_l e_l x Delta M_l, (layers, 3): the torque that the anisotropy of each layer takes up, below Eq. (22).

    Delta M_l is the change of the layer's summed spins from ``equilibrium``. It balances `current_driven_torque` where
    the spins of a layer stay parallel (Figs. 12, 13). The x component for e = z is -2 K Delta M^y; the paper's text
    lacks the minus.
    """
    valve = prepare(valve)
    member = valve.lattice.spin_layers == np.arange(len(valve.lattice.layers))[:, None]
    turned = jnp.cross(per_spin(valve, "easy_axes"), state.spins - equilibrium.spins)
    return jnp.asarray(member, turned.dtype) @ (2 * per_spin(valve, "anisotropy")[:, None] * turned)


def _follow(solve: Solver, values: list[Array], spins: Any) -> list[State]:
    states: list[State] = [solve(value, spins) for value in values[:1]]
    for first, last in pairwise(values):
        states.append(_step(solve, first, states[-1], last))
    return states


def _solver(valve: SpinValve, allow_unstable: bool) -> Solver:
    return lambda mu, start: steady_state(valve, mu, spins=start, allow_unstable=allow_unstable)


def _step(solve: Solver, first: Array, state: State, last: Array) -> State:
    """The state at ``last`` on the branch of ``state`` at ``first``."""
    new = solve(last, state.spins)
    return new if largest_turn(new.spins, state.spins) <= LARGEST_TURN else _bridge(solve, first, last, state)


def _bridge(solve, first: Array, last: Array, state: State, steps: int = 2) -> State:
    """The state at ``last`` on the branch of ``state`` at ``first``, by ever smaller steps."""
    start = state
    for value in first + (last - first) * np.linspace(0, 1, steps + 1)[1:].reshape(-1, *np.ones(np.ndim(first), int)):
        new = solve(value, state.spins)
        if largest_turn(new.spins, state.spins) > LARGEST_TURN:
            if steps >= 64:
                raise ConvergenceError(f"The branch ends near {np.asarray(value)}: spins jump there.", np.nan, new)
            return _bridge(solve, first, last, start, 2 * steps)
        state = new
    return state


def largest_turn(one: Spins, other: Spins) -> float:
    """The largest angle between a spin and its other self, in radians."""
    cosine = np.clip(np.sum(np.asarray(one) * np.asarray(other), -1), -1, 1)
    return float(np.max(np.arccos(cosine), initial=0.0))
