"""The trial of a fit: the valve and the bias at the coordinates u of their free parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from svjax.engine.least_squares import Outcome, Report
from svjax.fitting.coordinates import Coordinates, Free, Parameters, parameters
from svjax.model.parameters import set_parameters
from svjax.model.valve import SpinValve, prepare


class FitProgress(NamedTuple):
    """What `fit` and `minimise` tell their ``progress`` after each step."""

    stage: str
    step: int
    loss: float
    values: dict[str, float]


class Trial(eqx.Module):
    """A valve (or a `MacrospinModel`) and a bias with the ``chosen`` parameters free: u -> (valve, bias)."""

    valve: Any
    bias: Any
    chosen: Parameters

    def __call__(self, u: Coordinates) -> tuple[Any, Any]:
        return set_parameters(self.valve, self.bias, self.chosen.named(u))

    def shape_of(self, function: Callable[[Any, Any], Any]) -> tuple[int, ...]:
        """The shape of what a function of (valve, bias) returns."""
        return jax.eval_shape(lambda u: jnp.asarray(function(*self(u))), self.origin).shape

    @property
    def origin(self) -> Coordinates:
        """The start, u = 0."""
        return jnp.zeros(len(self.chosen.names))

    def starts(self, count: int, seed: int) -> list[Array]:
        """The start and others drawn around it."""
        generator = np.random.default_rng(seed)
        return [self.origin] + [jnp.asarray(self.chosen.draw(generator)) for _ in range(count - 1)]

    def values(self, u: Coordinates) -> dict[str, float]:
        """The parameters at u by name."""
        return dict(zip(self.chosen.names, np.asarray(self.chosen.physical(u)).tolist(), strict=True))

    def reason(self, found: Outcome) -> str:
        """Why a fit stopped, and which parameters it left at their bounds."""
        stuck = [name for name, at in zip(self.chosen.names, self.chosen.at_bounds(found.u), strict=True) if at]
        return found.reason + (f"; at a bound: {', '.join(stuck)}" if stuck else "")

    def report(self, progress: Callable[[FitProgress], object] | None) -> Report:
        """Tells ``progress`` the parameters after each step."""

        def tell(stage, step, loss, u):
            if progress is not None:
                progress(FitProgress(stage, step, loss, self.values(jnp.asarray(u))))

        return tell


def trial(valve: Any, bias: Any, free: Sequence[str] | Mapping[str, Free | float]) -> Trial:
    """The `Trial` of what users give."""
    valve = prepare(valve) if isinstance(valve, SpinValve) else valve
    return Trial(valve, bias, parameters(valve, bias, free))
