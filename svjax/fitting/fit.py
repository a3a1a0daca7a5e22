"""Fits: parameters of a valve from its dynamics or its steady states, with error bars; and design by any loss."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from svjax.engine.error_bars import undetermined
from svjax.engine.least_squares import (
    Outcome,
    Problem,
    Report,
    descend,
    error_bars,
    halved_square,
    polish,
    with_derivative,
)
from svjax.fitting.coordinates import Free, Parameters, parameters
from svjax.fitting.multiple_shooting import check_segments, growth_rate, shoot
from svjax.fitting.result import Fit, FitProgress
from svjax.fitting.targets import SteadyCurve, Trace
from svjax.model.parameters import set_parameters
from svjax.model.valve import SpinValve, prepare


def fit(
    valve: Any,
    free: Sequence[str] | Mapping[str, Free | float],
    targets: Any,
    *,
    bias: Any = None,
    starts: int = 1,
    seed: int = 0,
    mode: str | None = None,
    max_steps: int = 50,
    progress: Callable[[FitProgress], object] | None = None,
) -> Fit:
    """Parameters of a valve, or of its bias, with which it does what the targets say: least squares with error bars.

        loss = sum_targets |(prediction - values)/sigma|^2/2 + sum_priors ((x - mean)/error)^2/2,
        covariance = (J^T J)^-1 at the minimum, J the derivative of the residuals,

    times the variance of the residuals where sigma is not given (see `uncertainty.noise_variance`). A few descending
    steps (L-BFGS, optax) lead to the method of Levenberg and Marquardt (optimistix), in coordinates in which positive
    and bounded parameters may go anywhere.

    **Arguments:**

    - `valve`: a `SpinValve`, or a `MacrospinModel` for targets that are a `Trace` of it.
    - `free`: names as for `get_parameter` ("j_sd", "anisotropy[1]", "voltage"), or name -> `Free` or start.
    - `targets`: a `Trace`, a `SteadyCurve`, a function of (valve, bias) that returns an array of residuals in units of
      their errors, or a list of these; or one function that returns a scalar loss to be minimised, by descent alone.
    - `bias`: of the traces that have none of their own; its parameters can be fitted too.
    - `starts`: how many starts the descent has, those after the first drawn with ``seed``; the best is polished.
    - `mode`: of differentiation, "forward" or "reverse"; forward if None, unless there are more than eight parameters
      and more parameters than data. The run is compiled once, with all tangents.
    - `max_steps`: of each stage. `progress`: called with a `FitProgress` after each step.

    A trace with ``segments`` is fitted by multiple shooting (see `shooting`) before the polish; that finds the way from
    starts where a long trace has many minima or its derivatives grow exponentially. The latter gives a RuntimeWarning.

    **Returns:** a `Fit`. Raises ValueError for data that are not finite or of the wrong shape, for unknown names,
    starts out of bounds or without a finite loss, and for parameters that the data do not determine.
    """
    valve = prepare(valve) if isinstance(valve, SpinValve) else valve
    chosen = parameters(valve, bias, free)
    _check_options(starts, mode, max_steps)
    model = lambda u: set_parameters(valve, bias, chosen.named(u))
    origin = jnp.zeros(len(chosen.names))
    report = _reporter(chosen, progress)
    if callable(targets) and not isinstance(targets, Trace | SteadyCurve):
        shape = jax.eval_shape(lambda u: jnp.asarray(targets(*model(u))), origin).shape
        if shape == ():
            loss = lambda u: jnp.asarray(targets(*model(u))) + jnp.sum(chosen.surprise(chosen.physical(u)) ** 2) / 2
            problem = with_derivative(loss, mode or ("forward" if len(origin) <= 8 else "reverse"))
            _check_start(problem(origin)[0][None])
            outcomes = [descend(problem, u, max_steps, report) for u in _starts(chosen, starts, seed)]
            best = min(outcomes, key=lambda outcome: float(outcome.value))
            return _result(chosen, model, best, float(best.value))
    several = list(targets) if isinstance(targets, Sequence) else [targets]
    return _fit_residuals(several, chosen, model, _starts(chosen, starts, seed), mode, max_steps, report)


def _fit_residuals(
    targets: list, chosen: Parameters, model, starts: list[Array], mode: str | None, max_steps: int, report: Report
) -> Fit:
    data = [target for target in targets if isinstance(target, Trace | SteadyCurve)]
    known = all(target.sigma is not None for target in data)
    if not known and (len(targets) > 1 or any(chosen.priors)):
        raise ValueError("Argument `sigma` must be given where there are several targets or priors, but is None.")
    for target in data:
        target.check(*model(starts[0]))
    traces = [target for target in data if isinstance(target, Trace)]
    for trace in traces:
        check_segments(trace)
    if any(trace.segments > 1 for trace in traces) and len(targets) > 1:
        raise ValueError(f"Argument `targets` must be one trace for `segments`, but are {len(targets)} targets.")
    of_function = lambda part: jax.eval_shape(lambda u: jnp.asarray(part(*model(u))), starts[0]).shape
    shapes = [part.values.shape if isinstance(part, Trace | SteadyCurve) else of_function(part) for part in targets]
    prior = lambda u: chosen.surprise(chosen.physical(u))
    residuals = lambda u: jnp.concatenate([jnp.asarray(part(*model(u))).ravel() for part in targets] + [prior(u)])
    count = sum(int(np.prod(shape)) for shape in shapes)
    many = len(chosen.names) > max(8, count)
    problem = with_derivative(residuals, mode or ("reverse" if many else "forward"))
    if not known and count <= len(chosen.names):
        raise ValueError(f"Argument `sigma` must be given for {count} data and {len(chosen.names)} parameters.")
    growth = _check_problem(problem, starts[0], chosen, traces, targets, shapes)

    if traces and traces[0].segments > 1:
        begun = [shoot(traces[0], model, prior, u, report, max_steps) for u in starts]
    else:
        begun = [descend(halved_square(problem), u, 5, report).u for u in starts]
    u = min(begun, key=lambda u: _finite(halved_square(problem)(u)[0])) if len(begun) > 1 else begun[0]
    noise = known, shapes[0][0] if shapes[0] and not known else 1
    found = polish(problem, u, max_steps, report, noise)
    covariance, open_ones = _uncertainty(found, chosen, noise)
    parts = np.split(np.asarray(found.value), np.cumsum([int(np.prod(shape)) for shape in shapes]))
    shaped = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)]
    loss = float(found.value @ found.value) / 2
    return _result(chosen, model, found, loss, covariance, shaped, open_ones, growth)


def _uncertainty(found: Outcome, chosen: Parameters, noise: tuple[bool, int]) -> tuple[np.ndarray, list[str]]:
    """The covariance of u, zero for parameters at their bounds, and what the data leave open of the others."""
    inside = ~chosen.at_bounds(found.u)
    covariance = np.zeros((len(inside), len(inside)))
    if not inside.any():
        return covariance, []
    jacobian, names = found.derivative[:, inside], [n for n, free in zip(chosen.names, inside, strict=True) if free]
    _, part, determined = error_bars(found.value, jacobian, *noise)
    open_ones = undetermined(jacobian / chosen.slopes(found.u)[inside], names)
    covariance[np.ix_(inside, inside)] = part if determined and not open_ones else np.inf
    return covariance, open_ones


def _result(
    chosen: Parameters,
    model,
    found: Outcome,
    loss: float,
    covariance: np.ndarray | None = None,
    residuals: list[np.ndarray] | None = None,
    open_ones: list[str] | None = None,
    growth: float = 0.0,
) -> Fit:
    """The `Fit` at an outcome, its covariance carried over from u to the parameters."""
    valve, bias = model(found.u)
    slopes = np.asarray(chosen.slopes(found.u))
    values = dict(zip(chosen.names, np.asarray(chosen.physical(found.u)).tolist(), strict=True))
    errors, spread = None, covariance
    if covariance is not None:
        covariance = covariance * np.outer(slopes, slopes)
        errors = dict(zip(chosen.names, np.sqrt(np.diagonal(covariance)).tolist(), strict=True))
    stuck = [name for name, at in zip(chosen.names, chosen.at_bounds(found.u), strict=True) if at]
    reason = found.reason + (f"; at a bound: {', '.join(stuck)}" if stuck else "")
    return Fit(
        valve, bias, values, errors, covariance, residuals or [], loss, found.converged, reason, open_ones or [],
        growth, lambda du: model(found.u + du), spread,
    )  # fmt: skip


def _check_options(starts: int, mode: str | None, max_steps: int) -> None:
    if mode not in (None, "forward", "reverse"):
        raise ValueError(f"Argument `mode` must be 'forward', 'reverse' or None, but is {mode!r}.")
    for name, value in {"starts": starts, "max_steps": max_steps}.items():
        if value != int(value) or value < 1:
            raise ValueError(f"Argument `{name}` must be a whole number of at least 1, but is {value}.")


def _check_start(residuals: Array) -> None:
    if not bool(jnp.all(jnp.isfinite(residuals))):
        raise ValueError("Argument `free` must start where the loss is finite, but it is nan or infinite there.")


def _check_problem(
    problem: Problem, u: Array, chosen: Parameters, traces: list[Trace], targets: list, shapes: list
) -> float:
    """Raise where the start is no start or the data cannot determine the parameters; the growth of the derivatives."""
    residuals, jacobian = problem(u)
    _check_start(residuals)
    growth, first = 0.0, 0
    for target, shape in zip(targets, shapes, strict=True):
        size = int(np.prod(shape))
        if any(target is trace for trace in traces):
            growth = max(growth, growth_rate(target.t, np.asarray(jacobian[first : first + size])))
        first += size
    if growth:
        warnings.warn(
            f"The derivatives of a trace grow as exp({growth:.2g} t): a fit of all of it at once may fail. Give the "
            "trace `segments`, or a shorter horizon.",
            RuntimeWarning,
            stacklevel=4,
        )
    if np.all(np.isfinite(jacobian)):
        found = undetermined(jacobian / chosen.slopes(u), chosen.names)
        if found:
            raise ValueError("Argument `free` must be determined by the data, but is not: " + "; ".join(found) + ".")
    elif all(trace.segments == 1 for trace in traces):
        raise ValueError(
            "Argument `free` must start where the derivatives of the data are finite, but they are not there; those of "
            "a long trace may be with `segments`."
        )
    return growth


def _finite(loss: Array) -> float:
    return float(loss) if np.isfinite(loss) else np.inf


def _starts(chosen: Parameters, count: int, seed: int) -> list[Array]:
    generator = np.random.default_rng(seed)
    return [jnp.zeros(len(chosen.names))] + [jnp.asarray(chosen.draw(generator)) for _ in range(count - 1)]


def _reporter(chosen: Parameters, progress: Callable[[FitProgress], object] | None) -> Report:
    def report(stage, step, loss, u):
        if progress is not None:
            values = dict(zip(chosen.names, np.asarray(chosen.physical(jnp.asarray(u))).tolist(), strict=True))
            progress(FitProgress(stage, step, loss, values))

    return report
