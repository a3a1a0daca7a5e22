"""Time evolution: `evolve`, its `Trajectory`, and the step as a diffrax solver."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from svjax.dynamics.step_size import check_method, check_step, whole_steps
from svjax.engine.arrays import Numbers, known
from svjax.engine.integrate import checkpointed_scan, exponential_step, runge_kutta_step
from svjax.engine.parts import Parts, apart, together
from svjax.engine.shown import Shown
from svjax.model.bias import Bias, as_bias
from svjax.model.drives import Drive, check_drive
from svjax.model.equations import Coefficients, State, check_state, coefficients, coupled_derivative, slope
from svjax.model.extended import extended
from svjax.model.leads import decay_rates
from svjax.model.noise import renormalized, with_noise
from svjax.model.observe import Observe, as_observe
from svjax.model.reach import check_poles
from svjax.model.valve import SpinValve, check_spins, prepare


class Trajectory(Shown, eqx.Module):
    """What `evolve` returns.

    - `t`: (T,) times of the saves, in 1/hopping; the first is after ``save_every`` steps.
    - `state`: the `State` at the end of the run.
    - `observables`: name -> array with time leading.
    """

    units: ClassVar = {"t": "hbar/hopping"}

    t: Float[Array, "time"]
    state: State
    observables: dict[str, PyTree]


class DivergedError(RuntimeError):
    """A run whose state became infinite or nan. ``trajectory`` holds what was saved before."""

    def __init__(self, message: str, trajectory: Trajectory):
        super().__init__(message)
        self.trajectory = trajectory

    def __reduce__(self):
        return type(self), (*self.args, self.trajectory)


def evolve(
    valve: SpinValve,
    state: State,
    bias: Bias | Numbers | None,
    duration: float,
    *,
    dt: float = 0.02,
    save_every: int | None = None,
    start_step: int = 0,
    method: str = "rk38",
    observe: Observe | Sequence[str] | None = None,
    freeze_spins: bool = False,
    drive: Drive | None = None,
    key: Array | None = None,
) -> Trajectory:
    """Evolve electrons and spins together, Eqs. (3), (4), (8)-(10), by fixed steps of fourth order.

    **Arguments:**

    - `state`: where to start, for instance from `stationary`.
    - `bias`: `symmetric(V)`, `asymmetric(V)`, one mu_l per lead, any function of the time that returns that, or None.
    - `duration`, `dt`: in 1/hopping; the duration is a whole number of steps.
    - `save_every`: steps between saves (about 0.5 time units if None). Steps after the last save reach the final state.
    - `start_step`: the run starts at time start_step * dt, which matters for a bias that depends on time.
    - `method`: "rk38", the 3/8-rule Runge-Kutta method of the paper, or "etd", a fourth-order exponential method that
      takes the decay of the poles exactly, so that only the electrons' bandwidth and the spins limit the step.
    - `observe`: function of (valve, state) that returns a dict of arrays, or names such as ("spins", "energy");
      `default_observables` if None.
    - `freeze_spins`: keep the spins where they are.
    - `drive`: function (valve, t) -> valve that lets any parameter but Gamma, T and the poles depend on time
      (`FieldPulse`, `PeierlsPulse`, `Ramp`, or your own).
    - `key`: of ``jax.random``, for the thermal noise of a valve with ``damping`` and ``spin_temperature``; the noise of
      a step depends on the key and the number of the step alone. None: no noise.

    **Returns:** a `Trajectory`. Differentiable in valve, state and bias, forward and reverse (reverse mode keeps about
    the square root of the number of steps in memory), and it can be batched by ``jax.vmap``. Raises `DivergedError`,
    outside of ``jit``, when the state becomes non-finite, and ValueError for a step beyond the stability limit.
    """
    valve = prepare(valve)
    check_state(valve, state)
    check_spins(valve, state.spins)
    bias = as_bias(bias, len(valve.lattice.contacts))
    steps = whole_steps(duration, dt)
    save_every = max(1, min(round(0.5 / dt), steps)) if save_every is None else save_every
    if save_every != int(save_every) or save_every < 1:
        raise ValueError(f"Argument `save_every` must be a whole number of at least 1, but is {save_every}.")
    if save_every > steps > 0:
        raise ValueError(f"Argument `save_every` must be at most the {steps} steps of the run, but is {save_every}.")
    check_method(method)
    check_step(valve, bias, dt, start_step * dt, method)
    if known(start_step) and start_step == 0:
        check_poles(valve, state.spins, bias(jnp.zeros(())))
    if drive is not None:
        check_drive(valve, drive)
    observe = as_observe(observe)
    step = Step(valve, bias, jnp.asarray(dt, valve.j_sd.dtype), method, freeze_spins, drive, key)
    first = jnp.asarray(start_step)
    done = first - 1  # a step that is not in this run
    if method == "etd" and isinstance(start_step, int) and start_step == 0 and steps:
        state, done = graded_start(step, state), first
    trajectory, finite = run_steps(step, state, first, done, steps, int(save_every), observe)
    if known(finite):
        _raise_if_diverged(trajectory, np.asarray(finite))
    return trajectory


class Step(eqx.Module):
    """One step of a run, from time n dt: the valve, its bias and how it is integrated."""

    valve: SpinValve
    bias: Bias
    dt: Array
    method: str = eqx.field(static=True)
    freeze_spins: bool = eqx.field(static=True)
    drive: Drive | None = None
    key: Array | None = None
    of: Coefficients | None = None

    def prepared(self) -> "Step":
        """The step with what all of its kind have in common computed once, unless the electrons' parameters change."""
        if self.drive is not None or self.valve.bands is not None:
            return self
        return dataclasses.replace(self, of=coefficients(self.valve))

    def __call__(self, state: State, n: Array) -> State:
        step = self.with_noise(n)
        return step.ended(step.advance(state, n * self.dt, self.dt))

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

    def ended(self, state: State) -> State:
        """The state at the end of a step: with noise, spins get their length back."""
        return state if self.key is None else eqx.tree_at(lambda s: s.spins, state, renormalized(state.spins))

    def advance(self, state: State, t: Array, dt: Array) -> State:
        """The state, in `Parts`, from ``t`` to ``t + dt``."""
        derivative = lambda t, state: self.derivative(t, state)
        if self.method == "etd":
            return exponential_step(derivative, pole_decay(self.valve), t, state, dt)
        return runge_kutta_step(derivative, t, state, dt)

    def derivative(self, t: Array, state: State) -> State:
        """d(state)/dt at time ``t`` of a state in `Parts`."""
        mu = jnp.asarray(self.bias(t), self.dt.dtype)
        valve = extended(self.valve_at(t), mu)
        found = slope(valve, coefficients(valve) if self.of is None else self.of, state, mu, jnp.isfinite(t))
        return eqx.tree_at(lambda s: s.spins, found, jnp.zeros_like(state.spins)) if self.freeze_spins else found


