"""Stationary electrons at frozen spins, in closed form, with and without leads."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from svjax.electrons.fermi import check_unique, isolated_density_matrix
from svjax.electrons.reach import check_poles
from svjax.engine.arrays import Columns, Matrix, Numbers, PerLead, Spins
from svjax.engine.lyapunov import lyapunov
from svjax.model.equations import State
from svjax.model.extended import extended
from svjax.model.hamiltonian import effective_hamiltonian, hamiltonian
from svjax.model.leads import all_sums_over_poles, broadening, check_mu, leads
from svjax.model.valve import SpinValve, check_spins, prepare


def stationary(
    valve: SpinValve, spins: Numbers, mu: Numbers | None = None, *, temperature: Numbers | None = None
) -> State:
    """The steady state of the electrons at frozen spins: stage 0 of the protocol.

    With leads, d rho/dt = 0 and d Pi_lp/dt = 0 give

        Pi_lp = -(eta_p/beta_l) (H_eff - chi_lp)^-1 Gamma_l,
        0     = -i (H_eff rho - rho H_eff^+) + Gamma/2 + sum_lp (Pi_lp + Pi_lp^+).

    Without leads, eigenstates of H are filled up to energy 0 and zero modes by half (the limit T -> 0), or thermally
    at ``temperature``.

    **Arguments:**

    - `spins`: (N_S, 3) unit vectors.
    - `mu`: chemical potential of each lead, 0 if None.
    - `temperature`: of an isolated valve only; the leads have their own.

    **Returns:** a `State` with .rho (2N, 2N), .pi (2N, columns) and the given .spins. Differentiable in the valve, the
    spins and mu. Raises ValueError where some state is out of reach of every lead, since rho is not unique then.
    """
    valve = prepare(valve)
    spins = check_spins(valve, spins)
    if not valve.lattice.contacts:
        if mu is not None and np.size(mu):
            raise ValueError("Argument `mu` must be None for a valve without leads; its levels are set by `mu_bar`.")
        rho = isolated_density_matrix(hamiltonian(valve, spins), temperature)
        return State(rho, jnp.zeros((valve.lattice.dim, 0), rho.dtype), spins)
    if temperature is not None:
        raise ValueError("Argument `temperature` must be None for a valve with leads, which have their own.")
    mu = check_mu(valve, mu)
    check_poles(valve, spins, mu)
    state, unique = stationary_state(valve, spins, mu)
    check_unique(unique)
    return state


@jax.jit
def stationary_state(valve: SpinValve, spins: Spins, mu: PerLead) -> tuple[State, Bool[Array, ""]]:
    """`stationary` with leads for checked arguments, and whether rho is unique."""
    valve = extended(valve, mu)
    lattice, n = valve.lattice, valve.lattice.n_sites
    h_eff = effective_hamiltonian(valve, spins)
    pi = stationary_pi(valve, h_eff, mu)
    inflow = jnp.zeros_like(h_eff).at[:, np.concatenate(lattice.contact_rows)]
    half = inflow.add(all_sums_over_poles(valve, pi))
    on_site = np.eye(n, dtype=bool)[:, None, :, None]
    half = half + jnp.where(on_site, broadening(valve)[:, :, None, :] / 4, 0).reshape(half.shape)
    rho, unique = lyapunov(-1j * h_eff, half + half.conj().T)
    return State(rho, pi, spins), unique


def stationary_pi(valve: SpinValve, h_eff: Matrix, mu: PerLead) -> Columns:
    """Pi_lp = -(eta_p/beta_l) (H_eff - chi_lp)^-1 Gamma_l in its stored columns, one linear solve per lead and pole."""
    identity = jnp.eye(valve.lattice.dim, dtype=h_eff.dtype)
    blocks = []
    for number, lead in enumerate(leads(valve)):

        def one_pole(pole, lead=lead):
            chi, weight = pole
            return jnp.linalg.solve(h_eff - chi * identity, -weight * identity[:, lead.rows] @ lead.gamma)

        solved = jax.lax.map(one_pole, (lead.chi(mu[number]), lead.weight))
        blocks.append(jnp.moveaxis(solved, 0, 1).reshape(valve.lattice.dim, -1))
    return jnp.concatenate(blocks, 1)
