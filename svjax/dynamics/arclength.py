"""Steps along a branch of steady states: pseudo-arclength continuation in the turns of the spins and one parameter."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from svjax.dynamics.eigenproblem import linearization
from svjax.dynamics.stability import leading_rate
from svjax.dynamics.torques import LARGEST_TURN, Point, force_across, linearize, torque_limit
from svjax.engine.arrays import PerLead, Spins
from svjax.model.levels import constant_levels
from svjax.model.parameters import set_parameters
from svjax.model.spins import tangents, turn
from svjax.model.valve import SpinValve


class Place(NamedTuple):
    """A state on the branch and the direction in which it goes on: turns of the spins and of the parameter."""

    value: float
    point: Point
    turns: Array
    slope: float
    rate: complex


class Curve(NamedTuple):
    """What is followed: ``parameter`` of ``valve`` and ``bias`` from ``first`` over ``span``."""

    valve: SpinValve
    bias: Any
    parameter: str
    span: float

    def at(self, value: float) -> tuple[SpinValve, PerLead]:
        """The valve and its levels where the parameter has this value."""
        valve, bias = set_parameters(self.valve, self.bias, {self.parameter: value})
        return valve, constant_levels(valve, bias)


def advanced(curve: Curve, place: Place, step: float) -> Place | None:
    """The state a ``step`` further along the branch."""
    value = place.value + step * place.slope * curve.span
    return corrected(curve, value, moved(place, step), (place.turns, place.slope))


def moved(place: Place, step: float) -> Spins:
    """The spins a ``step`` along the tangent of the branch."""
    spins = place.point.state.spins + step * place.turns
    return spins / jnp.linalg.norm(spins, axis=-1, keepdims=True)


def corrected(
    curve: Curve, value: float, spins: Spins, across: tuple[Array, float], along: tuple[Array, float] | None = None
) -> Place | None:
    """The torque-free state next to ``spins`` and ``value``, by Newton's method across a direction, and how the branch
    goes on from there in the sense of ``along``; None where it does not converge."""
    for _ in range(8):
        valve, mu = curve.at(value)
        point = linearize(valve, mu, spins, False)
        if not (point.sound and point.unique):
            point = linearize(valve, mu, spins, True)
        if not np.isfinite(point.torque):
            return None
        slope = _force_slope(curve.valve, curve.bias, value, spins, curve.parameter) * curve.span
        if point.torque <= torque_limit(valve.dtype) / 10:
            turns, forward = _solved(point, slope, along or across, 0.0)
            size = np.sqrt(np.mean(np.sum(np.asarray(turns) ** 2, -1)) + forward**2)
            rate = leading_rate(linearization(valve, point.state, mu))
            return Place(value, point, turns / size, forward / size, rate)
        turns, forward = _solved(point, slope, across, None)
        if not np.max(np.linalg.norm(turns, axis=-1)) < LARGEST_TURN:
            return None
        spins = turn(spins, jnp.einsum("jxb,jb->jx", tangents(spins), turns).ravel())
        value = value + forward * curve.span
    return None


def _solved(point: Point, slope: Array, direction: tuple[Array, float], force: float | None) -> tuple[Array, float]:
    """Turns (N_S, 3) and the change of the parameter that remove the force, without going along ``direction``; or with
    ``force`` = 0 the null vector, in its sense."""
    axes = tangents(point.state.spins)
    row = np.asarray(jnp.einsum("jxb,jb->jx", axes, direction[0])).ravel() / len(axes)
    matrix = np.block([[np.asarray(point.stiffness), np.asarray(slope)[:, None]], [row, direction[1]]])
    right = np.append(-np.asarray(point.force) if force is None else np.zeros(len(row)), 0.0 if force is None else 1.0)
    found = np.linalg.solve(matrix, right)
    return jnp.einsum("jxb,jx->jb", axes, found[:-1].reshape(-1, 2)), float(found[-1])


@partial(jax.jit, static_argnums=4)
def _force_slope(valve: SpinValve, bias: Any, value: Array, spins: Spins, parameter: str) -> Float[Array, "angles"]:
    """dF/dparameter at fixed spins."""

    def force(value: Array) -> Array:
        changed, drop = set_parameters(valve, bias, {parameter: value})
        return force_across(changed, constant_levels(changed, drop), spins, jnp.zeros(2 * len(spins)))

    value = jnp.asarray(value, spins.dtype)
    return jax.jvp(force, (value,), (jnp.ones_like(value),))[1]


def too_far(place: Place, new: Place) -> bool:
    """Whether a step turned a spin, or the branch, too far to be trusted."""
    cosine = np.sum(np.asarray(place.point.state.spins) * np.asarray(new.point.state.spins), -1)
    straight = np.mean(np.sum(np.asarray(place.turns) * np.asarray(new.turns), -1)) + place.slope * new.slope
    return bool(np.min(cosine) < np.cos(LARGEST_TURN) or straight < 0.8)
