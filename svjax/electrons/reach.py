"""What the poles of the Fermi function leave in rho: one check for every door, and poles that pass it.

With w the eigenvalues of H_eff and x = (w - mu_l)/T_l, the poles stand for a digamma function, see
`svjax.electrons.fermi`. In its place they leave

    e(x) = -sum_p eta_p/(x - i xi_p) - i psi(1/2 + i x/(2 pi))/(2 pi),
    0    = -i (H_eff E - E H_eff^+) + sum_l [e_l(H_eff) Gamma_l + h.c.],      E = rho(poles) - rho(exact).

An imaginary constant in e cancels. With the levels within Gershgorin's bounds, `RHO_ERROR_PER_POLE_ERROR` times the
largest |e| bounds E at next to no cost; where that is not small, E itself is computed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import digamma

from svjax.engine.arrays import PerLead, Spins, known
from svjax.engine.shown import in_words
from svjax.model.extended import extended
from svjax.model.hamiltonian import effective_hamiltonian, hopping_reach
from svjax.model.leads import leads
from svjax.model.levels import BiasLike
from svjax.model.valve import AUTO, SpinValve, lead_poles, prepare
from svjax.reservoirs.bias import as_bias
from svjax.reservoirs.poles import RHO_ERROR_PER_POLE_ERROR, Poles, poles_for

LIMIT = 1e-4
"""Error of an element of rho above which a word is due."""
TOLERANCE = 1e-6
"""Error of an element of rho that chosen poles may leave."""


class PolesWarning(UserWarning):
    """The poles leave more than `LIMIT` in rho."""


def level_bounds(valve: SpinValve) -> tuple[float, float]:
    """Numbers between which all levels of H lie for any spins, by Gershgorin's theorem."""
    spread = hopping_reach(valve) + float(np.max(np.abs(np.asarray(valve.j_sd)), initial=0.0)) / 2
    return float(np.min(valve.mu_bar)) - spread, float(np.max(valve.mu_bar)) + spread


def reach_of(valve: SpinValve, mu: PerLead) -> np.ndarray:
    """The largest |w - mu_l|/T_l of each lead, (leads,)."""
    wide = extended(valve, mu)
    levels, (lowest, highest) = np.asarray(mu), level_bounds(wide)
    lattice, coupling = wide.lattice, np.asarray(wide.lead_coupling)
    longest = 1 + np.linalg.norm(wide.lead_polarization, axis=-1)
    lead = lattice.contact_leads
    sizes = (coupling if coupling.shape == lead.shape else coupling[lead]) * longest[lead]
    width = np.bincount(lattice.contact_sites, sizes).max() / 2
    return np.hypot(np.maximum(highest - levels, levels - lowest), width) / np.asarray(valve.temperature)


def error_within(poles: Poles, reach: float) -> float:
    """The largest |e(x)| on the half disc |x| <= reach, Im x <= 0, less its imaginary constant: e is analytic there, so
    that the edge decides, and one half of the edge mirrors the other."""
    arc = reach * np.exp(-1j * np.linspace(0, np.pi / 2, 30))
    found = _left_over(poles, np.concatenate([np.geomspace(1e-3, 1, 150) * reach, arc]))
    return float(np.abs(found - 0.5j * (np.imag(found).max() + np.imag(found).min())).max())


def _left_over(poles: Poles, x: np.ndarray) -> np.ndarray:
    """e(x)."""
    xi, eta = np.asarray(poles.xi, float), np.asarray(poles.eta, float)
    return -(eta / (x[..., None] - 1j * xi)).sum(-1) - 0.5j / np.pi * digamma(0.5 + 0.5j / np.pi * x)


def bound_of_pole_error(valve: SpinValve, mu: PerLead) -> float:
    """A bound of `pole_error` for any spins."""
    parts = zip(lead_poles(valve), reach_of(valve, mu), strict=True)
    return RHO_ERROR_PER_POLE_ERROR * max(error_within(poles, reach) for poles, reach in parts)


