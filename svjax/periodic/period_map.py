"""The map of a state over one period, and the state that it leaves as it is, by Newton's method with GMRES."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Complex, Float, PyTree
from scipy.sparse.linalg import LinearOperator, eigs, gmres

from svjax.dynamics.step import Step
from svjax.dynamics.torques import LARGEST_TURN
from svjax.engine.arrays import Matrix
from svjax.engine.integrate import runge_kutta_step
from svjax.engine.parts import Parts, apart, together
from svjax.model.equations import State, coefficients
from svjax.model.extended import extended, extended_lattice
from svjax.model.hamiltonian import apply_effective, with_spins
from svjax.model.leads import decay_rates, stored_columns
from svjax.model.spins import tangents, turn
from svjax.observables.by_name import Observe

TOLERANCE = {False: 1e-13, True: 1e-6}
"""To what share of the residual GMRES solves for spins that are not free, and for those that are: with them more would
be lost in what is not linear."""
DIRECTIONS, RESTARTS = 40, 3
"""The directions that GMRES keeps, and how often it begins with new ones."""

Change = State
"""A change of a state in `Parts`, with turns (2N_S,) along the tangents in place of spins, and none of given spins."""


class Samples(NamedTuple):
    """The spins before and after each step of a period, and what is observed before each of them."""

    path: Float[Array, "steps spins 3"]
    observables: dict[str, PyTree]


class PeriodMap(eqx.Module):
    """The state, in `Parts`, after a period of ``count`` steps as a function of the state at t = 0.

    ``jumps`` says that something is elsewhere at the end of a period than at its start: the first step is then taken in
    parts where the method asks for it.
    """

    step: Step
    count: int = eqx.field(static=True)
    observe: Observe
    jumps: bool = eqx.field(static=True)

    @property
    def spins_move(self) -> bool:
        """Whether the spins obey their equation of motion. Where they do not the map is affine."""
        return not self.step.freeze_spins and self.step.spins is None and len(self.step.valve.lattice.spin_sites) > 0

    @property
    def shape(self) -> tuple[int, int]:
        """Of Pi: the dimension of rho and the columns that are stored."""
        return extended_lattice(self.step.valve).dim, len(stored_columns(self.step.valve).lead)

    def __call__(self, state: State) -> tuple[State, Samples]:
        """The state after a period, and samples of the way there."""
        step, zero = self.step.prepared(), jnp.zeros_like(self.step.dt)

        graded = self.jumps and len(step.method.grades) > 1
        first_step = lambda state: step.ended(step.in_parts(state, zero, zero, zero), jnp.zeros((), int))

        def one(state, n):
            seen = self.observe(step.valve_at(n * step.dt), together(state))
            next_step = lambda state: step(state, n)
            moved = jax.lax.cond(n == 0, first_step, next_step, state) if graded else next_step(state)
            return moved, (state.spins, seen)

        end, (path, seen) = jax.lax.scan(one, step.with_given_spins(state, zero), jnp.arange(self.count))
        return end, Samples(jnp.concatenate([path, end.spins[None]]), seen)

    def moved(self, state: State, change: Change) -> State:
        """The state with a change added."""
        spins = turn(state.spins, change.spins) if self.spins_move else state.spins
        return State(state.rho + change.rho, state.pi + change.pi, spins)

    def residual(self, state: State, change: Change) -> tuple[Change, Samples]:
        """By what a period changes the state that is ``change`` away from ``state``, and samples of that period."""
        start = self.moved(state, change)
        end, samples = self(start)
        turns = change.spins
        if self.spins_move:
            turns = jnp.einsum("jxb,jb->jx", tangents(state.spins), end.spins - start.spins).ravel()
        return State(end.rho - start.rho, end.pi - start.pi, turns), samples

    def none(self, state: State) -> Change:
        """No change."""
        still = jnp.zeros(2 * len(state.spins) if self.spins_move else 0, state.spins.dtype)
        rho, pi = jax.tree.map(jnp.zeros_like, (state.rho, state.pi))
        return State(rho, pi, still)

    def propagator(self, path: Array) -> Matrix:
        """U(T) of i dU/dt = H_eff(t) U, U(0) = 1, with the spins on straight lines between the points of their path."""
        step = self.step.prepared()

        def derivative(at: tuple[Array, Array, Array], t: Array, u: Parts) -> Parts:
            n, before, after = at
            of, spins = step.of, before + (t / step.dt - n) * (after - before)
            if of is None:
                of = coefficients(extended(step.valve_at(t), jnp.asarray(step.bias(t), step.dt.dtype)))
            return -1j * apply_effective(of.bare, with_spins(of.bare, spins), u)

        def one(u: Parts, at: tuple[Array, Array, Array]) -> tuple[Parts, None]:
            return runge_kutta_step(partial(derivative, at), at[0] * step.dt, u, step.dt), None

        unit = apart(jnp.eye(self.shape[0], dtype=jnp.result_type(step.dt.dtype, jnp.complex64)))
        return together(jax.lax.scan(one, unit, (jnp.arange(self.count), path[:-1], path[1:]))[0])

    def column_factors(self) -> Complex[Array, "cols"]:
        """exp(i int chi_lp dt) over the period, by which a column of Pi_lp changes besides U."""
        step = self.step
        levels = jax.vmap(step.bias)(step.dt * (jnp.arange(self.count) + 0.5)).mean(0).astype(step.dt.dtype)
        levels = levels[stored_columns(step.valve).lead]
        return jnp.exp((1j * levels - decay_rates(step.valve)) * step.dt * self.count)


class Found(NamedTuple):
    """A state after a step of Newton's method, by what a period still changes it, what is observed in that period, and
    whether rho is unique."""

    state: State
    residual: float
    observables: dict[str, PyTree]
    unique: Bool[Array, ""]


def newton_step(period: PeriodMap, state: State) -> Found:
    """The next state of Newton's method for Phi(y) = y, Phi the map of a period; the last one where Phi is affine.

    GMRES solves (1 - dPhi) dy = Phi(y) - y. It is preconditioned by what electrons do along the path of the spins,
    rho -> U rho U^+ and Pi_lp -> U Pi_lp exp(i int chi_lp dt), whose Neumann series is summed by squaring U: what is
    left are the answer of rho to Pi, nilpotent, that of the spins, of their number, and the error of the steps.
    """
    none = period.none(apart(state))
    rest, samples = residual(period, state, none)
    u, factors = propagated(period, samples.path)
    vector, whole = ravel_pytree(rest)
    if np.all(np.isfinite(vector)):

        def without_its_image(change: np.ndarray) -> np.ndarray:
            if period.spins_move:
                return -flat(tangent(period, state, whole(jnp.asarray(change))))
            return np.asarray(vector) - flat(residual(period, state, whole(jnp.asarray(change)))[0])

        found, _ = gmres(
            operator(without_its_image, vector),
            np.asarray(vector),
            rtol=max(TOLERANCE[period.spins_move], float(jnp.finfo(vector.dtype).eps)),
            restart=DIRECTIONS,
            maxiter=RESTARTS,
            M=operator(lambda change: flat(summed(u, factors, whole(jnp.asarray(change)))[0]), vector),
        )
        change = whole(jnp.asarray(found))
        longest = np.linalg.norm(change.spins.reshape(-1, 2), axis=-1).max(initial=LARGEST_TURN)
        state = moved(period, state, jax.tree.map(lambda x: LARGEST_TURN / longest * x, change))
    left, samples = residual(period, state, none)
    return Found(state, float(np.abs(flat(left)).max()), samples.observables, summed(u, factors, rest)[1])


def leading_multipliers(period: PeriodMap, state: State, count: int) -> Complex[Array, "count"]:
    """The ``count`` largest eigenvalues of the derivative of the map at a state that repeats, by Arnoldi's method.

    Of a matrix that is not Hermitian the equations of motion keep what is not, which is left out.
    """
    vector, whole = ravel_pytree(period.none(apart(state)))

    def after_a_period(change: np.ndarray) -> np.ndarray:
        given = whole(jnp.asarray(change, vector.dtype))
        given = eqx.tree_at(lambda c: c.rho, given, 0.5 * (given.rho + given.rho.conj().T))
        return flat(given) + flat(tangent(period, state, given))

    start = np.random.default_rng(0).normal(size=vector.size)
    values = eigs(operator(after_a_period, vector), count, v0=start, return_eigenvectors=False)
    return jnp.asarray(values[np.argsort(-np.abs(values))])


def flat(change: Change) -> np.ndarray:
    """A change as one vector of real numbers."""
    return np.array(ravel_pytree(change)[0])


def operator(function: Callable[[np.ndarray], np.ndarray], vector: Array) -> LinearOperator:
    """A function of vectors like this one, for SciPy."""
    return LinearOperator((vector.size, vector.size), function, dtype=vector.dtype)  # type: ignore


@eqx.filter_jit
def residual(period: PeriodMap, state: State, change: Change) -> tuple[Change, Samples]:
    """`PeriodMap.residual` of a state that is not in `Parts`."""
    return period.residual(apart(state), change)


@eqx.filter_jit
def tangent(period: PeriodMap, state: State, change: Change) -> Change:
    """What the residual of `PeriodMap` changes by along a change of the state, to first order."""
    state = apart(state)
    return jax.jvp(lambda change: period.residual(state, change)[0], (period.none(state),), (change,))[1]


@eqx.filter_jit
def moved(period: PeriodMap, state: State, change: Change) -> State:
    """`PeriodMap.moved` of a state that is not in `Parts`."""
    return together(period.moved(apart(state), change))


@eqx.filter_jit
def propagated(period: PeriodMap, path: Array) -> tuple[Matrix, Complex[Array, "cols"]]:
    """What a period does to electrons along a ``path`` of the spins: U, and the factors of the columns of Pi."""
    return period.propagator(path), period.column_factors()


@jax.jit
def summed(u: Matrix, factors: Complex[Array, "cols"], change: Change) -> tuple[Change, Bool[Array, ""]]:
    """sum_k U^k rho U^k+, sum_k U^k Pi factors^k, and whether U^(2^k) died out, k bounded by the digits."""
    eps = jnp.finfo(u.dtype).eps
    most = -jnp.finfo(u.dtype).machep - 7

    def more(carry):
        k, u, *_ = carry
        return (k < most) & (jnp.linalg.norm(u) > eps**2)

    def double(carry):
        k, u, factors, rho, pi = carry
        return k + 1, u @ u, factors**2, rho + u @ rho @ u.conj().T, pi + (u @ pi) * factors

    _, u, _, rho, pi = jax.lax.while_loop(more, double, (0, u, factors, together(change.rho), together(change.pi)))
    rho = (rho + rho.conj().T) / 2  # a map of matrices that are Hermitian leaves what is not as it is
    rho, pi = apart((rho, pi))
    return State(rho, pi, change.spins), jnp.linalg.norm(u) < 1e-3
