"""What is random about the spins: the white field of the stochastic Landau-Lifshitz-Gilbert equation, and draws of
spins, any or at a temperature."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from svjax.engine.arrays import Numbers, Spins, known, real_array, whole_number
from svjax.engine.quantities import shown
from svjax.model.spins import spin_energy
from svjax.model.valve import SpinValve, aligned_spins, per_spin, prepare

DRAWN = ("random", "thermal")
"""Starts that need a key."""
STARTS = ("aligned", *DRAWN)
"""Spins of stage 0 in a word."""


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


def random_spins(valve: SpinValve, key: Array) -> Spins:
    """(N_S, 3) spins that point anywhere with equal probability, each by itself."""
    valve, key = prepare(valve), _some(key)
    return renormalized(jax.random.normal(key, (len(valve.lattice.spin_sites), 3), valve.dtype))


def thermal_spins(valve: SpinValve, key: Array, temperature: Numbers | None = None, *, sweeps: int = 1000) -> Spins:
    """(N_S, 3) spins drawn from exp(-E/T_s), E the energy of the spins among themselves, Eq. (2) without electrons.

    Metropolis' method, from spins along their easy axes on: each of the ``sweeps`` tries to turn every spin once, by
    about the angle sqrt(T_s/|B_j|) that temperature allows in its field. Spins stay in the valley of their easy axes
    where its walls are many T_s high. ``temperature`` is T_s in units of the hopping; that of the valve if None.

    Raises ValueError for a temperature that is not positive. Source: Metropolis et al., J. Chem. Phys. 21, 1087 (1953).
    """
    valve, sweeps = prepare(valve), whole_number(sweeps, "sweeps", 1)
    name = "spin_temperature" if temperature is None else "temperature"
    heat = real_array(valve.spin_temperature if temperature is None else temperature, name).astype(valve.dtype)
    if heat.ndim or (known(heat) and not 0 < float(heat) < np.inf):
        raise ValueError(f"Argument `{name}` must be one positive number for thermal spins, but is {shown(heat)}.")
    return _metropolis(valve, _some(key), heat, sweeps)


def _some(key: Array | None) -> Array:
    found = as_key(key)
    if found is None:
        raise ValueError("Argument `key` must be one key, such as `jax.random.key(0)`, but is None.")
    return found


@partial(jax.jit, static_argnums=3)
def _metropolis(valve: SpinValve, key: Array, heat: Array, sweeps: int) -> Spins:
    """Spins after so many sweeps; ``heat`` is T_s."""
    spins = aligned_spins(valve)
    field = jnp.linalg.norm(jax.grad(spin_energy, 1)(valve, spins), axis=-1)
    width = jnp.sqrt(heat / jnp.maximum(field, heat))

    def visit(at: tuple[Spins, Array], draw: tuple[Array, Array]) -> tuple[tuple[Spins, Array], None]:
        spins, energy = at
        spin, key = draw
        turned, drawn = jax.random.split(key)
        tried = spins[spin] + width[spin] * jax.random.normal(turned, (3,), spins.dtype)
        tried = spins.at[spin].set(renormalized(tried))
        other = spin_energy(valve, tried)
        taken = heat * jnp.log(jax.random.uniform(drawn, (), spins.dtype)) < energy - other
        return (jnp.where(taken, tried, spins), jnp.where(taken, other, energy)), None

    def sweep(at: tuple[Spins, Array], key: Array) -> tuple[tuple[Spins, Array], None]:
        return jax.lax.scan(visit, at, (jnp.arange(len(spins)), jax.random.split(key, len(spins))))

    return jax.lax.scan(sweep, (spins, spin_energy(valve, spins)), jax.random.split(key, sweeps))[0][0]


def drawn_spins(valve: SpinValve, start: str, key: Array | None) -> Spins:
    """The spins of a start in a word: "aligned", or "random" or "thermal", drawn with the ``key`` of a run."""
    if start not in DRAWN:
        return aligned_spins(valve)
    if key is None:
        raise ValueError(f"Argument `start` must come with a key or a seed where it is {start!r}, but has none.")
    draw = {"random": random_spins, "thermal": thermal_spins}[start]
    return draw(valve, jax.random.split(key)[0])
