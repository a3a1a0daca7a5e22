"""Laboratory units: known values, both ways, and bad input."""

import jax.numpy as jnp
import numpy as np
import pytest

from svjax.model.units import Units

QUANTITIES = {
    "energy": ["ev", "mev"],
    "time": ["fs"],
    "temperature": ["kelvin"],
    "field": ["tesla"],
    "current": ["microampere"],
}
PAIRS = [(quantity, unit) for quantity, units in QUANTITIES.items() for unit in units]


@pytest.mark.parametrize(
    ("quantity", "unit", "one"),
    [
        ("energy", "ev", 1.0),
        ("energy", "mev", 1000.0),
        ("time", "fs", 0.658211957),  # hbar in eV fs
        ("temperature", "kelvin", 11604.5181),  # 1 eV / k_B
        ("field", "tesla", 1 / (2 * 5.788381798e-5)),  # 1 eV / (2 mu_B): 8638 T
        ("current", "microampere", 4 * np.pi * 38.7404586),  # 2 e (1 eV) / hbar = 4 pi (e^2/h) V
    ],
)
def test_one_unit_at_one_electronvolt(quantity, unit, one):
    assert getattr(Units(gamma_ev=1.0), f"{quantity}_to_{unit}")(1.0) == pytest.approx(one, rel=3e-9)


def test_scaling_with_gamma_and_g():
    one, half = Units(1.0), Units(0.5)
    assert half.time_to_fs(3.0) == pytest.approx(2 * one.time_to_fs(3.0))
    for name in ("energy_to_ev", "temperature_to_kelvin", "field_to_tesla", "current_to_microampere"):
        assert getattr(half, name)(3.0) == pytest.approx(0.5 * getattr(one, name)(3.0))
    assert Units(1.0, g=1.0).field_to_tesla(1.0) == pytest.approx(2 * one.field_to_tesla(1.0))


def test_conductance_quantum():
    """One open channel of one spin has dN/dt = V/(2 pi), in the paper's halves V/(4 pi): a conductance of e^2/h."""
    units = Units(gamma_ev=0.7)
    voltage = 0.03
    microampere_per_volt = units.current_to_microampere(voltage / (4 * np.pi)) / units.energy_to_ev(voltage)
    assert microampere_per_volt == pytest.approx(38.7404586, rel=1e-8)


def test_larmor_period_of_a_free_electron_spin():
    """A unit spin obeys dS/dt = S x B: its period is 2 pi/B, with g = 2 h/(2 mu_B B), or 35.7 ps at 1 T."""
    units = Units(gamma_ev=1.3)
    period = 2 * np.pi / units.field_from_tesla(1.0)
    assert units.time_to_fs(period) == pytest.approx(35724.0, rel=1e-4)


@pytest.mark.parametrize(("quantity", "unit"), PAIRS)
@pytest.mark.parametrize("array", [np.array, jnp.array, lambda x: x[1]], ids=["numpy", "jax", "number"])
def test_there_and_back(quantity, unit, array):
    units = Units(gamma_ev=0.37, g=2.1)
    value = array([0.2, -3.0, 17.0])
    there = getattr(units, f"{quantity}_to_{unit}")(value)
    assert not np.allclose(there, value)
    np.testing.assert_allclose(getattr(units, f"{quantity}_from_{unit}")(there), value, rtol=1e-6)
    assert type(there) is type(value)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["gamma_ev", "g"])
def test_bad_input(name, value):
    with pytest.raises(ValueError, match=f"Argument `{name}` must be positive and finite, but is {value}"):
        Units(**{"gamma_ev": 1.0, name: value})


def test_immutable():
    with pytest.raises(AttributeError):
        Units(1.0).gamma_ev = 2.0
