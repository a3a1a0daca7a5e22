"""Fits: parameters of a valve from its dynamics or its steady states, by least squares, with error bars."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
from svjax.fitting.coordinates import Free, Parameters
from svjax.fitting.minimise import check_options, check_start, minimise
from svjax.fitting.multiple_shooting import check_segments, growth_rate, shoot
from svjax.fitting.result import Fit
from svjax.fitting.targets import SteadyCurve, Trace
from svjax.fitting.trial import FitProgress, Trial, trial


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
      their errors, or a list of these. A scalar loss is for `minimise`.
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
    at = trial(valve, bias, free)
    check_options(starts, mode, max_steps)
    if callable(targets) and not isinstance(targets, Trace | SteadyCurve) and at.shape_of(targets) == ():
        warnings.warn(
            "`fit` of a scalar loss is now `minimise`, with the same arguments.", DeprecationWarning, stacklevel=2
        )
        options = dict(bias=bias, starts=starts, seed=seed, mode=mode, max_steps=max_steps, progress=progress)
        return minimise(valve, free, targets, **options)  # type: ignore[return-value,arg-type]
    several = list(targets) if isinstance(targets, Sequence) else [targets]
    return _fit_residuals(several, at, at.starts(starts, seed), mode, max_steps, at.report(progress))


def _fit_residuals(
    targets: list, at: Trial, starts: list[Array], mode: str | None, max_steps: int, report: Report
) -> Fit:
    chosen = at.chosen
    data = [target for target in targets if isinstance(target, Trace | SteadyCurve)]
    known = all(target.sigma is not None for target in data)
    if not known and (len(targets) > 1 or any(chosen.priors)):
        raise ValueError("Argument `sigma` must be given where there are several targets or priors, but is None.")
    for target in data:
        target.check(*at(starts[0]))
    traces = [target for target in data if isinstance(target, Trace)]
    for trace in traces:
        check_segments(trace)
    if any(trace.segments > 1 for trace in traces) and len(targets) > 1:
        raise ValueError(f"Argument `targets` must be one trace for `segments`, but are {len(targets)} targets.")
    shapes = [part.values.shape if isinstance(part, Trace | SteadyCurve) else at.shape_of(part) for part in targets]
    prior = lambda u: chosen.surprise(chosen.physical(u))
    residuals = lambda u: jnp.concatenate([jnp.asarray(part(*at(u))).ravel() for part in targets] + [prior(u)])
    count = sum(int(np.prod(shape)) for shape in shapes)
    many = len(chosen.names) > max(8, count)
    problem = with_derivative(residuals, mode or ("reverse" if many else "forward"))
    if not known and count <= len(chosen.names):
        raise ValueError(f"Argument `sigma` must be given for {count} data and {len(chosen.names)} parameters.")
    growth = _check_problem(problem, starts[0], chosen, traces, targets, shapes)

    if traces and traces[0].segments > 1:
        begun = [shoot(traces[0], at, prior, u, report, max_steps) for u in starts]
    else:
        begun = [descend(halved_square(problem), u, 5, report).u for u in starts]
    u = min(begun, key=lambda u: _finite(halved_square(problem)(u)[0])) if len(begun) > 1 else begun[0]
    noise = known, shapes[0][0] if shapes[0] and not known else 1
    found = polish(problem, u, max_steps, report, noise)
    spread, open_ones = _uncertainty(found, at, noise)
    parts = np.split(np.asarray(found.value), np.cumsum([int(np.prod(shape)) for shape in shapes]))
    shaped = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)]
    loss = float(found.value @ found.value) / 2
    slopes = np.asarray(chosen.slopes(found.u))
    covariance = spread * np.outer(slopes, slopes)
    errors = dict(zip(chosen.names, np.sqrt(np.diagonal(covariance)).tolist(), strict=True))
    values, reason = at.values(found.u), at.reason(found)
    return Fit(
        *at(found.u), values, errors, covariance, shaped, loss, found.converged, reason, open_ones, growth,
        at, found.u, spread,
    )  # fmt: skip


def _uncertainty(found: Outcome, at: Trial, noise: tuple[bool, int]) -> tuple[np.ndarray, list[str]]:
    """The covariance of u, zero for parameters at their bounds, and what the data leave open of the others."""
    chosen = at.chosen
    inside = ~chosen.at_bounds(found.u)
    covariance = np.zeros((len(inside), len(inside)))
    if not inside.any():
        return covariance, []
    jacobian, names = found.derivative[:, inside], [n for n, free in zip(chosen.names, inside, strict=True) if free]
    _, part, determined = error_bars(found.value, jacobian, *noise)
    open_ones = undetermined(jacobian / chosen.slopes(found.u)[inside], names)
    covariance[np.ix_(inside, inside)] = part if determined and not open_ones else np.inf
    return covariance, open_ones


def _check_problem(
    problem: Problem, u: Array, chosen: Parameters, traces: list[Trace], targets: list, shapes: list
) -> float:
    """Raise where the start is no start or the data cannot determine the parameters; the growth of the derivatives."""
    residuals, jacobian = problem(u)
    check_start(residuals)
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
