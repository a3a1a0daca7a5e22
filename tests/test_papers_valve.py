"""The paper's 12x4 valve at J_sd = 2 (Sec. III B): equilibrium, transients after a quench, and where long runs end."""

import jax.numpy as jnp
import numpy as np
import pytest

import svjax as sv

VALVE = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(10))


@pytest.fixture(scope="module")
def equilibrium():
    return sv.steady_state(VALVE, (0.0, 0.0))


@pytest.fixture(scope="module")
def quench(equilibrium):
    """Runs from equilibrium under a bias, saved at t = 1, 2, ... (one compiled program for all)."""

    def run(voltage, drop):
        bias = sv.VoltageDrop(jnp.array(voltage), (0.5, -0.5)) if drop == "symmetric" else sv.asymmetric(voltage)
        return sv.evolve(VALVE, equilibrium, bias, 4.0, dt=0.05, method="etd", save_every=20).observables

    return run


def test_equilibrium_has_no_current_but_the_exchange_of_the_layers(equilibrium):
    assert np.allclose(sv.magnetization(VALVE, equilibrium)[1], [0.0834, 0, 0.9965], atol=5e-5)
    charge, spin = sv.interface_currents(VALVE, equilibrium)
    leads = [sv.charge_current(VALVE, equilibrium, lead) for lead in (0, 1)]
    leads += [sv.spin_current(VALVE, equilibrium, lead) for lead in (0, 1)]
    assert max(float(jnp.abs(value).max()) for value in leads) < 1e-9
    assert abs(charge) < 1e-9
    assert np.allclose(spin, [0, 0.0532, 0], atol=5e-5)


def test_a_symmetric_voltage_reaches_the_free_layer_from_both_leads(quench):
    """I_F at t = 1, 2, 4: from the right lead at about t = 2, from the left one at about t = 4."""
    current = quench(1.0, "symmetric")
    found = current["interface_charge_current"]
    assert np.allclose(found[np.array([0, 1, 3])], [0.0007, 0.038, 0.183], atol=5e-4)
    assert current["charge_current"][0, 1] > 0.1


def test_an_asymmetric_voltage_reaches_it_from_the_left_alone(quench):
    current = quench(0.5, "asymmetric")
    assert np.allclose(current["interface_charge_current"][2:], [0.0008, 0.020], atol=5e-4)
    assert np.abs(current["charge_current"][:3, 1]).max() < 2e-5
    assert current["charge_current"][0, 0] > 0.1


@pytest.mark.slow
def test_stage_one_ends_in_equilibrium():
    start = sv.stationary(VALVE, sv.aligned_spins(VALVE))
    end = sv.evolve(VALVE, start, None, 4000.0, dt=0.1, method="etd", save_every=1000).state
    assert np.allclose(sv.magnetization(VALVE, end)[1], [0.0834, 0, 0.9965], atol=2e-4)


@pytest.mark.slow
def test_a_long_run_ends_in_the_current_driven_steady_state(equilibrium):
    end = sv.evolve(VALVE, equilibrium, sv.symmetric(1.0), 8000.0, dt=0.1, method="etd", save_every=1000).state
    assert np.isclose(sv.magnetization(VALVE, end)[1, 0], -0.1031, atol=1e-4)
    currents = [
        sv.charge_current(VALVE, end, 0),
        sv.charge_current(VALVE, end, 1),
        sv.interface_currents(VALVE, end)[0],
    ]
    assert np.allclose(currents, currents[0], atol=1e-6)
    assert np.isclose(currents[0], 0.243, atol=5e-4)
    assert np.isclose(currents[0], sv.landauer_current(VALVE, end.spins, (0.5, -0.5)), atol=1e-6)
    assert max(float(jnp.abs(sv.spin_current(VALVE, end, lead)).max()) for lead in (0, 1)) < 1e-6


@pytest.mark.slow
def test_an_asymmetric_long_run_keeps_its_spin_currents(equilibrium):
    end = sv.evolve(VALVE, equilibrium, sv.asymmetric(0.5), 8000.0, dt=0.1, method="etd", save_every=1000).state
    assert float(jnp.abs(sv.spin_current(VALVE, end, 1)).max()) > 1e-3
