"""No public function compiles again for other numbers: called twice, on valves made anew, the second call compiles
nothing. What compiles is counted by JAX itself, and lowers for CUDA too."""

import inspect
from contextlib import nullcontext

import jax
import numpy as np
import pytest
from cuda import HOST, TAKES_EIGENVECTORS, lowered_too
from helpers import small_valve

import svjax as sv

SPINS = np.array([[[0.6, 0.0, 0.8], [0.0, 0.6, 0.8]], [[0.8, 0.0, 0.6], [0.6, 0.48, 0.64]]])
TIMES = np.linspace(0.5, 20.0, 40)
NOT_COUNTED = {
    "files and processes": "discard_checkpoint join_processes keep_compiled open load_bias load_convergence "
    "load_equilibrium load_lattice load_spins load_state load_valve open_run open_sweep resume save_run "
    "store_convergence to_netcdf report ensemble",
    "sliders, of which test_explore counts": "explore",
    "plain numbers, which compile nothing": "asymmetric fit_relaxation from_hamiltonian from_kwant "
    "matsubara_poles micromagnetic_parameters optimized_poles pade_poles poles_for suggest_poles symmetric",
    "loops over a program that is compiled for each call": "convergence_report fit fit_torques follow hysteresis "
    "limit_cycle minimise prepare_equilibrium steady_curve sweep three_stage",
}


@pytest.fixture(scope="module", name="compiled")
def fixture_compiled():
    names = []
    jax.clear_caches()
    listen = lambda event, _, fun_name="", **more: names.append(fun_name) if "backend_compile" in event else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


class Case:
    """What functions are called with, once with the numbers ``k`` = 0 and once with ``k`` = 1."""

    def __init__(self, k):
        self.k, self.spins, self.bias = k, SPINS[k], sv.symmetric(0.1 + 0.1 * k)
        self.valve, self.energies = small_valve(j_sd=2.0 + 0.1 * k), np.linspace(-1, 1, 5) + k
        self.isolated = sv.SpinValve.chain(1, 2, 1, j_sd=1.0 + 0.1 * k)
        self.model = sv.MacrospinModel(j_eff=0.1 + 0.1 * k, n_s=2, anisotropy=(0.3, 0.2), damping=0.01)

    @property
    def state(self):
        return sv.stationary(self.valve, self.spins, np.array([0.1, 0.0]) * self.k)

    @property
    def steady(self):
        return sv.steady_state(self.valve, self.bias)

    def layers(self):
        return sv.macrospin_solution(TIMES, 0.1 + 0.1 * self.k, 2)


