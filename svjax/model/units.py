"""From the units of the equations (hbar = k_B = e = 1, energies in the hopping gamma) to those of the lab, and back.

The constants are CODATA values, taken from `scipy.constants`; e, hbar and k_B are exact in the SI of 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import jax
import numpy as np
from scipy import constants

HBAR_EV_FS = constants.hbar / constants.e * 1e15
"""hbar in eV fs: 0.658211957 (exact in the SI: h / (2 pi e))."""
BOLTZMANN_EV_PER_K = constants.k / constants.e
"""k_B in eV/K: 8.617333e-5 (exact in the SI)."""
BOHR_MAGNETON_EV_PER_T = constants.physical_constants["Bohr magneton in eV/T"][0]
"""mu_B = e hbar / (2 m_e) in eV/T: 5.788382e-5 (CODATA, relative uncertainty 3e-10)."""
ELEMENTARY_CHARGE_MICROAMPERE_FS = constants.e * 1e21
"""e in microampere femtoseconds: 160.2177 (exact in the SI)."""

Values = TypeVar("Values", float, np.ndarray, jax.Array)
"""A number or an array (NumPy or JAX)."""


@dataclass(frozen=True)
class Units:
    """The laboratory values of the model's units, once the hopping gamma is known in eV.

    A method `x_to_unit` takes the dimensionless number of the equations, `x_from_unit` gives it back. Both take numbers
    and arrays.

    Arguments:
        gamma_ev: the hopping gamma, in eV (0.1 to 2 in the materials that the paper has in mind).
        g: the g-factor; each localized spin, a unit vector in Eq. (2), has the magnetic moment mu = g mu_B.

    Raises a ValueError unless both are positive and finite.
    """

    gamma_ev: float
    g: float = 2.0

    def __post_init__(self) -> None:
        for name in ("gamma_ev", "g"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"Argument `{name}` must be positive and finite, but is {value}.")

    @property
    def fs_per_time(self) -> float:
        """hbar/gamma, the unit of time, in femtoseconds."""
        return HBAR_EV_FS / self.gamma_ev

    @property
    def kelvin_per_temperature(self) -> float:
        """gamma/k_B, the unit of temperature, in kelvin."""
        return self.gamma_ev / BOLTZMANN_EV_PER_K

    @property
    def tesla_per_field(self) -> float:
        """gamma/(g mu_B), the unit of the field B of Eq. (2), in tesla."""
        return self.gamma_ev / (self.g * BOHR_MAGNETON_EV_PER_T)

    @property
    def microampere_per_current(self) -> float:
        """2 e gamma/hbar, in microampere: the paper's charge currents, Eqs. (11) and (13), are half of dN/dt."""
        return 2 * ELEMENTARY_CHARGE_MICROAMPERE_FS / self.fs_per_time

    def energy_to_ev(self, energy: Values) -> Values:
        """Energies (also voltages times e) in gamma -> eV."""
        return energy * self.gamma_ev

    def energy_from_ev(self, energy_ev: Values) -> Values:
        """Energies in eV -> gamma."""
        return energy_ev / self.gamma_ev

    def energy_to_mev(self, energy: Values) -> Values:
        """Energies in gamma -> meV."""
        return energy * (1e3 * self.gamma_ev)

    def energy_from_mev(self, energy_mev: Values) -> Values:
        """Energies in meV -> gamma."""
        return energy_mev / (1e3 * self.gamma_ev)

    def time_to_fs(self, time: Values) -> Values:
        """Times in hbar/gamma -> fs."""
        return time * self.fs_per_time

    def time_from_fs(self, time_fs: Values) -> Values:
        """Times in fs -> hbar/gamma."""
        return time_fs / self.fs_per_time

    def temperature_to_kelvin(self, temperature: Values) -> Values:
        """Temperatures in gamma/k_B -> K."""
        return temperature * self.kelvin_per_temperature

    def temperature_from_kelvin(self, temperature_kelvin: Values) -> Values:
        """Temperatures in K -> gamma/k_B."""
        return temperature_kelvin / self.kelvin_per_temperature

    def field_to_tesla(self, field: Values) -> Values:
        """Fields B of Eq. (2), in gamma per unit spin -> T."""
        return field * self.tesla_per_field

    def field_from_tesla(self, field_tesla: Values) -> Values:
        """Fields in T -> B of Eq. (2), in gamma per unit spin."""
        return field_tesla / self.tesla_per_field

    def current_to_microampere(self, current: Values) -> Values:
        """Charge currents as the paper defines them (half of dN/dt, Eqs. (11) and (13)), in gamma/hbar -> microampere.

        The result is e dN/dt: the sign is that of the particle current, not that of the electron's charge.
        """
        return current * self.microampere_per_current

    def current_from_microampere(self, current_microampere: Values) -> Values:
        """Charge currents in microampere -> the paper's half of dN/dt, in gamma/hbar."""
        return current_microampere / self.microampere_per_current
