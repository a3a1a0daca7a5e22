"""What a stored run looks like: its variables, coordinates with units, and attributes."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from svjax.observables.by_name import Observables, Observe, default_observables
from svjax.simulations.plan import Plan
from svjax.storage.driving import drive_to_record, key_to_record
from svjax.storage.records import bias_to_record, provenance, valve_to_record
from svjax.storage.status import OF_RUNS, Status, flags

FORMAT, FORMAT_VERSION = "svjax-run", 1
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


def layout(plan: Plan, rows: dict[str, np.ndarray]) -> xr.Dataset:
    """The dataset of a whole run, nan where nothing has been saved."""
    valve, lattice = plan.valve, plan.valve.lattice
    empty = lambda shape, dtype: np.broadcast_to(np.asarray(np.nan if dtype.kind in "fc" else 0, dtype), shape)
    levels = np.where((plan.stage == 2)[:, None], np.asarray(jax.vmap(plan.bias)(jnp.asarray(plan.t))), 0.0)
    sizes = {"layer": len(lattice.layers), "lead": len(lattice.contacts), "spin": len(lattice.spin_sites)}
    sizes |= {"component": 3, "site": lattice.n_sites, "monolayer": len(lattice.monolayers)}
    variables: dict[str, Any] = {"mu": (("time", "lead"), levels, {"units": "hopping"})}
    for name, values in rows.items():
        axes = tuple(f"{name}_{k}" for k in range(1, values.ndim))
        dims, units, meaning = UNITS.get(name, (axes, "", ""))
        if tuple(sizes.get(dim) for dim in dims) != values.shape[1:]:  # an observable of one's own
            dims, units, meaning = axes, "", ""
        shape = (len(plan.t), *values.shape[1:])
        variables[name] = (("time", *dims), empty(shape, values.dtype), {"units": units, "long_name": meaning})
    for which in ("equilibrium", "final"):
        for name, dims in STATES.items():
            part = getattr(plan.initial, name)
            variables[f"{which}_{name}"] = (dims, empty(part.shape, part.dtype), {"units": "1"})
    variables["final_time"] = ((), np.nan, {"units": "hbar/hopping"})
    variables["saved"] = ((), np.int64(0), {"long_name": "rows that are saved"})
    variables["status"] = ((), np.int8(Status.RUNNING), flags(OF_RUNS))
    coordinates = {
        "time": ("time", plan.t, {"units": "hbar/hopping", "long_name": "time since the quench"}),
        "stage": ("time", plan.stage, {"long_name": "0: aligned spins, 1: zero bias, 2: bias on"}),
        "layer": ("layer", np.arange(len(lattice.layers)), {"long_name": "magnetic layer; 1 is the free layer"}),
        "lead": ("lead", np.arange(len(lattice.contacts)), {"long_name": "lead; of two, 0 is left and 1 is right"}),
        "component": ("component", np.array(list("xyz"), dtype=object)),
    }
    attributes = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "status": Status.RUNNING.word,
        "reason": "",
        "valve": json.dumps(valve_to_record(valve)),
        "bias": json.dumps(bias_to_record(plan.bias)),
        "observables": json.dumps(list(rows)),
        "observe": json.dumps(_observe_record(plan.observe)),
        "dt": plan.dt,
        "save_every": plan.save_every,
        "method": plan.method.name,
        "relax": -float(plan.t[0]),
        "duration": plan.steps * plan.dt,
        "precision": str(valve.j_sd.dtype),
        **provenance(),
    }
    more = {"drive": drive_to_record(plan.drive, valve), "key": key_to_record(plan.key)}
    attributes |= {name: json.dumps(record) for name, record in more.items() if record is not None}
    return xr.Dataset(variables, coordinates, attributes)


def _observe_record(observe: Observe) -> list[str] | str | None:
    """None for the default, names, or the name of another function, of which nothing else is kept."""
    if observe is default_observables:
        return None
    if isinstance(observe, Observables):
        return list(observe.names)
    return getattr(observe, "__qualname__", type(observe).__name__)
