"""What a stored run looks like: its variables, coordinates with units, and attributes."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from svjax.lattices.lattice import Lattice
from svjax.model.equations import State
from svjax.observables.by_name import Observables, Observe, default_observables
from svjax.simulations.plan import Plan
from svjax.storage.driving import drive_to_record, key_to_record
from svjax.storage.formats import RUN
from svjax.storage.layout import Variable
from svjax.storage.records import bias_to_record, made_of
from svjax.storage.status import OF_RUNS, Status, flags

MEANINGS = {
    "layer": "magnetic layer; 1 is the free layer",
    "lead": "lead; of two, 0 is left and 1 is right",
    "time": "time since the quench",
}
UNITS = {
    "magnetization": (("layer", "component"), "1", "sum of the layer's spins over their number"),
    "charge_current": (("lead",), "hopping/hbar", "half of dN/dt, Eq. (11)"),
    "spin_current": (("lead", "component"), "hopping/hbar", "spin sigma/2 per time, Eq. (12)"),
    "interface_charge_current": ((), "hopping/hbar", "half of dN/dt from spacer to free layer, Eq. (13)"),
    "interface_spin_current": (("component",), "hopping/hbar", "spin sigma/2 per time, Eq. (14)"),
    "bond_current": (("bond",), "hopping/hbar", "particles per time from i to j of each bond (i, j)"),
    "bond_spin_current": (("bond", "component"), "hopping/hbar", "spin sigma/2 per time that arrives at j"),
    "bond_energy_current": (("bond",), "hopping^2/hbar", "energy of electrons per time from i to j"),
    "site_inflow": (("site",), "hopping/hbar", "particles per time from the leads"),
    "site_spin_inflow": (("site", "component"), "hopping/hbar", "spin sigma/2 per time from the leads"),
    "local_torque": (("spin", "component"), "hopping/hbar", "dS_j/dt"),
    "spin_transfer_torque": (("spin", "component"), "hopping/hbar", "-J_j S_j x s_j"),
    "spins": (("spin", "component"), "1", "S_j"),
    "spin_density": (("spin", "component"), "hbar", "spin of the electrons on the sites of the spins"),
    "site_charge": (("site",), "1", "electrons on each site"),
    "site_spin": (("site", "component"), "hbar", "spin of the electrons on each site"),
    "monolayer_polarization": (("monolayer", "component"), "1", "Eq. (F1)"),
    "particle_number": ((), "1", "electrons on the valve"),
    "total_spin": (("component",), "hbar", "of spins and electrons"),
    "energy": ((), "hopping", "Tr(rho H) and the energy of the spins"),
}
STATES = {"rho": ("row", "column"), "pi": ("row", "pi_column"), "spins": ("spin", "component")}
ROWS_PER_CHUNK = 1024


def variables(plan: Plan, rows: dict[str, np.ndarray]) -> dict[str, Variable]:
    """What a run writes, of which the first ``rows`` are known."""
    found, count = {}, len(plan.t)
    for name, part in rows.items():
        dims, notes = labelled(name, part.shape[1:], plan.valve.lattice)
        shape, chunks = (count, *part.shape[1:]), (ROWS_PER_CHUNK, *part.shape[1:])
        found[name] = Variable(("time", *dims), shape, chunks, part.dtype, notes)
    found |= state_variables("equilibrium", plan.initial) | state_variables("final", plan.initial)
    found["final_time"] = Variable((), (), (), np.float64, {"units": "hbar/hopping"})
    found["saved"] = Variable((), (), (), np.int64, {"long_name": "rows that are saved"})
    found["status"] = Variable((), (), (), np.int8, flags(OF_RUNS), np.int8(Status.RUNNING))
    return found


def known(plan: Plan, rows: dict[str, np.ndarray]) -> xr.Dataset:
    """What is known of a run before it runs: its times, the levels of its leads, and what it is made of."""
    levels = np.where((plan.stage == 2)[:, None], np.asarray(jax.vmap(plan.bias)(jnp.asarray(plan.t))), 0.0)
    coordinates = axes(plan.valve.lattice, plan.t) | {
        "stage": ("time", plan.stage, {"long_name": "0: aligned spins, 1: zero bias, 2: bias on"})
    }
    records = {
        "bias": bias_to_record(plan.bias),
        "observables": list(rows),
        "observe": _observe_record(plan.observe),
    }
    more = {"drive": drive_to_record(plan.drive, plan.valve), "key": key_to_record(plan.key)}
    records |= {name: record for name, record in more.items() if record is not None}
    attributes = made_of(RUN, plan.valve, **records) | {
        "status": Status.RUNNING.word,
        "reason": "",
        "dt": plan.dt,
        "save_every": plan.save_every,
        "method": plan.method.name,
        "relax": -float(plan.t[0]),
        "duration": plan.steps * plan.dt,
    }
    return xr.Dataset({"mu": (("time", "lead"), levels, {"units": "hopping"})}, coordinates, attributes)


def labelled(
    name: str, shape: tuple[int, ...], lattice: Lattice, table: Mapping[str, Any] = UNITS
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Dimensions, units and meaning of what is observed under a ``name``; of an observable of one's own, dimensions
    that no other has."""
    sizes = {"layer": len(lattice.layers), "lead": len(lattice.contacts), "spin": len(lattice.spin_sites)}
    sizes |= {"component": 3, "site": lattice.n_sites, "monolayer": len(lattice.monolayers), "bond": len(lattice.bonds)}
    own = tuple(f"{name}_{k}" for k in range(1, len(shape) + 1)), "", ""
    dims, units, meaning = table.get(name, own)
    if len(dims) != len(shape) or any(sizes.get(dim, n) != n for dim, n in zip(dims, shape, strict=True)):
        dims, units, meaning = own
    return dims, {"units": units, "long_name": meaning}


