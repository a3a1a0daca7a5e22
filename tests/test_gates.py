"""One answer at every door: states that no lead reaches, spins that nothing holds, valves without spins."""

import jax.numpy as jnp
import numpy as np
import pytest

import svjax as sv

SETTINGS = {"dt": 0.1, "method": "etd"}


def hook(bond=0.8, **changes):
    """Two sites with spins between leads, and a third that hangs on the second by ``bond``."""
    parameters = {"j_sd": 1.0, "anisotropy": 0.3, "poles": sv.optimized_poles(6)} | changes
    return sv.SpinValve.from_bonds(3, [(0, 1), (1, 2, bond)], [[0], [1]], [[0], [1]], **parameters)


def island():
    """Two sites between leads, and a third on its own."""
    return hook(0.0)


def pinned_in_the_middle():
    """A chain whose odd state has a node at the contact."""
    return sv.SpinValve.from_bonds(
        3, [(0, 1), (1, 2)], layers=[[1]], contacts=[[1]], j_sd=1.0, anisotropy=0.3, poles=sv.optimized_poles(6)
    )


@pytest.mark.parametrize("make", [island, pytest.param(pinned_in_the_middle, marks=pytest.mark.slow)])
def test_states_that_no_lead_reaches_are_refused_at_every_door(make):
    valve = make()
    doors = [
        lambda: sv.stationary(valve, sv.aligned_spins(valve)),
        lambda: sv.steady_state(valve, None),
        lambda: sv.exact_density_matrix(valve, sv.aligned_spins(valve)),
    ]
    for door in doors:
        with pytest.raises(ValueError, match="must let every state reach a lead"):
            door()
    levels = [0.0] * len(valve.lattice.contacts)
    for task in (sv.SteadyTask(), sv.ModesTask(1), sv.RunTask(1.0, **SETTINGS)):
        found = sv.sweep(valve, {"j_sd": [1.0, 1.5]}, task, bias=levels)
        assert not np.isin(found["status"], 1).any(), task


def test_spins_that_nothing_holds_have_one_answer():
    """Without anisotropy a turn of all spins costs nothing: no steady state is isolated."""
    valve = hook(anisotropy=0.0)
    with pytest.raises(sv.ConvergenceError, match="zero mode"):
        sv.steady_state(valve, None)
    answers = {
        str(sv.sweep(valve, {"j_sd": [1.0, 1.5]}, task, bias=[0.0, 0.0])["status"].values)
        for task in (sv.SteadyTask(), sv.ModesTask(1))
    }
    assert len(answers) == 1 and "1" not in answers.pop()


def chain(**changes):
    parameters = {"poles": sv.optimized_poles(6), "temperature": 0.1} | changes
    return sv.SpinValve.from_bonds(3, [(0, 1), (1, 2)], contacts=[[0], [2]], **parameters)


def test_without_spins_the_steady_state_is_that_of_the_electrons():
    valve, bias = chain(), sv.symmetric(0.5)
    alone = sv.stationary(valve, jnp.zeros((0, 3)), (0.25, -0.25))
    state = sv.steady_state(valve, bias)
    np.testing.assert_allclose(state.rho, alone.rho, rtol=0, atol=1e-12)
    assert state.spins.shape == (0, 3)
    found = sv.sweep(valve, {"voltage": [0.0, 0.5]}, sv.SteadyTask())
    assert (found["status"] == 1).all()
    np.testing.assert_allclose(found["charge_current"][1, 0], sv.charge_current(valve, alone, 0), rtol=0, atol=1e-10)


@pytest.mark.parametrize("start", ["equilibrium", "aligned"])
def test_without_spins_sweeps_of_runs_come_to_their_end(start):
    found = sv.sweep(chain(), {"voltage": [0.0, 0.5]}, sv.RunTask(1.0, start=start, **SETTINGS))
    assert (found["status"] == 1).all()
    own = sv.evolve(chain(), sv.stationary(chain(), jnp.zeros((0, 3))), sv.symmetric(0.5), 1.0, **SETTINGS)
    np.testing.assert_allclose(
        found["charge_current"][1, -1], own.observables["charge_current"][-1], rtol=0, atol=1e-10
    )


def test_without_spins_parameters_are_fitted():
    times, bias = np.array([1.0, 2.0]), sv.symmetric(0.5)
    true = chain(hopping=1.15)
    run = sv.evolve(true, sv.stationary(true, jnp.zeros((0, 3))), bias, 2.0, save_every=10, **SETTINGS)
    trace = sv.Trace(times, run.observables["charge_current"], "charge_current", sigma=1e-4, **SETTINGS)
    found = sv.fit(chain(), {"hopping": 1.0}, trace, bias=bias)
    assert found.converged and float(found.values["hopping"]) == pytest.approx(1.15, abs=1e-5)


def test_a_steady_state_in_single_precision_is_close_to_that_in_double():
    found = {}
    for dtype in ("float32", "float64"):
        valve = hook(j_sd=2.0, anisotropy=(0.4, 0.1), easy_axes=((1, 0, 0), (0, 0, 1)), dtype=dtype)
        found[dtype] = sv.steady_state(valve, (0.3, -0.2))
        assert found[dtype].spins.dtype == dtype
    assert np.abs(found["float32"].spins - found["float64"].spins).max() < 1e-3
