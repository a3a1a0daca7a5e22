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

    b_j grows as sqrt(alpha_j T_s), which has no derivative where there is no noise: there its derivative is taken as 0,
    so that derivatives of a run in alpha_j or T_s at 0 are those without the noise, and finite.
    """
    count = len(valve.lattice.spin_sites)
    variance = 2 * per_spin(valve, "damping") * valve.spin_temperature / dt
    size = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)
    noise = size[:, None] * jax.random.normal(jax.random.fold_in(key, step), (count, 3), valve.dtype)
    return eqx.tree_at(lambda v: v.field, valve, per_spin(valve, "field") + noise)


def as_key(key: Array | None) -> Array | None:
    """A key of ``jax.random.key``, also from the two numbers of ``jax.random.PRNGKey``; None as it is."""
    if key is None:
        return None
    kind = getattr(key, "dtype", None)
    if kind is not None and jnp.issubdtype(kind, jax.dtypes.prng_key) and not key.shape:
        return key
    if kind == jnp.uint32 and key.ndim == 1:
        return jax.random.wrap_key_data(key)
    raise ValueError(f"Argument `key` must be one key, such as `jax.random.key(0)`, but is {key!r}.")


def renormalized(spins: Spins) -> Spins:
    """Spins of unit length: a step with noise turns them far enough to notice that it keeps |S| only to its order."""
    return spins / jnp.linalg.norm(spins, axis=-1, keepdims=True)
