"""Free parameters of a fit: where each may go, and coordinates in which all of them may go anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from svjax.engine.tracing import inlined
from svjax.model.parameters import get_parameter

POSITIVE = ("hopping", "lead_coupling", "temperature", "width", "n_s")
"""Parameters that are positive unless a `Free` says otherwise."""

AT_BOUND = 1e-4
"""A parameter whose distance to a bound has shrunk by this factor lies on it."""

Coordinates = Float[Array, "n"]


@dataclass(frozen=True)
class Free:
    """How one parameter may move in a fit.

    Arguments:
        start: where it starts; None: the value that the valve (or the bias) has.
        low: it stays above. None: no bound, but 0 for what must be positive (hopping, Gamma, T, the width of a pulse).
        high: it stays below.
        prior: (mean, standard error) of what is known of it beforehand; it counts as one more datum.
    """

    start: float | None = None
    low: float | None = None
    high: float | None = None
    prior: tuple[float, float] | None = None


class Parameters(eqx.Module):
    """Named parameters x and coordinates u, (n,) each, without bounds, in which a fit moves; u = 0 is the start.

    low and high:  x = low + (high - low) sigmoid(logit(start) + u)
    low:           x = low + (start - low) e^u,       and so for high
    neither:       x = start + scale u,  scale = the prior's error, or |start|, or 1 where that is zero
    """

    names: tuple[str, ...] = eqx.field(static=True)
    start: tuple[float, ...] = eqx.field(static=True)
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    priors: tuple[tuple[float, float] | None, ...] = eqx.field(static=True)

    @inlined
    def physical(self, u: Coordinates) -> Coordinates:
        """x of u."""
        return jnp.stack([self._map(k, u[k]) for k in range(len(self.names))])

    def named(self, u: Coordinates) -> dict[str, Array]:
        """x of u by name."""
        return dict(zip(self.names, self.physical(u), strict=True))

    @inlined
    def slopes(self, u: Coordinates) -> Coordinates:
        """dx/du."""
        return jnp.diagonal(jax.jacfwd(self.physical)(u))

    def at_bounds(self, u: Coordinates) -> Bool[np.ndarray, "n"]:
        """Which parameters have come so near to a bound that x hardly moves with u any more."""
        return np.abs(self.slopes(u)) < AT_BOUND * np.abs(self.slopes(np.zeros_like(u)))

    def surprise(self, x: Coordinates) -> Float[Array, "priors"]:
        """(x - mean)/error of the parameters that have a prior."""
        known = [(x[k] - prior[0]) / prior[1] for k, prior in enumerate(self.priors) if prior]
        return jnp.stack(known) if known else jnp.zeros(0)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Other coordinates to start from: by half a unit of u, or anywhere between two bounds, or from the prior."""
        return np.array([self._draw(k, generator) for k in range(len(self.names))])

    def _map(self, k: int, u: Array) -> Array:
        start, low, high = self.start[k], self.low[k], self.high[k]
        if math.isfinite(low) and math.isfinite(high):
            offset = math.log((start - low) / (high - start))
            return low + (high - low) / (1 + jnp.exp(-offset - u))
        if math.isfinite(low):
            return low + (start - low) * jnp.exp(u)
        if math.isfinite(high):
            return high - (high - start) * jnp.exp(u)
        return start + self._scale(k) * u

    def _scale(self, k: int) -> float:
        prior = self.priors[k]
        return prior[1] if prior else abs(self.start[k]) or 1.0

    def _draw(self, k: int, generator: np.random.Generator) -> float:
        start, low, high, prior = self.start[k], self.low[k], self.high[k], self.priors[k]
        if math.isfinite(low) and math.isfinite(high):
            part = generator.uniform(0.05, 0.95)
            return math.log(part / (1 - part)) - math.log((start - low) / (high - start))
        if prior and not (math.isfinite(low) or math.isfinite(high)):
            return (generator.normal(*prior) - start) / self._scale(k)
        return 0.5 * generator.normal()


def parameters(model, bias, free: Sequence[str] | Mapping[str, Free | float]) -> Parameters:
    """The `Parameters` of what users call free: names, or a `Free` or a start for each name."""
    if isinstance(free, str):
        raise ValueError(f"Argument `free` must be a list of names, but is {free!r}.")
    given = dict(free) if isinstance(free, Mapping) else {name: Free() for name in free}
    if not given or (not isinstance(free, Mapping) and len(given) != len(free)):
        raise ValueError(f"Argument `free` must name parameters, each once, but is {list(free)}.")
    whole = {name.split("[")[0] for name in given if "[" not in name}
    if twice := [name for name in given if "[" in name and name.split("[")[0] in whole]:
        raise ValueError(f"Argument `free` must name each number once, but {twice[0]!r} is part of another name.")
    columns = [_resolved(model, bias, name, choice) for name, choice in given.items()]
    return Parameters(tuple(given), *(tuple(column) for column in zip(*columns, strict=True)))


def _resolved(model, bias, name: str, choice: Free | float) -> tuple:
    """Start, bounds and prior of one parameter, checked."""
    choice = choice if isinstance(choice, Free) else Free(start=float(choice))
    present = np.unique(np.asarray(get_parameter(model, bias, name)))
    if choice.start is None and len(present) != 1:
        raise ValueError(f"Argument `free` must give {name!r} a start or an index: its entries are {present}.")
    start = float(present[0] if choice.start is None else choice.start)
    field = name.split("[")[0].strip()
    low = choice.low if choice.low is not None else (0.0 if field in POSITIVE else -math.inf)
    high = choice.high if choice.high is not None else math.inf
    if not low < start < high:
        raise ValueError(f"Argument `free` must start {name!r} between {low:g} and {high:g}, but does at {start:g}.")
    if choice.prior is not None and not (np.all(np.isfinite(choice.prior)) and choice.prior[1] > 0):
        raise ValueError(f"Argument `free` must give {name!r} a prior (mean, error > 0), but gives {choice.prior}.")
    return start, float(low), float(high), choice.prior
