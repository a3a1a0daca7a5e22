"""The leads' chemical potentials mu_l(t): small modules with differentiable leaves, called with the time.

Any function of the time that returns one number per lead can stand in their place. In the wide-band limit the equations
of motion stay exact for any mu_l(t): the band of lead l shifts rigidly with mu_l.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from svjax.engine.arrays import Numbers, known, real_array
from svjax.engine.shown import Shown

Bias = Callable[[Array], Float[Array, "leads"]]


class Constant(Shown, eqx.Module):
    """Chemical potentials ``mu`` (leads,) that do not change with time."""

    units: ClassVar = {"mu": "hopping"}

    mu: Float[Array, "leads"] = eqx.field(converter=real_array)

    def __call__(self, t):
        return jnp.asarray(self.mu)


class VoltageDrop(Shown, eqx.Module):
    """mu_l(t) = V shape_l for two leads, with ``voltage`` V in units of the hopping."""

    units: ClassVar = {"voltage": "hopping"}

    voltage: Float[Array, ""]
    shape: tuple[float, float] = eqx.field(static=True)

    def __call__(self, t):
        return self.voltage * jnp.array(self.shape)


def symmetric(voltage: Numbers) -> VoltageDrop:
    """The symmetric voltage drop of the paper's Sec. III B: mu_left = V/2, mu_right = -V/2."""
    return VoltageDrop(real_array(voltage), (0.5, -0.5))


def asymmetric(voltage: Numbers) -> VoltageDrop:
    """The asymmetric voltage drop of the paper's Sec. III B: mu_left = V', mu_right = 0."""
    return VoltageDrop(real_array(voltage), (1.0, 0.0))


class Waveform(Shown, eqx.Module):
    """mu_l(t) = V(t) shape_l for two leads, V(t) by straight lines between ``voltages`` (n,) at ``times`` (n,), and
    constant before and after: a pulse of any shape, each of whose voltages can be a free parameter."""

    units: ClassVar = {"times": "hbar/hopping", "voltages": "hopping"}

    times: Float[Array, "n"] = eqx.field(converter=real_array)
    voltages: Float[Array, "n"] = eqx.field(converter=real_array)
    shape: tuple[float, float] = eqx.field(static=True, default=(0.5, -0.5))

    def __call__(self, t):
        return jnp.interp(t, self.times, self.voltages) * jnp.array(self.shape)


class Pulse(Shown, eqx.Module):
    """A base level plus a Gaussian pulse: mu(t) = base + amplitude exp(-(t - center)^2 / (2 width^2)).

    ``base`` and ``amplitude`` are (leads,) in units of the hopping, ``center`` and ``width`` times.
    """

    units: ClassVar = {"base": "hopping", "amplitude": "hopping", "center": "hbar/hopping", "width": "hbar/hopping"}

    base: Float[Array, "leads"] = eqx.field(converter=real_array)
    amplitude: Float[Array, "leads"] = eqx.field(converter=real_array)
    center: Float[Array, ""] = eqx.field(converter=real_array)
    width: Float[Array, ""] = eqx.field(converter=real_array)

    def __call__(self, t):
        return self.base + self.amplitude * jnp.exp(-(((t - self.center) / self.width) ** 2) / 2)


class Oscillating(Shown, eqx.Module):
    """An AC bias: mu(t) = base + amplitude sin(omega t + phase), ``base`` and ``amplitude`` (leads,)."""

    units: ClassVar = {"base": "hopping", "amplitude": "hopping", "omega": "hopping", "phase": "rad"}

    base: Float[Array, "leads"] = eqx.field(converter=real_array)
    amplitude: Float[Array, "leads"] = eqx.field(converter=real_array)
    omega: Float[Array, ""] = eqx.field(converter=real_array)
    phase: Float[Array, ""] = eqx.field(converter=real_array, default=0.0)

    def __call__(self, t):
        return self.base + self.amplitude * jnp.sin(self.omega * t + self.phase)


def as_bias(bias: Bias | Numbers | None, n_leads: int) -> Bias:
    """A function of time from what users give as a bias: None (all levels at 0), one number per lead, or a function."""
    if not callable(bias):
        bias = Constant(jnp.zeros(n_leads) if bias is None else real_array(bias))
    levels = jnp.asarray(bias(jnp.zeros(())))
    if levels.shape != (n_leads,):
        raise ValueError(
            f"Argument `bias` must give one level for each of the {n_leads} leads, but has shape {levels.shape}."
        )
    if known(levels) and not np.all(np.isfinite(levels)):
        raise ValueError(f"Argument `bias` must be finite, but is {levels} at t = 0.")
    return bias
