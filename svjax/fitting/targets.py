"""What a fit is fitted to: traces in time, and curves of steady states and relaxation times along the voltage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from svjax.dynamics.evolve import Trajectory, evolve
from svjax.dynamics.modes import relaxation_modes
from svjax.dynamics.steady_state import steady_state
from svjax.dynamics.step_size import check_step
from svjax.electrons.stationary import stationary
from svjax.engine.arrays import Numbers
from svjax.engine.methods import as_method
from svjax.engine.shown import Shown
from svjax.fitting.data_checks import check_finite, check_shape, check_values, spread
from svjax.macrospin.model import MacrospinModel, solve_macrospin
from svjax.model.equations import State
from svjax.model.levels import BiasLike
from svjax.model.parameters import entry
from svjax.model.valve import SpinValve, aligned_spins
from svjax.observables.by_name import default_observables
from svjax.reservoirs.bias import as_bias, symmetric

Observable = str | Callable[[SpinValve, State], ArrayLike]

MODES = {"relaxation_time": lambda rate: -1 / rate.real, "frequency": lambda rate: rate.imag}
"""What a `SteadyCurve` knows of the mode of smallest |lambda|, beyond the observables of a state."""


def _numbers(value: Numbers) -> np.ndarray:
    return np.asarray(value, float)


def _errors(value: Numbers | None) -> np.ndarray | None:
    return None if value is None else np.asarray(value, float)


@dataclass(frozen=True)
class Fitted:
    """An observable as "fitted", for `evolve`; two of one observable are equal and share their compiled run."""

    observable: Observable

    def __call__(self, valve: SpinValve, state: State) -> dict[str, Array]:
        return {"fitted": of_state(valve, state, self.observable)}


class Trace(Shown, eqx.Module):
    """A trace in time to fit: ``values`` (T, ...) of an observable at the times ``t`` (T,).

    - `observable`: of those that `evolve` saves, with an index where a part is meant ("magnetization[1,0]" is M_r^x),
      or a function of (valve, state). Of a `MacrospinModel` it is a part of "magnetization".
    - `sigma`: standard error of the values, a number or an array; estimated from the residuals if None.
    - `start`: a `State`, or a function of the valve that returns it. None: the equilibrium of the trial valve, at
      mu = 0; without leads its aligned spins. Of a `MacrospinModel`: the magnetisations (2, 3) at t = 0, or a
      function of the bias that returns them.
    - `bias`: that of the fit if None.
    - `dt`, `method`: as in `evolve`; all times are whole numbers of steps, not necessarily even.
    - `segments`: in how many equal parts the trace is cut by multiple shooting (see `fit`).
    """

    units: ClassVar = {"t": "hbar/hopping", "dt": "hbar/hopping"}

    t: np.ndarray = eqx.field(converter=_numbers)
    values: np.ndarray = eqx.field(converter=_numbers)
    observable: Observable = "magnetization"
    sigma: np.ndarray | None = eqx.field(converter=_errors, default=None, kw_only=True)
    start: Any = eqx.field(default=None, kw_only=True)
    bias: BiasLike = eqx.field(default=None, kw_only=True)
    dt: float = eqx.field(default=0.1, kw_only=True)
    method: str = eqx.field(default="etd", kw_only=True)
    segments: int = eqx.field(default=1, kw_only=True)

    def __call__(self, valve, bias) -> Float[Array, "time *shape"]:
        """Residuals: prediction minus values, in units of ``sigma`` where it is given."""
        return weighted(self.predicted(valve, bias), self)

    def predicted(self, valve, bias) -> Float[Array, "time *shape"]:
        """The observable of a valve at the times of the trace."""
        if isinstance(valve, MacrospinModel):
            times = np.concatenate([[0.0], self.t])
            start: Any = self.start(bias) if callable(self.start) else self.start
            m = solve_macrospin(valve, start, times, rtol=1e-9, atol=1e-9, max_steps=2**16)[1:]
            return jax.vmap(lambda m: observed({"magnetization": m}, self.observable))(m)
        steps = self.steps
        run = self.run(valve, bias, self.first_state(valve), 0, steps[-1])
        return run.observables["fitted"][steps // self.stride - 1]

    def run(self, valve: SpinValve, bias, state: State, start_step, steps: int) -> Trajectory:
        """``steps`` steps from ``state``, with the observable saved every `stride` steps as "fitted"."""
        return evolve(
            valve,
            state,
            self.bias if self.bias is not None else bias,
            steps * self.dt,
            dt=self.dt,
            save_every=self.stride,
            start_step=start_step,
            method=self.method,
            observe=Fitted(self.observable),
        )

    def first_state(self, valve: SpinValve) -> State:
        """The state at t = 0."""
        if self.start is not None:
            return self.start if isinstance(self.start, State) else self.start(valve)
        return steady_state(valve, None) if valve.lattice.contacts else stationary(valve, aligned_spins(valve))

    @property
    def steps(self) -> np.ndarray:
        """The number of the step at which each value is taken."""
        return np.round(self.t / self.dt).astype(int)

    @property
    def stride(self) -> int:
        """Steps between saves: the greatest common divisor of all `steps`."""
        return math.gcd(*self.steps.tolist())

    def check(self, valve, bias) -> None:
        """Raise a ValueError for data that cannot be those of a trace of this valve."""
        if self.t.ndim != 1 or not self.t.size:
            raise ValueError(f"Argument `t` must be of shape (T,), but is of shape {self.t.shape}.")
        check_finite("t", self.t)
        if not (self.t[0] > 0 and np.all(np.diff(self.t) > 0)):
            raise ValueError("Argument `t` must be positive and strictly increasing, but is not.")
        if isinstance(valve, MacrospinModel):
            if self.segments != 1:
                raise ValueError("Argument `segments` must be 1 for a MacrospinModel, but is not.")
            if not callable(self.start) and np.shape(self.start) != (2, 3):
                raise ValueError(f"Argument `start` must be of shape (2, 3), but is of shape {np.shape(self.start)}.")
        else:
            rule, leads = as_method(self.method), len(valve.lattice.contacts)
            wrong = np.abs(self.t / self.dt - self.steps) > 1e-6
            if np.any(wrong):
                raise ValueError(f"Argument `t` must be whole steps of dt = {self.dt:g}, but is {self.t[wrong][0]:g}.")
            check_step(valve, as_bias(self.bias if self.bias is not None else bias, leads), self.dt, rule)
        check_values(self.values, self.sigma, "t", self.t)
        check_shape(self.values, eqx.filter_eval_shape(lambda *model: self.predicted(*model), valve, bias))


class SteadyCurve(Shown, eqx.Module):
    """Steady states along the voltage to fit: ``values`` (V, ...) of an observable at the ``voltages`` (V,).

    - `observable`: as in `Trace`, or "relaxation_time", t_R = -1/Re lambda, or "frequency", Im lambda, of the mode of
      smallest |lambda|.
    - `sigma`: as in `Trace`.
    - `drop`: the bias of a voltage, `symmetric`, `asymmetric` or another function.
    - `spins`: (N_S, 3), from where the first steady state is sought (aligned if None); each further one starts from the
      one before it.
    """

    units: ClassVar = {"voltages": "hopping"}

    voltages: np.ndarray = eqx.field(converter=_numbers)
    values: np.ndarray = eqx.field(converter=_numbers)
    observable: Observable = "magnetization"
    sigma: np.ndarray | None = eqx.field(converter=_errors, default=None, kw_only=True)
    drop: Callable[[Array], Any] = eqx.field(default=symmetric, kw_only=True)
    spins: Any = eqx.field(default=None, kw_only=True)

    def __call__(self, valve: SpinValve, bias) -> Float[Array, "voltages *shape"]:
        """Residuals: prediction minus values, in units of ``sigma`` where it is given."""
        return weighted(self.predicted(valve, bias), self)

    def predicted(self, valve: SpinValve, bias) -> Float[Array, "voltages *shape"]:
        """The observable of a valve at the voltages."""
        del bias

        def follow(spins, voltage):
            state = steady_state(valve, self.drop(voltage), spins=spins)
            if callable(self.observable) or self.observable not in MODES:
                return state.spins, of_state(valve, state, self.observable)
            rate = relaxation_modes(valve, state, self.drop(voltage), count=1)[0]
            return state.spins, MODES[self.observable](rate)

        spins = aligned_spins(valve) if self.spins is None else jnp.asarray(self.spins)
        return jax.lax.scan(follow, spins, jnp.asarray(self.voltages))[1]

    def check(self, valve, bias) -> None:
        """Raise a ValueError for data that cannot be those of steady states of this valve."""
        if not isinstance(valve, SpinValve):
            raise ValueError(f"Argument `valve` must be a SpinValve to have steady states, but is {type(valve)}.")
        if self.voltages.ndim != 1 or not self.voltages.size:
            raise ValueError(f"Argument `voltages` must be of shape (V,), but is of shape {self.voltages.shape}.")
        check_finite("voltages", self.voltages)
        check_values(self.values, self.sigma, "voltages", self.voltages)
        check_shape(self.values, eqx.filter_eval_shape(lambda *model: self.predicted(*model), valve, bias))


Target = Trace | SteadyCurve


def weighted(prediction: Array, target: Target) -> Array:
    """Prediction minus values, in units of the target's ``sigma`` where it is given."""
    misfit = prediction - target.values
    return misfit if target.sigma is None else misfit / spread(target.sigma, misfit.ndim)


def of_state(valve: SpinValve, state: State, observable: Observable) -> Array:
    """An observable of a state."""
    if callable(observable):
        return jnp.asarray(observable(valve, state))
    return observed(default_observables(valve, state), observable)


def observed(known: dict[str, Array], observable: Observable) -> Array:
    """The part of one of the ``known`` observables that a name with an index stands for."""
    if callable(observable):
        raise ValueError("Argument `observable` must be a part of 'magnetization' here, but is a function.")
    return entry(known, observable, "Argument `observable`", f"{list(known)}")
