"""Periodic states: of electrons among spins that are held or given, and of electrons and spins together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from svjax.dynamics.steady_state import ConvergenceError
from svjax.dynamics.step import Step
from svjax.dynamics.step_size import check_step, suggest_dt
from svjax.dynamics.torques import torque_limit
from svjax.electrons.fermi import check_unique
from svjax.electrons.reach import check_poles
from svjax.electrons.stationary import stationary_state
from svjax.engine.arrays import Spins, real_number, whole_number
from svjax.engine.methods import as_method
from svjax.model.drives import Drive, SpinPath, check_drive, check_spin_path, drive_breaks
from svjax.model.equations import State, check_state
from svjax.model.valve import SpinValve, aligned_spins, check_spins, prepare
from svjax.observables.by_name import Observe, as_observe
from svjax.periodic.period_map import PeriodMap, leading_multipliers, newton_step
from svjax.periodic.results import PeriodicState
from svjax.reservoirs.bias import Bias, as_bias, described

FINER, FEWEST = 6, 100
"""Steps that are shorter by this than `suggest_dt`, and at least so many a period, for errors near 1e-8."""
MOST = 20
"""The most steps of Newton's method; where the spins are not free one is enough."""


def periodic_state(
    valve: SpinValve,
    bias: Bias | ArrayLike | None,
    period: float,
    *,
    spins: SpinPath | ArrayLike | None = None,
    drive: Drive | None = None,
    steps: int | None = None,
    method: str = "etd",
    observe: Observe | Sequence[str] | None = None,
) -> PeriodicState:
    """The periodic state of the electrons under a periodic bias, drive or path of the spins.

    For spins that do not depend on the electrons a period maps y = (rho, Pi) to Phi(y) = P y + c. The state with
    Phi(y) = y is found from about six periods of a run, however many a run would need to forget its start.

        bias = sv.Oscillating((0.5, -0.5), (0.2, 0.0), 0.8)
        found = sv.periodic_state(valve, bias, 2 * np.pi / 0.8)
        found.mean("charge_current"), found.harmonic("charge_current"), found.pumped_spin

    **Arguments:**

    - `bias`, `drive`, `method`, `observe`: as in `evolve`. What they are for 0 <= t < ``period`` repeats; at its end
      only a `Waveform`, a `Ramp` and a `FunctionBias` with jumps may be elsewhere than at its start.
    - `period`: in 1/hopping.
    - `spins`: (N_S, 3) unit vectors that are held, or a function of the time that says where they are; along the easy
      axes if None. See `periodic_orbit` for spins that are free.
    - `steps`: of a period; the error falls as their third to fourth power. None: enough for about
      1e-8 in the paper's valve. Twice as many say how large it is.

    **Returns:** a `PeriodicState` with the observables over a period, their harmonics and averages. Raises ValueError
    for wrong arguments, for what does not come back after a period, and where some state of the electrons is out of
    reach of every lead at all times.
    """
    valve, bias = prepare(valve), as_bias(bias, len(valve.lattice.contacts))
    if callable(spins):
        path: SpinPath | None = spins
        check_spin_path(valve, path, 0.0, real_number(period, "period"))
        start = jnp.asarray(path(jnp.zeros((), valve.dtype)), valve.dtype)
    else:
        path, start = None, aligned_spins(valve) if spins is None else check_spins(valve, spins)
    period_map = _period_map(valve, bias, period, start, path, path is None, drive, steps, method, observe)
    unit = jnp.eye(period_map.shape[0], dtype=jnp.result_type(valve.dtype, jnp.complex64))
    first = State(unit / 2, jnp.zeros(period_map.shape, unit.dtype), start)
    return _repeating(period_map, first)


