"""Landauer-Buttiker spectra and currents at frozen spins, Eqs. (16)-(18)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from svjax.electrons.fermi import fermi_transform
from svjax.engine.arrays import Matrix, PerLead, Scalar, Spins, known
from svjax.engine.lyapunov import lyapunov
from svjax.model.extended import extended
from svjax.model.hamiltonian import effective_hamiltonian
from svjax.model.leads import leads
from svjax.model.levels import BiasLike, constant_levels
from svjax.model.valve import SpinValve, check_spins, prepare

Spectrum = Float[Array, "*energies"]


def transmission(
    valve: SpinValve,
    spins: ArrayLike,
    energies: ArrayLike,
    *,
    lead: int = 0,
    other: int = 1,
    bias: BiasLike = None,
) -> Spectrum:
    """Eq. (16): Theta(e) = Tr(Gamma_l G^R Gamma_r G^A), G^R = (e - H_eff)^-1, both spins together.

    ``energies`` of any shape, in units of the hopping; the result has that shape. ``lead`` and ``other`` are the leads
    l and r. ``bias`` matters for leads with a band, which moves with mu_l. Differentiable and batched over energies.
    """
    return _transmissions(valve, spins, energies, lead, other, bias).sum(-1)


def spin_polarization(
    valve: SpinValve,
    spins: ArrayLike,
    energies: ArrayLike,
    *,
    lead: int = 0,
    other: int = 1,
    bias: BiasLike = None,
) -> Spectrum:
    """Eq. (17): P(e) = Tr[Gamma_l G^R (Gamma_r^up - Gamma_r^down) G^A], along z, not divided by Theta.

    For a magnetic lead r the two are the halves of Gamma_r P + P Gamma_r, P the projectors on spin up and down.
    """
    spread = _transmissions(valve, spins, energies, lead, other, bias)
    return spread[..., 0] - spread[..., 1]


def density_of_states(valve: SpinValve, spins: ArrayLike, energies: ArrayLike, *, bias: BiasLike = None) -> Spectrum:
    """Eq. (18): DOSh(e) = i Tr(G^R - G^A)/(2 pi N), per site, both spins together; its integral over e is 2."""
    local = local_density_of_states(valve, spins, energies, bias=bias)
    return local.sum((-1, -2)) / valve.lattice.n_sites


def local_density_of_states(
    valve: SpinValve, spins: ArrayLike, energies: ArrayLike, *, bias: BiasLike = None
) -> Float[Array, "*energies sites 2"]:
    """i (G^R - G^A)_jj/(2 pi) per site and spin along z, (*energies, N, 2); its integral over e is 1.

    Computed as G^R Gamma G^A/(2 pi), which is the same and never negative.
    """
    own_sites = valve.lattice.n_sites
    valve, spins, energies = _prepare(valve, spins, energies, bias)
    return _over_energies(valve, spins, energies, _filling)[..., :own_sites, :]


def _filling(valve: SpinValve, green: Array) -> Float[Array, "sites 2"]:
    width = jax.scipy.linalg.block_diag(*(lead.gamma for lead in leads(valve)))
    return jnp.sum(green @ width * green.conj(), 1).real.reshape(-1, 2) / (2 * jnp.pi)


def layer_density_of_states(
    valve: SpinValve, spins: ArrayLike, energies: ArrayLike, *, bias: BiasLike = None
) -> Float[Array, "*energies monolayers 2"]:
    """`local_density_of_states` summed over the sites of each monolayer along the transport direction."""
    local = local_density_of_states(valve, spins, energies, bias=bias)
    return jnp.stack([local[..., np.array(sites), :].sum(-2) for sites in valve.lattice.monolayers], -2)


def landauer_current(valve: SpinValve, spins: ArrayLike, bias: BiasLike, *, lead: int = 0) -> Scalar:
    """The steady Landauer current with the exact Fermi function, in the units and sign of `charge_current`.

        I_l = +- (1/4 pi) int de sum_m Theta_lm(e) [f_l(e) - f_m(e)],

    half of the particle current, like Eq. (11). The integral is closed: with F_l = int de/(2 pi) f_l G^R Gamma_m G^A,
    the solution of a Lyapunov equation with a digamma function of H_eff on its right side. Differentiable; no poles
    enter.
    """
    valve, spins, mu = at_levels(valve, spins, bias)
    count = len(valve.lattice.contacts)
    check_leads(valve, lead)
    h_eff = effective_hamiltonian(valve, spins)
    total = jnp.zeros(())
    for other in range(count):
        if other == lead:
            continue
        gain = _occupied_transmission(valve, h_eff, mu, lead, other, lead)
        loss = _occupied_transmission(valve, h_eff, mu, lead, other, other)
        total = total + (gain - loss) / 2
    return -total if count == 2 and lead == 1 else total


def conductance(valve: SpinValve, spins: ArrayLike, level: ArrayLike = 0.0, *, lead: int = 0, other: int = 1) -> Scalar:
    """Linear conductance dI/dV = (1/4 pi) int de Theta(e) (-df/de) at the lead's temperature and at mu = ``level``.

    For `landauer_current`, half of the particle current. In units of e^2/h the conductance is 4 pi times this.
    """
    mu = jnp.full(len(valve.lattice.contacts), jnp.asarray(level, float))
    valve, spins, mu = at_levels(valve, spins, mu)
    check_leads(valve, lead, other)
    return _occupied_transmission(valve, effective_hamiltonian(valve, spins), mu, lead, other, lead, 1) / 2


@partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _occupied_transmission(
    valve: SpinValve, h_eff: Matrix, mu: Array, lead: int, other: int, filled: int, order: int = 0
) -> Scalar:
    """int de/(2 pi) f(e - mu of lead ``filled``) Theta_{lead, other}(e), or its derivative of ``order`` in that mu."""
    electrodes = leads(valve)
    rows, own = electrodes[other].rows, electrodes[lead]
    source = jnp.zeros_like(h_eff).at[np.ix_(rows, rows)].set(electrodes[other].gamma)
    half = (-1) ** order * 1j * fermi_transform(h_eff, mu[filled], valve.temperature[filled], order) @ source
    occupied, _ = lyapunov(-1j * h_eff, half + half.conj().T)
    return jnp.einsum("ab,ba->", own.gamma, occupied[np.ix_(own.rows, own.rows)]).real


def at_levels(valve: SpinValve, spins: ArrayLike, bias: BiasLike) -> tuple[SpinValve, Spins, PerLead]:
    """The valve with the sites of its leads at ``bias``, the spins and mu_l, all checked."""
    valve = prepare(valve)
    spins = check_spins(valve, spins)
    mu = constant_levels(valve, bias)
    return extended(valve, mu), spins, mu


def _prepare(valve: SpinValve, spins: ArrayLike, energies: ArrayLike, bias: BiasLike) -> tuple[SpinValve, Spins, Array]:
    """As `at_levels`, with energies."""
    valve, spins, mu = at_levels(valve, spins, bias)
    energies = jnp.asarray(energies, mu.dtype)
    if known(energies) and not np.all(np.isfinite(energies)):
        raise ValueError("Argument `energies` must be finite, but is not.")
    return valve, spins, energies


def check_leads(valve: SpinValve, lead: int, other: int | None = None) -> None:
    """Raise unless the numbers are those of leads."""
    count = len(valve.lattice.contacts)
    for name, value in {"lead": lead, "other": lead if other is None else other}.items():
        if not 0 <= value < count:
            raise ValueError(f"Argument `{name}` must lie between 0 and {count - 1}, but is {value}.")


def _transmissions(
    valve: SpinValve, spins, energies, lead: int, other: int, bias: BiasLike
) -> Float[Array, "*energies 2"]:
    """Transmission into the up and down states of the lead ``other``."""
    valve, spins, energies = _prepare(valve, spins, energies, bias)
    check_leads(valve, lead, other)
    return _over_energies(valve, spins, energies, _arriving, (lead, other))


def _arriving(valve: SpinValve, green: Array, lead: int, other: int) -> Float[Array, "2"]:
    electrodes = leads(valve)
    here, there = electrodes[lead], electrodes[other]
    first = sum(len(one.rows) for one in electrodes[:other])
    between = green[here.rows, first : first + len(there.rows)]
    arriving = jnp.sum((between.conj().T @ here.gamma @ between) * there.gamma.T, 0)
    return arriving.real.reshape(-1, 2).sum(0)


@partial(jax.jit, static_argnums=(3, 4))
def _over_energies(
    valve: SpinValve, spins: Spins, energies: Array, measure: Callable, of: tuple[int, ...] = ()
) -> Array:
    """``measure`` at every energy of the valve, the contacts' columns of G^R(e) = (e - H_eff)^-1, (2N, contact
    spinors), and the leads ``of`` which it is."""
    h_eff = effective_hamiltonian(valve, spins)
    contacts = np.concatenate(valve.lattice.contact_rows)
    identity = jnp.eye(len(h_eff), dtype=h_eff.dtype)
    one = lambda energy: measure(valve, jnp.linalg.solve(energy * identity - h_eff, identity[:, contacts]), *of)
    values = jax.lax.map(one, energies.ravel())
    return values.reshape(*energies.shape, *values.shape[1:])
