"""The leads: Gamma_l, chi_lp and the columns of Pi_lp that are stored, written down once."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from svjax.engine.arrays import Columns, Numbers, PerLead, known, real_array
from svjax.engine.tracing import inlined
from svjax.lattices.lattice import Lattice
from svjax.model.valve import SpinValve, lead_poles
from svjax.reservoirs.poles import Poles

PAULI = ((0, 1), (1, 0)), ((0, -1j), (1j, 0)), ((1, 0), (0, -1))


class Lead(NamedTuple):
    """One lead of a valve.

    ``rows`` (2 c,) are the rows 2 j + s of its c contact sites, ``gamma`` (2 c, 2 c) its Gamma_l there, ``columns``
    those of its current matrices among all stored columns of Pi (pole, contact spinor, the last the fastest).
    """

    rows: np.ndarray
    columns: slice
    gamma: Complex[Array, "contact contact"]
    temperature: Float[Array, ""]
    poles: Poles

    def chi(self, mu: Array) -> Complex[Array, "poles"]:
        """chi_lp = mu_l + i xi_p T_l, Eq. (9)."""
        return mu + 1j * self.poles.xi * self.temperature

    @property
    def weight(self) -> Float[Array, "poles"]:
        """eta_p T_l."""
        return self.poles.eta * self.temperature


def leads(valve: SpinValve) -> tuple[Lead, ...]:
    """All leads of a valve whose leaves are arrays."""
    found, end = [], 0
    parts = zip(valve.lattice.contact_rows, *_couplings(valve), lead_poles(valve), strict=True)
    for rows, gamma, temperature, poles in parts:
        start, end = end, end + len(rows) * len(poles.xi)
        found.append(Lead(rows, slice(start, end), gamma, temperature, poles))
    return tuple(found)


@inlined
def _couplings(valve: SpinValve) -> tuple[list[Array], list[Array]]:
    """Gamma_l on the contact sites of each lead, and T_l."""
    blocks, gammas, first = contact_blocks(valve), [], 0
    for sites in valve.lattice.contacts:
        own, first = blocks[first : first + len(sites)], first + len(sites)
        diagonal = jnp.eye(len(own), dtype=own.dtype)[:, None, :, None] * own[:, :, None, :]
        gammas.append(diagonal.reshape(2 * len(sites), 2 * len(sites)))
    return gammas, [valve.temperature[number] for number in range(len(gammas))]


def check_mu(valve: SpinValve, mu: Numbers | None) -> PerLead:
    """The leads' chemical potentials as an array of shape (leads,), zero if None; raises if that is not possible."""
    count = len(valve.lattice.contacts)
    mu = jnp.zeros(count) if mu is None else real_array(mu, "mu")
    if mu.shape != (count,):
        raise ValueError(f"Argument `mu` must give one level for each of the {count} leads, but has shape {mu.shape}.")
    if known(mu) and not np.all(np.isfinite(mu)):
        raise ValueError(f"Argument `mu` must be finite, but is {np.asarray(mu)}.")
    return mu.astype(valve.dtype)


@inlined
def contact_blocks(valve: SpinValve) -> Complex[Array, "contacts 2 2"]:
    """Gamma_l (1 + p_l.sigma) of every contact site, lead after lead."""
    lead = valve.lattice.contact_leads
    coupling = valve.lead_coupling if valve.lead_coupling.shape == lead.shape else valve.lead_coupling[lead]
    pauli = jnp.array(PAULI, jnp.result_type(valve.dtype, jnp.complex64))
    spin = jnp.eye(2, dtype=pauli.dtype) + jnp.einsum("la,ast->lst", valve.lead_polarization, pauli)
    return coupling[:, None, None] * spin[lead]


def broadening(valve: SpinValve) -> Complex[Array, "sites 2 2"]:
    """Gamma = sum_l Gamma_l as one 2x2 block per site."""
    return valve.lattice.contacts_to_sites(contact_blocks(valve))


