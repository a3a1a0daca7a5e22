"""What a fit returns: values, error bars, what the data leave open, and numbers that follow from them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float

from svjax.parameters import set_parameters


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

    @property
    def correlation(self) -> Float[np.ndarray, "n n"]:
        """The covariance in units of the errors."""
        spread = np.sqrt(np.diagonal(self._covariance()))
        return self._covariance() / np.outer(spread, spread)

    def derived(self, function: Callable[[Any, Any], Any]) -> tuple[float, float]:
        """The value of a number that follows from the fit, ``function(valve, bias)``, and its standard error.

        error^2 = g^T covariance g, g the gradient, by central differences of a tenth of an error along the axes of the
        covariance: the function may be anything.
        """
        covariance, names = self._covariance(), list(self.values)
        middle, spread = np.array(list(self.values.values())), np.sqrt(np.diagonal(covariance))
        weights, axes = np.linalg.eigh(covariance / np.outer(spread, spread))
        at = lambda x: float(function(*set_parameters(self.valve, self.bias, dict(zip(names, x, strict=True)))))
        steps = 0.1 * np.sqrt(np.maximum(weights, 0)) * axes * spread[:, None]
        slopes = [(at(middle + step) - at(middle - step)) / 0.2 for step in steps.T]
        return at(middle), float(np.linalg.norm(slopes))

    def _covariance(self) -> np.ndarray:
        if self.covariance is None or not np.all(np.isfinite(self.covariance)):
            raise ValueError("A covariance is needed, but a scalar loss or undetermined parameters have none.")
        return self.covariance

    def __str__(self) -> str:
        width = max(map(len, self.values))
        lines = [f"Fit of {len(self.values)} parameters, {self.reason}"]
        for name, value in self.values.items():
            error = "" if self.errors is None else f" +- {self.errors[name]:.2g}"
            lines.append(f"  {name:<{width}}  {value:.6g}{error}")
        data = sum(part.size for part in self.residuals)
        lines.append(f"loss {self.loss:.6g}" + (f" of {data} data" if data else ""))
        if self.covariance is not None and np.all(np.isfinite(self.covariance)) and len(self.values) > 1:
            off = self.correlation - np.eye(len(self.values))
            i, j = np.unravel_index(np.argmax(np.abs(off)), off.shape)
            lines[-1] += f"; largest correlation {off[i, j]:.2f}, of {list(self.values)[i]} and {list(self.values)[j]}"
        lines += [f"not determined: {text}" for text in self.undetermined]
        return "\n".join(lines)
