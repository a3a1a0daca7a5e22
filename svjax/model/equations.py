"""The equations of motion of electrons and spins, Eqs. (3), (4), (8)-(10), one function each."""

from __future__ import annotations

from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from svjax.engine.arrays import Columns, Matrix, Numbers, PerLead, Spins
from svjax.engine.parts import Parts, apart, together
from svjax.engine.shown import Shown
from svjax.engine.tracing import inlined
from svjax.model.extended import extended, extended_lattice
from svjax.model.hamiltonian import BareHamiltonian, apply_effective, bare_hamiltonian, with_spins
from svjax.model.leads import all_sums_over_poles, check_mu, column_values, contact_blocks, stored_columns
from svjax.model.spins import effective_field, torque
from svjax.model.valve import SpinValve, prepare


class State(Shown, eqx.Module):
    """Electrons and spins at one time.

    - `rho`: (2N, 2N) Hermitian one-electron density matrix, rho_ab = <c_b^+ c_a>.
    - `pi`: (2N, columns) the columns of all current matrices Pi_lp that are not zero, those of the contact sites of
      lead l: lead, pole, contact spinor, the last the fastest. No columns without leads.
    - `spins`: (N_S, 3) unit vectors, ordered by layer.

    Inside a run `rho` and `pi` are kept as `Parts`.
    """

    rho: Matrix
    pi: Columns
    spins: Spins

    def _head(self) -> str:
        return f"State of {len(self.rho) // 2} sites and {len(self.spins)} spins"


class Coefficients(eqx.Module):
    """What of the electrons' equations does not depend on the state, to be computed once for many times.

    - `bare`: H_eff without spins. `gain`: (contacts, 2, 2N) the rows of Gamma_l/4 on the contact sites.
    - `source`: (contacts, 2, columns) those of -i eta_p T_l Gamma_l in the stored columns of Pi. `decay`: (columns,)
      xi_p T_l.
    """

    bare: BareHamiltonian
    gain: Parts
    source: Parts
    decay: Float[Array, "cols"]


def coefficients(valve: SpinValve) -> Coefficients:
    """The `Coefficients` of a valve whose leaves are arrays and whose leads are wide bands."""
    lattice, column = valve.lattice, stored_columns(valve)
    chi, source = column_values(valve, jnp.zeros(len(lattice.contacts), valve.dtype))
    on_site = np.arange(lattice.n_sites) == lattice.contact_sites[:, None]
    own = np.arange(len(lattice.contact_sites))[:, None] == column.contact
    gain = jnp.where(on_site[:, None, :, None], contact_blocks(valve)[:, :, None, :] / 4, 0)
    gain = gain.reshape(-1, 2, lattice.dim)
    gain, source = apart((gain, jnp.where(own[:, None], source, 0)))
    return Coefficients(bare_hamiltonian(valve), gain, source, chi.imag)


def rho_derivative(
    valve: SpinValve, of: Coefficients, blocks: Array, rho: Parts, pi: Parts, taken: Array | None = None
) -> Parts:
    """Eqs. (4), (8): d rho/dt = -i (H_eff rho - rho H_eff^+) + Gamma/2 + sum_lp (Pi_lp + Pi_lp^+); (3) without leads.

    ``blocks`` are the on-site blocks of H_eff. rho is taken to be Hermitian, and the result is, to the last bit.

    The product is computed behind a branch that is always taken. Without it the compiler computes it a second time, in
    columns, for the adjoint, at twice the cost of the whole step for a long chain. ``taken`` is the condition, true but
    not known to the compiler: in a loop one that depends on the time, since a valve may be a constant there.
    """
    lattice = valve.lattice
    half = jax.lax.cond(
        jnp.isfinite(valve.hopping) if taken is None else taken,
        lambda rho: -1j * apply_effective(of.bare, blocks, rho),
        lambda rho: jnp.nan * rho,
        rho,
    )
    if lattice.contacts:
        total = pi.map(lambda pi: all_sums_over_poles(valve, pi))
        rows = total.conj().T.reshape(of.gain.shape) + of.gain  # few of them, where the columns of Pi would be strided
        half = half + rows.map(lattice.contacts_to_sites).reshape(half.shape)
    return half + half.conj().T


def pi_derivative(valve: SpinValve, of: Coefficients, blocks: Array, pi: Parts, mu: PerLead) -> Parts:
    """Eq. (9): d Pi_lp/dt = -i (eta_p/beta_l) Gamma_l - i (H_eff - chi_lp) Pi_lp, chi_lp = mu_l + i xi_p/beta_l."""
    chi = Parts(mu[stored_columns(valve).lead], of.decay)
    inflow = of.source.map(valve.lattice.contacts_to_sites).reshape(pi.shape)
    return inflow - 1j * (apply_effective(of.bare, blocks, pi) - chi * pi)


@inlined
def local_spin_density(valve: SpinValve, rho: Any) -> Spins:
    """s_j = Tr(rho_jj sigma)/2 of the electrons on the spins' sites, (N_S, 3)."""
    up = 2 * valve.lattice.spin_sites
    flip = (rho[up, up + 1] + rho[up + 1, up].conj()) / 2
    return jnp.stack([flip.real, -flip.imag, (rho[up, up] - rho[up + 1, up + 1]).real / 2], -1)


@inlined
def spins_derivative(valve: SpinValve, state: State) -> Spins:
    """Eq. (10): dS_j/dt = S_j x B_j, with the field of `effective_field`, and damped where the valve says so."""
    return torque(valve, state.spins, effective_field(valve, state.spins, local_spin_density(valve, state.rho)))


def slope(valve: SpinValve, of: Coefficients, state: State, mu: PerLead, taken: Array | None = None) -> State:
    """All equations at once for a state in `Parts` and leads that are wide bands; ``taken``: see `rho_derivative`."""
    blocks, rho, pi = with_spins(of.bare, state.spins), cast(Parts, state.rho), cast(Parts, state.pi)
    turned = pi_derivative(valve, of, blocks, pi, mu) if valve.lattice.contacts else pi
    return State(rho_derivative(valve, of, blocks, rho, pi, taken), turned, spins_derivative(valve, state))  # type: ignore


def coupled_derivative(valve: SpinValve, state: State, mu: PerLead) -> State:
    """All equations at once, for a valve whose leaves are arrays (see `time_derivative` for the public form)."""
    valve = extended(valve, mu)
    return together(slope(valve, coefficients(valve), apart(state), mu))


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
