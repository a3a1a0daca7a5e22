"""svjax: the nonequilibrium dynamics of spin valves, electrons and spins together, in JAX."""

import importlib as _importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from svjax.bias import (
    Constant as Constant,
    Oscillating as Oscillating,
    Pulse as Pulse,
    VoltageDrop as VoltageDrop,
    Waveform as Waveform,
    asymmetric as asymmetric,
    symmetric as symmetric,
)
from svjax.branch import (
    effective_torque as effective_torque,
    equilibrium_states as equilibrium_states,
    steady_states as steady_states,
)
from svjax.convergence import Check as Check, Convergence as Convergence, convergence_report as convergence_report
from svjax.electrons import exact_density_matrix as exact_density_matrix, stationary as stationary
from svjax.envelope import RelaxationFit as RelaxationFit, fit_relaxation as fit_relaxation
from svjax.equations import State as State, time_derivative as time_derivative
from svjax.evolve import (
    DivergedError as DivergedError,
    RungeKutta38 as RungeKutta38,
    Trajectory as Trajectory,
    evolve as evolve,
)
from svjax.exchange import (
    ExchangeCoupling as ExchangeCoupling,
    effective_coupling as effective_coupling,
    exchange_coupling as exchange_coupling,
)
from svjax.fit import fit as fit
from svjax.fitted import Fit as Fit, FitProgress as FitProgress
from svjax.free import Free as Free
from svjax.hamiltonian import effective_hamiltonian as effective_hamiltonian, hamiltonian as hamiltonian
from svjax.landauer import (
    conductance as conductance,
    density_of_states as density_of_states,
    landauer_current as landauer_current,
    layer_density_of_states as layer_density_of_states,
    local_density_of_states as local_density_of_states,
    spin_polarization as spin_polarization,
    transmission as transmission,
)
from svjax.lattice import Lattice as Lattice
from svjax.macrospin import (
    MacrospinModel as MacrospinModel,
    macrospin_solution as macrospin_solution,
    solve_macrospin as solve_macrospin,
)
from svjax.macrospin_fit import MacrospinFit as MacrospinFit, fit_macrospin as fit_macrospin
from svjax.macrospin_torques import (
    TorqueFit as TorqueFit,
    fit_torques as fit_torques,
    macrospin_modes as macrospin_modes,
    micromagnetic_parameters as micromagnetic_parameters,
)
from svjax.march import (
    DivergedRun as DivergedRun,
    Interrupted as Interrupted,
    Progress as Progress,
    Run as Run,
)
from svjax.observables import (
    charge_balance as charge_balance,
    charge_current as charge_current,
    current_driven_torque as current_driven_torque,
    default_observables as default_observables,
    energy as energy,
    interface_currents as interface_currents,
    magnetization as magnetization,
    monolayer_polarization as monolayer_polarization,
    particle_number as particle_number,
    site_charge as site_charge,
    site_spin as site_spin,
    spin_current as spin_current,
    spin_density as spin_density,
    total_spin as total_spin,
)
from svjax.parameters import get_parameter as get_parameter, set_parameters as set_parameters
from svjax.plan import Equilibrium as Equilibrium
from svjax.poles import (
    Poles as Poles,
    fermi as fermi,
    matsubara_poles as matsubara_poles,
    optimized_poles as optimized_poles,
    pade_poles as pade_poles,
    poles_for as poles_for,
)
from svjax.processes import join_processes as join_processes
from svjax.protocol import prepare_equilibrium as prepare_equilibrium, three_stage as three_stage
from svjax.relaxation import (
    Modes as Modes,
    electron_decays as electron_decays,
    is_stable as is_stable,
    mode_shapes as mode_shapes,
    relaxation_modes as relaxation_modes,
)
from svjax.spectrum import (
    Spectrum as Spectrum,
    broadened_dos as broadened_dos,
    energy_levels as energy_levels,
    level_gap as level_gap,
    level_splitting as level_splitting,
    rkky_law as rkky_law,
    spectral_observables as spectral_observables,
    spectrum as spectrum,
)
from svjax.steady import ConvergenceError as ConvergenceError, steady_state as steady_state
from svjax.steps import stability_limit as stability_limit, suggest_dt as suggest_dt
from svjax.targets import SteadyCurve as SteadyCurve, Trace as Trace
from svjax.tasks import ModesTask as ModesTask, RunTask as RunTask, SteadyTask as SteadyTask
from svjax.units import Units as Units
from svjax.valve import SpinValve as SpinValve, aligned_spins as aligned_spins

if TYPE_CHECKING:
    from svjax import plot as plot
    from svjax.curve import steady_curve as steady_curve
    from svjax.netcdf import to_netcdf as to_netcdf
    from svjax.resumption import resume as resume
    from svjax.storage import (
        RunWriter as RunWriter,
        load_bias as load_bias,
        load_convergence as load_convergence,
        load_equilibrium as load_equilibrium,
        load_state as load_state,
        load_valve as load_valve,
        open_run as open_run,
        save_run as save_run,
        store_convergence as store_convergence,
    )
    from svjax.sweep_store import open_sweep as open_sweep
    from svjax.sweeps import SweepProgress as SweepProgress, sweep as sweep

_ON_DEMAND = {
    "plot": "",
    "steady_curve": "curve",
    "resume": "resumption",
    "sweep": "sweeps",
    "SweepProgress": "sweeps",
    "open_sweep": "sweep_store",
    "to_netcdf": "netcdf",
} | dict.fromkeys(
    (
        "RunWriter",
        "load_bias",
        "load_convergence",
        "load_equilibrium",
        "load_state",
        "load_valve",
        "open_run",
        "save_run",
        "store_convergence",
    ),
    "storage",
)
"""Names whose modules need xarray, zarr or matplotlib, which take longer to import than all the rest."""


def __getattr__(name: str):
    if name not in _ON_DEMAND:
        raise AttributeError(f"module 'svjax' has no attribute {name!r}")
    if not _ON_DEMAND[name]:
        return _importlib.import_module(f"svjax.{name}")
    return getattr(_importlib.import_module(f"svjax.{_ON_DEMAND[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})


__version__ = _version("svjax")
