"""Linear response of electrons in their steady state to small turns of the spins, in the eigenbasis of H_eff."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from svjax.engine.arrays import Columns, Matrix, PerLead, Spins
from svjax.model.equations import State
from svjax.model.hamiltonian import effective_hamiltonian
from svjax.model.leads import PAULI, column_values, leads, sum_over_poles
from svjax.model.spins import coupling
from svjax.model.valve import SpinValve


class Eigenbasis(eqx.Module):
    """H_eff = right diag(levels) left at some spins, left = right^-1. No derivatives pass through it."""

    levels: Complex[Array, "dim"]
    right: Matrix
    left: Matrix


def eigenbasis(valve: SpinValve, spins: Spins) -> Eigenbasis:
    """H_eff = right diag(levels) left at the given spins, held fixed in derivatives."""
    h_eff = jax.lax.stop_gradient(effective_hamiltonian(valve, spins))
    levels, right = jnp.linalg.eig(h_eff)
    return Eigenbasis(levels, right, jnp.linalg.inv(right))


def electrons_in(basis: Eigenbasis, valve: SpinValve, mu: PerLead) -> tuple[Matrix, Columns]:
    """rho and Pi of `stationary`, from the eigenbasis: one matrix product instead of a linear solve per pole.

    Pi_lp = -eta_p T_l R (w - chi_lp)^-1 R^-1 Gamma_l,
    (R^-1 rho R^-+)_ab = sum_l (R^-1 Gamma_l R^-+)_ab [1/2 - g_l(w_a) - g_l(w_b)^*] / [i (w_a - w_b^*)],
    g_l(w) = sum_p eta_p T_l / (w - chi_lp).
    """
    w, right, left = basis.levels, basis.right, basis.left
    inner, blocks = jnp.zeros_like(right), []
    for number, lead in enumerate(leads(valve)):
        terms = lead.weight / (w[:, None] - lead.chi(mu[number]))
        g = terms.sum(1)
        source = left[:, lead.rows] @ lead.gamma
        inner += (source @ left[:, lead.rows].conj().T) * (0.5 - g[:, None] - g.conj())
        blocks.append(-right @ (terms[:, :, None] * source[:, None, :]).reshape(len(w), -1))
    rho = right @ (inner / (1j * (w[:, None] - w.conj()))) @ right.conj().T
    return (rho + rho.conj().T) / 2, jnp.concatenate(blocks, 1)


def susceptibility(basis: Eigenbasis, valve: SpinValve, rho: Matrix, mu: PerLead, rates: Array) -> Array:
    """ds_jb(lambda)/dS_ka for turns of the spins that grow as e^(lambda t), (rates, N_S, 3, N_S, 3), for all ``rates``.

    With h = (J_sd/2) sigma_a on site k, in the eigenbasis (h_ac = L_ak sigma R_kc J_sd/2, G_l = R^-1 Gamma_l R^-+),

        N_ab = -i (h r)_ab + sum_lc K^l_ac h_ac G^l_cb,   K^l_ac = sum_p eta_p T_l / [(w_a - i lambda - chi) (w_c -
        chi)],
        A(lambda)_ab = N_ab / [lambda + i (w_a - w_b^*)],   d rho = A(lambda) + A(lambda^*)^+,

    so that one half of the response gives the other. h has rank 2 and G_l the rank of the contact: the sums cost a few
    products of (2N, 2N) with (2N, columns) matrices. Analytic in lambda for Re lambda > -2 min |Im w|.
    """
    rates = jnp.asarray(rates, basis.right.dtype)
    halves = _half_susceptibilities(basis, valve, rho, mu, jnp.concatenate([rates, rates.conj()]))
    return halves[: len(rates)] + halves[len(rates) :].conj()


def static_susceptibility(basis: Eigenbasis, valve: SpinValve, rho: Matrix, mu: PerLead) -> Float[Array, "s 3 s 3"]:
    """`susceptibility` at lambda = 0, which is real and takes half the work."""
    return 2 * _half_susceptibilities(basis, valve, rho, mu, jnp.zeros(1, basis.right.dtype))[0].real


def _half_susceptibilities(basis: Eigenbasis, valve: SpinValve, rho: Matrix, mu: PerLead, rates: Array) -> Array:
    w, right, left = basis.levels, basis.right, basis.left
    n_spins = len(valve.lattice.spin_sites)
    rows = (2 * valve.lattice.spin_sites[:, None] + np.arange(2)).ravel()
    at_spin, from_spin = right[rows].T, left[:, rows]
    electrodes = leads(valve)
    dim, size = at_spin.shape
    inner = at_spin.T @ left @ rho @ left.conj().T
    pairs = (-1j * inner.T[:, :, None] * at_spin.conj()[:, None, :]).reshape(dim, -1)
    pauli = jnp.array(PAULI, right.dtype)

    def one(rate):
        decay = 1 / (rate + 1j * (w[:, None] - w.conj()))
        total = (decay @ pairs).reshape(dim, size, size)
        for number, lead in enumerate(electrodes):
            chi, contact = lead.chi(mu[number]), left[:, lead.rows]
            kernel = (1 / (w[:, None] - 1j * rate - chi)) @ (lead.weight / (w[:, None] - chi)).T
            columns = ((contact @ lead.gamma)[:, :, None] * at_spin[:, None, :]).reshape(dim, -1)
            seen = (contact[:, :, None] * at_spin[:, None, :]).conj().reshape(dim, -1)
            shape = (dim, len(lead.rows), size)
            driven, seen = (kernel @ columns).reshape(shape), (decay @ seen).reshape(shape)
            total += jnp.swapaxes(driven, 1, 2) @ seen
        change = jnp.einsum(
            "aju,aks,aktjv->jkusvt",
            at_spin.reshape(dim, n_spins, 2),
            from_spin.reshape(dim, n_spins, 2),
            total.reshape(dim, n_spins, 2, n_spins, 2),
        )
        return jnp.einsum("k,bvu,jkusvt,ast->jbka", coupling(valve) / 4, pauli, change, pauli)

    return jax.lax.map(one, rates)


def spin_response(
    basis: Eigenbasis,
    valve: SpinValve,
    rho: Matrix,
    mu: PerLead,
    rate: Array,
    direction: Complex[Array, "spins 3"],
) -> Complex[Array, "spins 3"]:
    """`susceptibility` times one turn of the spins, sum_k ds_j/dS_k . direction_k, (N_S, 3), by the same formula."""
    w, right, left = basis.levels, basis.right, basis.left
    rows = (2 * valve.lattice.spin_sites[:, None] + np.arange(2)).ravel()
    pauli = jnp.array(PAULI, right.dtype)
    inner = left @ rho @ left.conj().T

    def half(rate, direction):
        blocks = jnp.einsum("k,ka,ast->kst", coupling(valve) / 2, direction, pauli)
        at_spin = right[rows].reshape(-1, 2, len(w))
        h = left[:, rows] @ jnp.einsum("kst,ktc->ksc", blocks, at_spin).reshape(-1, len(w))
        total = -1j * h @ inner
        for number, lead in enumerate(leads(valve)):
            chi, contact = lead.chi(mu[number]), left[:, lead.rows]
            kernel = (1 / (w[:, None] - 1j * rate - chi)) @ (lead.weight / (w[:, None] - chi)).T
            total += (kernel * h) @ contact @ lead.gamma @ contact.conj().T
        return total / (rate + 1j * (w[:, None] - w.conj()))

    change = half(rate, direction) + half(rate.conj(), direction.conj()).conj().T
    at_spin = right[rows].reshape(-1, 2, len(w))
    seen = (right[rows] @ change).reshape(-1, 2, len(w))
    return jnp.einsum("ast,ktb,ksb->ka", pauli, seen, at_spin.conj()) / 2


def differentiable_spin_response(
    basis: Eigenbasis, valve: SpinValve, state: State, mu: PerLead, rate: Array, direction: Complex[Array, "spins 3"]
) -> Complex[Array, "spins 3"]:
    """`spin_response` from the equations of motion themselves, slower but differentiable in everything.

    With h = (J_sd/2) sum_k sigma.direction_k, the equations of motion of rho and Pi, linearised, are

        X_lp = -i [lambda  + i (H_eff - chi_lp)]^-1 h Pi_lp,     Y_lp = -i [lambda^* + i (H_eff - chi_lp)]^-1 h^+ Pi_lp,
        lambda R + i (H_eff R - R H_eff^+) = -i [h, rho] + sum_lp (X_lp + Y_lp^+),     ds_j = Tr(sigma R_jj)/2.

    Derivatives in valve, state, mu and lambda solve the same equations; ``basis`` is but a means of solving them.
    """
    w, right, left = basis.levels, basis.right, basis.left
    lattice = valve.lattice
    h_eff = effective_hamiltonian(valve, state.spins)
    up = 2 * lattice.spin_sites
    rows, cols = up[:, None, None] + np.arange(2)[:, None], up[:, None, None] + np.arange(2)
    blocks = jnp.einsum("k,ka,ast->kst", coupling(valve) / 2, direction, jnp.array(PAULI, right.dtype))
    h = jnp.zeros_like(right).at[rows, cols].set(blocks)
    chi, _ = column_values(valve, mu)

    def inflow(rate, h):
        shifts = rate + 1j * (w[:, None] - chi)
        x = jax.lax.custom_linear_solve(
            lambda x: rate * x + 1j * (h_eff @ x - chi * x),
            -1j * (h @ state.pi),
            lambda _, b: right @ ((left @ b) / jax.lax.stop_gradient(shifts)),
            lambda _, b: left.T @ ((right.T @ b) / jax.lax.stop_gradient(shifts)),
        )
        contacts = np.concatenate(lattice.contact_rows)
        return jnp.zeros_like(right).at[:, contacts].add(jnp.concatenate(sum_over_poles(valve, x), 1))

    source = -1j * (h @ state.rho - state.rho @ h)
    source = source + inflow(rate, h) + inflow(rate.conj(), h.conj().T).conj().T
    shifts = jax.lax.stop_gradient(rate + 1j * (w[:, None] - w.conj()))
    change = jax.lax.custom_linear_solve(
        lambda r: rate * r + 1j * (h_eff @ r - r @ h_eff.conj().T),
        source,
        lambda _, b: right @ ((left @ b @ left.conj().T) / shifts) @ right.conj().T,
        lambda _, b: left.T @ ((right.T @ b @ right.conj()) / shifts) @ left.conj(),
    )
    return jnp.einsum("ast,kts->ka", jnp.array(PAULI, right.dtype), change[rows, cols]) / 2
