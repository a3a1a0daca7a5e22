"""The nonlinear eigenproblem lambda v = M(lambda) v of spins coupled to electrons, at a torque-free state.

Small turns of the spins grow as v e^(lambda t) with v their 2N_S tangent components. Electrons at frozen spins give
M(0), whose eigenvalues are N_S conjugate pairs; retarded electrons give M(lambda), which is analytic for Re lambda > -2
min |Im w|, w the eigenvalues of H_eff. Every root is an eigenvalue of the linearised equations of motion.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, DTypeLike, Float, Inexact

from svjax.electrons.response import (
    Basis,
    differentiable_spin_response,
    eigenbasis,
    spin_response,
    static_susceptibility,
    susceptibility,
)
from svjax.engine.arrays import PerLead, Spins, known
from svjax.model.equations import State, local_spin_density
from svjax.model.extended import extended
from svjax.model.spins import coupling, effective_field, field_change, stiffness, tangents, turn_rate
from svjax.model.valve import SpinValve


def accuracy(dtype: DTypeLike) -> float:
    """Residual of a root, |M(lambda) v - lambda v| for |v| = 1, relative to max(1, |lambda|): 1e-12 in double
    precision."""
    return 5e3 * float(jnp.finfo(dtype).eps)


class Linearization(eqx.Module):
    """M(lambda) of one state: ``matrix`` gives it whole at many rates, ``apply`` times a vector, and differentiable."""

    valve: SpinValve
    state: State
    mu: PerLead
    basis: Basis

    @property
    def field(self) -> Spins:
        """B on every spin, (N_S, 3)."""
        return effective_field(self.valve, self.state.spins, local_spin_density(self.valve, self.state.rho))

    def matrix(self, rates: Inexact[Array, "rates"]) -> Complex[Array, "rates angles angles"]:
        """M(lambda) for all ``rates``, (rates, 2N_S, 2N_S)."""
        response = susceptibility(self.basis, self.valve, self.state.rho, self.mu, rates)
        return jax.vmap(lambda one: turn_rate(self.valve, self._stiffness(one)))(response)

    def static_matrix(self) -> Float[Array, "angles angles"]:
        """M(0), real."""
        return turn_rate(self.valve, self.static_stiffness())

    def static_stiffness(self) -> Float[Array, "angles angles"]:
        """The `stiffness` at lambda = 0, real."""
        return self._stiffness(static_susceptibility(self.basis, self.valve, self.state.rho, self.mu))

    def _stiffness(self, response: Array) -> Array:
        return stiffness(self.valve, self.state.spins, self.field, response)

    def apply(self, rate: Complex[Array, ""], vector: Complex[Array, "angles"]) -> Complex[Array, "angles"]:
        """M(lambda) v, (2N_S,); differentiable in lambda and v."""
        direction = self.direction(vector)
        density = spin_response(self.basis, self.valve, self.state.rho, self.mu, rate, direction)
        return self._turn_rate(direction, density)

    def differentiable_apply(self, rate: Array, vector: Array) -> Complex[Array, "angles"]:
        """`apply`, differentiable in the valve, the state and mu as well."""
        direction = self.direction(vector)
        density = differentiable_spin_response(self.basis, self.valve, self.state, self.mu, rate, direction)
        return self._turn_rate(direction, density)

    def direction(self, vector: Complex[Array, "angles"]) -> Complex[Array, "spins 3"]:
        """Tangent components as vectors, (N_S, 3)."""
        return jnp.einsum("jxb,jx->jb", tangents(self.state.spins), vector.reshape(-1, 2))

    def _turn_rate(self, direction: Array, density: Array) -> Array:
        """Tangent components of dS x B + S x dB for dS = ``direction`` and ds = ``density``."""
        along = jnp.sum(self.state.spins * self.field, -1, keepdims=True)
        change = field_change(self.valve, self.state.spins, direction) - coupling(self.valve)[:, None] * density
        across = jnp.einsum("jxb,jb->jx", tangents(self.state.spins), change - along * direction)
        return turn_rate(self.valve, across.ravel())


def linearization(valve: SpinValve, state: State, mu: PerLead) -> Linearization:
    """The linearised problem at a torque-free ``state`` with levels ``mu``; for known values in a sound basis."""
    valve = extended(valve, mu)
    beside = known(*jax.tree.leaves((valve, state, mu)))
    return Linearization(valve, state, mu, _eigenbasis(valve, state.spins, beside))


_eigenbasis = jax.jit(eigenbasis, static_argnums=2)


class Roots(eqx.Module):
    """Roots lambda (roots,) with their vectors (roots, 2N_S), the residual of each, and whether all are distinct."""

    rates: Complex[Array, "roots"]
    vectors: Complex[Array, "roots angles"]
    residuals: Float[Array, "roots"]
    distinct: Array


@partial(jax.jit, static_argnums=(1, 2))
def find_roots(problem: Linearization, number: int, homotopy: int = 1) -> Roots:
    """The roots that M(s lambda) leads to, from the ``number`` smallest eigenvalues of M(0) at s = 0 to s = 1.

    One of each conjugate pair is followed, Im lambda >= 0, by the overlap of its vector, in ``homotopy`` steps of s.
    With more steps close pairs that exchange their character are told apart. Smallest |lambda| first.
    """
    m, v = jnp.linalg.eig(problem.static_matrix())
    upper = m.imag >= -1e-9 * jnp.max(jnp.abs(m))
    order = jnp.argsort(jnp.where(upper, jnp.abs(m), jnp.inf))[:number]
    follow = lambda start: _follow(problem, start[0], start[1], homotopy)
    rates, vectors, residuals = jax.lax.map(follow, (m[order], v.T[order].astype(m.dtype)))
    vectors = jnp.where(rates.imag[:, None] < 0, vectors.conj(), vectors)
    rates = jax.lax.complex(rates.real, jnp.abs(rates.imag))
    order = jnp.argsort(jnp.abs(rates))
    rates, vectors, residuals = rates[order], vectors[order], residuals[order]
    close = jnp.abs(rates[:, None] - rates) < 1e-9 * (1 + jnp.abs(rates))
    parallel = jnp.abs(vectors.conj() @ vectors.T) > 1 - 1e-6
    return Roots(rates, vectors, residuals, jnp.sum(close & parallel) == len(rates))


def _follow(problem: Linearization, rate: Array, vector: Array, homotopy: int) -> tuple[Array, Array, Array]:
    for s in np.arange(1, homotopy + 1) / homotopy:
        rate, vector, residual = find_root(problem, rate, vector, s)
    return rate, vector, residual


def find_root(problem: Linearization, rate: Array, vector: Array, s: float = 1.0) -> tuple[Array, Array, Array]:
    """One root of lambda v = M(s lambda) v and its residual, by `refine` in bases that are moved to the root."""
    goal = accuracy(problem.valve.dtype)

    def again(carry):
        k, rate, vector, _ = carry
        rate, vector, residual, _ = refine(
            problem, problem.matrix(s * rate[None])[0], rate, vector, lambda _, residual, error: residual <= goal, s
        )
        return k + 1, rate, vector, residual

    def unfinished(carry):
        k, _, _, residual = carry
        return (k < 6) & (residual > 10 * goal)

    inf = jnp.asarray(jnp.inf, rate.real.dtype)
    _, rate, vector, residual = jax.lax.while_loop(unfinished, again, (0, rate, vector, inf))
    return rate, vector, residual


def refine(
    problem: Linearization,
    base: Complex[Array, "angles angles"],
    rate: Array,
    vector: Array,
    enough: Callable[[Array, Array, Array], Array],
    s: float = 1.0,
) -> tuple[Array, Array, Array, Array]:
    """One root of lambda v = M(s lambda) v near ``rate`` by a fixed-point iteration in the eigenbasis of ``base``.

    In the eigenbasis (m_j, v_j, u_j) of base = M(s rate), with v_k the most of ``vector``, and for v = v_k + sum_j c_j
    v_j, the equation reads

        lambda = m_k + u_k D v,   c_j = u_j D v / (lambda - m_j),   D = M(s lambda) - M(s rate),

    where the first is solved with Newton's factor 1/(1 - dm_k/dlambda). It converges fast for ``rate`` close to lambda,
    and is left where it does not, or where ``enough`` of the rate, its residual and its error says so.

    **Returns:** lambda, v of norm 1, the residual, and the error of lambda that it stands for, |u_k| |M(lambda) v -
    lambda v| / |1 - dm_k/dlambda|.
    """
    m, v = jnp.linalg.eig(base)
    u = jnp.linalg.inv(v)
    chosen = jnp.argmax(jnp.abs(u @ vector))
    others = jnp.arange(len(m)) != chosen
    _, slope = jax.jvp(lambda r: problem.apply(s * r, v[:, chosen]), (rate,), (jnp.ones_like(rate),))
    newton = 1 / (1 - u[chosen] @ slope)
    condition = jnp.linalg.norm(u[chosen]) * jnp.abs(newton)

    def more(inner):
        n, rate, _, residual, before = inner
        return (n < 12) & ~fine(rate, residual) & (residual < 0.5 * before)

    def fine(rate, residual):
        return enough(rate, residual, condition * residual * jnp.maximum(1, jnp.abs(rate)))

    def improve(inner):
        n, rate, vector, residual, _ = inner
        image = problem.apply(s * rate, vector)
        size = jnp.linalg.norm(vector)
        now = jnp.linalg.norm(image - rate * vector) / size / jnp.maximum(1, jnp.abs(rate))
        change = u @ (image - base @ vector)
        new = rate + newton * (m[chosen] + change[chosen] - rate)
        shift = jnp.where(others, change / jnp.where(others, new - m, 1), 0)
        done = fine(rate, now)
        rate, vector = jnp.where(done, rate, new), jnp.where(done, vector, v[:, chosen] + v @ shift)
        return n + 1, rate, vector, now, residual

    near = rate + newton * (m[chosen] - rate)
    start = (0, near, v[:, chosen], jnp.asarray(1e3, base.real.dtype), jnp.asarray(jnp.inf, base.real.dtype))
    _, rate, vector, residual, _ = jax.lax.while_loop(more, improve, start)
    error = condition * residual * jnp.maximum(1, jnp.abs(rate))
    return rate, vector / jnp.linalg.norm(vector), residual, error


def careful_roots(problem: Linearization, number: int) -> Roots:
    """`find_roots` with as many steps of homotopy as distinct roots need."""
    for homotopy in (1, 4, 16):
        roots = find_roots(problem, number, homotopy)
        if roots.distinct:
            break
    return roots
