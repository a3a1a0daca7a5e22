"""Relaxation rates and frequencies: modes of the coupled equations, linearised at a steady state."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, DTypeLike, Float

from svjax.dynamics.eigenproblem import Linearization, Roots, careful_roots, find_roots, linearization
from svjax.dynamics.stability import count_growing
from svjax.dynamics.torques import torque_limit, unrest
from svjax.engine.arrays import PerLead, known, numerics, on_host
from svjax.engine.shown import Shown
from svjax.model.equations import State, check_state, spins_derivative
from svjax.model.extended import extended
from svjax.model.hamiltonian import effective_hamiltonian
from svjax.model.levels import BiasLike, constant_levels
from svjax.model.spins import tangents
from svjax.model.valve import SpinValve, check_spins, prepare


def residual_limit(dtype: DTypeLike) -> float:
    """A root is accepted below this residual |M(lambda) v - lambda v|: 1e-9 in double precision."""
    return max(1e-9, 1e4 * float(jnp.finfo(dtype).eps))


class Modes(Shown, eqx.Module):
    """Modes of a steady state: S_j(t) - S_j = Re shapes[k, j] e^(rates[k] t).

    - `rates`: (modes,) complex lambda, 1/t_R = -Re lambda.
    - `shapes`: (modes, N_S, 3) complex, across the spins, each mode of norm 1.
    """

    units: ClassVar = {"rates": "hopping"}

    rates: Complex[Array, "modes"]
    shapes: Complex[Array, "modes spins 3"]


def relaxation_modes(
    valve: SpinValve, state: State, bias: BiasLike, *, count: int = 4, order: str = "frequency"
) -> Complex[Array, "modes"]:
    """Rates lambda with which small turns of the spins evolve at a steady state, S - S_0 ~ Re v e^(lambda t).

    They are eigenvalues of the linearised coupled equations of spins, rho and Pi, with no expansion in the electrons'
    retardation: the roots of lambda v = M(lambda) v that the modes of spins with instantaneous electrons lead to, one
    for every spin. Modes of the electrons themselves are not among them; see `electron_decays`.

    **Arguments:**

    - `state`, `bias`: a steady state and its bias, as in `steady_state`.
    - `count`: how many modes; at most one for each spin, so fewer are returned when there are fewer spins.
    - `order`: "frequency", smallest |lambda| first, or "decay", slowest decay first.

    **Returns:** distinct complex lambda, (count,), one of each conjugate pair, Im lambda >= 0, in units of the hopping.
    The relaxation time is t_R = -1/Re lambda. First derivatives in the parameters, forward and reverse, are exact; take
    them through `steady_state`, since the state depends on the parameters too. Higher ones are not supported. Inside
    ``jit`` or ``grad`` nothing can be raised: a root that was not found is nan.

    Raises ValueError where ``state`` is not torque-free or its electrons are not stationary at ``bias``, and
    RuntimeError where a root was not found.
    """
    return mode_shapes(valve, state, bias, count=count, order=order).rates


def mode_shapes(valve: SpinValve, state: State, bias: BiasLike, *, count: int = 4, order: str = "frequency") -> Modes:
    """`relaxation_modes` with the shape of each mode. Derivatives of the rates only."""
    modes, missing = found_modes(valve, state, bias, count=count, order=order)
    if missing:
        raise RuntimeError(missing)
    return modes


def found_modes(
    valve: SpinValve, state: State, bias: BiasLike, *, count: int = 4, order: str = "frequency"
) -> tuple[Modes, str]:
    """`mode_shapes`, nan where a root was not found, and in words which these are; empty if none."""
    valve = prepare(valve)
    mu = constant_levels(valve, bias)
    _check_arguments(valve, state, mu, count, order)
    problem = linearization(valve, state, mu)
    fixed = jax.lax.stop_gradient(problem)
    n_spins = len(valve.lattice.spin_sites)
    traced = _is_traced((valve, state, mu))
    roots, chosen, wrong = chosen_roots(fixed, count, order, find_roots if traced else careful_roots)
    rates, missing = jnp.where(wrong, jnp.nan, roots.rates[chosen]), ""
    if traced:
        rates = _differentiable(problem, fixed, rates, roots.vectors[chosen])
    elif np.any(wrong):
        near = ", ".join(
            f"lambda = {complex(roots.rates[k]):.4g} (residual {float(roots.residuals[k]):.0e})" for k in chosen[wrong]
        )
        met = "" if roots.distinct else "; two starts met in one root"
        missing = f"Not all modes were found: missing are those near {near}{met}."
    vectors = roots.vectors[chosen].reshape(len(chosen), n_spins, 2)
    return Modes(rates, jnp.einsum("mjx,jxb->mjb", vectors, tangents(fixed.state.spins))), missing


def chosen_roots(
    problem: Linearization, count: int, order: str, find: Callable[[Linearization, int], Roots]
) -> tuple[Roots, Array, Array]:
    """What ``find`` finds, the numbers of the ``count`` roots that come first in ``order``, and which are wrong."""
    n_spins = len(problem.valve.lattice.spin_sites)
    roots = jax.tree.map(on_host, find(problem, n_spins if order == "decay" else min(count + 1, n_spins)))
    of = numerics(roots.rates)
    key = -roots.rates.real if order == "decay" else of.abs(roots.rates)
    chosen = of.argsort(key)[: min(count, n_spins)]
    return roots, chosen, ~((roots.residuals[chosen] <= residual_limit(problem.valve.dtype)) & roots.distinct)


def _differentiable(problem: Linearization, fixed: Linearization, rates: Array, vectors: Array) -> Array:
    """The same rates with d lambda = u (dM) v / u (1 - M') v, u the left vector of M(lambda)."""
    fixed, rates, vectors = jax.lax.stop_gradient((fixed, rates, vectors))

    def one(root):
        rate, vector = root
        m, v = jnp.linalg.eig(fixed.matrix(rate[None])[0])
        left = jnp.linalg.inv(v)[jnp.argmin(jnp.abs(m - rate))]
        _, slope = jax.jvp(lambda r: fixed.apply(r, vector), (rate,), (jnp.ones_like(rate),))
        left = jax.lax.stop_gradient(left / (left @ (vector - slope)))
        change = left @ problem.differentiable_apply(rate, vector)
        return rate + change - jax.lax.stop_gradient(change)

    return jax.lax.map(one, (rates, vectors))


def is_stable(valve: SpinValve, state: State, bias: BiasLike) -> bool:
    """Whether no small turn of the spins grows at a steady state: the count of roots with Re lambda > 0 is zero.

    The count is that of the argument principle on the imaginary axis, so it does not depend on having found the roots.
    Neutral modes, Re lambda = 0, raise RuntimeError.
    """
    valve = prepare(valve)
    mu = constant_levels(valve, bias)
    _check_arguments(valve, state, mu, 1, "frequency")
    return count_growing(linearization(valve, state, mu)) == 0


def electron_decays(
    valve: SpinValve, spins: ArrayLike, count: int | None = None, *, bias: BiasLike = None
) -> Float[Array, "decays"]:
    """The slowest decays of the electrons at frozen spins, 2 |Im w|, w the eigenvalues of H_eff, ascending.

    They are rates with which occupations of states relax, and can be slower than every mode of the spins. ``bias``
    matters for leads with a band, which moves with mu_l. Raises ValueError for a valve without leads.
    """
    valve = prepare(valve)
    own = extended(valve, constant_levels(valve, bias))
    levels = jnp.linalg.eigvals(effective_hamiltonian(own, check_spins(valve, spins)))
    return jnp.sort(-2 * levels.imag)[:count]


def check_has_spins(valve: SpinValve) -> None:
    """Raise for a valve without spins, which has no modes."""
    if not len(valve.lattice.spin_sites):
        raise ValueError("Argument `valve` must have spins, but has none.")


def _is_traced(tree) -> bool:
    return not known(*jax.tree.leaves(tree))


def _check_arguments(valve: SpinValve, state: State, mu: PerLead, count: int, order: str) -> None:
    if order not in ("frequency", "decay"):
        raise ValueError(f"Argument `order` must be 'frequency' or 'decay', but is {order!r}.")
    if count != int(count) or count < 1:
        raise ValueError(f"Argument `count` must be a whole number of at least 1, but is {count}.")
    check_has_spins(valve)
    check_state(valve, state)
    if _is_traced((valve, state, mu)):
        return
    limit = max(1e-7, torque_limit(valve.dtype))
    torque = float(np.max(np.abs(spins_derivative(valve, state))))
    if not torque <= limit:
        raise ValueError(f"Argument `state` must be torque-free, but max |S x B| is {torque:.1e}.")
    moving = float(unrest(valve, state, mu))
    if not moving <= limit:
        raise ValueError(
            f"Argument `state` must be steady at the bias mu = {np.asarray(mu)}, but its electrons change at a rate of "
            f"{moving:.1e} there. Is it the steady state of another bias?"
        )
