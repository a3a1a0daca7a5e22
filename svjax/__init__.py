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
from svjax.electrons import exact_density_matrix as exact_density_matrix, stationary as stationary
from svjax.equations import State as State, time_derivative as time_derivative
from svjax.evolve import (
    DivergedError as DivergedError,
    RungeKutta38 as RungeKutta38,
    Trajectory as Trajectory,
    evolve as evolve,
    stability_limit as stability_limit,
)
from svjax.exchange import (
    ExchangeCoupling as ExchangeCoupling,
    effective_coupling as effective_coupling,
    exchange_coupling as exchange_coupling,
)
from svjax.hamiltonian import effective_hamiltonian as effective_hamiltonian, hamiltonian as hamiltonian
from svjax.lattice import Lattice as Lattice
from svjax.macrospin import (
    MacrospinModel as MacrospinModel,
    macrospin_solution as macrospin_solution,
    solve_macrospin as solve_macrospin,
)
from svjax.macrospin_fit import MacrospinFit as MacrospinFit, fit_macrospin as fit_macrospin
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
from svjax.poles import (
    Poles as Poles,
    fermi as fermi,
    matsubara_poles as matsubara_poles,
    optimized_poles as optimized_poles,
    pade_poles as pade_poles,
    poles_for as poles_for,
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
from svjax.units import Units as Units
from svjax.valve import SpinValve as SpinValve, aligned_spins as aligned_spins

__version__ = _version("svjax")
