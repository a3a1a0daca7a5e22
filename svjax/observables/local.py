"""What is measured on single spins, bonds and sites: torques, and the currents of energy and from the leads."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from svjax.engine.arrays import Spins
from svjax.model.equations import State, spins_derivative
from svjax.model.extended import extended
from svjax.model.hamiltonian import hamiltonian
from svjax.model.spins import coupling
from svjax.model.valve import SpinValve, canonical
from svjax.observables.electronic import bond_flow, lead_blocks, spin_density, spin_trace


def local_torques(valve: SpinValve, state: State) -> Spins:
    """dS_j/dt of every spin, (N_S, 3), of all fields and damping, in hopping/hbar: zero in a steady state.

    Added over a layer they are N_l times the rate of its `magnetization`.
    """
    return spins_derivative(canonical(valve), state)


def spin_transfer_torques(valve: SpinValve, state: State) -> Spins:
    """What the electrons do to every spin, -J_j S_j x s_j, (N_S, 3), in hopping/hbar.

    Where the electrons are stationary it is the spin current into the spin's site, from its bonds (without spin-orbit
    coupling) and leads.
    """
    valve = canonical(valve)
    return -coupling(valve)[:, None] * jnp.cross(state.spins, spin_density(valve, state))


def site_inflow(valve: SpinValve, state: State) -> Float[Array, "sites"]:
    """Particles that the leads bring to each site per time, 2 Re Tr Pi_l of its contacts, (N,), in hopping/hbar.

    With the `bond_currents` into the site it is the rate of its charge, and zero altogether in a steady state.
    """
    return 2 * jnp.einsum("css->c", _of_contacts(valve, state)).real


def site_spin_inflow(valve: SpinValve, state: State) -> Float[Array, "sites 3"]:
    """Spin sigma/2 that the leads bring to each site per time, (N, 3), in hopping/hbar."""
    return spin_trace(_of_contacts(valve, state)).real


def _of_contacts(valve: SpinValve, state: State) -> Array:
    """The 2x2 blocks of all Pi_l, added on the sites, (N, 2, 2)."""
    blocks = [lead_blocks(valve, state, lead) for lead in range(len(valve.lattice.contacts))]
    empty = jnp.zeros((0, 2, 2), state.rho.dtype)
    return valve.lattice.contacts_to_sites(jnp.concatenate([*blocks, empty]))


def bond_energy_currents(valve: SpinValve, state: State) -> Float[Array, "bonds"]:
    """Energy of the electrons that goes through each bond (i, j) from i to j per time, (bonds,), in hopping^2/hbar:
    2 Im Tr(H_ji K_ij) with K = (H rho + rho H)/2.

    The energy of a site is its level and half of its bonds. At frozen spins its rate is the sum of these currents, in a
    steady state zero, except next to a contact: a wide band takes electrons of any energy, so that the coupling itself
    holds an energy without bound, of which a contact site and its neighbours have their share. Everywhere else the
    current is that of the leads, int de/(2 pi) e Theta (f_l - f_m).
    """
    valve, own = canonical(valve), valve.lattice.dim
    wide = extended(valve, jnp.zeros(len(valve.lattice.contacts), valve.dtype))  # levels of leads play no part
    moved = (hamiltonian(wide, state.spins) @ state.rho)[:own, :own]
    return 2 * jnp.einsum("bss->b", bond_flow(valve, (moved + moved.conj().T) / 2)).imag
