"""Torques on spins among stationary electrons, their answer to turns of the spins, and a Newton step to torque zero."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, DTypeLike, Float

from svjax.electrons.response import eigenbasis, electrons_in, static_susceptibility
from svjax.electrons.stationary import stationary_state
from svjax.engine.arrays import PerLead, Spins
from svjax.engine.tracing import inlined
from svjax.model.equations import State, coupled_derivative, local_spin_density
from svjax.model.extended import extended
from svjax.model.leads import decay_rates
from svjax.model.spins import effective_field, stiffness, tangents, turn
from svjax.model.valve import SpinValve

LARGEST_TURN = 0.5
"""A Newton step that turns a spin further than this (in radians) is not trusted, nor is a continuation step."""


def torque_limit(dtype: DTypeLike) -> float:
    """The largest |S x B| of a steady state, in units of the hopping: 1e-10, or what single precision can tell."""
    return max(1e-10, 1e3 * float(jnp.finfo(dtype).eps))


class Point(NamedTuple):
    """A state with stationary electrons, the field across its spins (2N_S,) and its `stiffness` (2N_S, 2N_S), whether
    the electrons are unique and whether the eigenbasis behind all this is sound."""

    state: State
    force: Float[Array, "angles"]
    stiffness: Float[Array, "angles angles"]
    unique: Bool[Array, ""]
    sound: Bool[Array, ""]

    @property
    def torque(self) -> Float[Array, ""]:
        """max |S x B|."""
        return _largest(self.force)


@inlined
def _largest(force: Array) -> Array:
    return jnp.max(jnp.linalg.norm(force.reshape(-1, 2), axis=-1), initial=0.0)


@partial(jax.jit, static_argnums=3)
def linearize(valve: SpinValve, mu: PerLead, spins: Spins, beside: bool) -> Point:
    """The point at ``spins``, in the eigenbasis of H_eff; ``beside`` its exceptional points the basis is a near one,
    good enough for the stiffness, and the electrons are those of `stationary`, which takes longer."""
    valve = extended(valve, mu)
    basis = eigenbasis(valve, spins, beside)
    state = stationary_state(valve, spins, mu)[0] if beside else State(*electrons_in(basis, valve, mu), spins)
    field = effective_field(valve, spins, local_spin_density(valve, state.rho))
    force = jnp.einsum("jxb,jb->jx", tangents(spins), field).ravel()
    response = static_susceptibility(basis, valve, state.rho, mu)
    return Point(state, force, stiffness(valve, spins, field, response), basis.unique, basis.sound)


def newton_step(valve: SpinValve, mu: PerLead, point: Point, beside: bool) -> Point:
    """The next point of Newton's iteration: its spins, and `linearize` there, a program that is compiled once."""
    return linearize(valve, mu, _next_spins(point), beside)


@jax.jit
def _next_spins(point: Point) -> Spins:
    """The spins after a step of Newton's iteration.

    A step that would turn a spin too far is replaced by an implicit Euler step of the flow d(angle)/d(tau) = force,
    which ends in the valley it starts in. That, and a Jacobian that comes with the residual from one eigenbasis, is
    why the iteration is not one of optimistix.
    """
    force, stiff = point.force, point.stiffness
    angles = jnp.linalg.solve(stiff, -force)
    small = jnp.max(jnp.abs(angles)) <= LARGEST_TURN
    shift = jnp.max(jnp.abs(force)) / LARGEST_TURN * jnp.eye(len(force), dtype=force.dtype)
    angles = jnp.where(small, angles, jnp.linalg.solve(shift - stiff, force))
    angles = angles * jnp.minimum(1.0, LARGEST_TURN / jnp.max(jnp.abs(angles)))
    return turn(point.state.spins, angles)


def force_across(valve: SpinValve, mu: PerLead, spins: Spins, angles: Array) -> Array:
    """Field across the spins, (2N_S,), after a turn by ``angles``, along the tangents of ``spins``.

    At a zero its derivative is the `stiffness`: turning the tangents along would give the same.
    """
    axes = tangents(spins)
    turned = turn(spins, angles)
    state, _ = stationary_state(valve, turned, mu)
    field = effective_field(valve, turned, local_spin_density(valve, state.rho))
    across = field - jnp.sum(field * turned, -1, keepdims=True) * turned
    return jnp.einsum("jxb,jb->jx", axes, across).ravel()


def electrons_hold(valve: SpinValve, state: State, mu: PerLead) -> bool:
    """Whether the electrons of a state are stationary at the levels ``mu``, to 1e-10 in rho, Pi and their rates."""
    return bool(unrest(valve, state, mu) <= torque_limit(valve.dtype))


@jax.jit
def unrest(valve: SpinValve, state: State, mu: PerLead) -> Float[Array, ""]:
    """How fast rho and, divided by the fastest of its rates, Pi change: 0 for stationary electrons."""
    slope = coupled_derivative(valve, state, mu)
    fastest = jnp.max(decay_rates(valve)) + jnp.max(jnp.abs(mu)) + 1
    return jnp.maximum(jnp.max(jnp.abs(slope.rho)), jnp.max(jnp.abs(slope.pi), initial=0.0) / fastest)


@inlined
def is_isolated(stiffness: Float[Array, "angles angles"]) -> Bool[Array, ""]:
    """Whether every turn of the spins costs something: no zero mode. Singular values tell, since a zero mode and its
    partner may share one eigenvector, which spoils their eigenvalues."""
    sizes = jnp.linalg.svd(stiffness, compute_uv=False)
    return sizes[-1] > jnp.maximum(1e-10, 50 * jnp.finfo(sizes.dtype).eps) * sizes[0]
