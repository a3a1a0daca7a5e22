"""The equations of motion of electrons and spins, Eqs. (3), (4), (8)-(10), one function each."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from svjax.engine.arrays import Columns, Matrix, Numbers, PerLead, Spins
from svjax.engine.shown import Shown
from svjax.model.extended import extended, extended_lattice
from svjax.model.hamiltonian import apply_effective, local_blocks
from svjax.model.leads import broadening, check_mu, column_values, stored_columns, sum_over_poles
from svjax.model.spins import effective_field, torque
from svjax.model.valve import SpinValve, prepare


class State(Shown, eqx.Module):
    """Electrons and spins at one time.

    - `rho`: (2N, 2N) Hermitian one-electron density matrix, rho_ab = <c_b^+ c_a>.
    - `pi`: (2N, columns) the columns of all current matrices Pi_lp that are not zero, those of the contact sites of
      lead l: lead, pole, contact spinor, the last the fastest. No columns without leads.
    - `spins`: (N_S, 3) unit vectors, ordered by layer.
    """

    rho: Matrix
    pi: Columns
    spins: Spins

    def _head(self) -> str:
        return f"State of {len(self.rho) // 2} sites and {len(self.spins)} spins"


def rho_derivative(valve: SpinValve, blocks: Array, state: State, taken: Array | None = None) -> Matrix:
    """Eqs. (4), (8): d rho/dt = -i (H_eff rho - rho H_eff^+) + Gamma/2 + sum_lp (Pi_lp + Pi_lp^+); (3) without leads.

    ``blocks`` are the `local_blocks` of H_eff. rho is taken to be Hermitian, and the result is, to the last bit.

    The product is computed behind a branch that is always taken. Without it the compiler computes it a second time, in
    columns, for the adjoint, at twice the cost of the whole step for a long chain. ``taken`` is the condition, true but
    not known to the compiler: in a loop one that depends on the time, since a valve may be a constant there.
    """
    lattice, n = valve.lattice, valve.lattice.n_sites
    half = jax.lax.cond(
        jnp.isfinite(valve.hopping) if taken is None else taken,
        lambda rho: -1j * apply_effective(valve, blocks, rho),
        lambda rho: jnp.full_like(rho, jnp.nan),
        state.rho,
    )
    if lattice.contacts:
        rows = np.concatenate(lattice.contact_rows)
        half = half.at[:, rows].add(jnp.concatenate(sum_over_poles(valve, state.pi), 1))
        on_site = np.eye(n, dtype=bool)[:, None, :, None]
        half = half + jnp.where(on_site, broadening(valve)[:, :, None, :] / 4, 0).reshape(half.shape)
    return half + half.conj().T


def pi_derivative(valve: SpinValve, blocks: Array, state: State, mu: PerLead) -> Columns:
    """Eq. (9): d Pi_lp/dt = -i (eta_p/beta_l) Gamma_l - i (H_eff - chi_lp) Pi_lp, chi_lp = mu_l + i xi_p/beta_l."""
    chi, source = column_values(valve, mu)
    own = np.arange(valve.lattice.n_sites)[:, None, None] == stored_columns(valve).site
    inflow = jnp.where(own, source, 0).reshape(state.pi.shape)
    return inflow - 1j * (apply_effective(valve, blocks, state.pi) - chi * state.pi)


def local_spin_density(valve: SpinValve, rho: Matrix) -> Spins:
    """s_j = Tr(rho_jj sigma)/2 of the electrons on the spins' sites, (N_S, 3)."""
    up = 2 * valve.lattice.spin_sites
    flip = (rho[up, up + 1] + rho[up + 1, up].conj()) / 2
    return jnp.stack([flip.real, -flip.imag, (rho[up, up] - rho[up + 1, up + 1]).real / 2], -1)


def spins_derivative(valve: SpinValve, state: State) -> Spins:
    """Eq. (10): dS_j/dt = S_j x B_j, with the field of `effective_field`, and damped where the valve says so."""
    return torque(valve, state.spins, effective_field(valve, state.spins, local_spin_density(valve, state.rho)))


def coupled_derivative(valve: SpinValve, state: State, mu: PerLead, taken: Array | None = None) -> State:
    """All equations at once, for a valve whose leaves are arrays (see `time_derivative` for the public form, and
    `rho_derivative` for ``taken``)."""
    valve = extended(valve, mu)
    blocks = local_blocks(valve, state.spins)
    pi = pi_derivative(valve, blocks, state, mu) if valve.lattice.contacts else state.pi
    return State(rho_derivative(valve, blocks, state, taken), pi, spins_derivative(valve, state))


def time_derivative(valve: SpinValve, state: State, mu: Numbers | None = None) -> State:
    """The right-hand side of the coupled equations of motion, Eqs. (3), (4), (8)-(10), as a `State`.

    ``mu`` holds the chemical potential of each lead (0 if None). ``state.rho`` is taken to be Hermitian.
    """
    valve = prepare(valve)
    check_state(valve, state)
    return jax.jit(coupled_derivative)(valve, state, check_mu(valve, mu))


def check_state(valve: SpinValve, state: State) -> None:
    """Raise ValueError for a state of other sites, spins, leads or poles than the valve has."""
    lattice, columns = extended_lattice(valve), len(stored_columns(valve).lead)
    wanted = {"rho": (lattice.dim,) * 2, "pi": (lattice.dim, columns), "spins": (len(lattice.spin_sites), 3)}
    for name, shape in wanted.items():
        if (has := jnp.shape(getattr(state, name))) != shape:
            raise ValueError(f"Argument `state` must be of this valve, with `{name}` of shape {shape}, but has {has}.")
