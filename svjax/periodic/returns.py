"""Where a limit cycle may be: turns about a state of rest that come back, once around it, as large as they were."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from svjax.electrons.stationary import stationary_state
from svjax.engine.parts import apart, together
from svjax.model.equations import State
from svjax.periodic.period_map import PeriodMap
from svjax.periodic.shooting import with_period

FIRST, LARGEST = 0.1, 2.5
"""Turns in radians of the spin that turns most: the first one tried, and the largest."""
WINDOW, WINDOWS = 1.25, 4
"""A run in which the spins go around once, in periods of the mode, and how many of them may be needed."""
NEAR = 0.1
"""A return is near the cycle where it grows or decays by less than this share of what small turns do."""
MOST = 12


class Return(NamedTuple):
    """A state, the time in which the spins go around once, and log of what their distance from rest grows by."""

    state: State
    time: float
    growth: float


def near_cycle(period: PeriodMap, rest: State, rate: complex, shape: Complex[np.ndarray, "spins 3"]) -> Return | None:
    """A state near the cycle about a state of ``rest``, whose mode of this ``rate`` and ``shape`` it is born from.

    The spins have gone around once when sum_j shape_j^*.(S_j - S_j^rest) has. Their distance from rest is then larger
    by e^g, g = 2 pi Re lambda/Im lambda for small turns and about linear in their square: g = 0 is found by secants,
    after doublings of the turn. None where g keeps its sign up to turns of `LARGEST`.
    """
    shape = shape / np.linalg.norm(np.real(shape), axis=-1).max()
    first = 2 * np.pi * rate.real / rate.imag
    period = with_period(period, WINDOW * 2 * np.pi / rate.imag)
    low, high, square = (0.0, first), None, FIRST**2
    for _ in range(MOST):
        found = _returned(period, rest, shape, np.sqrt(square))
        if found is None or abs(found.growth) < NEAR * abs(first):
            return found
        if found.growth * first > 0:
            low = square, found.growth
        else:
            high = square, found.growth
        if high is None:
            if square == LARGEST**2:
                return None
            square = min(4 * square, LARGEST**2)
        else:
            share = low[1] / (low[1] - high[1])
            square = low[0] + np.clip(share, 0.1, 0.9) * (high[0] - low[0])
    return None


def _returned(period: PeriodMap, rest: State, shape: Complex[np.ndarray, "spins 3"], size: float) -> Return | None:
    """The return of a turn of this ``size``, from the end of a first window, which the electrons need to follow it."""
    turn = size * np.real(shape)
    angles = np.linalg.norm(turn, axis=-1, keepdims=True)
    spins = np.cos(angles) * rest.spins + np.sinc(angles / np.pi) * turn
    start, _ = stationary_state(period.step.valve, spins, period.step.bias(jnp.zeros(())))
    state, _ = _run(period, start)
    path, far, now = np.empty(0, complex), np.empty(0), state
    for _ in range(WINDOWS):
        now, spins = _run(period, now)
        turned = np.asarray(spins - rest.spins)
        path = np.append(path, np.einsum("jb,tjb->t", shape.conj(), turned))
        far = np.append(far, np.log(np.linalg.norm(turned, axis=(1, 2))))
        if not np.all(np.isfinite(path)):
            return None
        angle = np.unwrap(np.angle(path)) - np.angle(path[0])
        if angle.max() >= 2 * np.pi:
            after = int(np.argmax(angle >= 2 * np.pi))
            share = (2 * np.pi - angle[after - 1]) / (angle[after] - angle[after - 1])
            growth = far[after - 1] + share * (far[after] - far[after - 1]) - far[0]
            return Return(state, float(period.step.dt) * (after - 1 + share), float(growth))
    return None


@eqx.filter_jit
def _run(period: PeriodMap, state: State) -> tuple[State, Float[Array, "steps spins 3"]]:
    """The state after a window, and the spins before each of its steps."""
    end, samples = period(apart(state))
    return together(end), samples.path[:-1]
