"""The leads' chemical potentials mu_l(t): small modules with differentiable leaves, called with the time.

Any function of the time that returns one number per lead can stand in their place; `FunctionBias` says of it at which
times it jumps. In the wide-band limit the equations of motion stay exact for any mu_l(t): the band of lead l shifts
rigidly with mu_l.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from svjax.engine.arrays import Numbers, known, real_array
from svjax.engine.shown import Shown
from svjax.engine.tracing import depends_on

Bias = Callable[[Array], Float[Array, "leads"]]


class AbstractBias(Shown, eqx.Module):
    """Chemical potentials that say what they are: whether they change, where they jump, and how far they go."""

    @abc.abstractmethod
    def __call__(self, t: Array) -> Float[Array, "leads"]:
        """mu_l(t), (leads,)."""

    @property
    def constant(self) -> bool:
        """Whether mu does not depend on time."""
        return False

    def breaks(self, dt: Array) -> Float[Array, "breaks"]:
        """Times at which mu changes faster than steps of ``dt`` follow, inf in unused places. Continuous from the right
        at a jump."""
        del dt
        return jnp.zeros(0)

    @abc.abstractmethod
    def extremes(self) -> Float[Array, "some leads"]:
        """Levels between which mu stays at all times."""


class Constant(AbstractBias):
    """Chemical potentials ``mu`` (leads,) that do not change with time."""

    units: ClassVar = {"mu": "hopping"}

    mu: Float[Array, "leads"] = eqx.field(converter=real_array)

    def __call__(self, t):
        return jnp.asarray(self.mu)

    @property
    def constant(self):
        return True

    def extremes(self):
        return jnp.asarray(self.mu)[None]


class VoltageDrop(AbstractBias):
    """mu_l(t) = V shape_l for two leads, with ``voltage`` V in units of the hopping."""

    units: ClassVar = {"voltage": "hopping"}

    voltage: Float[Array, ""]
    shape: tuple[float, float] = eqx.field(static=True)

    def __call__(self, t):
        return self.voltage * jnp.array(self.shape)

    @property
    def constant(self):
        return True

    def extremes(self):
        return self(jnp.zeros(()))[None]


def symmetric(voltage: Numbers) -> VoltageDrop:
    """The symmetric voltage drop of the paper's Sec. III B: mu_left = V/2, mu_right = -V/2."""
    return VoltageDrop(real_array(voltage), (0.5, -0.5))


def asymmetric(voltage: Numbers) -> VoltageDrop:
    """The asymmetric voltage drop of the paper's Sec. III B: mu_left = V', mu_right = 0."""
    return VoltageDrop(real_array(voltage), (1.0, 0.0))


class Waveform(AbstractBias):
    """mu_l(t) = V(t) shape_l for two leads, V(t) by straight lines between ``voltages`` (n,) at ``times`` (n,), and
    constant before and after: a pulse of any shape, each of whose voltages can be a free parameter. A time that stands
    twice is a jump."""

    units: ClassVar = {"times": "hbar/hopping", "voltages": "hopping"}

    times: Float[Array, "n"] = eqx.field(converter=real_array)
    voltages: Float[Array, "n"] = eqx.field(converter=real_array)
    shape: tuple[float, float] = eqx.field(static=True, default=(0.5, -0.5))

    def __call__(self, t):
        return straight_lines(t, self.times, self.voltages) * jnp.array(self.shape)

    def breaks(self, dt):
        return steep(self.times, self.voltages, dt)

    def extremes(self):
        return self.voltages[:, None] * jnp.array(self.shape)


class Pulse(AbstractBias):
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

    def extremes(self):
        return jnp.stack([self.base, self.base + self.amplitude])


class Oscillating(AbstractBias):
    """An AC bias: mu(t) = base + amplitude sin(omega t + phase), ``base`` and ``amplitude`` (leads,)."""

    units: ClassVar = {"base": "hopping", "amplitude": "hopping", "omega": "hopping", "phase": "rad"}

    base: Float[Array, "leads"] = eqx.field(converter=real_array)
    amplitude: Float[Array, "leads"] = eqx.field(converter=real_array)
    omega: Float[Array, ""] = eqx.field(converter=real_array)
    phase: Float[Array, ""] = eqx.field(converter=real_array, default=0.0)

    def __call__(self, t):
        return self.base + self.amplitude * jnp.sin(self.omega * t + self.phase)

    def extremes(self):
        return jnp.stack([self.base - self.amplitude, self.base + self.amplitude])


class FunctionBias(AbstractBias):
    """A ``function`` of the time that returns mu_l(t), (leads,), and the times ``jumps`` (n,) at which it jumps.

    A plain function may stand for itself where it does not jump after t = 0. Steps that hold a jump are taken in parts.
    """

    units: ClassVar = {"jumps": "hbar/hopping"}

    function: Bias
    jumps: Float[Array, "jumps"] = eqx.field(converter=real_array, default=())

    def __call__(self, t):
        return jnp.asarray(self.function(t))

    @property
    def constant(self):
        return not depends_on(self.function, jnp.zeros(()))

    def breaks(self, dt):
        del dt
        return jnp.asarray(self.jumps)

    def extremes(self):
        """From samples, every 0.1 of the first 1000 time units."""
        return jax.vmap(self)(jnp.arange(0, 1000, 0.1))


def straight_lines(t: Array, times: Array, values: Array) -> Array:
    """Straight lines between ``values`` at ``times``, constant outside, continuous from the right."""
    return jnp.where(t >= times[-1], values[-1], jnp.interp(t, times, values))


def steep(times: Array, values: Array, dt: Array) -> Float[Array, "breaks"]:
    """Where straight lines between ``values`` at ``times`` begin and end where shorter than ``dt``; inf elsewhere."""
    short = (jnp.diff(times) < dt) & (jnp.diff(values) != 0)
    return jnp.concatenate([jnp.where(short, ends, jnp.inf) for ends in (times[:-1], times[1:])])


def described(bias: Bias) -> AbstractBias:
    """A bias that says what it is, from any function of the time."""
    return bias if isinstance(bias, AbstractBias) else FunctionBias(bias)


def as_bias(bias: Bias | Numbers | None, n_leads: int) -> Bias:
    """A function of time from what users give as a bias: None (all levels at 0), one number per lead, or a function."""
    if not callable(bias):
        bias = Constant(jnp.zeros(n_leads) if bias is None else real_array(bias, "bias"))
    try:
        levels = jax.eval_shape(lambda t: jnp.asarray(bias(t)), jnp.zeros(()))
    except (TypeError, jax.errors.JAXTypeError) as error:
        raise ValueError(
            "Argument `bias` must be a function of the time made of operations of jax.numpy (`jnp.where` in place of "
            f"`if`), but is not: {str(error).splitlines()[0]}"
        ) from None
    if levels.shape != (n_leads,):
        raise ValueError(
            f"Argument `bias` must give one level for each of the {n_leads} leads, but has shape {levels.shape}."
        )
    start = jnp.asarray(bias(jnp.zeros(())))
    if known(start) and not np.all(np.isfinite(start)):
        raise ValueError(f"Argument `bias` must be finite, but is {start} at t = 0.")
    return bias
