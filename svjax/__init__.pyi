"""The names of svjax and the modules that have them; each is imported when it is first used."""

from . import plot as plot
from .dynamics.branches import (
    effective_torque as effective_torque,
    equilibrium_states as equilibrium_states,
    steady_states as steady_states,
)
from .dynamics.continuation import Branch as Branch, CriticalPoint as CriticalPoint, follow as follow
from .dynamics.evolve import (
    DivergedError as DivergedError,
    RungeKutta38 as RungeKutta38,
    Trajectory as Trajectory,
    evolve as evolve,
)
from .dynamics.modes import (
    Modes as Modes,
    electron_decays as electron_decays,
    is_stable as is_stable,
    mode_shapes as mode_shapes,
    relaxation_modes as relaxation_modes,
)
from .dynamics.relaxation_fit import RelaxationFit as RelaxationFit, fit_relaxation as fit_relaxation
from .dynamics.steady_state import ConvergenceError as ConvergenceError, steady_state as steady_state
from .dynamics.step_size import stability_limit as stability_limit, suggest_dt as suggest_dt
from .electrons.current_noise import (
    fano_factors as fano_factors,
    spin_noise as spin_noise,
    zero_frequency_noise as zero_frequency_noise,
)
from .electrons.fermi import exact_density_matrix as exact_density_matrix
from .electrons.heat import (
    Thermoelectric as Thermoelectric,
    heat_current as heat_current,
    thermoelectric as thermoelectric,
)
from .electrons.landauer import (
    conductance as conductance,
    density_of_states as density_of_states,
    landauer_current as landauer_current,
    layer_density_of_states as layer_density_of_states,
    local_density_of_states as local_density_of_states,
    spin_polarization as spin_polarization,
    transmission as transmission,
)
from .electrons.reach import PolesWarning as PolesWarning, suggest_poles as suggest_poles
from .electrons.spectrum import (
    Spectrum as Spectrum,
    broadened_dos as broadened_dos,
    energy_levels as energy_levels,
    level_gap as level_gap,
    level_splitting as level_splitting,
    rkky_law as rkky_law,
    spectral_observables as spectral_observables,
    spectrum as spectrum,
)
from .electrons.stationary import stationary as stationary
from .fitting.coordinates import Free as Free
from .fitting.fit import fit as fit
from .fitting.minimise import minimise as minimise
from .fitting.result import Fit as Fit, Minimum as Minimum
from .fitting.targets import SteadyCurve as SteadyCurve, Trace as Trace
from .fitting.torques import (
    TorqueFit as TorqueFit,
    fit_torques as fit_torques,
    micromagnetic_parameters as micromagnetic_parameters,
)
from .fitting.trial import FitProgress as FitProgress
from .lattices.lattice import Lattice as Lattice
from .macrospin.critical_voltage import critical_voltage as critical_voltage
from .macrospin.effective_llg import EffectiveLLG as EffectiveLLG, effective_llg as effective_llg
from .macrospin.exchange import (
    ExchangeCoupling as ExchangeCoupling,
    effective_coupling as effective_coupling,
    exchange_coupling as exchange_coupling,
)
from .macrospin.llg_results import (
    LayerDamping as LayerDamping,
    LayerExchange as LayerExchange,
    LayerTorques as LayerTorques,
)
from .macrospin.model import (
    MacrospinModel as MacrospinModel,
    macrospin_solution as macrospin_solution,
    solve_macrospin as solve_macrospin,
)
from .macrospin.modes import macrospin_modes as macrospin_modes
from .macrospin.phase_diagram import phase_diagram as phase_diagram
from .macrospin.precession_fit import MacrospinFit as MacrospinFit, fit_macrospin as fit_macrospin
from .macrospin.slonczewski import SlonczewskiForm as SlonczewskiForm, slonczewski_form as slonczewski_form
from .model.drives import FieldPulse as FieldPulse, PeierlsPulse as PeierlsPulse, Ramp as Ramp
from .model.equations import State as State, time_derivative as time_derivative
from .model.hamiltonian import effective_hamiltonian as effective_hamiltonian, hamiltonian as hamiltonian
from .model.importers import from_hamiltonian as from_hamiltonian, from_kwant as from_kwant
from .model.noise import random_spins as random_spins, thermal_spins as thermal_spins
from .model.parameters import disorder as disorder, get_parameter as get_parameter, set_parameters as set_parameters
from .model.units import Units as Units
from .model.valve import SpinValve as SpinValve, aligned_spins as aligned_spins
from .observables.by_name import default_observables as default_observables
from .observables.electronic import (
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
from .observables.local import (
    bond_energy_currents as bond_energy_currents,
    local_torques as local_torques,
    site_inflow as site_inflow,
    site_spin_inflow as site_spin_inflow,
    spin_transfer_torques as spin_transfer_torques,
)
from .periodic.limit_cycle import limit_cycle as limit_cycle
from .periodic.periodic_state import periodic_orbit as periodic_orbit, periodic_state as periodic_state
from .periodic.results import PeriodicState as PeriodicState
from .plot.explore import explore as explore
from .reports.report import report as report
from .reservoirs.bands import LorentzianBand as LorentzianBand, StripBand as StripBand
from .reservoirs.bias import (
    Constant as Constant,
    FunctionBias as FunctionBias,
    Oscillating as Oscillating,
    Pulse as Pulse,
    VoltageDrop as VoltageDrop,
    Waveform as Waveform,
    asymmetric as asymmetric,
    symmetric as symmetric,
)
from .reservoirs.poles import (
    Poles as Poles,
    fermi as fermi,
    matsubara_poles as matsubara_poles,
    optimized_poles as optimized_poles,
    pade_poles as pade_poles,
    poles_for as poles_for,
)
from .simulations.convergence import (
    Check as Check,
    Convergence as Convergence,
    convergence_report as convergence_report,
)
from .simulations.curve import steady_curve as steady_curve
from .simulations.hysteresis import hysteresis as hysteresis
from .simulations.loop import DivergedRun as DivergedRun, Interrupted as Interrupted, Progress as Progress, Run as Run
from .simulations.plan import Equilibrium as Equilibrium
from .simulations.runs import (
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
from .simulations.starts import load_spins as load_spins
from .simulations.three_stage import prepare_equilibrium as prepare_equilibrium, three_stage as three_stage
from .storage.compiled import keep_compiled as keep_compiled
from .storage.lattice_file import load_lattice as load_lattice
from .storage.netcdf import to_netcdf as to_netcdf
from .sweeps.devices import join_processes as join_processes
from .sweeps.ensemble import ensemble as ensemble
from .sweeps.opening import open as open
from .sweeps.resume import resume as resume
from .sweeps.sweep import SweepProgress as SweepProgress, sweep as sweep
from .sweeps.sweep_store import open_sweep as open_sweep
from .sweeps.tasks import ModesTask as ModesTask, RunTask as RunTask, SteadyTask as SteadyTask

__version__: str
