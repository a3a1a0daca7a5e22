"""Pole expansions of the Fermi function, Eq. (7), with all poles on the imaginary axis.

    f(x) = 1/(e^x + 1)  ~  1/2 - sum_p eta_p [1/(x - i xi_p) + 1/(x + i xi_p)],      x = (e - mu)/T

Everything here is dimensionless: one expansion serves every temperature. Three kinds are offered.

- `pade_poles`: what the paper uses. The sum tends to 1/2 far outside its range, and a wide band never ends: the error
  of rho falls only as 1/n^4.
- `matsubara_poles`: the exact poles, cut off after n. The error of rho falls only as 1/n^2; for comparison.
- `optimized_poles`: fitted to what rho needs, see there. The error of rho falls exponentially, by a factor of 3 (low
  temperature) to 7 a pole.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
import operator
from typing import Any, ClassVar, SupportsIndex

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float
from scipy.linalg import eigh_tridiagonal

from svjax.engine.arrays import real_array
from svjax.engine.shown import Shown

RHO_ERROR_PER_POLE_ERROR = 3.0
"""Largest element of the error of rho, in units of the tabulated error. Measured, within reach: below 1 for the 12x4
valve, 0.4 to 1.9 for most and 2.4 for the worst of 1,496 random systems (1 to 24 levels, 1 to 3 leads, couplings 0.01
to 10, bias up to 4). In equilibrium 2 (1 + sqrt 2) is a proven bound on the norm (Crouzeix & Palencia 2017)."""


class Poles(Shown, eqx.Module):
    """Poles of an expansion of the Fermi function, Eq. (7)."""

    units: ClassVar = {"xi": "temperature"}

    xi: Float[Array, "poles"] = eqx.field(converter=real_array)
    """(P,) distances of the poles from the real axis, in units of the temperature; chi_lp = mu_l + i xi_p T_l."""
    eta: Float[Array, "poles"] = eqx.field(converter=real_array)
    """(P,) their residues, dimensionless."""

    def _head(self) -> str:
        return f"Poles: {self.xi.size} of the Fermi function"

    def __check_init__(self) -> None:
        if self.xi.ndim != 1 or self.xi.size == 0:
            raise ValueError(f"Argument `xi` must have shape (P,) with P >= 1, but has shape {self.xi.shape}.")
        if self.eta.shape != self.xi.shape:
            raise ValueError(f"Argument `eta` must have the shape of `xi`, {self.xi.shape}, but has {self.eta.shape}.")


def fermi(poles: Poles, x: ArrayLike) -> Array:
    """The expansion on the real axis, f(x) ~ 1/2 - sum_p 2 eta_p x/(x^2 + xi_p^2), Eq. (7).

    Arguments: poles; x = (e - mu)/T, of any shape.
    Returns: the approximate occupation, of the shape of x. It tends to 1/2 far beyond the last pole.
    """
    x = real_array(x)[..., None]
    return 0.5 - jnp.sum(2 * poles.eta * x / (x**2 + poles.xi**2), axis=-1)


def pade_poles(n: SupportsIndex) -> Poles:
    """The [n-1/n] Pade expansion (Hu, Xu & Yan, J. Chem. Phys. 133, 101106 (2010)).

    tanh(x/2) is a continued fraction, hence the corner element of the resolvent of the tridiagonal 2n x 2n matrix with
    off-diagonals 1/sqrt((2k-1)(2k+1)) and zeros on its diagonal. Its eigenvalues are +-2/xi_p, and with v_p the
    first component of the normalised eigenvector, eta_p = (v_p xi_p)^2/4 (as for Gauss quadrature; no products of
    differences, so the residues are accurate for any n).

    Arguments: n, the number of poles, at least 1.
    """
    n = _count(n)
    k = np.arange(1, 2 * n)
    off_diagonal = 1 / np.sqrt((2 * k - 1.0) * (2 * k + 1.0))
    values, vectors = eigh_tridiagonal(np.zeros(2 * n), off_diagonal)
    xi = 2 / values[: n - 1 : -1]
    return Poles(xi, (vectors[0, : n - 1 : -1] * xi) ** 2 / 4)


def matsubara_poles(n: SupportsIndex) -> Poles:
    """The first n poles of the Fermi function itself: xi_p = (2p - 1) pi, eta_p = 1.

    Arguments: n, the number of poles, at least 1.
    """
    n = _count(n)
    return Poles((2 * np.arange(1, n + 1) - 1) * np.pi, np.ones(n))


def optimized_poles(n: SupportsIndex, reach: float = 400.0) -> Poles:
    """The n poles on the imaginary axis with the smallest error in rho, for energies with |e - mu|/T <= reach.

    In the eigenbasis of H_eff the poles enter rho only through sum_p eta_p/(x - i xi_p) at x = (w - mu)/T, w the
    eigenvalues of H_eff. The exact sum is a digamma function, and the poles minimise the largest distance to it on the
    half disc |x| <= reach, Im x <= 0, up to an imaginary constant, which rho does not notice. So the error of f is
    small on |x| <= reach, and what it does beyond does not come back into the band.

    The fitted poles are tabulated; `benchmarks/make_poles.py` makes the table. The smallest tabulated reach that holds
    the asked one is taken, so many poles at a small reach reach further than asked instead of fitting round-off.
    Beyond its reach an expansion worsens quickly: by a factor of 25 at 1.25 times its reach with 10 poles. The last
    pole is stiff, xi_n ~ 14 reach for n = 10 and reach = 400. After a sudden change of mu the currents
    are off for a time of about 10/(xi_n T), as with Pade poles of the same xi_n.

    Arguments:
        n: number of poles, 3 to 32 (5 to 32 at the largest reaches). At the default reach 8 leave 3e-6 in rho of the
            12x4 valve, 10 leave 7e-8, 12 leave 2e-9, 14 leave 6e-11; more than 17 only reach further.
        reach: the largest |e - mu_l|/T_l that occurs. The default holds |e - mu| <= 10 at T = 0.025.

    Raises a ValueError if the table has no such poles.
    """
    n = _count(n)
    entries = _reaching(reach)
    matching = [entry for entry in entries if entry["n"] == n]
    if not matching:
        known = [entry["n"] for entry in entries]
        raise ValueError(f"Argument `n` must be {min(known)} to {max(known)} for a reach of {reach:g}, but is {n}.")
    return _poles(min(matching, key=lambda entry: entry["reach"]))


def poles_for(tolerance: float, temperature: float, bandwidth: float) -> Poles:
    """The fewest optimised poles whose estimated error in every element of rho is below a tolerance.

    The estimate is `RHO_ERROR_PER_POLE_ERROR` times the tabulated error; it is an estimate, measured on random valves,
    and usually several times too large. It holds for electrons at frozen spins and after transients.

    Arguments:
        tolerance: largest error of an element of rho, dimensionless.
        temperature: the lowest temperature of the leads, in gamma.
        bandwidth: the largest |e - mu_l| that occurs, e any level of H, in gamma. On a square lattice
            4 + |mu_bar| + J_sd/2 + max |mu_l| is always enough.

    Raises a ValueError if no tabulated expansion is good enough.
    """
    for name, value in {"tolerance": tolerance, "temperature": temperature, "bandwidth": bandwidth}.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"Argument `{name}` must be positive and finite, but is {value}.")
    entries = _reaching(bandwidth / temperature)
    good = [entry for entry in entries if RHO_ERROR_PER_POLE_ERROR * entry["error"] <= tolerance]
    if not good:
        best = RHO_ERROR_PER_POLE_ERROR * min(entry["error"] for entry in entries)
        raise ValueError(f"Argument `tolerance` must be at least {best:.1e} here, but is {tolerance}.")
    return _poles(min(good, key=lambda entry: (entry["n"], entry["reach"])))


def _count(n: SupportsIndex) -> int:
    try:
        count = operator.index(n)
    except TypeError:
        raise ValueError(f"Argument `n` must be an integer, but is {n!r}.") from None
    if count < 1:
        raise ValueError(f"Argument `n` must be at least 1, but is {n}.")
    return count


@functools.lru_cache(maxsize=1)
def _table() -> list[dict[str, Any]]:
    return json.loads(importlib.resources.files("svjax.reservoirs").joinpath("optimized_poles.json").read_text())


def _reaching(reach: float) -> list[dict[str, Any]]:
    entries = [entry for entry in _table() if entry["reach"] >= reach > 0]
    if not entries:
        largest = max(entry["reach"] for entry in _table())
        raise ValueError(f"Argument `reach`, |e - mu|/T, must be positive and at most {largest:g}, but is {reach:g}.")
    return entries


def _poles(entry: dict[str, Any]) -> Poles:
    return Poles(np.array(entry["xi"]), np.array(entry["eta"]))
