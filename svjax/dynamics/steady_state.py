"""Torque-free steady states of spins and electrons together, by Newton's method, and branches of them along a bias."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float
from scipy.special import expit

from svjax.dynamics.eigenproblem import first_growing_mode
from svjax.electrons.response import eigenbasis, electrons_in, static_susceptibility
from svjax.electrons.stationary import stationary_state
from svjax.engine.arrays import PerLead, Spins, known
from svjax.model.equations import State, coupled_derivative, local_spin_density
from svjax.model.hamiltonian import hamiltonian
from svjax.model.leads import decay_rates
from svjax.model.levels import BiasLike, constant_levels
from svjax.model.poles import fermi
from svjax.model.spins import effective_field, stiffness, tangents, turn, turn_rate
from svjax.model.valve import SpinValve, aligned_spins, check_spins, lead_poles, prepare

TORQUE = 1e-10
"""The largest |S x B| of a steady state, in units of the hopping."""

LARGEST_TURN = 0.5
"""A Newton step that turns a spin further than this (in radians) is not trusted, nor is a continuation step."""


class ConvergenceError(RuntimeError):
    """No isolated, stable steady state was reached.

    ``residual`` is max |S x B|, ``state`` the last state, ``mode`` the rate lambda of the zero or growing mode (or
    None).
    """

    def __init__(self, message: str, residual: float, state: State, mode: complex | None = None):
        super().__init__(message)
        self.residual, self.state, self.mode = residual, state, mode

    def __reduce__(self):
        return type(self), (*self.args, self.residual, self.state, self.mode)


def steady_state(
    valve: SpinValve, bias: BiasLike, *, spins: ArrayLike | None = None, allow_unstable: bool = False
) -> State:
    """The state in which nothing changes: electrons stationary, S x B = 0 on every spin.

    Newton's method on the two tangent angles of each spin, with the electrons in closed form and the exact derivative
    of their spin density, `svjax.electrons.response`. It is quadratic: three or four steps from aligned spins.

    **Arguments:**

    - `bias`: one chemical potential per lead, `symmetric(V)`, `asymmetric(V)`, or None for equilibrium; constant in
      time.
    - `spins`: (N_S, 3) start; the state is on the branch reached from there. Aligned with the easy axes if None.
    - `allow_unstable`: return torque-free states also when a mode grows.

    **Returns:** a `State` with max |S x B| <= 1e-10. Derivatives in the valve and the bias, forward and reverse and of
    any order, are those of the implicit function. Inside ``jit``, ``vmap`` or ``grad`` nothing can be raised: the state
    is nan where Newton's method did not converge, and stability is not checked.

    Raises `ConvergenceError` with the residual when the torques do not vanish, and with the mode when it is a zero mode
    (spins free to turn, as for K = 0) or a growing one (the dynamics end elsewhere, for instance on a limit cycle).
    Growth is judged to first order in the electrons' retardation; `is_stable` counts. Raises ValueError for a bias
    beyond the reach of the valve's poles.
    """
    valve = prepare(valve)
    mu = constant_levels(valve, bias)
    spins = aligned_spins(valve) if spins is None else check_spins(valve, spins)
    if not known(*jax.tree.leaves((valve, mu, spins))):
        return _traced_steady_state(valve, mu, spins)
    check_reach(valve, spins, mu)
    state, residual, answer = _solve(valve, mu, spins, False)
    if not electrons_hold(valve, state, mu):
        state, residual, answer = _solve(valve, mu, spins, True)
    _raise_if_wrong(valve, mu, state, float(residual), np.asarray(answer), allow_unstable)
    return state


def check_reach(valve: SpinValve, spins: Spins, mu: PerLead, tolerance: float = 1e-4) -> None:
    """Raise where a bias makes the poles' error in f on the levels of H worse than ``tolerance`` and 20 times the
    error without bias. Within reach Pade poles leave steady currents a hundred times more accurate than that."""
    levels = np.linalg.eigvalsh(hamiltonian(valve, spins))

    def error(mu):
        x = (levels - mu[:, None]) / np.asarray(valve.temperature)[:, None]
        parts = zip(lead_poles(valve), x, strict=True)
        return max(np.abs(np.asarray(fermi(poles, at)) - expit(-at)).max() for poles, at in parts)

    biased, unbiased = error(np.asarray(mu)), error(np.zeros(len(mu)))
    if biased > max(tolerance, 20 * unbiased):
        raise ValueError(
            f"Argument `bias` must lie within reach of the valve's poles, but at mu = {np.asarray(mu)} they leave an "
            f"error of {biased:.1e} in the Fermi function ({unbiased:.1e} without bias): use more poles, or "
            "`optimized_poles`."
        )


@jax.jit
def _linearize(valve: SpinValve, mu: PerLead, spins: Spins) -> tuple[State, Array, Array]:
    """Electrons, field across the spins (2N_S,) and its `stiffness` (2N_S, 2N_S), in the eigenbasis of H_eff."""
    basis = eigenbasis(valve, spins)
    rho, pi = electrons_in(basis, valve, mu)
    field = effective_field(valve, spins, local_spin_density(valve, rho))
    force = jnp.einsum("jxb,jb->jx", tangents(spins), field).ravel()
    response = static_susceptibility(basis, valve, rho, mu)
    return State(rho, pi, spins), force, stiffness(valve, spins, field, response)


@jax.jit
def _linearize_directly(valve: SpinValve, mu: PerLead, spins: Spins) -> tuple[State, Array, Array]:
    """`_linearize` without eigenvectors, for exceptional points of H_eff: slower, by differentiating `stationary`."""
    zero = jnp.zeros(2 * len(spins))
    force = partial(_force, valve, mu, spins)
    return stationary_state(valve, spins, mu)[0], force(zero), jax.jacfwd(force)(zero)


def _force(valve: SpinValve, mu: PerLead, spins: Spins, angles: Array) -> Array:
    """Field across the spins, (2N_S,), after a turn by ``angles``, along the tangents of ``spins``.

    At a zero its derivative is the `stiffness`: turning the tangents along would give the same.
    """
    axes = tangents(spins)
    turned = turn(spins, angles)
    state, _ = stationary_state(valve, turned, mu)
    field = effective_field(valve, turned, local_spin_density(valve, state.rho))
    across = field - jnp.sum(field * turned, -1, keepdims=True) * turned
    return jnp.einsum("jxb,jb->jx", axes, across).ravel()


@partial(jax.jit, static_argnums=3)
def _solve(
    valve: SpinValve, mu: PerLead, spins: Spins, directly: bool, most: int = 60
) -> tuple[State, Float[Array, ""], Array]:
    """Newton's iteration: the last state, its max |S x B| and its `stiffness`.

    A step that would turn a spin too far is replaced by an implicit Euler step of the flow d(angle)/d(tau) = force,
    which ends in the valley it starts in.
    """
    linearize = _linearize_directly if directly else _linearize

    def unfinished(carry):
        k, (_, force, _) = carry
        return (k < most) & (jnp.max(jnp.abs(force), initial=0.0) > TORQUE / 10)

    def step(carry):
        k, (state, force, stiff) = carry
        angles = jnp.linalg.solve(stiff, -force)
        small = jnp.max(jnp.abs(angles)) <= LARGEST_TURN
        shift = jnp.max(jnp.abs(force)) / LARGEST_TURN * jnp.eye(len(force))
        angles = jnp.where(small, angles, jnp.linalg.solve(shift - stiff, force))
        angles = angles * jnp.minimum(1.0, LARGEST_TURN / jnp.max(jnp.abs(angles)))
        return k + 1, linearize(valve, mu, turn(state.spins, angles))

    _, (state, force, stiff) = jax.lax.while_loop(unfinished, step, (0, linearize(valve, mu, spins)))
    return state, jnp.max(jnp.linalg.norm(force.reshape(-1, 2), axis=-1), initial=0.0), stiff


def _traced_steady_state(valve: SpinValve, mu: PerLead, spins: Spins) -> State:
    """`steady_state` for traced values: the implicit function of valve and mu, and nan where there is none."""
    fixed = jax.lax.stop_gradient((valve, mu, spins))
    found, residual, stiff = _solve(*fixed, False)
    found = jax.lax.stop_gradient(jnp.where(residual <= TORQUE, found.spins, jnp.nan))
    inverse = jax.lax.stop_gradient(jnp.linalg.inv(stiff))
    angles = jax.lax.custom_root(
        lambda angles: _force(valve, mu, found, angles),
        jnp.zeros(stiff.shape[0], stiff.dtype),
        lambda _, start: start,
        lambda linear, y: jax.lax.custom_linear_solve(linear, y, lambda _, b: inverse @ b, lambda _, b: inverse.T @ b),
    )
    return stationary_state(valve, turn(found, angles), mu)[0]


def electrons_hold(valve: SpinValve, state: State, mu: PerLead, tolerance: float = 1e-10) -> bool:
    """Whether electrons from an eigenbasis obey the equations of motion, as they do away from exceptional points."""
    slope = jax.jit(coupled_derivative)(valve, state, mu)
    fastest = jnp.max(decay_rates(valve)) + jnp.max(jnp.abs(mu)) + 1
    pi_error = jnp.max(jnp.abs(slope.pi), initial=0.0) / fastest
    return bool(jnp.maximum(jnp.max(jnp.abs(slope.rho)), pi_error) <= tolerance)


def _raise_if_wrong(
    valve: SpinValve, mu: PerLead, state: State, residual: float, answer: np.ndarray, allow_unstable: bool
) -> None:
    if not np.all(np.isfinite(answer)) or not residual <= TORQUE:
        raise ConvergenceError(
            f"No steady state was reached: max |S x B| = {residual:.2e} after Newton's iteration. "
            "Start from other `spins`, or follow a branch with `steady_states`.",
            residual,
            state,
        )
    if not len(state.spins):
        return
    rates, modes = np.linalg.eig(np.asarray(turn_rate(valve, jnp.asarray(answer))))
    softest = np.argmin(np.abs(rates))
    if np.abs(rates[softest]) < 1e-7 * np.abs(rates).max() or np.linalg.cond(answer) > 1e11:
        shape = _shape(valve, np.linalg.svd(answer)[2][-1])
        raise ConvergenceError(
            f"The steady state is not isolated: the zero mode lambda = {rates[softest]:.1e} turns {shape} at no cost. "
            "Anisotropy or a field must hold the spins.",
            residual,
            state,
            complex(rates[softest]),
        )
    if allow_unstable:
        return
    growing = first_growing_mode(valve, state, mu, rates, modes)
    if growing is not None:
        rate, vector = growing
        raise ConvergenceError(
            f"The torque-free state is unstable: the mode lambda = {rate:.4g}, which turns {_shape(valve, vector)}, "
            "grows. The dynamics end elsewhere, perhaps on a limit cycle; `allow_unstable=True` gives this state.",
            residual,
            state,
            rate,
        )


def _shape(valve: SpinValve, vector: np.ndarray) -> str:
    """The layers' shares of a mode in words."""
    weight = np.abs(vector.reshape(-1, 2)) ** 2
    share = np.bincount(valve.lattice.spin_layers, weight.sum(1)) / weight.sum()
    return " and ".join(f"layer {layer} (weight {part:.2f})" for layer, part in enumerate(share) if part > 0.005)
