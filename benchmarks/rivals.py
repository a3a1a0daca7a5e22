"""The same valve integrated as others would write it: what svjax is timed against.

- `Textbook`: NumPy, dense H, the full (leads, poles, 2N, 2N) Pi, products in BLAS, RK 3/8.
- `dense_jax_step`: the same in JAX with Pi in its contact columns, dense H, a straight-line RK 3/8 step under ``jit``.
- `scipy_run`: `scipy.integrate.solve_ivp` with DOP853 on svjax's own right-hand side.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

import svjax as sv
from svjax.model.equations import coupled_derivative, spins_derivative
from svjax.model.hamiltonian import hamiltonian as dense_hamiltonian
from svjax.model.leads import PAULI, column_values, stored_columns, sum_over_poles
from svjax.model.valve import canonical


class Textbook:
    """Eqs. (4), (8)-(10) in NumPy with full matrices; the state is a tuple (rho, pi, spins)."""

    def __init__(self, valve):
        lattice = valve.lattice
        self.dim, self.sites = lattice.dim, lattice.spin_sites
        self.bare = np.array(dense_hamiltonian(valve, sv.aligned_spins(valve) * 0))
        self.gamma = np.zeros((len(lattice.contacts), self.dim, self.dim), complex)
        for lead, rows in enumerate(lattice.contact_rows):
            self.gamma[lead, rows, rows] = 1
        self.gamma *= np.array(valve.lead_coupling)[:, None, None]
        self.half_width = 0.5j * self.gamma.sum(0)
        self.j_sd, self.j_ex = float(valve.j_sd), float(valve.j_ex)
        self.axes = np.array(valve.easy_axes)[lattice.spin_layers]
        self.stiffness = 2 * np.array(valve.anisotropy)[lattice.spin_layers]
        neighbours = np.zeros((len(self.sites), len(self.sites)))
        row, col, _ = lattice.spin_neighbours.entries
        neighbours[row, col] = 1
        self.neighbours, self.field = neighbours, np.array(valve.field)
        temperature = np.array(valve.temperature)[:, None]
        self.decay = np.array(valve.poles.xi) * temperature
        source = -1j * (np.array(valve.poles.eta) * temperature)[..., None, None] * self.gamma[:, None]
        self.source = np.ascontiguousarray(np.moveaxis(source, 2, 0))
        self.pauli = np.array(PAULI, complex)

    def start(self, state):
        """The library's state with Pi as full matrices, (2N, leads, poles, 2N) so that H Pi is one product in BLAS."""
        leads, poles = self.decay.shape
        pi = np.zeros((self.dim, leads, poles, self.dim), complex)
        columns, at = np.array(state.pi), 0
        for lead in range(leads):
            rows = np.flatnonzero(np.diagonal(self.gamma[lead]))
            for pole in range(poles):
                pi[:, lead, pole, rows] = columns[:, at : at + len(rows)]
                at += len(rows)
        self.work, self.point, *self.slopes = (np.empty_like(pi) for _ in range(6))
        return np.array(state.rho), pi, np.array(state.spins)

    def derivative(self, state, mu, out):
        """The slope of every part; that of Pi is written to ``out``, because allocation costs as much as arithmetic."""
        rho, pi, spins = state
        h = self.bare.copy()
        blocks = self.j_sd / 2 * np.einsum("na,ast->nst", spins, self.pauli)
        for site, block in zip(self.sites, blocks, strict=True):
            h[2 * site : 2 * site + 2, 2 * site : 2 * site + 2] += block
        total = pi.sum((1, 2)) + 0.25 * (self.gamma.sum(0) - 2 * rho @ self.gamma.sum(0))
        d_rho = -1j * (h @ rho - rho @ h) + total + total.conj().T
        chi = (np.array(mu)[:, None] + 1j * self.decay)[..., None]
        d_pi = np.matmul(-1j * (h - self.half_width), pi.reshape(self.dim, -1), out=out.reshape(self.dim, -1))
        d_pi = d_pi.reshape(pi.shape)
        d_pi += np.multiply(1j * chi, pi, out=self.work)
        d_pi += self.source
        up = 2 * self.sites
        flip = rho[up, up + 1]
        density = np.stack([flip.real, -flip.imag, (rho[up, up] - rho[up + 1, up + 1]).real / 2], 1)
        along = (self.stiffness * np.sum(spins * self.axes, 1))[:, None] * self.axes
        field = -self.j_ex * self.neighbours @ spins + self.field + along - self.j_sd * density
        return d_rho, d_pi, np.cross(spins, field)

    def step(self, state, mu, dt):
        """One step; the Pi of ``state`` is overwritten."""

        def add(into, *terms):
            np.copyto(into, state[1])
            for c, k in terms:
                into += np.multiply(c, k[1], out=self.work)
            rho, spins = (state[i] + sum(c * k[i] for c, k in terms) for i in (0, 2))
            return rho, into, spins

        slope = lambda number, y: self.derivative(y, mu, self.slopes[number])
        k1 = slope(0, state)
        k2 = slope(1, add(self.point, (dt / 3, k1)))
        k3 = slope(2, add(self.point, (-dt / 3, k1), (dt, k2)))
        k4 = slope(3, add(self.point, (dt, k1), (-dt, k2), (dt, k3)))
        return add(state[1], (dt / 8, k1), (3 * dt / 8, k2), (3 * dt / 8, k3), (dt / 8, k4))