def periodic_orbit(
    valve: SpinValve,
    bias: Bias | ArrayLike | None,
    period: float,
    *,
    start: State | ArrayLike | None = None,
    drive: Drive | None = None,
    steps: int | None = None,
    method: str = "etd",
    observe: Observe | Sequence[str] | None = None,
    multipliers: int = 0,
) -> PeriodicState:
    """A state of electrons and spins that a periodic bias or drive brings back after each period, stable or not.

    Newton's method for Phi(y) = y, Phi the map of y = (rho, Pi, turns of the spins) over a period, with the linear
    equations solved by GMRES from derivatives of Phi along directions. What electrons forget slowly costs no more.

    **Arguments:**

    - `bias`, `period`, `drive`, `steps`, `method`, `observe`: as in `periodic_state`.
    - `start`: where to look from: a `State` at t = 0, for instance that at the end of a run of whole periods, or spins
      (N_S, 3) with electrons stationary at t = 0. Along the easy axes if None.
    - `multipliers`: how many of the largest Floquet multipliers to compute.

    **Returns:** a `PeriodicState`. Where a turn of all spins costs nothing it is one of many. Raises
    `ConvergenceError` where Newton's method does not converge, and ValueError as `periodic_state`.
    """
    valve, bias = prepare(valve), as_bias(bias, len(valve.lattice.contacts))
    if not len(valve.lattice.spin_sites):
        raise ValueError("Argument `valve` must have spins, but has none: see `periodic_state`.")
    count = whole_number(multipliers, "multipliers")
    given = aligned_spins(valve) if start is None else start.spins if isinstance(start, State) else start
    spins = check_spins(valve, given)
    period_map = _period_map(valve, bias, period, spins, None, False, drive, steps, method, observe)
    if isinstance(start, State):
        check_state(valve, start)
        first = start
    else:
        zero = jnp.zeros((), valve.dtype)
        levels = jnp.asarray(bias(zero), valve.dtype)
        first, unique = stationary_state(period_map.step.valve_at(zero), spins, levels)
        check_unique(unique)
    found = _repeating(period_map, first)
    rates = leading_multipliers(period_map, found.state, count) if count else None
    return dataclasses.replace(found, multipliers=rates)


def _period_map(
    valve: SpinValve,
    bias: Bias,
    period: float,
    start: Spins,
    spins: SpinPath | None,
    held: bool,
    drive: Drive | None,
    steps: int | None,
    method: str,
    observe: Observe | Sequence[str] | None,
) -> PeriodMap:
    """The map over a period, of arguments that are checked here; the spins at its start, and how they move."""
    if not valve.lattice.contacts:
        raise ValueError("Argument `valve` must have leads: nothing relaxes in an isolated valve, but it has none.")
    period = real_number(period, "period")
    if not period > 0:
        raise ValueError(f"Argument `period` must be positive, but is {period}.")
    rule = as_method(method)
    if steps is None:
        steps = max(FEWEST, math.ceil(FINER * period / suggest_dt(valve, bias, method)))
    dt = period / whole_number(steps, "steps", 1)
    check_step(valve, bias, dt, rule)
    check_poles(valve, start, described(bias).extremes())
    if drive is not None:
        check_drive(valve, drive)
    step = Step(valve, described(bias), jnp.asarray(dt, valve.dtype), rule, held, drive, spins=spins)
    return PeriodMap(step, steps, as_observe(observe), _jumps(step, period))


def _jumps(step: Step, period: float) -> bool:
    """Whether something is elsewhere after a period than at its start; ValueError for what does not say that it
    jumps."""
    parts: dict[str, tuple[Callable[[Array], Any], bool]] = {"bias": (step.bias, step.bias.breaks(step.dt).size > 0)}
    if (drive := step.drive) is not None:
        parts["drive"] = lambda t: drive(step.valve, t), drive_breaks(drive, step.dt).size > 0
    if step.spins is not None:
        parts["spins"] = step.spins, False
    found = False
    for name, (function, may_jump) in parts.items():
        ends = [jax.tree.leaves(function(jnp.asarray(t, step.dt.dtype))) for t in (0.0, period)]
        off = max((float(jnp.max(jnp.abs(a - b), initial=0.0)) for a, b in zip(*ends, strict=True)), default=0.0)
        if not off < 1e-6 and not may_jump:
            raise ValueError(
                f"Argument `{name}` must come back after a period of {period:g} to what it was at t = 0, but is off by "
                f"{off:.1e}."
            )
        found = found or not off < 1e-6
    return found


def _repeating(period: PeriodMap, state: State) -> PeriodicState:
    """The state at t = 0 that repeats, by Newton's method."""
    limit, found = torque_limit(period.step.valve.dtype), None
    for _ in range(MOST):
        found = newton_step(period, state)
        if not np.isfinite(found.residual):
            break
        check_unique(found.unique)
        if found.residual <= limit:
            break
        state = found.state
    assert found is not None
    if not found.residual <= limit:
        raise ConvergenceError(
            f"No periodic state was found: at the end of Newton's method a period still changes the state by "
            f"{found.residual:.1e}.",
            found.residual,
            found.state,
        )
    dt = period.step.dt
    return PeriodicState(dt * period.count, dt * jnp.arange(period.count), found.state, found.observables)
