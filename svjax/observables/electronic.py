"""What is measured on a state: magnetisations, densities, currents, torques, Eqs. (11)-(15), (F1), and invariants."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, Float

from svjax.engine.arrays import Matrix, Scalar, Spins, Vector
from svjax.engine.tracing import inlined
from svjax.model.equations import State, coupled_derivative, local_spin_density
from svjax.model.extended import bonds_to_lead, extended
from svjax.model.hamiltonian import bond_matrices, hamiltonian
from svjax.model.leads import PAULI, leads, sum_over_poles
from svjax.model.spins import spin_energy
from svjax.model.valve import SpinValve, canonical


def magnetization(valve: SpinValve, state: State) -> Float[Array, "layers 3"]:
    """M_l/N_l, (layers, 3): each layer's sum of S_j divided by its number of spins."""
    layers = valve.lattice.spin_layers
    member = (layers == np.arange(len(valve.lattice.layers))[:, None]).astype(float)
    return jnp.asarray(member / np.maximum(member.sum(1, keepdims=True), 1), state.spins.dtype) @ state.spins


def spin_density(valve: SpinValve, state: State) -> Spins:
    """s_j = Tr(rho_jj sigma)/2 of the electrons on the spins' sites, (N_S, 3), in units of hbar."""
    return local_spin_density(valve, state.rho)


def site_charge(valve: SpinValve, state: State) -> Float[Array, "sites"]:
    """Electrons on each site, Tr rho_jj, (N,)."""
    return jnp.diagonal(own_rho(valve, state)).real.reshape(-1, 2).sum(-1)


def site_spin(valve: SpinValve, state: State) -> Float[Array, "sites 3"]:
    """Tr(rho_jj sigma)/2 on every site, (N, 3), in units of hbar."""
    n = valve.lattice.n_sites
    blocks = own_rho(valve, state).reshape(n, 2, n, 2)[np.arange(n), :, np.arange(n), :]
    return spin_trace(blocks).real / 2


def monolayer_polarization(valve: SpinValve, state: State) -> Float[Array, "monolayers 3"]:
    """Eq. (F1): sum over a monolayer of Tr(sigma rho_jj) divided by the sum of Tr rho_jj, (monolayers, 3)."""
    groups = valve.lattice.monolayers
    member = np.zeros((len(groups), valve.lattice.n_sites), dtype=int)
    for number, sites in enumerate(groups):
        member[number, list(sites)] = 1
    return 2 * (jnp.asarray(member) @ site_spin(valve, state)) / (member @ site_charge(valve, state))[:, None]


def charge_current(valve: SpinValve, state: State, lead: int) -> Scalar:
    """Eq. (11): I_l = +- Re Tr Pi_l, **half** the particle current (dN/dt = 2 sum Re Tr Pi_l), in units of the hopping.

    With two leads the paper's signs: lead 0 (left) into the valve, lead 1 (right) out of it. With any other number of
    leads positive into the valve. In amperes the current is 2 I e gamma/hbar (see `Units.current_to_microampere`).
    """
    blocks = lead_blocks(valve, state, lead)
    return _sign(valve, lead) * jnp.einsum("css->", blocks).real


def spin_current(valve: SpinValve, state: State, lead: int) -> Vector:
    """Eq. (12): J_l^a = +- Re Tr(sigma_a Pi_l), (3,), spin sigma/2 per unit time; signs as in `charge_current`."""
    return _sign(valve, lead) * spin_trace(lead_blocks(valve, state, lead)).real.sum(0)


def interface_currents(valve: SpinValve, state: State, monolayer: int | None = None) -> tuple[Scalar, Vector]:
    """Eqs. (13), (14): charge and (3,) spin current from the spacer into the free layer (layer 1).

    With ``monolayer`` = m, the currents from monolayer m to m + 1 instead. The charge current is half the particle
    current, as in `charge_current`; the spin current is in units of sigma/2 per unit time, and where spin-orbit
    coupling turns the spin on its way it is what arrives on the far side.
    """
    valve = canonical(valve)
    bonds, sign = valve.lattice.interface(monolayer)
    flow = bond_flow(valve, own_rho(valve, state), bonds, sign > 0)
    return jnp.einsum("bss->", flow).imag, spin_trace(flow).imag.sum(0)


def bond_currents(valve: SpinValve, state: State) -> Float[Array, "bonds"]:
    """Particle current dN/dt through each bond (i, j) from i to j, (bonds,), in hopping/hbar, in the order of
    ``valve.lattice.bonds``: 2 Im Tr(H_ji rho_ij).

    In a steady state the currents into a site add up to zero, with those of the leads (2 Re Tr Pi_l) on their contacts.
    """
    return 2 * jnp.einsum("bss->b", bond_flow(canonical(valve), own_rho(valve, state))).imag


def bond_spin_currents(valve: SpinValve, state: State) -> Float[Array, "bonds 3"]:
    """Spin current through each bond (i, j), (bonds, 3), in hopping: spin sigma/2 that arrives at j per unit time."""
    return spin_trace(bond_flow(canonical(valve), own_rho(valve, state))).imag