class StoredColumns(NamedTuple):
    """For each stored column of Pi its ``lead``, its ``pole`` and its ``contact``, of all contacts, its ``site`` and
    its ``spin``: row 2 site + spin."""

    lead: np.ndarray
    pole: np.ndarray
    contact: np.ndarray
    site: np.ndarray
    spin: np.ndarray


def stored_columns(valve: SpinValve) -> StoredColumns:
    """What each stored column of Pi belongs to; its number is the length of any part."""
    return _stored_columns(valve.lattice, tuple(len(poles.xi) for poles in lead_poles(valve)))


@lru_cache(maxsize=64)
def _stored_columns(lattice: Lattice, n_poles: tuple[int, ...]) -> StoredColumns:
    parts, first = [], 0
    for number, (sites, count) in enumerate(zip(lattice.contacts, n_poles, strict=True)):
        contact, spin = np.divmod(np.arange(2 * len(sites)), 2)
        pole = np.repeat(np.arange(count), 2 * len(sites))
        whole = [np.tile(part, count) for part in (contact + first, np.array(sites)[contact], spin)]
        parts.append([np.full(len(pole), number), pole, *whole])
        first += len(sites)
    empty = [np.zeros(0, int)] * 5
    return StoredColumns(*(np.concatenate(part).astype(int) for part in zip(empty, *parts, strict=True)))


def column_values(valve: SpinValve, mu: PerLead) -> tuple[Complex[Array, "cols"], Complex[Array, "2 cols"]]:
    """For every stored column chi_lp, and the two entries -i eta_p T_l Gamma_l of Eq. (9) on its contact site."""
    of = stored_columns(valve)
    xi, eta = _of_columns(valve, "xi"), _of_columns(valve, "eta")
    temperature = valve.temperature[of.lead]
    gamma = contact_blocks(valve)[of.contact, :, of.spin].T
    return mu[of.lead] + 1j * xi * temperature, -1j * eta * temperature * gamma


def decay_rates(valve: SpinValve) -> Float[Array, "cols"]:
    """xi_p T_l, with which the columns of Pi_lp decay."""
    return _of_columns(valve, "xi") * valve.temperature[stored_columns(valve).lead]


def _of_columns(valve: SpinValve, name: str) -> Array:
    """xi or eta of every stored column."""
    parts = lead_poles(valve)
    of, count = stored_columns(valve), np.array([0, *(len(poles.xi) for poles in parts)])
    if not parts:
        return jnp.zeros(0, valve.dtype)
    together = jnp.concatenate([getattr(poles, name) for poles in parts])
    return together[np.cumsum(count)[of.lead] + of.pole]


def sum_over_poles(valve: SpinValve, pi: Columns) -> list[Complex[Array, "dim contact"]]:
    """Per lead, sum_p Pi_lp in the columns of the lead's contact spinors."""
    found, end = [], 0
    for rows, poles in zip(valve.lattice.contact_rows, lead_poles(valve), strict=True):
        start, end = end, end + len(rows) * len(poles.xi)
        blocks = pi[:, start:end].reshape(len(pi), len(poles.xi), len(rows))
        found.append(sum(blocks[:, pole] for pole in range(len(poles.xi))))  # a reduction would take twice the time
    return found


def all_sums_over_poles(valve: SpinValve, pi: Columns) -> Complex[Array, "dim contacts"]:
    """`sum_over_poles` of all leads beside each other; there must be some."""
    return jnp.concatenate(sum_over_poles(valve, pi), 1)


def on_contacts(lattice: Lattice, x: Any, rows: Any) -> Any:
    """``x`` (2N, columns) with ``rows`` (contacts, 2, columns) added on the contact sites.

    Contacts of different leads may share a site: their rows add up.
    """
    sites = lattice.contact_sites
    apart = len(np.unique(sites)) == len(sites)
    at = (2 * sites[:, None] + np.arange(2)).ravel()
    put = lambda x, rows: x.at[at].add(rows.reshape(len(at), -1), unique_indices=apart)
    return jax.tree.map(put, x, rows)
