"""What a run observes: observables by name, or a function of one's own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, PyTree

from svjax.model.equations import State
from svjax.model.valve import SpinValve
from svjax.observables.electronic import (
    bond_currents,
    bond_spin_currents,
    charge_current,
    energy,
    interface_currents,
    magnetization,
    monolayer_polarization,
    particle_number,
    site_charge,
    site_spin,
    spin_current,
    spin_density,
    total_spin,
)
from svjax.observables.local import (
    bond_energy_currents,
    local_torques,
    site_inflow,
    site_spin_inflow,
    spin_transfer_torques,
)

Observe = Callable[[SpinValve, State], dict[str, PyTree]]

OBSERVABLES: dict[str, Callable[[SpinValve, State], Any]] = {
    "magnetization": magnetization,
    "charge_current": lambda valve, state: _of_leads(charge_current, valve, state),
    "spin_current": lambda valve, state: _of_leads(spin_current, valve, state),
    "interface_charge_current": lambda valve, state: interface_currents(valve, state)[0],
    "interface_spin_current": lambda valve, state: interface_currents(valve, state)[1],
    "bond_current": bond_currents,
    "bond_spin_current": bond_spin_currents,
    "bond_energy_current": bond_energy_currents,
    "site_inflow": site_inflow,
    "site_spin_inflow": site_spin_inflow,
    "local_torque": local_torques,
    "spin_transfer_torque": spin_transfer_torques,
    "spins": lambda valve, state: state.spins,
    "spin_density": spin_density,
    "site_charge": site_charge,
    "site_spin": site_spin,
    "monolayer_polarization": monolayer_polarization,
    "particle_number": particle_number,
    "total_spin": total_spin,
    "energy": energy,
}
"""What can be asked for by name."""


@dataclass(frozen=True)
class Observables:
    """The observables ``names`` of `OBSERVABLES`, as a function for `evolve`; two with the same names are equal."""

    names: tuple[str, ...]

    def __post_init__(self):
        for name in self.names:
            if name not in OBSERVABLES:
                near = difflib.get_close_matches(str(name), OBSERVABLES, n=1, cutoff=0.0)[0]
                raise ValueError(f"Argument `observe` must name observables, but has {name!r}; near is {near!r}.")
        if len(set(self.names)) < len(self.names) or not self.names:
            raise ValueError(f"Argument `observe` must name observables, each once, but is {self.names}.")

    def __call__(self, valve: SpinValve, state: State) -> dict[str, Array]:
        return {name: OBSERVABLES[name](valve, state) for name in self.names}


def default_names(valve: SpinValve) -> tuple[str, ...]:
    """The names of `default_observables`."""
    has_leads, two_layers = len(valve.lattice.contacts) > 0, len(valve.lattice.layers) == 2
    at_interface = ("interface_charge_current", "interface_spin_current") if two_layers else ()
    return ("magnetization", *(("charge_current", "spin_current") if has_leads else ()), *at_interface)


def default_observables(valve: SpinValve, state: State) -> dict[str, Array]:
    """What `evolve` saves by default: magnetisations, and the currents of Eqs. (11)-(14) that the valve has."""
    return Observables(default_names(valve))(valve, state)


def as_observe(observe: Observe | Sequence[str] | None) -> Observe:
    """A function from what users give as ``observe``: a function, names of `OBSERVABLES`, or None for the default."""
    if observe is None:
        return default_observables
    return observe if callable(observe) else Observables(as_names(observe))


def as_names(observe: Sequence[str]) -> tuple[str, ...]:
    """The names of a sequence of them; raises ValueError for anything else, also for one name by itself."""
    if isinstance(observe, str) or not isinstance(observe, Sequence):
        raise ValueError(f"Argument `observe` must be a sequence of names, such as ('energy',), but is {observe!r}.")
    return tuple(observe)


def _of_leads(current: Callable[[SpinValve, State, int], Any], valve: SpinValve, state: State) -> Array:
    if not valve.lattice.contacts:
        raise ValueError("Argument `observe` must not name currents at leads, because the valve has no leads.")
    return jnp.stack([current(valve, state, lead) for lead in range(len(valve.lattice.contacts))])