CALLS = {
    "aligned_spins": lambda c: sv.aligned_spins(c.valve),
    "broadened_dos": lambda c: sv.broadened_dos(c.valve, c.spins, c.energies, 0.1 + c.k),
    "conductance": lambda c: sv.conductance(c.valve, c.spins, 0.1 * c.k),
    "random_spins": lambda c: sv.random_spins(c.valve, jax.random.key(c.k)),
    "thermal_spins": lambda c: sv.thermal_spins(c.valve, jax.random.key(c.k), 0.1 + 0.1 * c.k, sweeps=5),
    "disorder": lambda c: sv.disorder(c.valve, jax.random.key(c.k), 0.1 + c.k),
    "critical_voltage": lambda c: sv.critical_voltage(
        sv.SpinValve.square(6, 1, 1, 1, j_sd=2.0, temperature=0.1 + 0.001 * c.k, mu_bar=0.15, poles=sv.pade_poles(12)),
        (1.2, 1.41),
        bias=lambda v: (0.0, v),
        at=0.05,
        angles=4,
    ),
    "current_driven_torque": lambda c: sv.current_driven_torque(c.valve, c.state, c.steady),
    "effective_coupling": lambda c: sv.effective_coupling(c.isolated, 20.0),
    "effective_hamiltonian": lambda c: sv.effective_hamiltonian(c.valve, c.spins),
    "effective_llg": lambda c: sv.effective_llg(c.valve, c.bias, angles=7).modes(),
    "effective_torque": lambda c: sv.effective_torque(c.valve, c.steady, c.steady),
    "electron_decays": lambda c: sv.electron_decays(c.valve, c.spins),
    "equilibrium_states": lambda c: sv.equilibrium_states(c.valve, [0.0, 0.1 + 0.1 * c.k]),
    "evolve": lambda c: sv.evolve(c.valve, c.state, c.bias, 2.0, dt=0.02, method="rk38"),
    "exact_density_matrix": lambda c: sv.exact_density_matrix(c.valve, c.spins, c.bias(0.0)),
    "exchange_coupling": lambda c: sv.exchange_coupling(c.isolated, temperature=0.1),
    "fermi": lambda c: sv.fermi(c.valve.poles, c.energies),
    "fit_macrospin": lambda c: sv.fit_macrospin(TIMES, *np.moveaxis(c.layers(), 1, 0), 2),
    "fano_factors": lambda c: sv.fano_factors(c.valve, c.spins, c.bias),
    "get_parameter": lambda c: sv.get_parameter(c.valve, c.bias, "anisotropy[1]"),
    "hamiltonian": lambda c: sv.hamiltonian(c.valve, c.spins),
    "heat_current": lambda c: sv.heat_current(c.valve, c.spins, c.bias),
    "is_stable": lambda c: sv.is_stable(c.valve, c.steady, c.bias),
    "landauer_current": lambda c: sv.landauer_current(c.valve, c.spins, c.bias),
    "macrospin_modes": lambda c: sv.macrospin_modes(c.model, np.eye(3)[[0, 2]]),
    "macrospin_solution": lambda c: c.layers(),
    "relaxation_modes": lambda c: sv.relaxation_modes(c.valve, c.steady, c.bias),
    "mode_shapes": lambda c: sv.mode_shapes(c.valve, c.steady, c.bias),
    "periodic_orbit": lambda c: sv.periodic_orbit(
        c.valve, c.bias, 2.0 + c.k, start=c.steady, steps=60, method="rk38", observe=("spins",)
    ),
    "periodic_state": lambda c: sv.periodic_state(
        c.valve, sv.Oscillating([0.1, 0.0], [0.2, 0.1 * c.k], np.pi), 2.0, spins=c.spins, steps=60, method="rk38"
    ),
    "phase_diagram": lambda c: sv.phase_diagram(
        c.valve, [0.1 + 0.1 * c.k], [0.01 * c.k], start=c.spins, duration=20.0 + c.k, angles=5
    ),
    "rkky_law": lambda c: sv.rkky_law(1.0 + c.k, np.arange(1.0, 5.0) + c.k),
    "set_parameters": lambda c: sv.set_parameters(c.valve, c.bias, {"anisotropy[1]": 0.1 * c.k, "voltage": 0.2 + c.k}),
    "slonczewski_form": lambda c: sv.slonczewski_form(sv.effective_llg(c.valve, c.bias, angles=7)),
    "solve_macrospin": lambda c: sv.solve_macrospin(c.model, SPINS[c.k], TIMES),
    "spin_noise": lambda c: sv.spin_noise(c.valve, c.spins, c.bias),
    "stability_limit": lambda c: sv.stability_limit(c.valve, c.bias),
    "stationary": lambda c: sv.stationary(c.valve, c.spins, (0.1, 0.1 * c.k)),
    "steady_state": lambda c: c.steady,
    "steady_states": lambda c: sv.steady_states(c.valve, [c.bias, sv.symmetric(0.4)]),
    "suggest_dt": lambda c: sv.suggest_dt(c.valve, c.bias),
    "thermoelectric": lambda c: sv.thermoelectric(c.valve, c.spins, 0.1 * c.k),
    "time_derivative": lambda c: sv.time_derivative(c.valve, c.state, (0.1, 0.1 * c.k)),
    "zero_frequency_noise": lambda c: sv.zero_frequency_noise(c.valve, c.spins, c.bias),
}
FAMILIES = {
    "density_of_states layer_density_of_states local_density_of_states spin_polarization transmission": lambda c: (
        c.valve, c.spins, c.energies
    ),
    "energy_levels level_gap level_splitting spectrum": lambda c: (c.valve, c.spins),
    "charge_current spin_current": lambda c: (c.valve, c.state, 1),
    "bond_currents bond_energy_currents bond_spin_currents charge_balance default_observables energy "
    "interface_currents local_torques magnetization monolayer_polarization particle_number site_charge site_inflow "
    "site_spin site_spin_inflow spectral_observables spin_density spin_transfer_torques "
    "total_spin": lambda c: (c.valve, c.state),
}  # fmt: skip
for names, arguments in FAMILIES.items():
    CALLS |= {name: lambda c, name=name, given=arguments: getattr(sv, name)(*given(c)) for name in names.split()}


CALLS_PYTHON = ("solve_macrospin", "phase_diagram")
"""What diffrax solves: errors are raised from inside of its program, which lowers only where there is the device."""
STARTS_FROM_STEADY = ["current_driven_torque", "effective_torque"]
SLOW = ("phase_diagram", "slonczewski_form", "critical_voltage", "effective_llg", "effective_coupling")
"""What needs a table of torques, or a long run."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CALLS])
def test_the_second_call_compiles_nothing(name, compiled):
    call, (first, second) = CALLS[name], (Case(0), Case(1))
    with nullcontext(set()) if name in CALLS_PYTHON else lowered_too() as libraries:
        call(first)
    compiled.clear()
    call(second)
    assert not compiled
    assert name in TAKES_EIGENVECTORS.split() + STARTS_FROM_STEADY or not libraries & HOST


def test_every_public_function_is_called_or_said_not_to_be():
    public = {name for name in dir(sv) if not name.startswith("_")}
    functions = {name for name in public if inspect.isroutine(inspect.unwrap(getattr(sv, name)))}
    assert functions == CALLS.keys() | {name for names in NOT_COUNTED.values() for name in names.split()}


@pytest.mark.parametrize("segments", [1, 4])
def test_a_trace_of_a_valve_runs_one_program(segments, compiled):
    """Once for the whole trace, and once for all its segments."""
    for k in (0, 1):
        case = Case(k)
        one = sv.Trace(np.arange(1.0, 5.0), np.zeros(4) + k, "magnetization[1,0]", start=case.state)
        compiled.clear()
        state = one.first_state(case.valve)
        for number in range(segments):
            state = one.run(case.valve, case.bias, state, number * 10, 40 // segments).state
    assert not compiled