def in_rows(
    rows: Sequence[Mapping[str, np.ndarray]], along: Mapping[str, int], lattice: Lattice, table: dict[str, Any]
) -> dict[str, Any]:
    """The variables of a dataset ``along`` dimensions of these lengths from its ``rows``, the last dimension running
    fastest: nan where a row has nothing. The ``table`` has what is no observable."""
    found = {}
    for name, first in next(row for row in rows if row).items():
        dims, notes = labelled(name, first.shape, lattice, UNITS | table)
        missing = np.full(first.shape, np.nan, np.result_type(first.dtype, np.float32))
        values = np.stack([np.asarray(row.get(name, missing), missing.dtype) for row in rows])
        found[name] = (*along, *dims), values.reshape(*along.values(), *first.shape), notes
    return found


def axes(lattice: Lattice, times: np.ndarray | None = None) -> dict[str, Any]:
    """The coordinates of all runs: dimensions, values, meanings."""
    counts = {"layer": len(lattice.layers), "lead": len(lattice.contacts)}
    found: dict[str, Any] = {
        name: ((name,), np.arange(count), {"long_name": MEANINGS[name]}) for name, count in counts.items()
    }
    found["component"] = (("component",), np.array(list("xyz"), dtype=object), {})
    if times is not None:
        found["time"] = (("time",), times, {"units": "hbar/hopping", "long_name": MEANINGS["time"]})
    return found


def state_variables(
    which: str, state: State, grid: tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]] = ((), (), ())
) -> dict[str, Variable]:
    """The parts of a state, or of one at each point of a ``grid`` of these dimensions, lengths and chunks."""
    found = {}
    for name, dims in STATES.items():
        part = getattr(state, name)
        shape, chunks = ((*ours, *part.shape) for ours in grid[1:])
        found[f"{which}_{name}"] = Variable((*grid[0], *dims), shape, chunks, part.dtype, {"units": "1"})
    return found


def state_to_arrays(state: State, which: str = "") -> dict[str, np.ndarray]:
    """The parts of a state by name, ``which`` before it."""
    return {f"{which}{name}": np.array(getattr(state, name)) for name in STATES}


def state_from_arrays(arrays: Mapping[Any, Any], which: str = "") -> State:
    """The state of `state_to_arrays`, equal to the last bit."""
    return State(**{name: jnp.asarray(np.asarray(arrays[f"{which}{name}"])) for name in STATES})


def _observe_record(observe: Observe) -> list[str] | str | None:
    """None for the default, names, or the name of another function, of which nothing else is kept."""
    if observe is default_observables:
        return None
    if isinstance(observe, Observables):
        return list(observe.names)
    return getattr(observe, "__qualname__", type(observe).__name__)
