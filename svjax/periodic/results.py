"""What is found of a state that repeats: its observables over a period, their harmonics, and what small changes do."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PyTree

from svjax.engine.shown import Shown
from svjax.model.equations import State

NEUTRAL = 1e-5
"""A change grows where its multiplier is larger than 1 by this; one that neither grows nor decays has |1|."""
FINER = 16
"""Points of the trigonometric polynomial through samples for each sample, among which extrema are sought."""


class PeriodicState(Shown, eqx.Module):
    """A state that repeats after each ``period``.

    - `t`: (T,) times from 0 on, one for each step of a period. `state`: the `State` at t = 0.
    - `observables`: name -> array with time leading, at these times.
    - `multipliers`: the largest Floquet multipliers, where they were asked for: by what small changes of spins and
      electrons grow in a period.
    - `shift_multiplier`: of a `limit_cycle` the one that is not among them: that of a shift in time, 1 but for errors.
    """

    units: ClassVar = {"t": "hbar/hopping", "period": "hbar/hopping"}

    period: Float[Array, ""]
    t: Float[Array, "time"]
    state: State
    observables: dict[str, PyTree]
    multipliers: Complex[Array, "count"] | None = None
    shift_multiplier: Complex[Array, ""] | None = None

    @property
    def stable(self) -> bool:
        """Whether no small change grows, |multipliers| <= 1, where they were asked for."""
        if self.multipliers is None or not len(self.multipliers):
            raise ValueError("Argument `multipliers` must be at least 1 to tell whether a state is stable, but was 0.")
        return bool(np.abs(self.multipliers).max() <= 1 + NEUTRAL)

    def harmonic(self, name: str, order: int = 1) -> PyTree:
        """A_n of an observable A(t) = sum_n A_n e^(-2 pi i n t/period), n = ``order``; complex, shaped as A."""
        phase = jnp.exp(2j * jnp.pi * order * jnp.arange(len(self.t)) / len(self.t))
        return jax.tree.map(lambda values: jnp.tensordot(phase, values, 1) / len(self.t), self._of(name))

    def mean(self, name: str) -> PyTree:
        """The average of an observable over a period, its dc part."""
        return jax.tree.map(lambda values: jnp.mean(values, 0), self._of(name))

    def amplitude(self, name: str) -> PyTree:
        """Half of what lies between the largest and the smallest value of an observable in a period, shaped as A."""
        return jax.tree.map(lambda values: (_largest(values) + _largest(-values)) / 2, self._of(name))

    @property
    def pumped_charge(self) -> Float[Array, "leads"]:
        """Particles per period through each lead, (leads,), with the signs of `charge_current`, twice its integral."""
        return 2 * self.period * self.mean("charge_current")

    @property
    def pumped_spin(self) -> Float[Array, "leads 3"]:
        """Spin per period through each lead in units of hbar, (leads, 3), with the signs of `spin_current`."""
        return self.period * self.mean("spin_current")

    def _of(self, name: str) -> PyTree:
        if name not in self.observables:
            raise ValueError(f"Argument `name` must be one of {tuple(self.observables)}, but is {name!r}.")
        return self.observables[name]


def _largest(values: Array) -> Array:
    """The maximum of the trigonometric polynomial through samples of a period: that of a parabola through the largest
    of many of its points and their neighbours."""
    count = FINER * len(values)
    fine = jnp.fft.irfft(jnp.fft.rfft(values, axis=0), count, axis=0) * FINER
    top = jnp.argmax(fine, 0)
    before, at, after = (jnp.take_along_axis(fine, (top + k)[None] % count, 0)[0] for k in (-1, 0, 1))
    bend = before - 2 * at + after
    return at - jnp.where(bend == 0, 0, (after - before) ** 2 / (8 * jnp.where(bend == 0, 1, bend)))