def pole_error(valve: SpinValve, spins: Spins, mu: PerLead) -> float:
    """The largest element of rho(poles) - rho(exact Fermi function), electrons stationary at frozen spins."""
    wide = extended(valve, mu)
    levels, right = np.linalg.eig(np.asarray(_h_eff(wide, spins), complex))
    left, whole = np.linalg.inv(right), np.zeros(right.shape, complex)
    for lead, poles, level in zip(leads(wide), lead_poles(valve), np.asarray(mu), strict=True):
        inflow = left[:, lead.rows] @ np.asarray(lead.gamma) @ left[:, lead.rows].conj().T
        whole += _left_over(poles, (levels - level) / float(lead.temperature))[:, None] * inflow
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = (whole + whole.conj().T) / (1j * (levels[:, None] - levels.conj()))
        return float(np.abs(right @ inside @ right.conj().T).max())


_h_eff = jax.jit(effective_hamiltonian)


def check_poles(valve: SpinValve, spins: Spins, mu: PerLead, refuse: bool = False) -> None:
    """Warn where the poles leave more than `LIMIT` in rho at levels ``mu``, (leads,), or at the worst of several.

    With ``refuse`` raise ValueError where it is the bias that takes them there, to twenty times what they leave without
    it. Nothing is checked of traced values, nor of levels that are not finite.
    """
    if not valve.lattice.contacts or not known(*jax.tree.leaves((valve, spins, mu))):
        return
    rows = np.atleast_2d(np.asarray(mu))
    rows = rows[np.isfinite(rows).all(1)]
    if not len(rows):
        return
    outer = rows[np.unique([rows.argmin(0), rows.argmax(0)])]
    mu = max(outer, key=lambda row: bound_of_pole_error(valve, row)) + 0.0
    if bound_of_pole_error(valve, mu) <= LIMIT or not (error := pole_error(valve, spins, mu)) > LIMIT:
        return
    levels = in_words(mu)
    if refuse and error > 20 * (without := pole_error(valve, spins, jnp.zeros_like(mu))):
        raise ValueError(
            f"Argument `bias` must lie within reach of the valve's poles, but at mu = {levels} they leave an error of "
            f"{error:.1e} in rho ({without:.1e} without bias): take poles='auto', or more of them."
        )
    warnings.warn(
        f"The poles leave an error of {error:.1e} in rho at mu = {levels}: take poles='auto', or more of them.",
        PolesWarning,
        stacklevel=3,
    )


@contextmanager
def unwarned() -> Iterator[None]:
    """Where the poles have been checked before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PolesWarning)
        yield


def suggest_poles(valve: SpinValve, bias: BiasLike = None, t: float = 0.0) -> Poles:
    """The fewest optimised poles that leave less than `TOLERANCE` in every element of rho, whatever the spins do.

    The levels of H lie within Gershgorin's bounds, and the expansion must reach from each mu_l to the farthest of them
    (`poles_for`). ``poles="auto"`` of a valve are these, for chemical potentials anywhere between the bounds, and
    for 0.

    Arguments: valve; its bias, of which the levels at time ``t`` count. Raises ValueError where no tabulated expansion
    reaches as far.
    """
    valve = prepare(valve)
    return poles_reaching([(valve, as_bias(bias, len(valve.lattice.contacts))(jnp.asarray(t)))])


def poles_reaching(points: Iterable[tuple[SpinValve, PerLead]]) -> Poles:
    """The fewest optimised poles for all of some valves, each at its own levels."""
    farthest = float(max(reach_of(valve, mu).max() for valve, mu in points))
    try:
        return poles_for(TOLERANCE, 1.0, farthest)
    except ValueError:
        raise ValueError(
            f"Argument `poles` cannot be 'auto', since no expansion reaches |e - mu|/T = {farthest:.3g}."
        ) from None


def _of_any_level(valve: SpinValve) -> Poles:
    """Poles for chemical potentials anywhere between the lowest and the highest level."""
    count = len(valve.lattice.contacts)
    return poles_reaching((valve, jnp.full(count, level, valve.dtype)) for level in (*level_bounds(valve), 0.0))


AUTO.append(_of_any_level)
