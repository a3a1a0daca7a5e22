"""Design: the parameters of a valve with which any differentiable loss is smallest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from svjax.engine.least_squares import descend, with_derivative
from svjax.fitting.coordinates import Free
from svjax.fitting.result import Minimum
from svjax.fitting.trial import FitProgress, trial


def minimise(
    valve: Any,
    free: Sequence[str] | Mapping[str, Free | float],
    loss: Callable[[Any, Any], ArrayLike],
    *,
    bias: Any = None,
    starts: int = 1,
    seed: int = 0,
    mode: str | None = None,
    max_steps: int = 50,
    progress: Callable[[FitProgress], object] | None = None,
) -> Minimum:
    """Parameters of a valve, or of its bias, for which a number is smallest: descent by L-BFGS steps (optax).

        loss(valve, bias) + sum_priors ((x - mean)/error)^2/2,

    in coordinates in which positive and bounded parameters may go anywhere.

    **Arguments:**

    - `loss`: function of (valve, bias) that returns a number; least squares are for `fit`, which knows error bars.
    - `valve`, `free`, `bias`, `starts`, `seed`, `progress`: as in `fit`. `max_steps`: of each descent.
    - `mode`: of differentiation, "forward" or "reverse"; forward if None and there are at most eight parameters.

    **Returns:** a `Minimum`. Raises ValueError for a loss that is not a number, for unknown names, and for starts out
    of bounds or without a finite loss.
    """
    at = trial(valve, bias, free)
    check_options(starts, mode, max_steps)
    if (shape := at.shape_of(loss)) != ():
        raise ValueError(f"Argument `loss` must return one number, but returns shape {shape}: `fit` takes residuals.")
    surprise = lambda u: jnp.sum(at.chosen.surprise(at.chosen.physical(u)) ** 2) / 2
    few = len(at.origin) <= 8
    problem = with_derivative(
        lambda u: jnp.asarray(loss(*at(u))) + surprise(u), mode or ("forward" if few else "reverse")
    )
    check_start(problem(at.origin)[0])
    outcomes = [descend(problem, u, max_steps, at.report(progress)) for u in at.starts(starts, seed)]
    best = min(outcomes, key=lambda outcome: float(outcome.value))
    return Minimum(*at(best.u), at.values(best.u), float(best.value), best.converged, at.reason(best))


def check_options(starts: int, mode: str | None, max_steps: int) -> None:
    """Raise a ValueError for options that `fit` and `minimise` do not have."""
    if mode not in (None, "forward", "reverse"):
        raise ValueError(f"Argument `mode` must be 'forward', 'reverse' or None, but is {mode!r}.")
    for name, value in {"starts": starts, "max_steps": max_steps}.items():
        if value != int(value) or value < 1:
            raise ValueError(f"Argument `{name}` must be a whole number of at least 1, but is {value}.")


def check_start(loss: Array) -> None:
    """Raise a ValueError for a start without a finite loss."""
    if not bool(jnp.all(jnp.isfinite(loss))):
        raise ValueError("Argument `free` must start where the loss is finite, but it is nan or infinite there.")
