"""What a fit returns: values, error bars, what the data leave open, and numbers that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from svjax.engine.shown import Entry, Shown, in_words
from svjax.fitting.trial import Trial

NO_CORRELATION = 0.005
"""A correlation below this, which prints as 0.00, is none."""


class Minimum(Shown, eqx.Module):
    """What `minimise` returns.

    - `valve`, `bias`: with the parameters found. `values`: these by name. `loss`: there.
    - `converged`, `reason`: whether the descent came to rest, and why it stopped.
    """

    valve: Any
    bias: Any
    values: dict[str, float]
    loss: float
    converged: bool
    reason: str

    def _head(self) -> str:
        return f"Minimum of {len(self.values)} parameters, {self.reason}"

    def _entries(self) -> list[Entry]:
        return [(name, f"{value:.6g}", "") for name, value in self.values.items()] + [("loss", f"{self.loss:.6g}", "")]


class Fit(Shown, eqx.Module):
    """What `fit` returns.

    - `valve`, `bias`: with the fitted parameters.
    - `values`, `errors`: by name; the errors are standard errors, infinite where the data determine nothing.
    - `covariance`: (n, n) in the order of `values`, from the Gauss-Newton curvature.
    - `residuals`: one array for each target, in units of its sigma where that was given. `loss`: half the sum of their
      squares (with that of the priors).
    - `converged`, `reason`: whether the fit came to rest, and why it stopped.
    - `undetermined`: combinations of parameters that the data leave open, in words.
    - `growth`: the rate with which the derivatives of a trace grow exponentially, 0 where they do not.
    - `trial`, `u`, `spread`: the valve and the bias as a function of the coordinates in which the fit moves, where no
      bound is in the way, those at its end, and their covariance, (n, n): what `derived` needs.

    A parameter that ends at a bound is named in `reason` and has no error; those of the others are for it held there.
    The entries of an easy axis in `values` are those before it is given length one.
    """

    valve: Any
    bias: Any
    values: dict[str, float]
    errors: dict[str, float]
    covariance: np.ndarray
    residuals: list[np.ndarray]
    loss: float
    converged: bool
    reason: str
    undetermined: list[str]
    growth: float
    trial: Trial
    u: Float[Array, "n"]
    spread: np.ndarray

    @property
    def correlation(self) -> Float[np.ndarray, "n n"]:
        """The covariance in units of the errors."""
        covariance = _needed(self.covariance)
        errors = np.sqrt(np.diagonal(covariance))
        scale = np.where(errors > 0, errors, 1.0)
        return covariance / np.outer(scale, scale)

    def derived(self, function: Callable[[Any, Any], Any]) -> tuple[float, float]:
        """The value of a number that follows from the fit, ``function(valve, bias)``, and its standard error.

        error^2 = g^T covariance g, g the gradient, by central differences of a tenth of an error along the axes of the
        covariance: the function may be anything.
        """
        covariance = _needed(self.spread)
        errors = np.sqrt(np.diagonal(covariance))
        scale = np.where(errors > 0, errors, 1.0)
        weights, axes = np.linalg.eigh(covariance / np.outer(scale, scale))
        at = lambda du: float(function(*self.trial(self.u + du)))
        steps = 0.1 * np.sqrt(np.maximum(weights, 0)) * axes * scale[:, None]
        slopes = [(at(step) - at(-step)) / 0.2 for step in steps.T if np.any(step)]
        return float(function(self.valve, self.bias)), float(np.linalg.norm(slopes))

    def _head(self) -> str:
        return f"Fit of {len(self.values)} parameters, {self.reason}"

    def _entries(self) -> list[Entry]:
        return [(name, f"{value:.6g} +- {self.errors[name]:.2g}", "") for name, value in self.values.items()]

    def _foot(self) -> list[str]:
        loss = f"loss {self.loss:.6g} of {sum(part.size for part in self.residuals)} data"
        open_ones = "; ".join(self.undetermined)
        return [loss + self._strongest(), *([f"not determined: {in_words(open_ones)}"] if open_ones else [])]

    def _strongest(self) -> str:
        """The largest correlation of two parameters in words, if there is one."""
        if not np.all(np.isfinite(self.covariance)):
            return ""
        off, names = np.triu(self.correlation, 1), list(self.values)
        i, j = np.unravel_index(np.argmax(np.abs(off)), off.shape)
        known = abs(off[i, j]) >= NO_CORRELATION
        return f"; largest correlation {off[i, j]:.2f}, of {names[i]} and {names[j]}" if known else ""


def _needed(covariance: np.ndarray) -> np.ndarray:
    if not np.all(np.isfinite(covariance)):
        raise ValueError("A covariance is needed, but undetermined parameters have none.")
    return covariance
