"""svjax: the nonequilibrium dynamics of spin valves, electrons and spins together, in JAX."""

import importlib as _importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from svjax.dynamics.branches import (
    effective_torque as effective_torque,
    equilibrium_states as equilibrium_states,
    steady_states as steady_states,
)
from svjax.dynamics.continuation import Branch as Branch, CriticalPoint as CriticalPoint, follow as follow
from svjax.dynamics.evolve import (
    DivergedError as DivergedError,
    RungeKutta38 as RungeKutta38,
    Trajectory as Trajectory,
    evolve as evolve,
)
from svjax.dynamics.modes import (
    Modes as Modes,
    electron_decays as electron_decays,
    is_stable as is_stable,
    mode_shapes as mode_shapes,
    relaxation_modes as relaxation_modes,
)
from svjax.dynamics.relaxation_fit import RelaxationFit as RelaxationFit, fit_relaxation as fit_relaxation
from svjax.dynamics.steady_state import ConvergenceError as ConvergenceError, steady_state as steady_state
from svjax.dynamics.step_size import stability_limit as stability_limit, suggest_dt as suggest_dt
from svjax.electrons.current_noise import (
    fano_factors as fano_factors,
    spin_noise as spin_noise,
    zero_frequency_noise as zero_frequency_noise,
)
from svjax.electrons.fermi import exact_density_matrix as exact_density_matrix
from svjax.electrons.heat import (
    Thermoelectric as Thermoelectric,
    heat_current as heat_current,
    thermoelectric as thermoelectric,
)
from svjax.electrons.landauer import (
    conductance as conductance,
    density_of_states as density_of_states,
    landauer_current as landauer_current,
    layer_density_of_states as layer_density_of_states,
    local_density_of_states as local_density_of_states,
    spin_polarization as spin_polarization,
    transmission as transmission,
)
from svjax.electrons.reach import PolesWarning as PolesWarning, suggest_poles as suggest_poles
from svjax.electrons.spectrum import (
    Spectrum as Spectrum,
    broadened_dos as broadened_dos,
    energy_levels as energy_levels,
    level_gap as level_gap,
    level_splitting as level_splitting,
    rkky_law as rkky_law,
    spectral_observables as spectral_observables,
    spectrum as spectrum,
)
from svjax.electrons.stationary import stationary as stationary
from svjax.engine.devices import join_processes as join_processes
from svjax.fitting.coordinates import Free as Free
from svjax.fitting.fit import fit as fit
from svjax.fitting.minimise import minimise as minimise
from svjax.fitting.result import Fit as Fit, Minimum as Minimum
from svjax.fitting.targets import SteadyCurve as SteadyCurve, Trace as Trace
from svjax.fitting.torques import (
    TorqueFit as TorqueFit,
    fit_torques as fit_torques,
    micromagnetic_parameters as micromagnetic_parameters,
)
from svjax.fitting.trial import FitProgress as FitProgress
from svjax.lattices.lattice import Lattice as Lattice
from svjax.macrospin.critical_voltage import critical_voltage as critical_voltage
from svjax.macrospin.effective_llg import EffectiveLLG as EffectiveLLG, effective_llg as effective_llg
from svjax.macrospin.exchange import (
    ExchangeCoupling as ExchangeCoupling,
    effective_coupling as effective_coupling,
    exchange_coupling as exchange_coupling,
)
from svjax.macrospin.llg_results import (
    LayerDamping as LayerDamping,
    LayerExchange as LayerExchange,
    LayerTorques as LayerTorques,
)
from svjax.macrospin.model import (
    MacrospinModel as MacrospinModel,
    macrospin_solution as macrospin_solution,
    solve_macrospin as solve_macrospin,
)
from svjax.macrospin.modes import macrospin_modes as macrospin_modes
from svjax.macrospin.phase_diagram import phase_diagram as phase_diagram
from svjax.macrospin.precession_fit import MacrospinFit as MacrospinFit, fit_macrospin as fit_macrospin
from svjax.macrospin.slonczewski import SlonczewskiForm as SlonczewskiForm, slonczewski_form as slonczewski_form
from svjax.model.drives import FieldPulse as FieldPulse, PeierlsPulse as PeierlsPulse, Ramp as Ramp
from svjax.model.equations import State as State, time_derivative as time_derivative
from svjax.model.hamiltonian import effective_hamiltonian as effective_hamiltonian, hamiltonian as hamiltonian
from svjax.model.importers import from_hamiltonian as from_hamiltonian, from_kwant as from_kwant
from svjax.model.parameters import (
    disorder as disorder,
    get_parameter as get_parameter,
    set_parameters as set_parameters,
)
from svjax.model.units import Units as Units
from svjax.model.valve import SpinValve as SpinValve, aligned_spins as aligned_spins
from svjax.observables.by_name import default_observables as default_observables
from svjax.observables.electronic import (
    bond_currents as bond_currents,
    bond_spin_currents as bond_spin_currents,
    charge_balance as charge_balance,
    charge_current as charge_current,
    current_driven_torque as current_driven_torque,
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
from svjax.observables.local import (
    bond_energy_currents as bond_energy_currents,
    local_torques as local_torques,
    site_inflow as site_inflow,
    site_spin_inflow as site_spin_inflow,
    spin_transfer_torques as spin_transfer_torques,
)
from svjax.periodic.periodic_state import (
    PeriodicState as PeriodicState,
    periodic_orbit as periodic_orbit,
    periodic_state as periodic_state,
)
from svjax.reservoirs.bands import LorentzianBand as LorentzianBand, StripBand as StripBand
from svjax.reservoirs.bias import (
    Constant as Constant,
    FunctionBias as FunctionBias,
    Oscillating as Oscillating,
    Pulse as Pulse,
    VoltageDrop as VoltageDrop,
    Waveform as Waveform,
    asymmetric as asymmetric,
    symmetric as symmetric,
)
from svjax.reservoirs.poles import (
    Poles as Poles,
    fermi as fermi,
    matsubara_poles as matsubara_poles,
    optimized_poles as optimized_poles,
    pade_poles as pade_poles,
    poles_for as poles_for,
)
from svjax.simulations.convergence import (
    Check as Check,
    Convergence as Convergence,
    convergence_report as convergence_report,
)
from svjax.simulations.loop import (
    DivergedRun as DivergedRun,
    Interrupted as Interrupted,
    Progress as Progress,
    Run as Run,
)
from svjax.simulations.plan import Equilibrium as Equilibrium
from svjax.simulations.three_stage import prepare_equilibrium as prepare_equilibrium, three_stage as three_stage
from svjax.storage.compiled import keep_compiled as keep_compiled, keep_compiled_if_told as _keep_compiled_if_told
from svjax.storage.lattice_file import load_lattice as load_lattice
from svjax.sweeps.tasks import ModesTask as ModesTask, RunTask as RunTask, SteadyTask as SteadyTask

if TYPE_CHECKING:
    from svjax import plot as plot
    from svjax.plot.explore import explore as explore
    from svjax.reports.report import report as report
    from svjax.simulations.curve import steady_curve as steady_curve
    from svjax.simulations.hysteresis import hysteresis as hysteresis
    from svjax.simulations.runs import (
        RunWriter as RunWriter,
        discard_checkpoint as discard_checkpoint,
        load_bias as load_bias,
        load_convergence as load_convergence,
        load_equilibrium as load_equilibrium,
        load_state as load_state,
        load_valve as load_valve,
        open_run as open_run,
        save_run as save_run,
        store_convergence as store_convergence,
    )
    from svjax.simulations.starts import (
        load_spins as load_spins,
        random_spins as random_spins,
        thermal_spins as thermal_spins,
    )
    from svjax.storage.netcdf import to_netcdf as to_netcdf
    from svjax.sweeps.ensemble import ensemble as ensemble
    from svjax.sweeps.opening import open_store as open  # noqa: F401
    from svjax.sweeps.resume import resume as resume
    from svjax.sweeps.sweep import SweepProgress as SweepProgress, sweep as sweep
    from svjax.sweeps.sweep_store import open_sweep as open_sweep

_MODULES = {
    "simulations.curve": "steady_curve",
    "simulations.hysteresis": "hysteresis",
    "simulations.runs": "RunWriter discard_checkpoint load_bias load_convergence load_equilibrium load_state load_valve"
    " open_run save_run store_convergence",
    "simulations.starts": "load_spins random_spins thermal_spins",
    "storage.netcdf": "to_netcdf",
    "sweeps.ensemble": "ensemble",
    "sweeps.opening": "open",
    "sweeps.resume": "resume",
    "sweeps.sweep": "SweepProgress sweep",
    "sweeps.sweep_store": "open_sweep",
    "plot.explore": "explore",
    "reports.report": "report",
    "": "plot",
}
"""Modules that need xarray, zarr or matplotlib, which take longer to import than all the rest, and their names here."""
_ON_DEMAND = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str):
    if name not in _ON_DEMAND:
        raise AttributeError(f"module 'svjax' has no attribute {name!r}")
    if not _ON_DEMAND[name]:
        return _importlib.import_module(f"svjax.{name}")
    own = {"open": "open_store"}.get(name, name)  # inside the package `open` is the built-in one
    return getattr(_importlib.import_module(f"svjax.{_ON_DEMAND[name]}"), own)


def __dir__() -> list[str]:
    own = {name for name, item in globals().items() if getattr(item, "__module__", "").startswith("svjax")}
    return sorted(name for name in {*own, *_ON_DEMAND} if not name.startswith("_"))


__all__ = __dir__()  # type: ignore[reportUnsupportedDunderAll]
__version__ = _version("svjax")

_keep_compiled_if_told()
