"""Limit cycles: what spins and electrons repeat by themselves, at a bias that does not depend on time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex

from svjax.dynamics.modes import check_has_spins, mode_shapes
from svjax.dynamics.steady_state import ConvergenceError, steady_state
from svjax.dynamics.step import Step
from svjax.dynamics.step_size import check_step, suggest_dt
from svjax.dynamics.torques import torque_limit
from svjax.electrons.fermi import check_unique
from svjax.electrons.reach import check_poles
from svjax.engine.arrays import PerLead, real_number, whole_number
from svjax.engine.methods import AbstractMethod, as_method
from svjax.model.equations import State, check_state
from svjax.model.levels import BiasLike, constant_levels
from svjax.model.valve import SpinValve, check_spins, prepare
from svjax.observables.by_name import Observe, as_observe
from svjax.periodic.period_map import PeriodMap, leading_multipliers
from svjax.periodic.periodic_state import FEWEST, FINER
from svjax.periodic.results import PeriodicState
from svjax.periodic.returns import near_cycle
from svjax.periodic.shooting import shot, with_period
from svjax.reservoirs.bias import as_bias, described

MOST = 20
"""The most steps of Newton's method."""
SMALLEST = 1e-5
"""Spins whose components change by less have come to rest."""
SHIFTED = 1e-3
"""How far from 1 the multiplier of a shift in time is looked for."""


def limit_cycle(
    valve: SpinValve,
    bias: BiasLike,
    *,
    spins: ArrayLike | None = None,
    start: PeriodicState | State | None = None,
    period: float | None = None,
    steps: int | None = None,
    method: str = "etd",
    observe: Observe | Sequence[str] | None = None,
    multipliers: int = 2,
) -> PeriodicState:
    """A limit cycle of electrons and spins at a constant bias, stable or not, with its period and Floquet multipliers.

    Shooting: Newton's method for Phi_T(y) = y, Phi_T the map of y = (rho, Pi, turns of the spins) over a period T that
    is unknown, with (dS/dt).dS = 0 for the phase, which is free. Past a Hopf point (`follow`, `critical_voltage`) it is
    looked for around the steady state that is lost: turns along its growing mode are made larger until they grow no
    more. Its amplitude starts as the square root of the distance from that point, its period at 2 pi/Im lambda.

        cycle = sv.limit_cycle(valve, sv.symmetric(-0.5))
        cycle.period, cycle.amplitude("magnetization"), cycle.mean("charge_current"), cycle.stable
        further = sv.limit_cycle(valve, sv.symmetric(-0.6), start=cycle)

    **Arguments:**

    - `bias`: constant in time, as in `steady_state`.
    - `spins`: where the steady state that the cycle goes around is looked for, as in `steady_state`.
    - `start`: a cycle nearby, at another bias for instance; or, with ``period`` near its period, a `State` nearby, such
      as the end of a run. None: from the steady state.
    - `steps`, `method`, `observe`: as in `periodic_state`.
    - `multipliers`: how many of the largest Floquet multipliers to compute beside that of a shift in time.

    **Returns:** a `PeriodicState`; t = 0 is anywhere on the cycle. Where a turn of all spins about an axis costs
    nothing, spins that only turn about it are a cycle like any other (a later time is a turn). Another cycle is then
    one of a family with a second multiplier of 1, and spins that come back turned are none.

    Raises ValueError for wrong arguments, and `ConvergenceError` where no cycle was found: where the leading mode does
    not turn, where no turn around the steady state comes back as large as it was, or where Newton's method fails.
    """
    valve, count = prepare(valve), whole_number(multipliers, "multipliers")
    check_has_spins(valve)
    mu, rule = constant_levels(valve, bias), as_method(method)
    given = None if period is None else real_number(period, "period")
    if (given is None) == isinstance(start, State) or not (given is None or given > 0):
        raise ValueError(f"Argument `period` must be positive with a State as `start`, None without, but is {period}.")

    over = partial(_map_over, valve, mu, steps, rule, as_observe(observe))
    if isinstance(start, PeriodicState):
        start, given = start.state, float(start.period)
    if start is None:
        rest = steady_state(valve, mu, spins=spins, allow_unstable=True)
        state, period_map = _around(valve, rest, mu, over)
    else:
        assert given is not None
        check_state(valve, start)
        state, period_map = start, over(given, start.spins)
    period_map, found = _closed(period_map, state)
    rates, shift = _multipliers(period_map, found.state, count) if count else (None, None)
    return dataclasses.replace(found, multipliers=rates, shift_multiplier=shift)


