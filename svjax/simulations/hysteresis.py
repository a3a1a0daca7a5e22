"""A loop of stable states as one parameter goes forward and back, with its jumps: hysteresis."""

from __future__ import annotations

import json
from collections.abc import Callable, MutableSequence, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import ArrayLike

from svjax.dynamics.arclength import Curve, Place, corrected
from svjax.dynamics.branches import largest_turn
from svjax.dynamics.continuation import GROWTH, CriticalPoint, follow
from svjax.dynamics.steady_state import ConvergenceError, steady_state
from svjax.dynamics.torques import LARGEST_TURN, linearize
from svjax.electrons.stationary import stationary_state
from svjax.engine.arrays import Spins, real_array
from svjax.model.levels import BiasLike
from svjax.model.parameters import SYMBOLS, get_parameter
from svjax.model.spins import turn
from svjax.model.valve import SpinValve, aligned_spins, prepare
from svjax.observables.by_name import default_observables
from svjax.reservoirs.bias import as_bias
from svjax.simulations.dataset import axes, in_rows
from svjax.storage.formats import LOOP
from svjax.storage.records import bias_from_record, bias_to_record, digest, made_of, valve_from_record

WAYS = ("forward", "back")
OWN = {
    "rate": ((), "hopping/hbar", "complex rate of the leading mode"),
    "jumped": ((), "1", "1 where the spins fell into this state"),
}
FALLS = 400
"""The most steps of a fall from a state that is lost."""


def hysteresis(
    valve: SpinValve,
    bias: BiasLike,
    parameter: str,
    values: Sequence[float] | ArrayLike,
    *,
    spins: ArrayLike | None = None,
    progress: Callable[[int], object] | None = None,
    points: MutableSequence[Point] | None = None,
) -> xr.Dataset:
    """The stable states that spins go through as a parameter is changed slowly, through all ``values`` and back.

    Each state starts from the one before it, the first from ``spins`` or the easy axes. Where that has no stable state
    next to it, the branch is followed to where it is lost, and the spins fall from there along the flow
    d(angle)/d(tau) = field across the spin, that of strong damping, among stationary electrons, into a stable state.

    **Arguments:** as in `follow`; ``progress`` is called with the number of states that are done. ``points``: a list
    that is empty at first, which keeps every state as soon as it is found: with it a loop that was interrupted goes on.

    **Returns:** a dataset along "way" ("forward", "back") and the parameter, in the order of ``values``: default
    observables, ``spins``, the leading ``rate`` lambda of small turns, and ``jumped``: 1 where the spins fell on the
    way to a state. The attribute ``jumps`` tells as JSON of each its way, kind (a "fold", a "hopf" or a "branching"
    point) and value, located to about 1e-9, or null where it was not located. A state that no fall reached is nan, and
    the loop goes on from the last one. Raises ValueError for wrong values and `ConvergenceError` without a first state.
    """
    curve, values = _curve_along(valve, bias, parameter, values)
    points = [] if points is None else points
    along = np.concatenate([values, values[::-1]])
    for number in range(len(points), len(along)):
        value = float(along[number])
        last = next((k for k in reversed(range(number)) if points[k].row), None)
        if last is None:
            points.append(Point(_observed(curve, _first(curve, value, spins), False), None))
        elif along[last] == value:
            points.append(Point(points[last].row | {"jumped": np.asarray(False)}, None))
        else:
            found, jump = _moved(curve, float(along[last]), jnp.asarray(points[last].row["spins"]), value)
            points.append(Point({} if found is None else _observed(curve, found, jump is not None), jump))
        if progress is not None:
            progress(number + 1)
    return _dataset(curve, values, points)


class Point(NamedTuple):
    """What is seen of a state, empty where none was found, and where the one before it was lost, if it was."""

    row: dict[str, np.ndarray]
    jump: dict[str, Any] | None


