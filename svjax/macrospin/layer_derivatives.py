"""Layers held at given directions as functions of the valve's parameters, for `jit` and `grad`.

What `layers_at` finds solves linear and nonlinear equations F(x, p) = 0. With x and F_x held at their values,

    x - F_x^-1 F(x, p)

has the same value and the right first derivative in p; F(x, p) takes the electrons' response to a few turns alone, by
the equations of motion (`differentiable_spin_response`).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from svjax.electrons.response import Basis, differentiable_spin_response
from svjax.electrons.stationary import stationary_state
from svjax.engine.arrays import PerLead, Scalar, Spins
from svjax.macrospin.layer_response import (
    Layers,
    Relaxed,
    bare,
    bordered,
    frames,
    layer_sums,
    parallel,
    relaxed_layers,
    rotated,
    softest,
    uniform_turns,
)
from svjax.model.equations import State, local_spin_density
from svjax.model.extended import extended
from svjax.model.spins import coupling, effective_field, field_change, tangents, turn
from svjax.model.valve import SpinValve, per_spin

Turns = Float[Array, "angles 4"]


@jax.jit
def differentiable_layers(valve: SpinValve, mu: PerLead, cosine: Scalar, rate: Scalar) -> Layers:
    """`layers_at`, with first derivatives in ``valve``, ``mu`` and ``rate``; ``cosine`` is a constant."""
    own, (m, axes) = extended(bare(valve), mu), frames(cosine)
    frame = jnp.concatenate([axes, m[:, None]], 1)[valve.lattice.spin_layers]
    start = jnp.einsum("jx,jxb->jb", parallel(valve), frame)
    fixed = jax.lax.stop_gradient(relaxed_layers(*jax.lax.stop_gradient((own, mu, start, axes))))
    held = bordered(fixed.stiffness, uniform_turns(own, fixed.spins, axes))
    moved = _corrected(jnp.zeros(len(held)), held, _forces(own, mu, axes, fixed))
    holding = fixed.holding + jnp.einsum("lx,lxb->lb", moved[-4:].reshape(2, 2), axes)
    spins = turn(fixed.spins, moved[:-4])
    state, _ = stationary_state(own, spins, mu)
    uniform, length = uniform_turns(own, spins, axes), jnp.linalg.norm(layer_sums(own, spins), axis=-1)

    answer = _answers(own, state, mu, fixed.basis)
    field = effective_field(own, spins, local_spin_density(own, state.rho)) + holding[own.lattice.spin_layers]
    stiff = lambda turns: _stiffness(own, spins, field, turns, answer)
    whole = lambda y: jnp.concatenate([stiff(y[:-4]) + uniform @ y[-4:], uniform.T @ y[:-4]])
    solve = lambda right: _corrected(
        jnp.linalg.solve(held, jax.lax.stop_gradient(right)), held, lambda y: whole(y) - right
    )
    canting = solve(jnp.concatenate([jnp.zeros_like(uniform), jnp.diag(jnp.repeat(length, 2))]))[:-4]
    friction = _delay(own, spins, canting, rate, answer) + jnp.repeat(per_spin(own, "damping"), 2)[:, None] * canting
    push = jnp.concatenate([friction - rotated(canting), jnp.zeros((4, 4), length.dtype)])
    inertia = jnp.repeat(length, 2)[:, None] * solve(push)[-4:]
    sound = fixed.basis.sound & fixed.basis.unique
    held_field = -jnp.einsum("lb,lxb->lx", holding, axes)
    return Layers(held_field, inertia.reshape(2, 2, 2, 2), length, fixed.residual, softest(fixed, uniform), sound)


def _corrected(value: Array, slope: Array, residual: Callable[[Array], Array]) -> Array:
    """``value``, where the residual is zero, with the derivative of the implicit function."""
    step = jnp.linalg.solve(jax.lax.stop_gradient(slope), residual(jax.lax.stop_gradient(value)))
    return jax.lax.stop_gradient(value + step) - step


def _forces(valve: SpinValve, mu: PerLead, axes: Array, fixed: Relaxed) -> Callable[[Array], Array]:
    def forces(_: Array) -> Array:
        state, _ = stationary_state(valve, fixed.spins, mu)
        field = effective_field(valve, fixed.spins, local_spin_density(valve, state.rho))
        field = field + fixed.holding[valve.lattice.spin_layers]
        aside = jnp.einsum("lb,lxb->lx", layer_sums(valve, fixed.spins), axes)
        return jnp.concatenate([jnp.einsum("jxb,jb->jx", tangents(fixed.spins), field).ravel(), aside.ravel()])

    return forces


def _answers(valve: SpinValve, state: State, mu: PerLead, basis: Basis) -> Callable[[Array, Array], Array]:
    """The change J_sd ds (4, N_S, 3) for turns (4, N_S, 3) that grow as e^(lambda t)."""
    own = lambda rate, turn: differentiable_spin_response(basis, valve, state, mu, rate, turn)
    return lambda rate, turns: coupling(valve)[:, None] * jax.lax.map(lambda turn: own(rate, turn), turns + 0j)


def _vectors(spins: Spins, turns: Turns) -> Float[Array, "4 spins 3"]:
    return jnp.einsum("jxb,jxc->cjb", tangents(spins), turns.reshape(len(spins), 2, 4))


def _components(spins: Spins, vectors: Float[Array, "4 spins 3"]) -> Turns:
    return jnp.einsum("jxb,cjb->jxc", tangents(spins), vectors).reshape(-1, 4)


def _stiffness(valve: SpinValve, spins: Spins, field: Spins, turns: Turns, answer: Callable) -> Turns:
    """The `stiffness` times ``turns``."""
    vectors = _vectors(spins, turns)
    own = jax.vmap(lambda part: field_change(valve, spins, part))(vectors)
    along = jnp.sum(spins * field, -1, keepdims=True)
    return _components(spins, own - answer(jnp.zeros((), complex), vectors).real - along * vectors)


def _delay(valve: SpinValve, spins: Spins, turns: Turns, rate: Scalar, answer: Callable) -> Turns:
    """G of `layers_at` times ``turns``."""
    ahead, vectors = _vectors(spins, rotated(turns)), _vectors(spins, turns)
    late = answer(1j * rate, vectors + 1j * ahead).imag - answer(jnp.zeros((), complex), ahead).real
    return _components(spins, late) / rate
