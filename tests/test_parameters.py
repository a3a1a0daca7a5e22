"""Parameters of a valve and its bias by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import svjax as sv

BIAS = sv.Pulse(base=(0.1, 0.2), amplitude=(0.3, -0.4), center=5.0, width=2.0)


@pytest.fixture
def valve():
    return sv.SpinValve.square(4, 2, 1, 1, j_sd=2.0, poles=sv.optimized_poles(6))


@pytest.mark.parametrize(
    ("name", "value"),
    [("j_sd", 2.0), ("anisotropy[1]", 0.02), ("easy_axes[0,0]", 1.0), ("amplitude[1]", -0.4), ("center", 5.0)],
)
def test_a_parameter_is_found_by_its_name(valve, name, value):
    assert sv.get_parameter(valve, BIAS, name) == value


def test_setting_changes_that_entry_alone(valve):
    changed, bias = sv.set_parameters(valve, BIAS, {"anisotropy[1]": 0.5, "amplitude[0]": 9.0, "temperature": 0.1})
    assert changed.anisotropy.tolist() == [0.4, 0.5]
    assert changed.temperature.tolist() == [0.1, 0.1]
    assert bias.amplitude.tolist() == [9.0, -0.4]
    back, before = sv.set_parameters(
        changed, bias, {"anisotropy[1]": 0.02, "amplitude[0]": 0.3, "temperature": (0.025, 0.025)}
    )
    assert back == valve
    assert before.amplitude.tolist() == BIAS.amplitude.tolist()


def test_it_is_differentiable(valve):
    levels = lambda k: sv.effective_hamiltonian(
        sv.set_parameters(valve, BIAS, {"lead_coupling[1]": k})[0], sv.aligned_spins(valve)
    ).imag.sum()
    assert jax.grad(levels)(jnp.array(1.0)) == pytest.approx(-0.5 * 2 * 2)


@pytest.mark.parametrize(
    "name",
    ["jsd", "anisotropy[2]", "field[9,1]", "j_sd[9]", "field[0,3]", "anisotropy[-1]", "shape", "poles", "lattice"],
)
def test_what_is_no_parameter_raises(valve, name):
    with pytest.raises(ValueError, match=r"must (be one|lie within)"):
        sv.get_parameter(valve, BIAS, name)


def test_the_nearest_name_is_shown(valve):
    with pytest.raises(ValueError, match="nearest is 'temperature'"):
        sv.set_parameters(valve, BIAS, {"temperatur": 1.0})


def test_a_function_as_bias_has_no_parameters(valve):
    with pytest.raises(ValueError, match="must be one"):
        sv.get_parameter(valve, lambda t: jnp.zeros(2), "voltage")


def test_amplitudes_of_bonds_are_set_as_complex_numbers():
    plain = sv.SpinValve.ring(3)
    turned, _ = sv.set_parameters(plain, None, {"bonds[1]": 0.5 - 0.2j})
    assert np.allclose(turned.bonds, [1, 0.5 - 0.2j, 1])
    assert np.allclose(sv.set_parameters(turned, None, {"bonds[0]": 0.7})[0].bonds, [0.7, 0.5 - 0.2j, 1])
    assert sv.get_parameter(turned, None, "bonds[1]") == 0.5 - 0.2j
    with pytest.raises(ValueError, match="hopping"):
        sv.set_parameters(plain, None, {"hopping": 1j})


def test_a_number_for_a_bond_with_a_matrix_is_that_multiple_of_the_unit_matrix():
    rng = np.random.default_rng(0)
    a, j = rng.normal(size=(2, 2, 2)) + 1j * rng.normal(size=(2, 2, 2)), rng.normal(size=(2, 3, 3))
    valve = sv.SpinValve.from_bonds(
        3,
        [(0, 1, a[0]), (1, 2, a[1])],
        layers=[[0, 1, 2]],
        spin_bonds=[(0, 1, j[0]), (1, 2, j[1])],
        easy_axes=(0, 0, 1),
    )
    changed, _ = sv.set_parameters(valve, None, {"bonds[1]": 0.5 + 0.1j, "spin_bonds[0]": 0.2})
    assert np.allclose(changed.bonds, [a[0], (0.5 + 0.1j) * np.eye(2)], atol=0)
    assert np.allclose(changed.spin_bonds, [0.2 * np.eye(3), j[1]], atol=0)
    changed, _ = sv.set_parameters(valve, None, {"bonds": [0.5, 2.0], "spin_bonds": -1.0})
    assert np.allclose(changed.bonds, [0.5 * np.eye(2), 2 * np.eye(2)], atol=0)
    assert np.allclose(changed.spin_bonds, [-np.eye(3)] * 2, atol=0)
    changed, _ = sv.set_parameters(valve, None, {"bonds[0]": a[1], "bonds[1,0,1]": 0.0})
    assert np.allclose(changed.bonds[0], a[1], atol=0) and changed.bonds[1, 0, 1] == 0
    assert changed.bonds[1, 1, 1] == a[1, 1, 1]