def _map_over(
    valve: SpinValve,
    mu: PerLead,
    steps: int | None,
    rule: AbstractMethod,
    observe: Observe,
    length: float,
    spins: ArrayLike,
) -> PeriodMap:
    """The map over a period of this ``length`` in so many steps, or in enough of them, of a number with few digits in
    base two, so that other lengths share its program."""
    levels = described(as_bias(tuple(np.asarray(mu).tolist()), len(mu)))
    fine = max(FEWEST, math.ceil(FINER * length / suggest_dt(valve, levels, rule.name)))
    unit = 2 ** (fine.bit_length() - 3)
    number = -(-fine // unit) * unit if steps is None else whole_number(steps, "steps", 1)
    check_step(valve, levels, length / number, rule)
    check_poles(valve, check_spins(valve, spins), levels.extremes())
    step = Step(valve, levels, jnp.asarray(length / number, valve.dtype), rule)
    return PeriodMap(step, number, observe, False)


def _around(
    valve: SpinValve, rest: State, mu: PerLead, over: Callable[[float, ArrayLike], PeriodMap]
) -> tuple[State, PeriodMap]:
    """A state near the cycle around a state of rest, and the map over its period."""
    leading = mode_shapes(valve, rest, mu, count=len(rest.spins), order="decay")
    rate, shape = complex(leading.rates[0]), np.asarray(leading.shapes[0])
    if not abs(rate.imag) > 1e-6:
        raise ConvergenceError(
            f"No cycle is born from the steady state: its leading mode lambda = {rate:.3g} does not turn.",
            0.0,
            rest,
            rate,
        )
    period_map = over(2 * np.pi / rate.imag, rest.spins)
    found = near_cycle(period_map, rest, rate, shape)
    if found is None:
        raise ConvergenceError(
            f"No cycle was found around the steady state, whose leading mode is lambda = {rate:.3g}: give `start` and "
            "`period` from a run.",
            0.0,
            rest,
            rate,
        )
    return found.state, with_period(over(found.time, found.state.spins), found.time)


def _closed(period: PeriodMap, state: State) -> tuple[PeriodMap, PeriodicState]:
    """The cycle next to a state, and the map over its period, by Newton's method."""
    limit, reach, found = torque_limit(period.step.valve.dtype), 0.0, None
    for _ in range(MOST):
        period, found, reach = shot(period, state)
        if not np.isfinite(found.residual) or found.residual <= limit:
            break
        state = found.state
    assert found is not None
    if not (found.residual <= limit and reach > SMALLEST):
        why = "the spins come to rest."
        if not found.residual <= limit:
            why = f"at the end of Newton's method a period still changes the state by {found.residual:.1e}."
        raise ConvergenceError(f"No cycle was found: {why}", found.residual, found.state)
    check_unique(found.unique)
    dt = period.step.dt
    return period, PeriodicState(dt * period.count, dt * jnp.arange(period.count), found.state, found.observables)


def _multipliers(
    period: PeriodMap, state: State, count: int
) -> tuple[Complex[Array, "count"], Complex[Array, ""] | None]:
    """The ``count`` largest multipliers but that of a shift in time, and that one."""
    for more in (1, count + 3, 4 * count + 8):
        found = leading_multipliers(period, state, count + more)
        shift = int(np.argmin(np.abs(found - 1)))
        if abs(found[shift] - 1) < SHIFTED:
            return jnp.delete(found, shift)[:count], found[shift]
    return found[:count], None
