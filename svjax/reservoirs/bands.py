"""Leads with a band: sites of the lead itself between the valve and a wide-band contact, exact, with no new equation.

A lead whose Gamma(e) is not constant is a wide-band lead behind sites of its own, whose levels follow mu_l(t), since
the band of a lead moves with its level. `extended` is the valve with these sites; the equations are those of that one.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, DTypeLike

from svjax.engine.arrays import Numbers, Scalar, real_array, whole_number
from svjax.engine.quantities import quantities, quantity
from svjax.engine.shown import Shown


class Continuation(NamedTuple):
    """The sites of a lead behind each of its contact sites, one after another away from the valve.

    ``first``: (contacts, 2, 2) H_ij from the contact site i to the first of them; ``others``: (columns - 1,) hoppings
    H between the following ones; ``level``: of all of them, without mu_l; ``width``: Gamma of the wide-band contact on
    the last one.
    """

    first: Complex[Array, "contacts 2 2"]
    others: Array
    level: Scalar
    width: Scalar


class AbstractBand(Shown, eqx.Module):
    """How the coupling of a lead depends on energy."""

    columns: eqx.AbstractVar[int]
    """Sites of the lead behind each contact site."""
    joined: eqx.AbstractVar[bool]
    """Whether these sites are joined across the lead as the contact sites are."""

    @property
    def error(self) -> float:
        """The largest error of the lead's self-energy, in units of the hopping; zero where its sites are exact."""
        return 0.0

    @abstractmethod
    def continuation(self, gamma: Complex[Array, "contacts 2 2"], hopping: Scalar) -> Continuation:
        """The sites for the contacts' ``gamma`` Gamma_l (1 + p_l.sigma) and the valve's ``hopping``."""


class LorentzianBand(AbstractBand):
    """Gamma(e) = Gamma W^2/[(e - e_0 - mu_l)^2 + W^2]: one more site per contact site at the level e_0 + mu_l, joined
    by sqrt(Gamma W/2), with a wide-band contact 2 W."""

    width: Scalar = quantity("W", "hopping", "Half width of the band at half its height", least=0.0, strict=True)
    center: Scalar = quantity("e_0", "hopping", "Level of the middle of the band, above mu_l", default=0.0)
    columns: int = eqx.field(static=True)
    joined: bool = eqx.field(static=True)

    def __init__(self, width: Numbers, center: Numbers = 0.0):
        self.width, self.center = real_array(width, "width"), real_array(center, "center")
        self.columns, self.joined = 1, False

    def continuation(self, gamma, hopping):
        return Continuation(
            -_root(gamma) * jnp.sqrt(self.width / 2), jnp.zeros(0, self.width.dtype), self.center, 2 * self.width
        )


class StripBand(AbstractBand):
    """A semi-infinite strip of the valve's own hopping: ``columns`` more columns, the last with a wide-band contact.

    Hoppings and contact are fitted to Sigma(e) = e/2 - i sqrt(4 - e^2)/2 of an infinite chain (`strip_hoppings`); the
    largest error for |e| < 1.9 is 0.0175 of the hopping for 10 columns. The lead's own Gamma does not enter.
    """

    columns: int = eqx.field(static=True)
    joined: bool = eqx.field(static=True)

    def __init__(self, columns: int = 8):
        self.columns, self.joined = whole_number(columns, "columns", 2), True

    @property
    def error(self) -> float:
        e = np.linspace(-1.9, 1.9, 401)
        exact = (e - 1j * np.sqrt(4 - e**2)) / 2
        return float(np.abs(strip_self_energy(np.array(strip_hoppings(self.columns)), e) - exact).max())

    def continuation(self, gamma, hopping):
        *hoppings, width = strip_hoppings(self.columns)
        first = jnp.broadcast_to(-hopping * hoppings[0] * jnp.eye(2, dtype=gamma.dtype), gamma.shape)
        return Continuation(first, -hopping * jnp.asarray(hoppings[1:]), jnp.zeros_like(hopping), abs(hopping) * width)


def band_of_type(band: AbstractBand, dtype: DTypeLike) -> AbstractBand:
    """The band with all its quantities as arrays of one type, checked."""
    for name, kind in quantities(type(band)).items():
        value = kind.array(name, getattr(band, name), {}, dtype)
        kind.check(name, value)
        band = eqx.tree_at(lambda b, name=name: getattr(b, name), band, value)
    return band


@lru_cache(maxsize=32)
def strip_hoppings(columns: int) -> tuple[float, ...]:
    """t_1 ... t_m and the contact Gamma, for a hopping of one: least squares on 400 Chebyshev points of |e| < 4."""
    e = 4 * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    outside = np.sign(e) * np.sqrt(np.maximum(e**2 - 4, 0))
    wanted = e / 2 - np.where(np.abs(e) < 2, 0.5j * np.sqrt(np.maximum(4 - e**2, 0)), outside / 2)

    def error(x):
        difference = strip_self_energy(x, e) - wanted
        return np.concatenate([difference.real, difference.imag])

    start = [1.0, *strip_hoppings(columns - 1)] if columns > 2 else [1.0, 1.3, 4.0]
    from scipy.optimize import least_squares  # takes as long to import as half of JAX

    found = least_squares(error, start, xtol=1e-12, ftol=1e-12, gtol=1e-12, bounds=(0.1, np.inf)).x
    return tuple(found.tolist())


def strip_self_energy(hoppings: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Sigma(e) = t_1^2/(e - t_2^2/(e - ... /(e + i Gamma/2))), the continued fraction of the columns."""
    *hops, width = hoppings
    below = energies + 0.5j * width
    for hop in reversed(hops[1:]):
        below = energies - hop**2 / below
    return hops[0] ** 2 / below


def _root(gamma: Complex[Array, "contacts 2 2"]) -> Complex[Array, "contacts 2 2"]:
    """The square root of Hermitian 2x2 blocks g (1 + p.sigma): (sqrt(det) + block)/sqrt(trace + 2 sqrt(det))."""
    trace = jnp.trace(gamma, axis1=1, axis2=2).real
    product = (gamma[:, 0, 0] * gamma[:, 1, 1] - gamma[:, 0, 1] * gamma[:, 1, 0]).real
    root = jnp.sqrt(jnp.maximum(product, 0))
    scale = jnp.sqrt(jnp.maximum(trace + 2 * root, jnp.finfo(trace.dtype).tiny))
    return (root[:, None, None] * jnp.eye(2) + gamma) / scale[:, None, None]
