"""How far a finished run can be trusted: a short table of checks, each with the limit that it should keep."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from svjax.dynamics.evolve import DivergedError, march
from svjax.dynamics.invariants import balance_limit, length_error, length_limit
from svjax.electrons.fermi import exact_density_matrix
from svjax.electrons.stationary import stationary
from svjax.model.equations import State
from svjax.observables.electronic import charge_balance
from svjax.simulations.loop import Run
from svjax.simulations.plan import Plan, plan_step

POLE_LIMIT = 1e-4
STEP_LIMIT = 1e-4
FIRST_RESPONSE = 1.0
"""Time after the quench, in 1/hopping, that the step error leaves out. A sudden jump of the levels makes the currents
at the leads answer at the rate of the fastest pole, which near the stability limit takes a few steps, and which is a
property of the expansion rather than of the leads."""


@dataclass(frozen=True)
class Check:
    """One number of a run, the ``limit`` below which it is fine, and the ``advice`` for when it is not."""

    name: str
    value: float
    limit: float
    advice: str

    @property
    def ok(self) -> bool:
        """Whether the value keeps its limit; a check that could not be made, with a limit of nan, accuses nothing."""
        return bool(self.value <= self.limit) or math.isnan(self.limit)


@dataclass(frozen=True, repr=False)
class Convergence:
    """The checks of a run; prints as a table."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    def __repr__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = [f"{'check':<{width}}  {'value':>8}  {'limit':>8}"]
        for check in self.checks:
            verdict = "ok" if check.ok else f"NOT OK: {check.advice}"
            verdict = check.advice if math.isnan(check.limit) else verdict
            lines.append(f"{check.name:<{width}}  {check.value:8.1e}  {check.limit:8.1e}  {verdict}")
        return "\n".join(lines)

    def to_records(self) -> list[dict[str, Any]]:
        """Plain data for a file; a number that is not finite becomes None."""
        finite = lambda value: None if isinstance(value, float) and not math.isfinite(value) else value
        return [{name: finite(part) for name, part in asdict(check).items()} for check in self.checks]

    @staticmethod
    def from_records(records: Iterable[dict[str, Any]]) -> "Convergence":
        known: list[dict[str, Any]] = [
            {name: math.nan if part is None else part for name, part in r.items()} for r in records
        ]
        return Convergence(tuple(Check(**r) for r in known))


def convergence_report(run: Run) -> Convergence:
    """Check a run of `three_stage`: poles, step, charge balance, |S|, eigenvalues of rho and its Hermiticity.

    - "poles": largest element of rho(poles) - rho(exact Fermi function), both stationary at the final spins and levels.
    - "self-energy of the strips": of `StripBand`, its largest error for |e| < 1.9, in units of the hopping.
    - "step after the quench", "step at the end": largest change of any saved observable when the first and the last
      stretch of the last stage are repeated with half the step, from t = `FIRST_RESPONSE` on. Not checked for a run
      with a `key`: half the step has other noise.
    - "charge balance": d<N>/dt - 2 sum_l Re Tr Pi_l at the end, in hopping/hbar.
    - "length of the spins": largest ||S_j| - 1| at the end.
    - "occupations": how far an eigenvalue of rho lies outside of [0, 1]; the poles' own error may do that.
    - "Hermiticity": largest element of rho - rho^+.
    """
    plan, state = run.plan, run.state
    rounding, rho = balance_limit(plan.valve.dtype), np.asarray(state.rho)
    if not (np.isfinite(rho).all() and np.isfinite(np.asarray(state.spins)).all()):
        return Convergence((Check("finite state", math.inf, 0.0, "take a smaller dt"),))
    checks, pole_norm = [], 0.0
    if plan.valve.lattice.contacts:
        try:
            error = _pole_error(run)
        except ValueError as reason:  # states that no lead reaches have no stationary occupation
            checks.append(Check("poles", math.nan, POLE_LIMIT, str(reason)))
        else:
            pole_norm = float(np.linalg.norm(error, 2))
            checks.append(Check("poles", float(np.abs(error).max()), POLE_LIMIT, "take more poles"))
    if strips := max((band.error for band in plan.valve.bands or () if band is not None), default=0.0):
        words = "for |e| < 1.9, in units of the hopping; more columns lower it"
        checks.append(Check("self-energy of the strips", strips, math.nan, words))
    checks += _step_checks(run)
    balance = abs(float(charge_balance(plan.valve, state)))
    checks.append(Check("charge balance", balance, rounding, "the currents do not add up; please report this"))
    drift, limit = float(length_error(state.spins)), length_limit(plan.valve.dtype)
    checks.append(Check("length of the spins", drift, limit, "take a smaller dt"))
    levels = np.linalg.eigvalsh((rho + rho.conj().T) / 2)
    outside = float(max(-levels.min(), levels.max() - 1, 0.0))
    checks.append(Check("occupations", outside, 2 * pole_norm + 1e4 * rounding, "take a smaller dt or more poles"))
    skew = float(np.abs(rho - rho.conj().T).max())
    checks.append(Check("Hermiticity", skew, 1e-2 * rounding, "the state that the run started from is not Hermitian"))
    return Convergence(tuple(checks))


def _pole_error(run: Run) -> np.ndarray:
    spins = run.state.spins / jnp.linalg.norm(run.state.spins, axis=-1, keepdims=True)
    on, end = run.end >= 0 and run.plan.steps > 0, jnp.asarray(run.end)
    level, valve = run.plan.bias(end) if on else None, plan_step(run.plan, on).valve_at(end)
    return np.asarray(stationary(valve, spins, level).rho) - exact_density_matrix(valve, spins, level)


def _step_checks(run: Run) -> list[Check]:
    """Both stretches are as long as the last segment, so that nothing has to be compiled for them."""
    last, advice = run.last, "take a smaller dt"
    if last is None:
        return []
    if run.plan.key is not None:
        return [Check("step at the end", math.nan, math.nan, "not checked: noise")]
    rows = {name: values[-last.saves :] for name, values in last.observables.items()}
    found = [
        Check("step at the end", _step_error(run.plan, last.stage, last.before, last.start, rows), STEP_LIMIT, advice)
    ]
    if last.stage == 2 and run.equilibrium is not None and last.start > 0:
        first = np.flatnonzero(run.stage == 2)[: last.saves]
        rows = {name: values[first] for name, values in run.observables.items()}
        error = _step_error(run.plan, 2, run.equilibrium.state, 0, rows)
        found.insert(0, Check("step after the quench", error, STEP_LIMIT, advice))
    return found


def _step_error(plan: Plan, stage: int, state: State, start: int, rows: dict[str, np.ndarray]) -> float:
    """Largest difference between the saved ``rows`` from step ``start`` on and the same stretch at half the step."""
    step = plan_step(plan, stage == 2, finer=2)
    steps = len(next(iter(rows.values()))) * plan.save_every
    parts = []
    for first in (2 * start, 2 * start + steps):
        try:
            half = march(step, state, first, steps, plan.save_every, plan.observe)
        except DivergedError:
            return math.inf
        parts.append(half.observables)
        state = half.state
    finer = jax.tree.map(lambda *x: np.concatenate(x)[1::2], *parts)
    t = (start + plan.save_every * np.arange(1, steps // plan.save_every + 1)) * plan.dt
    kept = (t >= FIRST_RESPONSE) | (stage < 2)
    smooth = [name for name in rows if rows[name].dtype.kind in "fc"]
    return float(max((np.abs(finer[name] - rows[name])[kept].max(initial=0.0) for name in smooth), default=0.0))
