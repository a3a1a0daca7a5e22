"""What the sliders of a valve ask for: its transmission and steady state, in one program, and its relaxation modes."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from svjax.dynamics.eigenproblem import Linearization, find_roots, linearization
from svjax.dynamics.modes import chosen_roots, residual_limit
from svjax.dynamics.steady_state import STEPS
from svjax.dynamics.torques import Point, is_isolated, linearize, newton_step, torque_limit, unrest
from svjax.electrons.landauer import at_levels
from svjax.electrons.reach import check_poles
from svjax.electrons.response import eigenbasis
from svjax.engine.arrays import PerLead, Spins
from svjax.engine.lapack import lapack_on_one_thread
from svjax.model.hamiltonian import hamiltonian
from svjax.model.leads import leads
from svjax.model.levels import constant_levels
from svjax.model.spins import tangents
from svjax.model.valve import SpinValve, aligned_spins, per_spin, prepare
from svjax.observables.electronic import charge_current, current_driven_torque, magnetization
from svjax.reservoirs.bias import symmetric

ENERGIES = 401
"""At how many the transmission is computed."""
LARGEST_VOLTAGE = 4.0
"""Of the slider, in either direction."""
MODES = 4
"""How many relaxation modes are shown."""


class Answer(NamedTuple):
    """What there is to see of a valve; all but ``transmission`` is of its steady state, and sound where ``found``.

    ``current`` is that of lead 0, ``torque`` the current-driven one on the free layer, Eq. (15), (3,), and ``rates``
    are those of the slowest modes, all distinct where ``complete`` and nan where not found; None as long as they are
    not known.
    """

    transmission: Array
    magnetization: Array
    current: Array
    torque: Array
    found: Array
    rates: Array | None = None
    complete: Array | None = None


class Explored:
    """The valve that the sliders turn, in the same programs for all their values.

    ``angle`` is that between the easy axes of its two layers, in degrees: those of the second layer turn about the
    normal of both. ``j_sd`` and ``gamma`` are the largest couplings to the spins and to the leads; others keep their
    ratio to it. Raises ValueError for a valve without two layers and two leads.
    """

    def __init__(self, valve: SpinValve):
        self.valve = prepare(valve)
        counts = len(valve.lattice.layers), len(valve.lattice.contacts)
        if counts != (2, 2):
            has = "{} and {}".format(*counts)
            raise ValueError(f"Argument `valve` must have two layers and two leads, but has {has}.")
        self.j_sd, self.gamma = (_largest(leaf) for leaf in (self.valve.j_sd, self.valve.lead_coupling))
        own = np.asarray(per_spin(self.valve, "easy_axes"))
        first, second = (own[valve.lattice.spin_layers == layer][0] for layer in (0, 1))
        normal = np.cross(first, second)
        if np.linalg.norm(normal) < 1e-6:
            normal = np.asarray(tangents(jnp.asarray(first[None]))[0, 1])
        self.normal = normal / np.linalg.norm(normal)
        self.angle = float(np.degrees(np.arctan2(self.normal @ np.cross(first, second), first @ second)))
        self.most = {"j_sd": max(8.0, 2 * abs(self.j_sd)), "gamma": max(2.0, 2 * self.gamma)}
        largest = eqx.tree_at(lambda v: v.j_sd, self.valve, _scaled(self.valve.j_sd, self.most["j_sd"]))
        levels = np.linalg.eigvalsh(np.asarray(hamiltonian(largest, aligned_spins(self.valve))))
        self.energies = np.linspace(levels[0] - 0.5, levels[-1] + 0.5, ENERGIES)
        check_poles(self.valve, aligned_spins(self.valve), symmetric(LARGEST_VOLTAGE).extremes()[0])

    def at(self, angle: ArrayLike, j_sd: ArrayLike, gamma: ArrayLike) -> SpinValve:
        """The valve at these values."""
        return _turned(self.valve, self.normal, jnp.asarray(angle) - self.angle, jnp.asarray(j_sd), jnp.asarray(gamma))

    def __call__(self, voltage: float, angle: float, j_sd: float, gamma: float) -> Answer:
        """The answer at a symmetric ``voltage``, as arrays of NumPy."""
        return self.with_modes(*self.without_modes(voltage, angle, j_sd, gamma))

    def without_modes(self, voltage: float, angle: float, j_sd: float, gamma: float) -> tuple[Answer, Linearization]:
        """What is known first, and the problem of which the modes are roots."""
        numbers = np.array([voltage, angle - self.angle, j_sd, gamma])
        with lapack_on_one_thread():
            answer, problem = _answer(self.valve, self.normal, self.energies, numbers)
            return jax.device_get(answer), problem

    def with_modes(self, answer: Answer, problem: Linearization) -> Answer:
        """The answer with its relaxation modes, which take most of the time."""
        with lapack_on_one_thread():
            rates, complete = jax.device_get(_modes(problem))
        return answer._replace(rates=rates, complete=complete)


@jax.jit
def _answer(valve: SpinValve, normal: ArrayLike, energies: Array, numbers: Array) -> tuple[Answer, Linearization]:
    """Transmission of spins along the easy axes, and the steady state that is reached from there."""
    voltage, turn, j_sd, gamma = numbers
    valve, bias = _turned(valve, normal, turn, j_sd, gamma), symmetric(voltage)
    mu = constant_levels(valve, bias)
    passed = _transmission(*at_levels(valve, aligned_spins(valve), bias)[:2], energies)
    (point, found), (rest, held) = _steady(valve, mu), _steady(valve, jnp.zeros_like(mu))
    state = point.state
    torque = current_driven_torque(valve, state, rest.state)
    found &= held & is_isolated(point.stiffness) & jnp.all(jnp.isfinite(torque))
    answer = Answer(passed, magnetization(valve, state), charge_current(valve, state, 0), torque, found)
    return answer, linearization(valve, state, mu)


def _steady(valve: SpinValve, mu: PerLead) -> tuple[Point, Array]:
    """The point at which Newton's method for `steady_state` ends, and whether it is one, in a sound eigenbasis."""
    limit = torque_limit(valve.dtype)

    def unfinished(carry: tuple[Array, Point]) -> Array:
        return (carry[0] < STEPS) & carry[1].unique & (carry[1].torque > limit / 10)

    def step(carry: tuple[Array, Point]) -> tuple[Array, Point]:
        return carry[0] + 1, newton_step(valve, mu, carry[1], False)

    start = jnp.zeros((), int), linearize(valve, mu, aligned_spins(valve), False)
    _, point = jax.lax.while_loop(unfinished, step, start)
    calm = unrest(valve, point.state, mu) <= limit
    return point, (point.torque <= limit) & point.unique & point.sound & calm