def dense_derivative(valve, state, mu):
    """The right-hand side with a dense Hamiltonian, Pi in its contact columns."""
    lattice = valve.lattice
    h_eff = sv.effective_hamiltonian(valve, state.spins)
    rows = np.concatenate(lattice.contact_rows)
    half = (-1j * h_eff @ state.rho).at[:, rows].add(jnp.concatenate(sum_over_poles(valve, state.pi), 1))
    width = np.zeros(lattice.n_sites)
    np.add.at(width, lattice.contact_sites, np.asarray(valve.lead_coupling)[lattice.contact_leads])
    half = half + jnp.diag(jnp.repeat(width, 2) / 4)
    chi, source = column_values(valve, mu)
    own = np.arange(lattice.n_sites)[:, None, None] == stored_columns(valve).site
    inflow = jnp.where(own, source, 0).reshape(state.pi.shape)
    pi = inflow - 1j * (h_eff @ state.pi - chi * state.pi)
    return sv.State(half + half.conj().T, pi, spins_derivative(valve, state))


def dense_jax_step(valve, mu, dt):
    """A straight-line RK 3/8 step with a dense H, as a first JAX program for these equations would have it."""
    f = lambda y: dense_derivative(valve, y, mu)
    add = lambda y, *terms: jax.tree.map(
        lambda y, *k: y + sum(c * x for (c, _), x in zip(terms, k, strict=True)), y, *(k for _, k in terms)
    )

    def step(y):
        k1 = f(y)
        k2 = f(add(y, (dt / 3, k1)))
        k3 = f(add(y, (-dt / 3, k1), (dt, k2)))
        k4 = f(add(y, (dt, k1), (-dt, k2), (dt, k3)))
        return add(y, (dt / 8, k1), (3 * dt / 8, k2), (3 * dt / 8, k3), (dt / 8, k4))

    return step


def scipy_run(valve, state, mu, times, rtol=1e-6, atol=1e-8):
    """`solve_ivp` with DOP853 on svjax's right-hand side, the state flattened to real numbers; states at ``times``."""
    valve, mu = canonical(valve), jnp.asarray(mu)
    flat, unravel = ravel_pytree(_as_real(state))
    rhs = jax.jit(lambda y: ravel_pytree(_as_real(coupled_derivative(valve, _as_state(unravel(y)), mu)))[0])
    found = solve_ivp(
        lambda t, y: np.asarray(rhs(y)), (0.0, times[-1]), np.asarray(flat), "DOP853", times, rtol=rtol, atol=atol
    )
    return [_as_state(unravel(jnp.asarray(column))) for column in found.y.T]


def _as_real(state):
    return state.rho.real, state.rho.imag, state.pi.real, state.pi.imag, state.spins


def _as_state(parts):
    return sv.State(parts[0] + 1j * parts[1], parts[2] + 1j * parts[3], parts[4])