def bond_flow(
    valve: SpinValve, rho: Matrix, bonds: np.ndarray | None = None, forward: np.ndarray | None = None
) -> Complex[Array, "bonds 2 2"]:
    """H_ji rho_ij of each bond (i, j), whose imaginary part brings j particles (twice the trace) and spin; the other
    way round, H_ij rho_ji, where not ``forward``."""
    which = np.arange(len(valve.lattice.bonds)) if bonds is None else bonds
    along = np.ones(len(which), bool) if forward is None else forward
    i, j = np.where(along, valve.lattice.bond_array[which].T, valve.lattice.bond_array[which].T[::-1])
    return _flow(valve, rho, which, along, i, j)


@inlined
def _flow(
    valve: SpinValve, rho: Matrix, which: ArrayLike, along: Array, i: ArrayLike, j: ArrayLike
) -> Complex[Array, "bonds 2 2"]:
    n, blocks = valve.lattice.n_sites, bond_matrices(valve)[which]
    into = jnp.where(along[:, None, None], jnp.swapaxes(blocks.conj(), 1, 2), blocks)
    return into @ rho.reshape(n, 2, n, 2)[i, :, j, :]


def current_driven_torque(valve: SpinValve, state: State, equilibrium: State) -> Vector:
    """Eq. (15): T_cd = J_F - J_r - J_F^eq, (3,), the torque on the free layer that the voltage drives.

    ``equilibrium`` is the state at zero voltage whose interface spin current is subtracted.
    """
    if len(valve.lattice.contacts) != 2:
        raise ValueError(f"Eq. (15) needs two leads, but the valve has {len(valve.lattice.contacts)}.")
    through = interface_currents(valve, state)[1] - spin_current(valve, state, 1)
    return through - interface_currents(valve, equilibrium)[1]


def particle_number(valve: SpinValve, state: State) -> Scalar:
    """Tr rho, the number of electrons on the valve."""
    return jnp.trace(own_rho(valve, state)).real


def total_spin(valve: SpinValve, state: State) -> Vector:
    """Spins plus electrons, sum_j S_j + sum_j Tr(rho_jj sigma)/2, (3,): conserved by an isotropic isolated valve."""
    return state.spins.sum(0) + site_spin(valve, state).sum(0)


def energy(valve: SpinValve, state: State) -> Scalar:
    """Tr(rho H(S)) + H_C(S), the coupling counted once, in units of the hopping: conserved by an isolated valve."""
    return _energy(canonical(valve), state)


@inlined
def _energy(valve: SpinValve, state: State) -> Scalar:
    electrons = jnp.einsum("ij,ji->", own_rho(valve, state), hamiltonian(valve, state.spins)).real
    return electrons + spin_energy(valve, state.spins)


def charge_balance(valve: SpinValve, state: State) -> Scalar:
    """d<N>/dt from the equation of motion minus 2 sum_l Re Tr Pi_l over the leads: zero in exact arithmetic."""
    return _charge_balance(canonical(valve), state)


@inlined
def _charge_balance(valve: SpinValve, state: State) -> Scalar:
    wide = extended(valve, jnp.zeros(len(valve.lattice.contacts), valve.dtype))  # levels do not change the trace
    rate = jnp.trace(coupled_derivative(wide, state, jnp.zeros_like(wide.temperature)).rho).real
    inflow = [jnp.einsum("css->", lead_blocks(wide, state, lead)).real for lead in range(len(valve.lattice.contacts))]
    return rate - 2 * sum(inflow, jnp.zeros_like(rate))


def _sign(valve: SpinValve, lead: int) -> int:
    return -1 if len(valve.lattice.contacts) == 2 and lead == 1 else 1


def own_rho(valve: SpinValve, state: State) -> Matrix:
    """rho of the valve's own sites, without those of leads that have a band."""
    return state.rho[: valve.lattice.dim, : valve.lattice.dim]


def lead_blocks(valve: SpinValve, state: State, lead: int) -> Complex[Array, "contact 2 2"]:
    """The 2x2 blocks of Pi_l = (1 - 2 rho) Gamma_l/4 + sum_p Pi_lp, Eq. (8), on the lead's contact sites.

    Of a lead with a band, what flows from its first sites to the contact sites, -i H_ij rho_ji, takes their place.
    """
    valve = canonical(valve)
    count = len(valve.lattice.contacts)
    if not 0 <= lead < count:
        raise ValueError(f"Argument `lead` must lie between 0 and {count - 1}, but is {lead}.")
    if (bonds := bonds_to_lead(valve, lead)) is not None:
        wide = extended(valve, jnp.zeros(count, valve.dtype))
        return -1j * bond_flow(wide, state.rho, bonds, np.zeros(len(bonds), bool))
    return _wide_lead_blocks(valve, state, lead)


@partial(inlined, static_argnums=2)
def _wide_lead_blocks(valve: SpinValve, state: State, lead: int) -> Complex[Array, "contact 2 2"]:
    rows, own = valve.lattice.contact_rows[lead], leads(valve)[lead]
    local = (jnp.eye(len(rows), dtype=state.rho.dtype) - 2 * state.rho[np.ix_(rows, rows)]) @ own.gamma / 4
    local = local + sum_over_poles(valve, state.pi)[lead][rows]
    sites = np.arange(len(rows) // 2)
    return local.reshape(len(sites), 2, len(sites), 2)[sites, :, sites, :]


def spin_trace(blocks: Complex[Array, "sites 2 2"]) -> Complex[Array, "sites 3"]:
    """Tr(sigma_a block), (sites, 3)."""
    return jnp.einsum("ast,nts->na", jnp.array(PAULI, blocks.dtype), blocks)
