"""Linear response of electrons in their steady state to small turns of the spins, in the eigenbasis of H_eff."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from svjax.engine import eigenbasis as engine
from svjax.engine.arrays import Columns, Matrix, PerLead, Spins
from svjax.engine.parts import product
from svjax.model.equations import State
from svjax.model.hamiltonian import effective_hamiltonian
from svjax.model.leads import PAULI, all_sums_over_poles, column_values, leads
from svjax.model.spins import coupling, tangents
from svjax.model.valve import SpinValve


class Basis(eqx.Module):
    """Eigenbasis of H_eff at some ``spins``, held fixed in derivatives.

    ``sound`` says whether it is far enough from an exceptional point for what is quadratic in it, ``unique`` whether
    every state decays faster than 500 eps times the size of H_eff, that is, reaches a lead.
    """

    values: Complex[Array, "dim"]
    right: Matrix
    left: Matrix
    spins: Spins
    sound: Bool[Array, ""]
    unique: Bool[Array, ""]


def eigenbasis(valve: SpinValve, spins: Spins, beside: bool = False) -> Basis:
    """The basis of H_eff at the given spins, or, where that is not sound and ``beside`` allows it, of a matrix within
    eps^(1/2), which leaves errors near 1e-7 in a response."""
    h_eff = jax.lax.stop_gradient(effective_hamiltonian(valve, spins))
    slowest = 500 * jnp.finfo(h_eff.dtype).eps * jnp.linalg.norm(h_eff) / jnp.sqrt(h_eff.shape[0])
    plain = engine.eigenbasis(h_eff)
    unique = jnp.all(plain.values.imag < -slowest)
    basis = engine.sound_eigenbasis(h_eff, plain) if beside else plain
    return Basis(basis.values, basis.right, basis.left, spins, basis.sound, unique)


def electrons_in(basis: Basis, valve: SpinValve, mu: PerLead) -> tuple[Matrix, Columns]:
    """rho and Pi of `stationary`, from the eigenbasis: one matrix product instead of a linear solve per pole.

    Pi_lp = -eta_p T_l R (w - chi_lp)^-1 R^-1 Gamma_l,
    (R^-1 rho R^-+)_ab = sum_l (R^-1 Gamma_l R^-+)_ab [1/2 - g_l(w_a) - g_l(w_b)^*] / [i (w_a - w_b^*)],
    g_l(w) = sum_p eta_p T_l / (w - chi_lp).
    """
    w, right, left = basis.values, basis.right, basis.left
    inner, blocks = jnp.zeros_like(right), []
    for number, lead in enumerate(leads(valve)):
        terms = lead.weight / (w[:, None] - lead.chi(mu[number]))
        g = terms.sum(1)
        source = left[:, lead.rows] @ lead.gamma
        inner += (source @ left[:, lead.rows].conj().T) * (0.5 - g[:, None] - g.conj())
        blocks.append(-right @ (terms[:, :, None] * source[:, None, :]).reshape(len(w), -1))
    rho = right @ (inner / (1j * (w[:, None] - w.conj()))) @ right.conj().T
    return (rho + rho.conj().T) / 2, jnp.concatenate(blocks, 1)


def susceptibility(basis: Basis, valve: SpinValve, rho: Matrix, mu: PerLead, rates: Array) -> Array:
    """ds_jb(lambda)/dS_ka for turns of the spins that grow as e^(lambda t), (rates, N_S, 3, N_S, 3), for all ``rates``.

    Only its parts across the spins are computed, a turn of S_k and ds_j across S_j; what is along a spin is zero here.
    With h = (J_sd/2) sigma_a on site k, in the eigenbasis (h_ac = L_ak sigma R_kc J_sd/2, G_l = R^-1 Gamma_l R^-+),

        N_ab = -i (h r)_ab + sum_lc K^l_ac h_ac G^l_cb,   K^l_ac = sum_p eta_p T_l / [(w_a - i lambda - chi) (w_c -
        chi)],
        A(lambda)_ab = N_ab / [lambda + i (w_a - w_b^*)],   d rho = A(lambda) + A(lambda^*)^+,

    so that one half of the response gives the other. With spinors along S_k the turns sigma_1 +- i sigma_2 are of rank
    one, and G_l has the rank of the contact: the sums cost a few products of (2N, 2N) with (2N, columns) matrices.
    Analytic in lambda for Re lambda > -2 min |Im w|.
    """
    circular = _circular_response(basis, valve, rho, mu)
    rates = jnp.asarray(rates, basis.right.dtype)
    each = jnp.stack([rates, rates.conj()], 1).ravel()
    halves = jax.lax.map(lambda rate: _from_circular(basis, valve, circular(rate)), each)  # one copy of the program
    return halves[::2] + halves[1::2].conj()


def static_susceptibility(basis: Basis, valve: SpinValve, rho: Matrix, mu: PerLead) -> Float[Array, "s 3 s 3"]:
    """`susceptibility` at lambda = 0, which is real and takes half the work."""
    circular = _circular_response(basis, valve, rho, mu)
    return 2 * _from_circular(basis, valve, circular(jnp.zeros((), basis.right.dtype))).real


def _circular_response(basis: Basis, valve: SpinValve, rho: Matrix, mu: PerLead) -> Callable[[Array], Array]:
    """The function of the rate that gives <-v|A_jj|v> for h = |s><-s| on site k, (2N_S of k, 2N_S of j), s and v = up,
    down along the spins of k and j.

    For each h one product of N_ab/[lambda + i (w_a - w_b^*)] with the spins' rows is taken, in groups that stay in a
    processor's cache.
    """
    w, left, dim = basis.values, basis.left, valve.lattice.dim
    frames = spinor_frames(basis.spins)
    rows = (2 * valve.lattice.spin_sites[:, None] + np.arange(2)).ravel()
    turned = lambda x: jnp.einsum("jsv,jsn->jvn", frames.conj(), x.reshape(-1, 2, x.shape[-1]))
    whole = lambda x: x.reshape(-1, x.shape[-1])
    at_spin, inner = turned(basis.right[rows]), turned(rho[rows] @ left.conj().T)
    seen, flipped = whole(at_spin).conj().T, whole(at_spin[:, ::-1])
    driving = whole(turned(left[:, rows].conj().T)).conj()
    electrodes = [(lead, lead.chi(mu[k]), left[:, lead.rows]) for k, lead in enumerate(leads(valve))]

    def at(rate: Array) -> Array:
        decay = 1 / (rate + 1j * (w[:, None] - w.conj()))
        poles = lambda chi: 1 / (w[:, None] - 1j * rate - chi)
        kernels = [poles(chi) @ (lead.weight / (w[:, None] - chi)).T for lead, chi, _ in electrodes]

        def one(turn: tuple[Array, Array, Array]) -> Array:
            into, out_of, source = turn
            inflow = -1j * source
            for (lead, _, contact), kernel in zip(electrodes, kernels, strict=True):
                driven = product(kernel, contact * out_of[:, None])
                inflow = inflow + product(driven, lead.gamma @ contact.conj().T)
            return jnp.sum(into[:, None] * flipped.T * product(inflow * decay, seen), 0)

        together = max(1, round(8 * (96 / dim) ** 2))
        return jax.lax.map(one, (driving, flipped, whole(inner[:, ::-1])), batch_size=together)

    return at


def _from_circular(basis: Basis, valve: SpinValve, circular: Array) -> Array:
    """d s_jb/dS_ka of one half of the response, (N_S, 3, N_S, 3): sigma_1 = |up><down| + |down><up| and
    sigma_2 = -i |up><down| + i |down><up| for spinors along a spin, and tangents e_1, e_2."""
    n = len(basis.spins)
    axes = jnp.einsum("xs,jxb->jsb", jnp.array([[1, 1], [-1j, 1j]], circular.dtype), tangents(basis.spins))
    return jnp.einsum("k,jvb,ksjv,ksa->jbka", coupling(valve) / 4, axes, circular.reshape(n, 2, n, 2), axes)


def spinor_frames(spins: Spins) -> Complex[Array, "spins 2 2"]:
    """Spinors up and down along each spin, in the columns, with <up|sigma.e_1|down> = 1, <up|sigma.e_2|down> = -i."""
    sigma = jnp.array(PAULI, jnp.result_type(spins.dtype, jnp.complex64))
    project = (jnp.eye(2, dtype=sigma.dtype) + jnp.einsum("ja,ast->jst", spins, sigma)) / 2
    up = jnp.where(spins[:, 2, None] >= 0, project[:, :, 0], project[:, :, 1])
    up = up / jnp.linalg.norm(up, axis=1, keepdims=True)
    down = jnp.einsum("ja,ast,jt->js", tangents(spins)[:, 0], sigma, up)
    return jnp.stack([up, down], -1)


def spin_response(
    basis: Basis,
    valve: SpinValve,
    rho: Matrix,
    mu: PerLead,
    rate: Array,
    direction: Complex[Array, "spins 3"],
) -> Complex[Array, "spins 3"]:
    """The change of the spin densities, sum_k ds_j/dS_k . direction_k, (N_S, 3), by the formula of `susceptibility`."""
    w, right, left = basis.values, basis.right, basis.left
    rows = (2 * valve.lattice.spin_sites[:, None] + np.arange(2)).ravel()
    pauli = jnp.array(PAULI, right.dtype)
    at_spin = right[rows].reshape(-1, 2, len(w))
    inner = (rho[rows] @ left.conj().T).reshape(at_spin.shape)

    def half(rate, direction):
        blocks = jnp.einsum("k,ka,ast->kst", coupling(valve) / 2, direction, pauli)
        times = lambda x: left[:, rows] @ jnp.einsum("kst,ktc->ksc", blocks, x).reshape(-1, len(w))
        h, total = times(at_spin), -1j * times(inner)
        for number, lead in enumerate(leads(valve)):
            chi, contact = lead.chi(mu[number]), left[:, lead.rows]
            kernel = (1 / (w[:, None] - 1j * rate - chi)) @ (lead.weight / (w[:, None] - chi)).T
            total += (kernel * h) @ contact @ lead.gamma @ contact.conj().T
        return total / (rate + 1j * (w[:, None] - w.conj()))

    both = jnp.stack([rate, rate.conj()]), jnp.stack([direction, direction.conj()])
    ahead, back = jax.lax.map(lambda one: half(*one), both)  # one copy of the program
    change = ahead + back.conj().T
    seen = (right[rows] @ change).reshape(at_spin.shape)
    return jnp.einsum("ast,ktb,ksb->ka", pauli, seen, at_spin.conj()) / 2


def differentiable_spin_response(
    basis: Basis, valve: SpinValve, state: State, mu: PerLead, rate: Array, direction: Complex[Array, "spins 3"]
) -> Complex[Array, "spins 3"]:
    """`spin_response` from the equations of motion themselves, slower but differentiable in everything.

    With h = (J_sd/2) sum_k sigma.direction_k, the equations of motion of rho and Pi, linearised, are

        X_lp = -i [lambda  + i (H_eff - chi_lp)]^-1 h Pi_lp,     Y_lp = -i [lambda^* + i (H_eff - chi_lp)]^-1 h^+ Pi_lp,
        lambda R + i (H_eff R - R H_eff^+) = -i [h, rho] + sum_lp (X_lp + Y_lp^+),     ds_j = Tr(sigma R_jj)/2.

    Derivatives in valve, state, mu and lambda solve the same equations; ``basis`` is but a means of solving them.
    """
    w, right, left = basis.values, basis.right, basis.left
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
        return jnp.zeros_like(right).at[:, contacts].add(all_sums_over_poles(valve, x))

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
