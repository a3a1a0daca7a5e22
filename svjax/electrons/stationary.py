"""Stationary electrons at frozen spins, in closed form, with and without leads."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool
from scipy.special import digamma

from svjax.engine.arrays import Columns, Matrix, Numbers, PerLead, Spins, known
from svjax.model.equations import State
from svjax.model.extended import extended
from svjax.model.hamiltonian import effective_hamiltonian, hamiltonian
from svjax.model.leads import broadening, check_mu, leads, sum_over_poles
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
    state, unique = stationary_state(valve, spins, mu)
    if known(unique) and not bool(unique):
        raise ValueError(
            "Argument `valve` must let every state reach a lead, but some state has no weight on any contact, "
            "so that its occupation, and rho, are not unique."
        )
    return state


@jax.jit
def stationary_state(valve: SpinValve, spins: Spins, mu: PerLead) -> tuple[State, Bool[Array, ""]]:
    """`stationary` with leads for checked arguments, and whether rho is unique."""
    valve = extended(valve, mu)
    lattice, n = valve.lattice, valve.lattice.n_sites
    h_eff = effective_hamiltonian(valve, spins)
    pi = stationary_pi(valve, h_eff, mu)
    inflow = jnp.zeros_like(h_eff).at[:, np.concatenate(lattice.contact_rows)]
    half = inflow.add(jnp.concatenate(sum_over_poles(valve, pi), 1))
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


def lyapunov(a: Matrix, q: Matrix) -> tuple[Matrix, Bool[Array, ""]]:
    """The Hermitian X with a X + X a^+ + q = 0 for a stable matrix ``a``, and whether X is unique.

    Smith's doubling: with the Cayley transform u = (a - p)^-1 (a + p) the equation reads X = u X u^+ + r, whose series
    is summed by squaring u. It needs only products and one LU decomposition, does not care for exceptional points of
    ``a``, and runs on any device. One step of iterative refinement follows. Derivatives, forward and reverse, solve the
    same equation for the perturbed right-hand side.
    """
    a_fixed = jax.lax.stop_gradient(a)
    equation = lambda x: a @ x + x @ a.conj().T
    solve = lambda _, b: _refined(a_fixed, -b)
    transposed = lambda _, b: _refined(a_fixed.T, -b)
    x, unique = jax.lax.custom_linear_solve(equation, -q, solve, transposed, has_aux=True)
    return (x + x.conj().T) / 2, unique


def _refined(a: Matrix, q: Matrix) -> tuple[Matrix, Bool[Array, ""]]:
    x, unique = _smith_doubling(a, q)
    return x + _smith_doubling(a, a @ x + x @ a.conj().T + q)[0], unique


def _smith_doubling(a: Matrix, q: Matrix, most: int = 45) -> tuple[Matrix, Bool[Array, ""]]:
    """The series of `lyapunov`, and whether u^(2^k) died out within ``most`` squarings (for decays above 1e-12)."""
    identity = jnp.eye(a.shape[0], dtype=a.dtype)
    a = a - 1j * jnp.imag(jnp.trace(a)) / a.shape[0] * identity
    shift = jnp.linalg.norm(a) / jnp.sqrt(a.shape[0])
    inverse = jnp.linalg.inv(a - shift * identity)
    first = inverse @ (a + shift * identity), 2 * shift * inverse @ q @ inverse.conj().T

    def more(carry):
        k, u, _ = carry
        return (k < most) & (jnp.linalg.norm(u) > jnp.finfo(a.dtype).eps ** 2)

    def double(carry):
        k, u, x = carry
        return k + 1, u @ u, x + u @ x @ u.conj().T

    _, u, x = jax.lax.while_loop(more, double, (0, *first))
    return x, jnp.linalg.norm(u) < 1e-3


def isolated_density_matrix(h: Matrix, temperature: Numbers | None = None) -> Matrix:
    """rho = f(H) of an isolated valve: the Fermi function at ``temperature`` and level 0, or its limit T -> 0."""
    if temperature is None:
        return _function_of(h, jnp.zeros((), h.real.dtype), _step_occupations)
    if known(temperature) and not np.all(np.asarray(temperature) > 0):
        raise ValueError(f"Argument `temperature` must be positive, but is {temperature}.")
    return _function_of(h, jnp.asarray(temperature, h.real.dtype), _fermi_occupations)


def _step_occupations(energies: Array, temperature: Array) -> tuple[Array, Array, Array]:
    """Occupations in the limit T -> 0 with zero modes half filled, their divided differences and d/dT."""
    tolerance = energies.shape[0] * jnp.finfo(energies.dtype).eps * jnp.max(jnp.abs(energies))
    f = jnp.where(jnp.abs(energies) <= tolerance, 0.5, jnp.where(energies < 0, 1.0, 0.0))
    gap = energies[:, None] - energies
    equal = f[:, None] == f
    slopes = jnp.where(equal, 0.0, (f[:, None] - f) / jnp.where(equal, 1.0, gap))
    return f, slopes, jnp.zeros_like(f)


def _fermi_occupations(energies: Array, temperature: Array) -> tuple[Array, Array, Array]:
    """f(e/T), its divided differences (f_a - f_b)/(e_a - e_b), and df/dT; exact for close levels too.

    With x = e/(2T), f_a - f_b = -sinh(x_a - x_b) / (2 cosh(x_a) cosh(x_b)), which does not cancel.
    """
    x = energies / (2 * temperature)
    f = (1 - jnp.tanh(x)) / 2
    gap = x[:, None] - x
    log_cosh = jnp.logaddexp(x, -x) - jnp.log(2.0)
    small = jnp.abs(gap) < 1e-4
    safe = jnp.where(small, 1.0, gap)
    sinhc = jnp.where(small, 1 + gap**2 / 6, (1 - jnp.exp(-2 * jnp.abs(safe))) / (2 * jnp.abs(safe)))
    exponent = jnp.where(small, 0.0, jnp.abs(gap)) - log_cosh[:, None] - log_cosh
    slopes = -sinhc * jnp.exp(exponent) / (4 * temperature)
    return f, slopes, -jnp.diagonal(slopes) * energies / temperature


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _function_of(h: Matrix, temperature: Array, occupations) -> Matrix:
    energies, states = jnp.linalg.eigh(h)
    f, _, _ = occupations(energies, temperature)
    return (states * f) @ states.conj().T


@_function_of.defjvp
def _(occupations, primals, tangents):
    """Daleckii-Krein: d f(H) = V [F o (V^+ dH V)] V^+, F the divided differences, finite for degenerate levels."""
    (h, temperature), (dh, dt) = primals, tangents
    energies, states = jnp.linalg.eigh(h)
    f, slopes, by_temperature = occupations(energies, temperature)
    inner = slopes * (states.conj().T @ dh @ states) + jnp.diag(by_temperature * dt)
    return (states * f) @ states.conj().T, states @ inner @ states.conj().T


def exact_density_matrix(valve: SpinValve, spins: Numbers, mu: Numbers | None = None) -> np.ndarray:
    """rho of `stationary` for the exact Fermi function instead of its poles, to measure what the poles leave (NumPy).

    In the eigenbasis of H_eff = V w V^-1 the integral of G^R Gamma_l G^A f_l / (2 pi) over the energy is closed,

        rho = V R V^+,   R_ab = sum_l (V^-1 Gamma_l V^-+)_ab (g_l(w_a) - g_l(w_b)^*) / (w_a - w_b^*),
        g_l(w) = [psi(1/2 + i (w - mu_l) / (2 pi T_l)) - i pi/2] / (2 pi),   psi the digamma function.
    """
    valve = prepare(valve)
    mu = check_mu(valve, mu)
    valve = extended(valve, mu)
    w, v = np.linalg.eig(np.asarray(effective_hamiltonian(valve, jnp.asarray(spins))))
    inverse = np.linalg.inv(v)
    inner = np.zeros_like(v)
    for number, lead in enumerate(leads(valve)):
        overlap = inverse[:, lead.rows] @ np.asarray(lead.gamma) @ inverse[:, lead.rows].conj().T
        x = 0.5j * (w - mu[number]) / (np.pi * float(lead.temperature))
        g = (digamma(0.5 + x) - 0.5j * np.pi) / (2 * np.pi)
        inner += overlap * (g[:, None] - g.conj()) / (w[:, None] - w.conj())
    return v @ inner @ v.conj().T
