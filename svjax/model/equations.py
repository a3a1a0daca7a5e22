"""The equations of motion of electrons and spins, Eqs. (3), (4), (8)-(10), one function each."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from svjax.engine.arrays import Columns, Matrix, Numbers, PerLead, Spins
from svjax.model.hamiltonian import apply_effective, effective_field, local_blocks
from svjax.model.lattice import Lattice
from svjax.model.valve import SpinValve, prepare


class State(eqx.Module):
    """Electrons and spins at one time.

    - `rho`: (2N, 2N) Hermitian one-electron density matrix, rho_ab = <c_b^+ c_a>.
    - `pi`: (2N, columns) the columns of all current matrices Pi_lp that are not zero, those of the contact sites of
      lead l: lead, pole, contact spinor, the last the fastest. No columns without leads.
    - `spins`: (N_S, 3) unit vectors, ordered by layer.
    """

    rho: Matrix
    pi: Columns
    spins: Spins


def column_leads(lattice: Lattice, n_poles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each stored column of Pi its lead, its pole and the row of its contact spinor."""
    lead, pole, row = [], [], []
    for number, rows in enumerate(lattice.contact_rows):
        lead.append(np.full(n_poles * len(rows), number))
        pole.append(np.repeat(np.arange(n_poles), len(rows)))
        row.append(np.tile(rows, n_poles))
    whole = lambda parts: np.concatenate([*parts, np.array([], int)]).astype(int)
    return whole(lead), whole(pole), whole(row)


def sum_over_poles(lattice: Lattice, pi: Columns) -> list[Complex[Array, "dim contact"]]:
    """Per lead, sum_p Pi_lp in the columns of the lead's contact spinors."""
    sizes = np.array([len(rows) for rows in lattice.contact_rows])
    n_poles = pi.shape[1] // max(sizes.sum(), 1)
    parts = np.split(np.arange(pi.shape[1]), np.cumsum(sizes * n_poles)[:-1]) if len(sizes) else []
    return [
        jnp.sum(pi[:, part[0] : part[-1] + 1].reshape(lattice.dim, n_poles, size), 1)
        for part, size in zip(parts, sizes, strict=True)
    ]


def rho_derivative(valve: SpinValve, blocks: Array, state: State, taken: Array | None = None) -> Matrix:
    """Eqs. (4), (8): d rho/dt = -i (H_eff rho - rho H_eff^+) + Gamma/2 + sum_lp (Pi_lp + Pi_lp^+); (3) without leads.

    ``blocks`` are the `local_blocks` of H_eff. rho is taken to be Hermitian, and the result is, to the last bit.

    The product is computed behind a branch that is always taken. Without it the compiler computes it a second time, in
    columns, for the adjoint, at twice the cost of the whole step for a long chain. ``taken`` is the condition, true but
    not known to the compiler: in a loop one that depends on the time, since a valve may be a constant there.
    """
    lattice = valve.lattice
    half = jax.lax.cond(
        jnp.isfinite(valve.hopping) if taken is None else taken,
        lambda rho: -1j * apply_effective(valve, blocks, rho),
        lambda rho: jnp.full_like(rho, jnp.nan),
        state.rho,
    )
    if lattice.contacts:
        rows = np.concatenate(lattice.contact_rows)
        half = half.at[:, rows].add(jnp.concatenate(sum_over_poles(lattice, state.pi), 1))
        width = jnp.repeat(lattice.contact_matrix @ valve.lead_coupling, 2)
        half = half + jnp.where(np.eye(lattice.dim, dtype=bool), width / 4, 0)
    return half + half.conj().T


def pi_derivative(valve: SpinValve, blocks: Array, state: State, mu: PerLead) -> Columns:
    """Eq. (9): d Pi_lp/dt = -i (eta_p/beta_l) Gamma_l - i (H_eff - chi_lp) Pi_lp, chi_lp = mu_l + i xi_p/beta_l."""
    lattice, poles = valve.lattice, valve.poles
    lead, pole, row = column_leads(lattice, len(poles.xi))
    chi = mu[lead] + 1j * poles.xi[pole] * valve.temperature[lead]
    source = -1j * poles.eta[pole] * valve.temperature[lead] * valve.lead_coupling[lead]
    inflow = jnp.where(np.arange(lattice.dim)[:, None] == row, source, 0)
    return inflow - 1j * (apply_effective(valve, blocks, state.pi) - chi * state.pi)


def local_spin_density(valve: SpinValve, rho: Matrix) -> Spins:
    """s_j = Tr(rho_jj sigma)/2 of the electrons on the spins' sites, (N_S, 3)."""
    up = 2 * valve.lattice.spin_sites
    flip = (rho[up, up + 1] + rho[up + 1, up].conj()) / 2
    return jnp.stack([flip.real, -flip.imag, (rho[up, up] - rho[up + 1, up + 1]).real / 2], -1)


def spins_derivative(valve: SpinValve, state: State) -> Spins:
    """Eq. (10): dS_j/dt = S_j x B_j, with the field of `effective_field`."""
    spin_density = local_spin_density(valve, state.rho)
    return jnp.cross(state.spins, effective_field(valve, state.spins, spin_density))


def coupled_derivative(valve: SpinValve, state: State, mu: PerLead, taken: Array | None = None) -> State:
    """All equations at once, for a valve whose leaves are arrays (see `time_derivative` for the public form, and
    `rho_derivative` for ``taken``)."""
    blocks = local_blocks(valve, state.spins)
    pi = pi_derivative(valve, blocks, state, mu) if valve.lattice.contacts else state.pi
    return State(rho_derivative(valve, blocks, state, taken), pi, spins_derivative(valve, state))


def time_derivative(valve: SpinValve, state: State, mu: Numbers | None = None) -> State:
    """The right-hand side of the coupled equations of motion, Eqs. (3), (4), (8)-(10), as a `State`.

    ``mu`` holds the chemical potential of each lead (0 if None). ``state.rho`` is taken to be Hermitian.
    """
    valve = prepare(valve)
    mu = jnp.zeros(len(valve.lattice.contacts)) if mu is None else jnp.asarray(mu)
    return coupled_derivative(valve, state, mu.astype(valve.j_sd.dtype))
