"""A branch of steady states along any parameter, past folds, with the stability of each state and critical points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Complex, Float
from scipy.optimize import root_scalar

from svjax.dynamics.arclength import Curve, Place, advanced, corrected, moved, too_far
from svjax.dynamics.steady_state import ConvergenceError, steady_state
from svjax.engine.arrays import Spins, real_array
from svjax.engine.shown import Shown
from svjax.model.levels import BiasLike
from svjax.model.parameters import get_parameter
from svjax.model.valve import SpinValve, prepare
from svjax.reservoirs.bias import as_bias

GROWTH = 1e-9
"""A mode grows where Re lambda is larger: a state without damping is stable."""
FIRST_STEP, LONGEST_STEP, SHORTEST_STEP = 0.02, 0.15, 1e-7
"""In radians of the spins, together with the parameter in units of its range."""


class CriticalPoint(Shown, eqx.Module):
    """Where a branch turns back ("fold"), where a steady state gives way to a cycle ("hopf"), or where a real mode
    starts to grow and the branch goes on ("branching")."""

    kind: str = eqx.field(static=True)
    value: float
    """Of the parameter."""
    spins: Spins
    rate: complex
    """The rate lambda of the leading mode there."""


class Branch(Shown, eqx.Module):
    """Torque-free states in the order in which `follow` met them."""

    parameter: str = eqx.field(static=True)
    values: Float[Array, "points"]
    """Of the parameter."""
    spins: Float[Array, "points spins 3"]
    rates: Complex[Array, "points"]
    """lambda of the leading mode, the one that decays slowest or grows fastest."""
    critical: tuple[CriticalPoint, ...]

    silent: ClassVar = ("critical",)

    @property
    def stable(self) -> Bool[Array, "points"]:
        """Whether no mode of the spins grows."""
        return self.rates.real <= GROWTH

    def _foot(self) -> list[str]:
        return [f"  {one.kind} at {self.parameter} = {one.value:.8g}" for one in self.critical[:8]]


def follow(
    valve: SpinValve,
    bias: BiasLike,
    parameter: str,
    values: Sequence[float] | ArrayLike,
    *,
    spins: ArrayLike | None = None,
    most: int = 1000,
) -> Branch:
    """The branch of steady states along a parameter, stable or not, by pseudo-arclength continuation.

    The state moves along the null vector of (dF/dangles, dF/dparameter), F the torques across all spins, and is brought
    back by Newton's method across it, so that the branch may turn back in the parameter (E. L. Allgower and K. Georg,
    Introduction to Numerical Continuation Methods). The electrons are stationary throughout.

    **Arguments:**

    - `bias`: as in `steady_state`; with a ``parameter`` of its own, such as "voltage", one of svjax's biases.
    - `parameter`: a name as in `set_parameters`: "field[2]", "j_sd", "anisotropy[1]", "voltage".
    - `values`: at least two, ascending or descending. The branch starts at the first, has points at each that it
      passes, and ends at the last, or at the first again where it turns back that far.
    - `spins`: start of the first state, as in `steady_state`.
    - `most`: points after which to stop.

    **Returns:** a `Branch` with .values, .spins, .rates, .stable and .critical: folds, Hopf and branching points, each
    located to about 1e-9 in the parameter. A sweep up and one down are two calls, with the values reversed; between its
    folds a branch that both have in common is unstable.

    Raises ValueError for wrong values, and `ConvergenceError` where the first state or the branch is lost.
    """
    wanted = np.asarray(real_array(values, "values"), float)
    steps = np.diff(wanted)
    if wanted.ndim != 1 or not len(steps) or not np.all(np.isfinite(wanted)) or not (all(steps > 0) or all(steps < 0)):
        raise ValueError("Argument `values` must hold at least two finite numbers, ascending or descending.")
    valve = prepare(valve)
    if not len(valve.lattice.spin_sites):
        raise ValueError("Argument `valve` must have spins, but has none.")
    bias = as_bias(bias, len(valve.lattice.contacts))
    get_parameter(valve, bias, parameter)
    curve = Curve(valve, bias, parameter, float(wanted[-1] - wanted[0]))
    start = steady_state(*curve.at(wanted[0]), spins=spins, allow_unstable=True)
    along = jnp.zeros_like(start.spins), 1.0
    place = corrected(curve, float(wanted[0]), start.spins, along)
    if place is None:
        raise ConvergenceError("No first state was found.", np.nan, start)
    return _branch(curve, wanted, place, most)


def _branch(curve: Curve, wanted: np.ndarray, place: Place, most: int) -> Branch:
    places, critical, step = [place], [], FIRST_STEP
    low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    while len(places) < most:
        new = _next(curve, wanted, place, step)
        if new is None or too_far(place, new):
            step /= 2
            if step < SHORTEST_STEP:
                raise ConvergenceError(
                    f"The branch is lost near {curve.parameter} = {place.value}.", np.nan, place.point.state
                )
            continue
        critical += _critical(curve, place, new, step)
        places.append(new)
        place, step = new, min(1.4 * step, LONGEST_STEP)
        ended = place.value == wanted[-1] or (place.value == wanted[0] and place.slope < 0)
        if ended or not low <= place.value <= high:
            break
    return Branch(
        curve.parameter,
        jnp.array([one.value for one in places]),
        jnp.stack([one.point.state.spins for one in places]),
        jnp.array([one.rate for one in places]),
        tuple(critical),
    )


def _next(curve: Curve, wanted: np.ndarray, place: Place, step: float) -> Place | None:
    """The state a ``step`` further, or at the first of the ``wanted`` values on the way."""
    ahead = place.value + step * place.slope * curve.span
    inside = wanted[(wanted - place.value) * (wanted - ahead) < 0]
    if not len(inside):
        return advanced(curve, place, step)
    value = float(inside[np.argmin(np.abs(inside - place.value))])
    share = (value - place.value) / (ahead - place.value)
    held = jnp.zeros_like(place.turns), float(np.sign(place.slope))
    return corrected(curve, value, moved(place, share * step), held, (place.turns, place.slope))


def _critical(curve: Curve, place: Place, new: Place, step: float) -> list[CriticalPoint]:
    """Folds between two states, and the points in between where the leading mode starts or stops growing."""
    if place.slope * new.slope < 0:
        return _located(curve, place, step, "fold", lambda one: one.slope)
    if (place.rate.real > GROWTH) != (new.rate.real > GROWTH):
        return _located(curve, place, step, "", lambda one: one.rate.real)
    return []


def _located(curve: Curve, place: Place, step: float, kind: str, of: Callable[[Place], float]) -> list[CriticalPoint]:
    """Where a function of the state vanishes less than two steps from ``place``; "hopf" or "branching" by its rate."""
    found: dict[float, Place | None] = {0.0: place}

    def at(distance: float) -> float:
        if distance not in found:
            found[distance] = advanced(curve, place, distance)
        one = found[distance]
        return np.nan if one is None else of(one)

    far = next((far for far in (step, 1.5 * step, 0.5 * step, 2 * step) if at(0.0) * at(far) < 0), None)
    if far is None:
        return []
    at(root := float(root_scalar(at, bracket=(0.0, far), method="brentq", xtol=1e-13, rtol=1e-12).root))
    if (one := found[root]) is None:
        return []
    kind = kind or ("hopf" if abs(one.rate.imag) > 1e-6 else "branching")
    return [CriticalPoint(kind, one.value, one.point.state.spins, one.rate)]
