"""Spins to start from: aligned, drawn at random or from a temperature, from a file, or from the end of another run."""

from __future__ import annotations

import os
import zipfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from svjax.engine.arrays import Numbers, Spins, known, real_array, whole_number
from svjax.engine.quantities import shown
from svjax.model.noise import as_key, renormalized
from svjax.model.spins import spin_energy
from svjax.model.valve import SpinValve, aligned_spins, prepare
from svjax.simulations.runs import load_state, open_run
from svjax.storage.plain import tidy_path

DRAWN = ("random", "thermal")
"""Starts that need a key."""
STARTS = ("aligned", *DRAWN)
"""Spins of stage 0 in a word."""
ROUNDED = 1e-2
"""How far from 1 the length of a spin in a file may be."""


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


def load_spins(path: str | os.PathLike) -> np.ndarray:
    """(N_S, 3) spins from a file, or the last ones of the run at ``path``.

    A file is numpy's (.npy) or text with x, y, z of a spin in each line, between blanks or commas, # before comments.
    Lengths that were rounded are made 1. Raises FileNotFoundError, or ValueError for anything else.
    """
    path = tidy_path(path)
    if path.is_dir():
        return np.asarray(load_state(open_run(path)).spins)
    try:
        found = np.asarray(_numbers(path))
        if found.ndim != 2 or found.shape[1] != 3 or found.dtype.kind not in "if":
            raise ValueError(f"{found.dtype} of shape {found.shape}")
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"Argument `path` must hold x, y, z of each spin, but {path} does not ({error}).") from None
    length = np.linalg.norm(found, axis=1)
    wrong = np.flatnonzero(~(np.abs(length - 1) < ROUNDED))
    if wrong.size:
        raise ValueError(
            f"Argument `path` must hold spins of length 1, but spin {wrong[0]} of {path} has {length[wrong[0]]:.6g}."
        )
    return found / length[:, None]


def _numbers(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    lines = path.read_text(encoding="utf-8-sig").replace(",", " ").splitlines()
    return np.loadtxt([line for line in lines if line.split("#")[0].strip()] or ["nothing"], ndmin=2)
