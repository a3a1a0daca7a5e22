"""The valve with the sites of leads that have a band: what the equations of motion are solved for.

Without bands it is the valve itself. Sites, rows of rho and bonds of the valve come first, those of the leads behind.
"""

import dataclasses
from functools import lru_cache
from itertools import pairwise

import jax.numpy as jnp
import numpy as np

from svjax.engine.arrays import PerLead
from svjax.lattices.lattice import Lattice
from svjax.model.hamiltonian import bond_matrices
from svjax.model.leads import contact_blocks
from svjax.model.valve import SpinValve


def extended(valve: SpinValve, mu: PerLead) -> SpinValve:
    """The wide-band valve that a ``valve`` with bands is at the levels ``mu`` (leads,) of its leads."""
    if valve.bands is None:
        return valve
    lattice, gamma = valve.lattice, contact_blocks(valve)
    blocks, levels, widths, polarization = [bond_matrices(valve)], [], [], []
    for lead, band in enumerate(valve.bands):
        own, count = lattice.contact_leads == lead, len(lattice.contacts[lead])
        if band is None:
            widths.append(jnp.trace(gamma[own], axis1=1, axis2=2).real / 2)
            polarization.append(valve.lead_polarization[lead])
            continue
        part, unit = band.continuation(gamma[own], valve.hopping), jnp.eye(2, dtype=gamma.dtype)
        blocks += [part.first, jnp.repeat(part.others, count)[:, None, None] * unit]
        across = [b for b, _ in _across(lattice, lead)] if band.joined else []
        blocks += [blocks[0][np.array(across, int)]] * (band.columns if across else 0)
        levels.append(jnp.full(count * band.columns, part.level + mu[lead]))
        widths.append(jnp.full(count, part.width))
        polarization.append(jnp.zeros(3, valve.dtype))
    sites = jnp.broadcast_to(valve.mu_bar, (lattice.n_sites,))
    return dataclasses.replace(
        valve,
        lattice=extended_lattice(valve),
        hopping=-jnp.ones_like(valve.hopping),  # so that the amplitudes of the bonds are H_ij themselves
        bonds=jnp.concatenate(blocks),
        rashba=None,
        flux=None,
        mu_bar=jnp.concatenate([sites, *levels]).astype(valve.dtype),
        lead_coupling=jnp.concatenate(widths).astype(valve.dtype),
        lead_polarization=jnp.stack(polarization),
        bands=None,
    )


def extended_lattice(valve: SpinValve) -> Lattice:
    """The lattice of `extended`."""
    if valve.bands is None:
        return valve.lattice
    kinds = tuple((0, False) if band is None else (band.columns, band.joined) for band in valve.bands)
    return _with_columns(valve.lattice, kinds)


def bonds_to_lead(valve: SpinValve, lead: int) -> np.ndarray | None:
    """The numbers of the extended lattice's bonds from the contact sites of ``lead`` to its own sites; None without."""
    if valve.bands is None or valve.bands[lead] is None:
        return None
    first = len(valve.lattice.bonds)
    for number, band in enumerate(valve.bands[:lead]):
        if band is not None:
            across = len(_across(valve.lattice, number)) if band.joined else 0
            first += band.columns * (len(valve.lattice.contacts[number]) + across)
    return first + np.arange(len(valve.lattice.contacts[lead]))


def _across(lattice: Lattice, lead: int) -> list[tuple[int, tuple[int, int]]]:
    """The bonds among the contact sites of a lead: their numbers and the two contacts, in the lead's own count."""
    place = {site: k for k, site in enumerate(lattice.contacts[lead])}
    return [(b, (place[i], place[j])) for b, (i, j) in enumerate(lattice.bonds) if i in place and j in place]


@lru_cache(maxsize=64)
def _with_columns(lattice: Lattice, kinds: tuple[tuple[int, bool], ...]) -> Lattice:
    """``lattice`` with as many more columns of sites behind each lead, joined across or not."""
    n, bonds, contacts = lattice.n_sites, list(lattice.bonds), []
    for lead, (columns, joined) in enumerate(kinds):
        count = len(lattice.contacts[lead])
        ends = [lattice.contacts[lead], *(range(n + count * k, n + count * (k + 1)) for k in range(columns))]
        n += count * columns
        for near, far in pairwise(ends):
            bonds += zip(near, far, strict=True)
        for column in ends[1:] if joined else ():
            bonds += [(column[a], column[b]) for _, (a, b) in _across(lattice, lead)]
        contacts.append(tuple(ends[-1]))
    return Lattice(n, tuple(bonds), lattice.layers, tuple(contacts), lattice.monolayers, lattice.spin_bonds)
