"""One step of a run: the equations of motion, cut where the bias or a drive jumps."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from svjax.dynamics.magnus import Decay, decay_over, magnus_step
from svjax.dynamics.step_size import check_method
from svjax.engine.arrays import PerLead
from svjax.engine.methods import AbstractMethod
from svjax.engine.parts import Parts
from svjax.model.drives import Drive, SpinPath, drive_breaks
from svjax.model.equations import Coefficients, State, coefficients, slope
from svjax.model.extended import extended
from svjax.model.leads import decay_rates
from svjax.model.noise import renormalized, with_noise
from svjax.model.valve import SpinValve
from svjax.reservoirs.bias import AbstractBias


class Step(eqx.Module):
    """One step of a run, from time n dt: the valve, its bias and how it is integrated.

    The spins obey their equation of motion, or stay where they are (``freeze_spins``), or are where the function
    ``spins`` of the time puts them.
    """

    valve: SpinValve
    bias: AbstractBias
    dt: Array
    method: AbstractMethod = eqx.field(static=True)
    freeze_spins: bool = eqx.field(static=True, default=False)
    drive: Drive | None = None
    key: Array | None = None
    of: Coefficients | None = None
    spins: SpinPath | None = None
    fading: Decay | None = None

    def __check_init__(self):
        changing = {"drive": self.drive is not None, "spins": self.spins is not None}
        check_method(self.method, bias=not self.bias.constant, **changing)

    def prepared(self) -> "Step":
        """The step with what all of its kind have in common computed once, unless the electrons' parameters change."""
        if self.method.autonomous:
            valve = extended(self.valve, self.levels(jnp.zeros_like(self.dt)))
            fading = decay_over(decay_rates(valve), self.dt)
            return dataclasses.replace(self, of=coefficients(valve), fading=fading)
        if self.drive is not None or self.valve.bands is not None:
            return self
        return dataclasses.replace(self, of=coefficients(self.valve))

    def levels(self, t: Array) -> PerLead:
        """mu_l at time ``t``."""
        return jnp.asarray(self.bias(t), self.dt.dtype)

    def __call__(self, state: State, n: Array) -> State:
        """The state, in `Parts`, from n dt to (n + 1) dt; in parts if the bias jumps in between."""
        step, t = self.with_noise(n), n * self.dt
        breaks = self.breaks()
        if not breaks.size:
            return step.ended(step.advance(state, t, self.dt), n)
        near = 1e-9 * self.dt  # a jump at the end of a step belongs to the next one
        inside = (breaks >= t - near) & (breaks < t + self.dt - near)
        first = jnp.clip(jnp.min(jnp.where(inside, breaks, jnp.inf)) - t, 0, self.dt)
        last = jnp.clip(jnp.max(jnp.where(inside, breaks, -jnp.inf)) - t, 0, self.dt)
        moved = jax.lax.cond(
            jnp.any(inside),
            jax.checkpoint(lambda state: step.in_parts(state, t, first, last)),
            lambda state: step.advance(state, t, self.dt),
            state,
        )
        return step.ended(moved, n)

    def breaks(self) -> Float[Array, "breaks"]:
        """The times around which steps are taken in parts."""
        ramps = [] if self.drive is None else [drive_breaks(self.drive, self.dt)]
        return jnp.concatenate([self.bias.breaks(self.dt), *ramps]).astype(self.dt.dtype)

    def in_parts(self, state: State, t: Array, first: Array, last: Array) -> State:
        """The state after a step from ``t`` within which something jumps at t + ``first`` and t + ``last``."""
        rest = (self.dt - last) * jnp.asarray(self.method.grades, self.dt.dtype)
        lengths = jnp.concatenate([jnp.stack([first, last - first]).astype(self.dt.dtype), rest])
        starts = t + jnp.cumsum(lengths) - lengths
        part = lambda state, piece: (self.advance(state, *piece), None)
        return jax.lax.scan(part, state, (starts, lengths))[0]

    def valve_at(self, t: Array) -> SpinValve:
        """The valve at time ``t``."""
        return self.valve if self.drive is None else self.drive(self.valve, t)

    def with_noise(self, n: Array) -> "Step":
        """The step with the random field of step ``n``, if there is noise."""
        key = self.key
        if key is None:
            return self
        noisy = lambda valve: with_noise(valve, key, n, self.dt)
        if self.drive is None:
            return eqx.tree_at(lambda s: s.valve, self, noisy(self.valve))
        return eqx.tree_at(lambda s: s.drive, self, lambda valve, t, drive=self.drive: noisy(drive(valve, t)))

    def ended(self, state: State, n: Array) -> State:
        """The state at the end of step ``n``: with noise, spins get their length back; given spins are where they are
        then."""
        state = self.with_given_spins(state, (n + 1) * self.dt)
        return state if self.key is None else eqx.tree_at(lambda s: s.spins, state, renormalized(state.spins))

    def with_given_spins(self, state: State, t: Array) -> State:
        """The state with the spins where they are given to be at time ``t``, if they are."""
        if self.spins is None:
            return state
        return eqx.tree_at(lambda s: s.spins, state, jnp.asarray(self.spins(t), state.spins.dtype))

    def advance(self, state: State, t: Array, dt: Array) -> State:
        """The state, in `Parts`, from ``t`` to ``t + dt``, with everything as it is between the jumps around."""
        breaks, middle = self.breaks(), t + dt / 2
        if not breaks.size:
            return self.method.step(_Between(self), t, state, dt)
        begin = jnp.max(jnp.where(breaks <= middle, breaks, -jnp.inf))
        before = breaks - jnp.finfo(breaks.dtype).eps * (jnp.abs(breaks) + self.dt)
        end = jnp.min(jnp.where((breaks > middle) & jnp.isfinite(breaks), before, jnp.inf))
        return self.method.step(_Between(self, (begin, end)), t, state, dt)

    def derivative(self, t: Array, state: State) -> State:
        """d(state)/dt at time ``t`` of a state in `Parts`."""
        mu = self.levels(t)
        valve, state = extended(self.valve_at(t), mu), self.with_given_spins(state, t)
        found = slope(valve, coefficients(valve) if self.of is None else self.of, state, mu, jnp.isfinite(t))
        held = self.freeze_spins or self.spins is not None
        return eqx.tree_at(lambda s: s.spins, found, jnp.zeros_like(state.spins)) if held else found

    def propagated(self, t: Array, state: State, dt: Array) -> State:
        """The state, in `Parts`, from ``t`` to ``t + dt``, by `magnus_step`."""
        mu, held = self.levels(t), self.freeze_spins
        valve = extended(self.valve, mu)
        of = coefficients(valve) if self.of is None else self.of
        decay = self.fading if dt is self.dt else None  # else a part of a step
        decay = decay_over(decay_rates(valve), dt) if decay is None else decay
        return magnus_step(valve, of, mu, decay, state, jnp.isfinite(t), held)


class _Between(NamedTuple):
    """The equations of a step between two times at which something jumps, or at all times."""

    step: Step
    times: tuple[Array, Array] | None = None

    @property
    def decay(self) -> State:
        return pole_decay(self.step.valve)

    def derivative(self, t: Array, y: State) -> State:
        return self.step.derivative(t if self.times is None else jnp.clip(t, *self.times), y)

    def propagated(self, t: Array, y: State, dt: Array) -> State:
        return self.step.propagated(t, y, dt)


def pole_decay(valve: SpinValve) -> State:
    """The rates xi_p/beta_l at which the columns of Pi_lp decay, the stiff part of Eq. (9), for `exponential_step`."""
    decay = decay_rates(valve)
    return State(Parts(None, None), Parts(decay, decay), None)  # type: ignore[arg-type]
