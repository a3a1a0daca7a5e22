"""The relaxation time of a simulated trace, Eq. (22)."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike
from scipy.optimize import least_squares

from svjax.engine.shown import Shown


class RelaxationFit(Shown, eqx.Module):
    """What `fit_relaxation` returns; all are floats.

    - `t_r`, `error`: the relaxation time and its estimated standard error.
    - `frequency`, `frequency_error`: of the oscillation, Im lambda.
    - `amplitude`: A, the envelope at t = 0 of the trace's clock. `offset`: the steady value at the end of the trace.
    - `residual`: root mean square of trace minus fit, relative to that of the oscillation.
    """

    units: ClassVar = {
        "t_r": "hbar/hopping",
        "error": "hbar/hopping",
        "frequency": "hopping",
        "frequency_error": "hopping",
    }

    t_r: float
    error: float
    frequency: float
    frequency_error: float
    amplitude: float
    offset: float
    residual: float


def fit_relaxation(t: ArrayLike, trace: ArrayLike, *, start: float = 200.0) -> RelaxationFit:
    """The relaxation time of a simulated oscillation by its envelope, E(t) = A exp(-t/t_R) + M(infinity), Eq. (22).

    Fitted is the oscillation under that envelope, with an offset that may drift,

        m(t) = a + b t + c t^2 + A exp(-t/t_R) cos(omega t + phi),

    by least squares in t_R and omega, with the other, linear parameters eliminated. That uses every point, not only the
    maxima. The error is the larger of the statistical one and the spread of fits to the first and last two thirds of
    the trace, which notices further modes and a drift that is not quadratic.

    **Arguments:** ``t``, ``trace`` (T,), one component of a magnetisation, for instance M_r^x; ``start``: what is
    before is left out, since early on faster modes are there too.

    Raises ValueError for a trace with fewer than three periods after ``start``.
    """
    t, trace = np.asarray(t, float), np.asarray(trace, float)
    if t.ndim != 1 or t.shape != trace.shape:
        raise ValueError(f"Arguments `t` and `trace` must have one shape (T,), but have {t.shape} and {trace.shape}.")
    if not (np.all(np.isfinite(t)) and np.all(np.isfinite(trace)) and np.all(np.diff(t) > 0)):
        raise ValueError("Arguments `t` and `trace` must be finite, `t` ascending, but they are not.")
    late = t >= start
    if late.sum() < 16:
        raise ValueError(
            f"Argument `start` must leave at least 16 points of the trace, but {start:g} leaves {late.sum()}."
        )
    t, trace = t[late], trace[late]
    span = t[-1] - t[0]
    guess = _dominant_frequency(t, trace)
    if guess * span < 6 * np.pi:
        raise ValueError(
            f"Argument `trace` must hold three periods after `start`, but holds {guess * span / (2 * np.pi):.1f}."
        )
    rate, omega, covariance, linear, residual = _fit_oscillation(t, trace, guess)
    parts = [_fit_oscillation(t[w], trace[w], omega) for w in (t <= t[0] + 2 * span / 3, t >= t[-1] - 2 * span / 3)]
    spread = [abs(parts[0][k] - parts[1][k]) / 2 for k in (0, 1)]
    errors = [max(np.sqrt(covariance[k, k]), spread[k]) for k in (0, 1)]
    amplitude = np.hypot(linear[0], linear[1]) * np.exp(rate * (t[0] + t[-1]) / 2)
    return RelaxationFit(
        t_r=float(1 / rate),
        error=float(errors[0] / rate**2),
        frequency=float(omega),
        frequency_error=float(errors[1]),
        amplitude=float(amplitude),
        offset=float(linear[2] + linear[3] + linear[4]),
        residual=float(residual),
    )


def _basis(t: np.ndarray, rate: float, omega: float) -> np.ndarray:
    """The functions that enter linearly, time measured from the middle of the trace."""
    middle, half = (t[0] + t[-1]) / 2, (t[-1] - t[0]) / 2
    x = (t - middle) / half
    envelope = np.exp(-rate * (t - middle))
    return np.stack(
        [envelope * np.cos(omega * (t - middle)), envelope * np.sin(omega * (t - middle)), x**0, x, x**2], 1
    )


def _dominant_frequency(t: np.ndarray, trace: np.ndarray) -> float:
    """Of the strongest oscillation, from the Fourier transform of the trace without its drift."""
    grid = np.linspace(t[0], t[-1], len(t))
    x = np.linspace(-1, 1, len(t))
    even = np.interp(grid, t, trace)
    even = (even - np.polyval(np.polyfit(x, even, 2), x)) * np.hanning(len(t))
    padded = 8 * len(t)
    power = np.abs(np.fft.rfft(even, padded))
    return 2 * np.pi * float(np.fft.rfftfreq(padded, grid[1] - grid[0])[np.argmax(power)])


def _fit_oscillation(t: np.ndarray, trace: np.ndarray, guess: float):
    """(rate, omega, covariance (2, 2), linear parameters, relative residual) by variable projection."""
    span = t[-1] - t[0]

    def solve(parameters):
        basis = _basis(t, *parameters)
        linear = np.linalg.lstsq(basis, trace, rcond=None)[0]
        return basis, linear

    def misfit(parameters):
        basis, linear = solve(parameters)
        return basis @ linear - trace

    limit = 60 / span
    rates = np.array([0, 0.3, 1, 3, 10]) / span
    starts = [misfit([rate, guess]) @ misfit([rate, guess]) for rate in rates]
    found = least_squares(
        misfit,
        [rates[int(np.argmin(starts))], guess],
        bounds=([-limit, 0.5 * guess], [limit, 2 * guess]),
        x_scale=[1 / span, 1 / span],
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )
    basis, linear = solve(found.x)
    oscillation = basis[:, :2] @ linear[:2]
    variance = found.fun @ found.fun / max(len(t) - 7, 1)
    covariance = variance * np.linalg.pinv(found.jac.T @ found.jac)
    return *found.x, covariance, linear, np.sqrt(np.mean(found.fun**2) / np.mean(oscillation**2))