@jax.jit
def _modes(problem: Linearization) -> tuple[Array, Array]:
    """The rates of the slowest modes, nan where not found, and whether all were."""
    limit = residual_limit(problem.valve.dtype)
    roots, chosen, wrong = chosen_roots(problem, MODES, "frequency", find_roots)
    return jnp.where(roots.residuals[chosen] <= limit, roots.rates[chosen], jnp.nan), ~jnp.any(wrong)


def _transmission(valve: SpinValve, spins: Spins, energies: Array) -> Array:
    """`svjax.transmission` from lead 0 to lead 1 by one eigenbasis of H_eff in place of a solution for every energy."""
    basis = eigenbasis(valve, spins, True)
    here, there = leads(valve)
    poles = 1 / (energies[:, None] - basis.values)
    green = jnp.einsum("ak,ek,kb->eab", basis.right[here.rows], poles, basis.left[:, there.rows])
    return jnp.einsum("ab,ebc,cd,ead->e", here.gamma, green, there.gamma, green.conj()).real


def _turned(valve: SpinValve, normal: ArrayLike, turn: Array, j_sd: Array, gamma: Array) -> SpinValve:
    """The valve with the axes of its second layer turned by ``turn`` degrees about ``normal``, and other couplings."""
    own, normal, turn = per_spin(valve, "easy_axes"), jnp.asarray(normal), jnp.radians(turn)
    along = (own @ normal)[:, None] * normal
    new = along + (own - along) * jnp.cos(turn) + jnp.cross(normal, own) * jnp.sin(turn)
    moved = jnp.where((valve.lattice.spin_layers == 1)[:, None], new, own)
    couplings = _scaled(valve.j_sd, j_sd), _scaled(valve.lead_coupling, gamma)
    return eqx.tree_at(lambda v: (v.easy_axes, v.j_sd, v.lead_coupling), valve, (moved, *couplings))


def _largest(leaf: ArrayLike) -> float:
    """The entry that is largest in size."""
    entries = np.ravel(leaf)
    return float(entries[np.argmax(np.abs(entries))])


def _scaled(leaf: Array, value: Array | float) -> Array:
    """The leaf with ``value`` in place of its largest entry, and the ratios that it had; ``value`` everywhere if 0."""
    entries = jnp.ravel(leaf)
    largest = entries[jnp.argmax(jnp.abs(entries))]
    ratios = jnp.where(largest == 0, jnp.ones_like(leaf), leaf / jnp.where(largest == 0, 1, largest))
    return jnp.asarray(value * ratios)
