"""Thermal noise on the spins: the white field of the stochastic Landau-Lifshitz-Gilbert equation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from svjax.engine.arrays import Spins
from svjax.model.valve import SpinValve, per_spin


def with_noise(valve: SpinValve, key: Array, step: Array, dt: Array) -> SpinValve:
    """The valve with the random field of one step of a run on top of its own.

    b_j is constant over the step, of variance 2 alpha_j T_s/dt per component, and drawn from ``fold_in(key, step)``, so
    that a run that goes on from a step sees the noise that it would have seen. As dt -> 0 this is the Stratonovich
    equation, in whose equilibrium a spin in a field has <S_z> = coth x - 1/x, x = B/T_s.
    """
    count = len(valve.lattice.spin_sites)
    size = jnp.sqrt(2 * per_spin(valve, "damping") * valve.spin_temperature / dt)[:, None]
    noise = size * jax.random.normal(jax.random.fold_in(key, step), (count, 3), valve.dtype)
    return eqx.tree_at(lambda v: v.field, valve, per_spin(valve, "field") + noise)


def renormalized(spins: Spins) -> Spins:
    """Spins of unit length: a step with noise turns them far enough to notice that it keeps |S| only to its order."""
    return spins / jnp.linalg.norm(spins, axis=-1, keepdims=True)
