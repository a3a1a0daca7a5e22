"""svjax: the nonequilibrium dynamics of spin valves, electrons and spins together, in JAX."""

from importlib.metadata import version as _version

from svjax.bias import (
    Constant as Constant,
    Oscillating as Oscillating,
    Pulse as Pulse,
    VoltageDrop as VoltageDrop,
    asymmetric as asymmetric,
    symmetric as symmetric,
)
from svjax.branch import (
    effective_torque as effective_torque,
    equilibrium_states as equilibrium_states,
    steady_states as steady_states,
)
from svjax.electrons import exact_density_matrix as exact_density_matrix, stationary as stationary
from svjax.envelope import RelaxationFit as RelaxationFit, fit_relaxation as fit_relaxation
from svjax.equations import State as State, time_derivative as time_derivative
from svjax.evolve import (
    DivergedError as DivergedError,
    RungeKutta38 as RungeKutta38,
    Trajectory as Trajectory,
    evolve as evolve,
    stability_limit as stability_limit,
)
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
from svjax.observables import (
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
from svjax.poles import Poles as Poles, pade_poles as pade_poles
from svjax.relaxation import (
    Modes as Modes,
    electron_decays as electron_decays,
    is_stable as is_stable,
    mode_shapes as mode_shapes,
    relaxation_modes as relaxation_modes,
)
from svjax.steady import ConvergenceError as ConvergenceError, steady_state as steady_state
from svjax.valve import SpinValve as SpinValve, aligned_spins as aligned_spins

__version__ = _version("svjax")
