"""Time evolution: `evolve`, its `Trajectory`, and the step as a diffrax solver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from svjax.dynamics.step import Step
from svjax.dynamics.step_size import check_step, default_dt, whole_steps
from svjax.electrons.reach import check_poles
from svjax.engine.arrays import Numbers, known, whole_number
from svjax.engine.integrate import checkpointed_scan, runge_kutta_step
from svjax.engine.methods import as_method
from svjax.engine.parts import apart, together
from svjax.engine.shown import Shown
from svjax.model.drives import Drive, SpinPath, check_drive, check_spin_path
from svjax.model.equations import State, check_state, coupled_derivative
from svjax.model.noise import as_key
from svjax.model.valve import SpinValve, check_spins, prepare
from svjax.observables.by_name import Observe, as_observe
from svjax.reservoirs.bias import Bias, as_bias, described


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
    dt: float | None = None,
    save_every: int | None = None,
    start_step: int = 0,
    method: str = "etd",
    observe: Observe | Sequence[str] | None = None,
    freeze_spins: bool = False,
    drive: Drive | None = None,
    key: Array | None = None,
    spins: SpinPath | None = None,
) -> Trajectory:
    """Evolve electrons and spins together, Eqs. (3), (4), (8)-(10), by fixed steps of fourth order.

    **Arguments:**

    - `state`: where to start, for instance from `stationary`.
    - `bias`: `symmetric(V)`, `asymmetric(V)`, one mu_l per lead, any function of the time that returns that, or None.
    - `duration`, `dt`: in 1/hopping; the duration is a whole number of steps. None: as `suggest_dt` says, or less.
    - `save_every`: steps between saves (about 0.5 time units if None). Steps after the last save reach the final state.
    - `start_step`: the run starts at time start_step * dt, which matters for a bias that depends on time.
    - `method`: "etd", a fourth-order exponential method that takes the decay of the poles exactly; "magnus", exact
      electrons among spins at their mean, at a constant bias; or "rk38", the paper's 3/8-rule Runge-Kutta method.
    - `observe`: function of (valve, state) that returns a dict of arrays, or names such as ("spins", "energy");
      `default_observables` if None.
    - `freeze_spins`: keep the spins where they are.
    - `drive`: function (valve, t) -> valve that lets any parameter but Gamma, T and the poles depend on time
      (`FieldPulse`, `PeierlsPulse`, `Ramp`, or your own).
    - `key`: of ``jax.random``, for the thermal noise of a valve with ``damping`` and ``spin_temperature``; a step's
      depends on it and the step's number alone. None: no noise.
    - `spins`: where the spins are as a function of the time, (N_S, 3) unit vectors that ``dt`` resolves, in place of
      their equation of motion and of those in ``state``.

    **Returns:** a `Trajectory`. Differentiable in valve, state, bias, drive and spins, forward and reverse (which keeps
    about the square root of the number of steps in memory), batched by ``jax.vmap``. Raises `DivergedError`, outside of
    ``jit``, when the state becomes non-finite, and ValueError for a step beyond the stability limit.
    """
    valve = prepare(valve)
    check_state(valve, state)
    check_spins(valve, state.spins)
    bias = as_bias(bias, len(valve.lattice.contacts))
    rule = as_method(method)
    dt = default_dt(valve, bias, method, duration) if dt is None else dt
    steps = whole_steps(duration, dt)
    save_every = _saving(save_every, float(dt), steps)
    start = whole_number(start_step, "start_step", None) if known(start_step) else start_step
    check_step(valve, bias, dt, rule)
    if spins is not None:
        state = _led(valve, state, spins, start * dt, float(duration), {"freeze_spins": freeze_spins, "key": key})
    if known(start) and start == 0:
        check_poles(valve, state.spins, described(bias).extremes())
    if drive is not None:
        check_drive(valve, drive)
    length, key = jnp.asarray(dt, valve.dtype), as_key(key)
    step = Step(valve, described(bias), length, rule, freeze_spins, drive, key, spins=spins)
    return march(step, state, start, steps, save_every, as_observe(observe))


def _saving(save_every: int | None, dt: float, steps: int) -> int:
    """Steps between saves, as they are given or about half a time unit."""
    save_every = max(1, min(round(0.5 / dt), steps)) if save_every is None else save_every
    save_every = whole_number(save_every, "save_every", 1)
    if save_every > steps > 0:
        raise ValueError(f"Argument `save_every` must be at most the {steps} steps of the run, but is {save_every}.")
    return save_every


def _led(
    valve: SpinValve, state: State, spins: SpinPath, t: float | Array, duration: float, others: dict[str, Any]
) -> State:
    """The state with the spins where their path starts, if nothing else is to move or hold them."""
    for name, value in others.items():
        if value is not None and value is not False:
            wanted = "False" if name == "freeze_spins" else "None"
            raise ValueError(f"Argument `{name}` must be {wanted} where `spins` moves the spins, but is {value!r}.")
    check_spin_path(valve, spins, t, duration)
    return eqx.tree_at(lambda s: s.spins, state, jnp.asarray(spins(jnp.asarray(t)), valve.dtype))


def march(step: Step, state: State, start: int | Array, steps: int, save_every: int, observe: Observe) -> Trajectory:
    """``steps`` steps of a run, from step number ``start`` on; what `evolve` does after its checks.

    The step from t = 0, at which the bias is switched on, is taken in parts where the method asks for it. A ``start``
    that is an array does not begin a run. Raises `DivergedError`.
    """
    first = jnp.asarray(start)
    done = first - 1  # a step that is not in this run
    if len(step.method.grades) > 1 and isinstance(start, int) and start == 0 and steps:
        state, done = graded_start(step, state), first
    trajectory, finite = run_steps(step, state, first, done, steps, save_every, observe)
    if known(finite):
        _raise_if_diverged(trajectory, np.asarray(finite))
    return trajectory


@eqx.filter_jit
def graded_start(step: Step, state: State) -> State:
    """The step from t = 0, at which the levels may jump away from those of the state, in parts."""
    step = step.prepared().with_noise(jnp.zeros((), int))
    zero = jnp.zeros_like(step.dt)
    return step.ended(together(step.in_parts(apart(state), zero, zero, zero)), jnp.zeros((), int))


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
        # reverse mode takes the step again, which is faster than to keep what its stages leave
        moved = jax.checkpoint(lambda state: step(state, n), prevent_cse=False)(state)
        # a branch instead of the selection would copy the state, for a quarter of the time
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
