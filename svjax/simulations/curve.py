"""Steady states along the voltage as one dataset: magnetisations, currents, torques and relaxation (Figs. 8, 11-13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from svjax.dynamics.branches import effective_torque, next_steady_state
from svjax.dynamics.modes import electron_decays, found_modes
from svjax.dynamics.steady_state import steady_state
from svjax.engine.arrays import real_array, whole_number
from svjax.model.equations import State
from svjax.model.valve import SpinValve, prepare
from svjax.observables.by_name import default_observables
from svjax.observables.electronic import current_driven_torque
from svjax.reservoirs.bias import VoltageDrop, asymmetric, symmetric
from svjax.simulations.dataset import axes, in_rows
from svjax.storage.formats import CURVE
from svjax.storage.records import made_of

DROPS: dict[str, Callable[[float], VoltageDrop]] = {"symmetric": symmetric, "asymmetric": asymmetric}
TORQUES = {
    "current_driven_torque": (("component",), "hopping", "T_cd on the free layer, Eq. (15)"),
    "effective_torque": (("layer", "component"), "hopping", "2 K_l e_l x Delta M_l, summed over the layer"),
    "rates": (("mode",), "hopping/hbar", "complex rates of the slowest precessions, smallest |lambda| first"),
    "relaxation_time": ((), "hbar/hopping", "t_R = -1/Re of the first rate"),
    "electron_decay": ((), "hopping/hbar", "slowest decay of the electrons at frozen spins, 2 |Im w|"),
    "stable": ((), "1", "1 if none of these modes grows, 0 if one does, nan if not all were found"),
}


def steady_curve(
    valve: SpinValve,
    voltages: Sequence[float],
    drop: str = "symmetric",
    *,
    modes: int = 4,
    progress: Callable[[int, float], object] | None = None,
) -> xr.Dataset:
    """The branch of steady states from equilibrium at aligned spins along ``voltages``, with its relaxation modes.

    **Arguments:** two-lead, two-layer ``valve``; ``voltages`` V in units of the hopping, in the order in which to
    follow them; ``drop`` "symmetric" or "asymmetric"; ``modes``: how many rates; ``progress`` is called with the number
    of the voltage and the voltage before each.

    **Returns:** a dataset along "voltage". A voltage without a steady state keeps nan and its ``reason``, and the
    branch goes on from the last one that was found; of a mode that was not found only the rate is nan.
    """
    valve = prepare(valve)
    check_drop(drop)
    if len(valve.lattice.layers) != 2 or len(valve.lattice.contacts) != 2:
        raise ValueError("Argument `valve` must have two layers and two leads.")
    voltages = np.asarray(real_array(voltages, "voltages"), float).tolist()
    if not isinstance(voltages, list) or not voltages or not np.all(np.isfinite(voltages)):
        raise ValueError(f"Argument `voltages` must be a list of finite numbers, but is {voltages}.")
    whole_number(modes, "modes", 1)
    unbiased = DROPS[drop](0.0)
    equilibrium = steady_state(valve, unbiased, allow_unstable=True)
    last, rows, reasons = (unbiased, equilibrium), [], []
    for number, voltage in enumerate(voltages):
        if progress is not None:
            progress(number, voltage)
        try:
            bias = DROPS[drop](voltage)
            state = next_steady_state(valve, last, bias)
            row, reason = _row(valve, state, equilibrium, bias, modes)
            rows.append(row)
            last = bias, state
        except (ValueError, RuntimeError) as error:
            rows.append({})
            reason = str(error)
        reasons.append(reason)
    return _dataset(valve, voltages, drop, rows, reasons)


def check_drop(drop: str) -> None:
    """Raise ValueError for what is no kind of voltage drop."""
    if drop not in DROPS:
        raise ValueError(f"Argument `drop` must be one of {tuple(DROPS)}, but is {drop!r}.")


def _row(
    valve: SpinValve, state: State, equilibrium: State, bias: VoltageDrop, modes: int
) -> tuple[dict[str, np.ndarray], str]:
    """What is kept of one steady state, and which of its modes were not found, in words."""
    found, missing = found_modes(valve, state, bias, count=modes)
    rates = np.asarray(found.rates)
    row = default_observables(valve, state) | {
        "current_driven_torque": current_driven_torque(valve, state, equilibrium),
        "effective_torque": effective_torque(valve, state, equilibrium),
        "rates": rates,
        "relaxation_time": -1 / np.real(rates[0]),
        "electron_decay": electron_decays(valve, state.spins, 1, bias=bias)[0],
        "stable": 0.0 if np.any(np.real(rates) >= 0) else np.nan if missing else 1.0,
    }
    return {name: np.asarray(value) for name, value in row.items()}, missing


def _dataset(valve: SpinValve, voltages: list[float], drop: str, rows: list[dict], reasons: list[str]) -> xr.Dataset:
    if not any(rows):
        raise ValueError(f"No voltage has a steady state; at the first: {reasons[0]}")
    variables = in_rows(rows, {"voltage": len(rows)}, valve.lattice, TORQUES)
    notes = {"units": "hopping/e", "long_name": f"{drop} voltage drop"}
    coordinates = axes(valve.lattice) | {"voltage": ("voltage", voltages, notes)}
    made = made_of(CURVE, valve, reasons=reasons) | {"drop": drop}
    return xr.Dataset(variables, coordinates, made)
