"""What a fit returns: values, error bars, what the data leave open, and numbers that follow from them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float


class FitProgress(NamedTuple):
    """What `fit` tells its ``progress`` after each step."""

    stage: str
    step: int
    loss: float
    values: dict[str, float]


class Fit(eqx.Module):
    """What `fit` returns.

    - `valve`, `bias`: with the fitted parameters.
    - `values`, `errors`: by name; the errors are standard errors, infinite where the data determine nothing. A fit of a
      scalar loss has no errors and no covariance: None.
    - `covariance`: (n, n) in the order of `values`, from the Gauss-Newton curvature.
    - `residuals`: one array for each target, in units of its sigma where that was given. `loss`: half the sum of their
      squares (with that of the priors), or the scalar loss.
    - `converged`, `reason`: whether the fit came to rest, and why it stopped.
    - `undetermined`: combinations of parameters that the data leave open, in words.
    - `growth`: the rate with which the derivatives of a trace grow exponentially, 0 where they do not.
    - `around`, `spread`: the valve and the bias at a displacement of the coordinates in which the fit moves, where no
      bound is in the way, and their covariance, (n, n): what `derived` needs.

    A parameter that ends at a bound is named in `reason` and has no error; those of the others are for it held there.
    The entries of an easy axis in `values` are those before it is given length one.
    """

    valve: Any
    bias: Any
    values: dict[str, float]
    errors: dict[str, float] | None
    covariance: np.ndarray | None
    residuals: list[np.ndarray]
    loss: float
    converged: bool
    reason: str
    undetermined: list[str]
    growth: float
    around: Callable[[np.ndarray], tuple[Any, Any]]
    spread: np.ndarray | None

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
        at = lambda du: float(function(*self.around(du)))
        steps = 0.1 * np.sqrt(np.maximum(weights, 0)) * axes * scale[:, None]
        slopes = [(at(step) - at(-step)) / 0.2 for step in steps.T if np.any(step)]
        return float(function(self.valve, self.bias)), float(np.linalg.norm(slopes))

    def __str__(self) -> str:
        width = max(map(len, self.values))
        lines = [f"Fit of {len(self.values)} parameters, {self.reason}"]
        for name, value in self.values.items():
            error = "" if self.errors is None else f" +- {self.errors[name]:.2g}"
            lines.append(f"  {name:<{width}}  {value:.6g}{error}")
        data = sum(part.size for part in self.residuals)
        lines.append(f"loss {self.loss:.6g}" + (f" of {data} data" if data else ""))
        if self.covariance is not None and np.all(np.isfinite(self.covariance)) and len(self.values) > 1:
            off = np.triu(self.correlation, 1)
            i, j = np.unravel_index(np.argmax(np.abs(off)), off.shape)
            lines[-1] += f"; largest correlation {off[i, j]:.2f}, of {list(self.values)[i]} and {list(self.values)[j]}"
        lines += [f"not determined: {text}" for text in self.undetermined]
        return "\n".join(lines)


def _needed(covariance: np.ndarray | None) -> np.ndarray:
    if covariance is None or not np.all(np.isfinite(covariance)):
        raise ValueError("A covariance is needed, but a scalar loss or undetermined parameters have none.")
    return covariance
