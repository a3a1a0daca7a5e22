"""Heat currents and thermoelectric coefficients at frozen spins, after Landauer and Buttiker."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Complex, Float

from svjax.electrons.energy_integral import contact_gamma, integrate_energy
from svjax.electrons.landauer import at_levels, check_leads
from svjax.engine.arrays import PerLead, Scalar, Spins
from svjax.engine.shown import Shown
from svjax.model.levels import BiasLike
from svjax.model.valve import SpinValve


class Thermoelectric(Shown, eqx.Module):
    """Linear response of two leads to differences of their levels and temperatures, as `thermoelectric` finds it."""

    units: ClassVar = {"conductance": "1/hbar", "thermopower": "k_B/e", "thermal_conductance": "k_B hopping/hbar"}

    conductance: Scalar
    """dI/dmu of the particle current: G = L_0, twice `conductance`."""
    thermopower: Scalar
    """-L_1/(T L_0), dmu/dT at zero current: negative where electrons above mu carry more than those below."""
    thermal_conductance: Scalar
    """Heat current per difference of temperature at zero particle current: (L_2 - L_1^2/L_0)/T."""


def heat_current(valve: SpinValve, spins: ArrayLike, bias: BiasLike) -> PerLead:
    """J_l = int de/(2 pi) (e - mu_l) sum_m Theta_lm(e) [f_l(e) - f_m(e)], the heat that each lead loses, (leads,).

    In hopping^2/hbar. The sum over the leads is minus the Joule heat: sum_l (J_l + mu_l I_l) = 0 with the particle
    currents I_l. ``bias`` is constant; the leads may differ in temperature. Differentiable.
    """
    return _heat_current(*at_levels(valve, spins, bias))


@jax.jit
def _heat_current(valve: SpinValve, spins: Spins, mu: PerLead) -> PerLead:
    _, gamma = contact_gamma(valve)

    def measure(energy, green, f):
        return (energy - mu) * jnp.sum(_between(gamma, green) * (f[:, None] - f), 1)

    return integrate_energy(valve, spins, mu, measure)


def thermoelectric(
    valve: SpinValve, spins: ArrayLike, level: ArrayLike = 0.0, *, lead: int = 0, other: int = 1
) -> Thermoelectric:
    """Conductance, thermopower and thermal conductance between two leads at mu = ``level``.

        L_n = int de/(2 pi) Theta(e) (e - mu)^n (-df/de)   at the temperature T of ``lead``;

    any further leads count as absorbing, not as floating. At low temperatures the thermal conductance is
    pi^2 T G/3, the law of Wiedemann and Franz.
    """
    mu = jnp.full(len(valve.lattice.contacts), jnp.asarray(level, float))
    valve, spins, mu = at_levels(valve, spins, mu)
    check_leads(valve, lead, other)
    zeroth, first, second = _moments(valve, spins, mu)[:, lead, other]
    temperature = valve.temperature[lead]
    kept = second - first**2 / zeroth
    return Thermoelectric(zeroth, -first / (temperature * zeroth), kept / temperature)


@jax.jit
def _moments(valve: SpinValve, spins: Spins, mu: PerLead) -> Float[Array, "3 leads leads"]:
    _, gamma = contact_gamma(valve)
    powers = jnp.arange(3)[:, None, None]

    def measure(energy, green, f):
        slope = f * (1 - f) / valve.temperature
        return (energy - mu[0]) ** powers * slope[:, None] * _between(gamma, green)

    return integrate_energy(valve, spins, mu, measure)


def _between(gamma: Complex[Array, "leads c c"], green: Complex[Array, "c c"]) -> Float[Array, "leads leads"]:
    """Theta_lm = Tr(Gamma_l G Gamma_m G^+)."""
    return jnp.einsum("lab,bc,mcd,ad->lm", gamma, green, gamma, green.conj()).real
