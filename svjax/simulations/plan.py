"""What a three-stage run is going to do, checked before anything runs or is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int8

from svjax.dynamics.step import Step
from svjax.dynamics.step_size import check_method, check_step, default_dt, whole_steps
from svjax.electrons.reach import check_poles
from svjax.electrons.stationary import stationary
from svjax.engine.arrays import whole_number
from svjax.engine.methods import AbstractMethod, as_method
from svjax.engine.shown import Shown
from svjax.model.drives import Drive, check_drive
from svjax.model.equations import State
from svjax.model.noise import as_key
from svjax.model.valve import SpinValve, aligned_spins, prepare
from svjax.observables.by_name import Observe, as_observe
from svjax.reservoirs.bias import AbstractBias, Bias, as_bias, described
from svjax.simulations.observed import first_row
from svjax.storage.size import size_of_run


@dataclass(frozen=True, repr=False)
class Rows(Shown):
    """Saved rows: times ``t`` (T,) in 1/hopping, the ``stage`` (T,) of each, and the observables, time leading."""

    t: Float[np.ndarray, "time"]
    stage: Int8[np.ndarray, "time"]
    observables: dict[str, np.ndarray]

    units: ClassVar = {"t": "hbar/hopping", "end": "hbar/hopping"}


@dataclass(frozen=True, repr=False)
class Equilibrium(Rows):
    """The end of stage 1, ready for any number of voltages: the ``state`` at t = 0 and the rows that led there."""

    valve: SpinValve
    state: State


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """A checked protocol, before anything has run. ``t`` and ``stage`` are those of all the rows to come."""

    valve: SpinValve
    bias: Bias
    dt: float
    save_every: int
    method: AbstractMethod
    relax_steps: int
    steps: int
    initial: State
    observe: Observe
    equilibrium: Equilibrium | None
    drive: Drive | None = None
    key: Array | None = None
    t: Float[np.ndarray, "time"] = field(init=False)
    stage: Int8[np.ndarray, "time"] = field(init=False)

    def __post_init__(self):
        first = min(-(self.relax_steps // self.save_every) + 1, 0) if self.relax_steps else 1
        before = self.save_every * np.arange(first, 1) * self.dt
        stage = np.ones(len(before) + 1)
        t, stage[0] = np.append(-self.relax_steps * self.dt, before), 0
        if self.equilibrium is not None:
            t, stage = self.equilibrium.t, self.equilibrium.stage
        after = self.save_every * np.arange(1, self.steps // self.save_every + 1) * self.dt
        object.__setattr__(self, "t", np.append(t, after))
        object.__setattr__(self, "stage", np.append(stage, np.full(len(after), 2)).astype(np.int8))


def plan_three_stage(
    valve: SpinValve,
    bias: Bias | ArrayLike | None,
    *,
    relax: float,
    duration: float,
    dt: float | None = None,
    save_every: int | None = None,
    method: str = "etd",
    spins: ArrayLike | None = None,
    equilibrium: Equilibrium | State | None = None,
    observe: Observe | Sequence[str] | None = None,
    drive: Drive | None = None,
    key: Array | None = None,
) -> Plan:
    """Check all arguments of `three_stage` and solve stage 0; whatever can be wrong with a run is found here."""
    valve, leads = prepare(valve), len(valve.lattice.contacts)
    bias = as_bias(bias, leads)
    rule = as_method(method)
    dt = default_dt(valve, bias, method, duration, relax) if dt is None else dt
    steps, relax_steps = whole_steps(duration, dt), whole_steps(relax, dt, "relax")
    save_every = max(1, round(0.5 / dt)) if save_every is None else save_every
    save_every, observe = whole_number(save_every, "save_every", 1), as_observe(observe)
    for levels in (bias, as_bias(None, leads)):
        check_step(valve, levels, dt, rule)
    if drive is not None:
        check_method(rule, drive=True)
        check_drive(valve, drive)
    if equilibrium is None:
        initial = stationary(valve, aligned_spins(valve) if spins is None else spins)
        row = first_row(observe, valve, initial)
    else:
        if isinstance(equilibrium, Equilibrium) and not eqx.tree_equal(prepare(equilibrium.valve), valve):
            raise ValueError("Argument `equilibrium` must belong to the same valve, but some parameter of it differs.")
        equilibrium = _observed_equilibrium(observe, valve, equilibrium)
        initial, relax_steps, row = equilibrium.state, 0, equilibrium.observables
    check_poles(valve, initial.spins, described(bias).extremes())
    size_of_run(relax_steps + steps, save_every, row, initial).check(None)
    given = valve, bias, float(dt), save_every, rule, relax_steps, steps, initial, observe, equilibrium
    return Plan(*given, drive, as_key(key))


def _observed_equilibrium(observe: Observe, valve: SpinValve, given: Equilibrium | State) -> Equilibrium:
    """Where to quench from, with rows of what ``observe`` gives: its last row alone where it observed anything else."""
    state = given if isinstance(given, State) else given.state
    row = first_row(observe, valve, state)
    kinds = lambda rows: {name: (values.shape[1:], values.dtype) for name, values in rows.items()}
    if isinstance(given, Equilibrium) and kinds(row) == kinds(given.observables):
        return given
    return Equilibrium(np.zeros(1), np.ones(1, np.int8), row, valve, state)


class Quench(AbstractBias):
    """mu_l(t) of ``bias`` where ``on``, else 0: both stages share one compiled function."""

    bias: AbstractBias
    on: ArrayLike

    @property
    def constant(self):
        return self.bias.constant  # within a stage

    def __call__(self, t):
        return jnp.where(self.on, self.bias(t), 0.0)

    def breaks(self, dt):
        return self.bias.breaks(dt)

    def extremes(self):
        return jnp.concatenate([jnp.zeros_like(self(jnp.zeros(())))[None], self.bias.extremes()])


def plan_step(plan: Plan, on: bool, finer: int = 1) -> Step:
    """The step of a plan with the bias and the drive ``on``, or one that is ``finer`` by a whole number."""
    dt, bias = jnp.asarray(plan.dt / finer, plan.valve.dtype), Quench(described(plan.bias), jnp.asarray(on))
    return Step(plan.valve, bias, dt, plan.method, drive=plan.drive if on else None, key=plan.key)