_GRADES = np.array([0.025] * 4 + [0.1] * 2 + [0.7 / 3] * 3)
"""The parts of the first exponential step. The levels may have jumped there, and the fast poles' answer, which the
exponential follows in Pi but the quadrature of rho does not, would leave an error of second order in the step."""


@eqx.filter_jit
def graded_start(step: Step, state: State) -> State:
    """The step from t = 0, at which the levels may have jumped, in parts."""
    step = step.prepared().with_noise(jnp.zeros((), int))
    times = np.concatenate([[0.0], np.cumsum(_GRADES)[:-1]])
    part = lambda state, grade: (step.advance(state, grade[0] * step.dt, grade[1] * step.dt), None)
    grades = jnp.asarray(np.stack([times, _GRADES], 1), step.dt.dtype)
    return step.ended(together(jax.lax.scan(part, apart(state), grades)[0]))


@eqx.filter_jit
def run_steps(
    step: Step, state: State, start_step: Array, done: Array, steps: int, save_every: int, observe: Observe
) -> tuple[Trajectory, Bool[Array, "time"]]:
    """Nested scans over saves and steps, without the step number ``done``, which the state has behind it already, and
    whether the state is finite at each save and at the end.

    The time is n dt from an integer n, never accumulated.
    """
    step = step.prepared()

    def one(state, n):
        moved = step(state, n)  # a branch instead of the selection would copy the state, for a quarter of the time
        return jax.tree.map(lambda new, old: jnp.where(n != done, new, old), moved, state), None

    def until_save(state, first):
        state, _ = checkpointed_scan(one, state, first, save_every)
        whole = together(state)
        return state, (observe(step.valve_at((first + save_every) * step.dt), whole), _is_finite(whole))

    count, rest = divmod(steps, save_every)
    state, (observables, finite) = checkpointed_scan(until_save, apart(state), start_step, count, save_every)
    if rest:
        state, _ = checkpointed_scan(one, state, start_step + steps - rest, rest)
    state = together(state)
    finite = jnp.append(finite, _is_finite(state))
    saves = start_step + save_every * jnp.arange(1, count + 1)
    return Trajectory(saves * step.dt, state, observables), finite


def pole_decay(valve: SpinValve) -> State:
    """The rates xi_p/beta_l at which the columns of Pi_lp decay, the stiff part of Eq. (9), for `exponential_step`."""
    decay = decay_rates(valve)
    return State(Parts(None, None), Parts(decay, decay), None)  # type: ignore[arg-type]


def derivative_at(valve: SpinValve, bias: Bias, t: Array, state: State) -> State:
    """d(state)/dt at time ``t`` under ``bias``, for a valve whose leaves are arrays."""
    return coupled_derivative(valve, state, jnp.asarray(bias(t), valve.dtype))


def _is_finite(state: State) -> Bool[Array, ""]:
    return jnp.all(jnp.isfinite(jnp.diagonal(state.rho))) & jnp.all(jnp.isfinite(state.spins))


def _raise_if_diverged(trajectory: Trajectory, finite: np.ndarray) -> None:
    if finite.all():
        return
    saved = int(np.argmin(finite))
    after = f"t = {trajectory.t[saved - 1]:g}" if saved else "the start"
    kept = jax.tree.map(lambda x: x[:saved], trajectory.observables)
    raise DivergedError(
        f"The state became non-finite after {after}; {saved} saves before that are kept. Is dt small enough?",
        Trajectory(trajectory.t[:saved], trajectory.state, kept),
    )


class RungeKutta38(diffrax.AbstractSolver):
    """The step of `evolve` as a diffrax solver, for `diffrax.diffeqsolve` with ``ODETerm(lambda t, y, args: ...)``.

    diffrax's own Runge-Kutta solvers do not take a state that mixes complex and real arrays. There is no error
    estimate, so only `diffrax.ConstantStepSize` and `diffrax.StepTo` can drive it.
    """

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., diffrax.LocalLinearInterpolation]] = diffrax.LocalLinearInterpolation

    def order(self, terms: PyTree) -> int:
        return 4

    def init(self, terms, t0, t1, y0, args) -> None:
        return None

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump) -> tuple[Any, ...]:
        del solver_state, made_jump
        derivative = lambda t, y: terms.vf(t, y, args)
        y1 = runge_kutta_step(derivative, jnp.asarray(t0), y0, jnp.asarray(t1 - t0))
        return y1, None, dict(y0=y0, y1=y1), None, diffrax.RESULTS.successful

    def func(self, terms, t0, y0, args) -> PyTree:
        return terms.vf(t0, y0, args)