def _curve_along(
    valve: SpinValve, bias: BiasLike, parameter: str, values: Sequence[float] | ArrayLike
) -> tuple[Curve, np.ndarray]:
    """What the loop goes along, and the values there, checked."""
    values = np.asarray(real_array(values, "values"), float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all() or len(np.unique(values)) < len(values):
        raise ValueError("Argument `values` must hold at least two finite numbers, each once.")
    valve = prepare(valve)
    bias = as_bias(bias, len(valve.lattice.contacts))
    get_parameter(valve, bias, parameter)
    return Curve(valve, bias, parameter, float(np.ptp(values))), values


def empty_dataset(valve: SpinValve, bias: BiasLike, parameter: str, values: Sequence[float]) -> xr.Dataset:
    """The dataset of `hysteresis` before anything is known."""
    return _dataset(*_curve_along(valve, bias, parameter, values), []).assign_attrs(status="running")


def remade(loop: xr.Dataset, points: MutableSequence[Point], **options: Any) -> xr.Dataset:
    """The loop that a dataset of some of its ``points`` is of."""
    valve, bias, parameter = _made_of(loop)
    return hysteresis(valve, bias, parameter, loop[parameter].values, points=points, **options)


def with_points(loop: xr.Dataset, points: Sequence[Point]) -> xr.Dataset:
    """The dataset of a loop with those of its ``points`` that are found, the others nan."""
    valve, bias, parameter = _made_of(loop)
    found = _dataset(*_curve_along(valve, bias, parameter, loop[parameter].values), points)
    return found.assign_attrs(loop.attrs | {"jumps": found.attrs["jumps"]})


def identity(loop: xr.Dataset) -> str:
    """Tells the points of this loop from those of any other."""
    facts = [loop.attrs[name] for name in ("valve", "bias", "parameter", "precision")]
    return digest([*facts, loop[facts[2]].values.tolist()])


def _made_of(loop: xr.Dataset) -> tuple[SpinValve, Any, str]:
    valve = valve_from_record(json.loads(loop.attrs["valve"]))
    return valve, bias_from_record(json.loads(loop.attrs["bias"])), str(loop.attrs["parameter"])


def _first(curve: Curve, value: float, spins: ArrayLike | None) -> Place:
    """The stable state next to where the loop starts."""
    start = steady_state(*curve.at(value), spins=spins, allow_unstable=True)
    place = _at(curve, value, start.spins) or _fallen(curve, value, start.spins)
    if place is None:
        raise ConvergenceError("No first state was found that is clearly stable.", np.nan, start)
    return place


def _moved(curve: Curve, start: float, before: Spins, value: float) -> tuple[Place | None, dict[str, Any] | None]:
    """The stable state at a ``value`` that follows on the spins ``before`` it, at ``start``, and where the branch was
    lost on the way, if it was."""
    near = _at(curve, value, before)
    if near is not None and largest_turn(near.point.state.spins, before) < LARGEST_TURN:
        return near, None
    lost, ahead = _lost(curve, start, before, value)
    if lost is None and ahead is not None and (near := _at(curve, value, ahead)) is not None:
        return near, None
    jump = {"kind": None, "value": None} if lost is None else {"kind": lost.kind, "value": float(lost.value)}
    return _fallen(curve, value, before if lost is None else lost.spins), jump


def _at(curve: Curve, value: float, spins: Spins) -> Place | None:
    """The state next to ``spins``, if it is stable."""
    found = corrected(curve, value, spins, (jnp.zeros_like(spins), 1.0))
    return found if found is not None and found.rate.real <= GROWTH else None


def _lost(curve: Curve, start: float, before: Spins, value: float) -> tuple[CriticalPoint | None, Spins | None]:
    """The first critical point of the branch on the way to a ``value``, and its end there if it has none."""
    try:
        branch = follow(*curve[:3], [start, value], spins=before)
    except ConvergenceError:
        return None, None
    if branch.critical:
        return branch.critical[0], None
    return None, branch.spins[-1] if float(branch.values[-1]) == value else None


def _fallen(curve: Curve, value: float, spins: Spins) -> Place | None:
    """The stable state in which the flow of strong damping ends, by implicit steps of Euler; None if in none."""
    valve, mu = curve.at(value)
    for _ in range(FALLS):
        point = linearize(valve, mu, spins, False)
        if not (bool(point.sound) and bool(point.unique)):
            point = linearize(valve, mu, spins, True)
        force, stiff = np.asarray(point.force), np.asarray(point.stiffness)
        if not np.isfinite(force).all():
            return None
        softest, modes = np.linalg.eigh((stiff + stiff.T) / 2)
        if np.abs(force).max() < 1e-6:
            if softest[-1] < 0:
                return _at(curve, value, spins)
            force = force + 1e-3 * modes[:, -1]  # a torque-free state that is none to stay in
        shift = max(np.abs(force).max() / LARGEST_TURN, 1.5 * softest[-1])
        angles = np.linalg.solve(shift * np.eye(len(force)) - stiff, force)
        spins = turn(spins, jnp.asarray(angles * min(1.0, LARGEST_TURN / np.abs(angles).max())))
    return None


def _observed(curve: Curve, place: Place, jumped: bool) -> dict[str, np.ndarray]:
    valve, state = curve.at(place.value)[0], place.point.state
    found = default_observables(valve, state) | {"spins": state.spins}
    found |= {"rate": complex(place.rate), "jumped": jumped}  # type: ignore[dict-item]
    return {name: np.asarray(value) for name, value in found.items()}


def _shapes(curve: Curve, value: float) -> dict[str, Any]:
    """What is seen of a state, by its shapes and types alone."""
    valve, mu = curve.at(value)
    spins = aligned_spins(valve)
    seen = jax.eval_shape(lambda: default_observables(valve, stationary_state(valve, spins, mu)[0]) | {"spins": spins})
    return seen | {"rate": np.zeros((), complex), "jumped": np.asarray(False)}


def _dataset(curve: Curve, values: np.ndarray, points: Sequence[Point]) -> xr.Dataset:
    """The dataset of the ``points`` of a loop in the order of the way; nan where there is none."""
    rows = [point.row for point in points] + [{}] * (2 * len(values) - len(points))
    jumps = [{"way": WAYS[k >= len(values)]} | point.jump for k, point in enumerate(points) if point.jump is not None]
    if not any(rows):
        empty = _shapes(curve, values[0]).items()
        rows[0] = {name: np.full(part.shape, np.nan, np.result_type(part.dtype, np.float32)) for name, part in empty}
    along = {"way": 2, curve.parameter: len(values)}
    variables = in_rows([*rows[: len(values)], *rows[: len(values) - 1 : -1]], along, curve.valve.lattice, OWN)
    symbol, units = SYMBOLS.get(curve.parameter.split("[")[0], (curve.parameter, ""))
    coordinates = axes(curve.valve.lattice) | {
        "way": np.array(WAYS, dtype=object),
        curve.parameter: (curve.parameter, values, {"units": units, "long_name": symbol}),
    }
    made = made_of(LOOP, curve.valve, bias=bias_to_record(curve.bias), jumps=jumps)
    return xr.Dataset(variables, coordinates, made | {"parameter": curve.parameter})
