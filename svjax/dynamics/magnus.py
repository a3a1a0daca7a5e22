"""A step of fourth order that propagates the electrons exactly among spins that stand still (Magnus 1954).

For spins at their mean over a step and constant levels of the leads, the equations of rho and Pi are linear with
constant coefficients. Decay of a column of Pi commutes with H_eff, so that with A = -i dt (H_eff - mu_l), source s,
z = xi_p T_l dt and v_k = int_0^1 u^k/k! e^(-z u) du

    Pi(dt) = sum_k A^k [e^-z Pi(0)/k! + v_k dt s],    rho(dt) = sum_k L^k [rho(0)/k! + int_0^1 (1 - x)^k/k! R(x) dx],

however fast the decay, with L rho = -i dt H_eff rho + h.c. and R(x) = dt [sum_lp Pi_lp(x dt) + Gamma/4] + h.c., taken
as the quintic of its values and first two derivatives at the ends. Of each sum `DEGREE` products with H_eff are kept.

That spins move is to fourth order a turn of the electrons' spins by -theta_j before and by theta_j after the step,
theta_j = dt J_j [S_j(dt) - S_j(0)] (1 + (dt J_j)^2/60)/12: the second term of Magnus' series, and of the fourth what is
due to electrons that precess about S_j alone: (1 - h cot h)/(2h)^2 in place of 1/12, h = dt J_j/2. A source at the time
x dt is seen there by electrons that have turned by the share 6 x (1 - x) - 1 of it. The spins take Runge-Kutta steps
among electrons whose spin density is a cubic of its values and slopes at the ends, after it; what their mean over the
step was predicted wrongly is one more turn of the electrons.
"""

from __future__ import annotations

import dataclasses
from math import factorial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from svjax.engine.arrays import PerLead, Scalar, Spins
from svjax.engine.integrate import hermite_weights, incomplete_gammas
from svjax.engine.methods import Magnus
from svjax.engine.parts import Parts, together
from svjax.model.equations import Coefficients, State
from svjax.model.hamiltonian import (
    apply_effective,
    hoppings,
    on_spinors,
    spin_blocks,
    spin_part,
    spin_rotation,
    spinor_product,
    with_spins,
)
from svjax.model.leads import all_sums_over_poles, on_contacts, stored_columns
from svjax.model.spins import effective_field, torque
from svjax.model.valve import SpinValve

DEGREE = 8
"""Products with H_eff: the Taylor polynomial of this degree does not amplify exp(i w dt) up to w dt = 3.39."""

Blocks = Complex[Array, "sites 2 2"]

HERMITE = hermite_weights(DEGREE)
TAYLOR = np.array([1 / factorial(k) for k in range(DEGREE + 1)])


class Decay(eqx.Module):
    """How the columns of Pi fade in a step: ``z`` = xi_p T_l dt and e^-z, (columns,), and the weights of the sources of
    spins that stand and that move, (DEGREE + 1, columns)."""

    dt: Scalar
    z: Float[Array, "cols"]
    left: Float[Array, "cols"]
    standing: Float[Array, "powers cols"]
    moving: Float[Array, "powers cols"]


def decay_over(rates: Float[Array, "cols"], dt: Scalar) -> Decay:
    """`Decay` of columns that decay with ``rates`` over a step ``dt``."""
    z = rates * dt
    v, k = incomplete_gammas(z, DEGREE + 3), jnp.arange(DEGREE + 1, dtype=z.dtype)[:, None]
    moving = 6 * (k + 1) * (v[1:-1] - (k + 2) * v[2:]) - v[:-2]
    return Decay(dt, z, jnp.exp(-z), v[:-2], moving)


class _Electrons(NamedTuple):
    """What the propagation of one step knows: H_eff, the levels of the leads, the decay, and a condition that is always
    true but not known to the compiler (see `rho_derivative`)."""

    valve: SpinValve
    of: Coefficients
    mu: PerLead
    decay: Decay
    taken: Array


def magnus_step(
    valve: SpinValve, of: Coefficients, mu: PerLead, decay: Decay, state: State, taken: Array, held: bool
) -> State:
    """The state, in `Parts`, of a valve of wide bands at the levels ``mu`` after the step of ``decay``; with ``held``
    spins stay where they are."""
    dt, spins = decay.dt, state.spins
    bare, source = jax.tree.map(lambda x: dt * x, (of.bare, of.source))  # in units of the step from here on
    of = dataclasses.replace(of, bare=bare, source=source)
    electrons = _Electrons(valve, of, dt * mu, decay, taken)
    if held or not len(spins):
        return State(*_propagated(electrons, spins, None, state.rho, state.pi), spins)
    coupling = of.bare.coupling[:, None]
    start, slope = _density(electrons, state, spins, None)
    predicted, mean = _spins_over(valve, spins, dt, (start, slope))
    angle = coupling * (1 + coupling**2 / 60) * (predicted - spins) / 12
    back, forth = (spin_rotation(valve.lattice, sign * angle) for sign in (-1, 1))
    rho, pi = _propagated(electrons, mean, angle, *_turned(back, state.rho, state.pi, taken))
    end, there = _density(electrons, State(rho, pi, spins), predicted, forth)
    cubic = 3 * (end - start) - 2 * slope - there, 2 * (start - end) + slope + there
    ahead, better = _spins_over(valve, spins, dt, (start, slope, *cubic))
    turn = spin_rotation(valve.lattice, coupling * (better - mean))
    return State(*_turned(spinor_product(turn, forth), rho, pi, taken), ahead)


def _spins_over(valve: SpinValve, spins: Spins, dt: Scalar, density: tuple[Spins, ...]) -> tuple[Spins, Spins]:
    """The spins after a step among electrons of the spin density sum_n density_n (t/dt)^n, and their mean over it."""
    part = 1 / Magnus.spin_steps

    def change(share, spins):
        field = effective_field(valve, spins, sum(term * share**n for n, term in enumerate(density)))
        return part * dt * torque(valve, spins, field)

    def step(at, share):
        spins, mean = at
        first = change(share, spins)
        second = change(share + part / 2, spins + first / 2)
        third = change(share + part / 2, spins + second / 2)
        ahead = spins + (first + 2 * second + 2 * third + change(share + part, spins + third)) / 6
        last = change(share + part, ahead)
        return (ahead, mean + part * ((spins + ahead) / 2 + (first - last) / 12)), None

    shares = part * jnp.arange(Magnus.spin_steps, dtype=dt.dtype)
    return jax.lax.scan(step, (spins, jnp.zeros_like(spins)), shares)[0]


def _density(electrons: _Electrons, state: State, spins: Spins, turn: Blocks | None) -> tuple[Spins, Spins]:
    """The electrons' spin density on the spins' sites and its slope among ``spins``, from the blocks of rho that they
    need alone, for the electrons of ``state`` after a ``turn`` of their spins."""
    valve, of, *_ = electrons
    lattice, here = valve.lattice, np.arange(valve.lattice.n_sites)
    rho = state.rho.reshape(lattice.n_sites, 2, lattice.n_sites, 2)

    adjoint = lambda blocks: jnp.swapaxes(blocks.conj(), 1, 2)

    def block(first, second):
        found = together(rho[first, :, second])
        return found if turn is None else spinor_product(spinor_product(turn[first], found), adjoint(turn[second]))

    own = block(here, here)
    half = spinor_product(with_spins(of.bare, spins), own)
    for partner, amplitude in hoppings(of.bare):
        half = half + spinor_product(amplitude, block(partner, here))
    half = -1j * half
    if lattice.contacts:
        sites, count = lattice.contact_sites, np.arange(len(lattice.contact_sites))
        inflow = together(_summed(valve, state.pi).reshape(lattice.n_sites, 2, -1, 2)[sites, :, count])
        inflow = inflow if turn is None else spinor_product(turn[sites], inflow)
        inflow = inflow + together(of.gain.reshape(len(sites), 2, -1, 2)[count, :, sites])
        half = half.at[sites].add(electrons.decay.dt * inflow)
    return tuple(spin_part(x[lattice.spin_sites]) for x in (own, half + adjoint(half)))  # type: ignore


def _turned(turn: Blocks, rho: Any, pi: Any, taken: Array) -> tuple[Any, Any]:
    """rho and Pi with the electrons' spins turned."""
    on_sites = lambda x: on_spinors(turn, x.reshape(len(turn), 2, -1)).reshape(*x.shape)
    half = jax.lax.cond(taken, on_sites, lambda rho: rho, rho)
    both = lambda half, pi: (on_sites(half.conj().T), on_sites(pi))
    return jax.lax.cond(taken, both, lambda *pair: pair, half, pi)


def _propagated(electrons: _Electrons, spins: Spins, angle: Spins | None, rho: Any, pi: Any) -> tuple[Any, Any]:
    """rho and Pi after a step among ``spins`` that stand still, with the sources of spins that turn by ``angle``."""
    valve, of, _, decay, taken = electrons
    blocks = with_spins(of.bare, spins)
    turning = lambda x: -1j * apply_effective(of.bare, blocks, x)
    inflow = None
    if valve.lattice.contacts:
        moved, sources = _propagated_pi(electrons, blocks, angle, pi)
        rows = []
        for at, swing in ((pi, 6), (moved, -6)):
            value, *slopes = (
                x.conj().T.reshape(*of.gain.shape) for x in _inflow(electrons, blocks, at, swing, sources)
            )
            rows += _seen(electrons, (value + of.gain, *slopes), swing, angle)
        stacked, pi = jax.tree.map(lambda *parts: jnp.stack(parts), *rows), moved
        inflow = stacked.map(lambda part: jnp.tensordot(decay.dt * jnp.asarray(HERMITE, part.dtype), part, 1))

    def power(later, k):
        half = jax.lax.cond(taken, turning, lambda x: x, later)
        half = half if inflow is None else on_contacts(valve.lattice, half, inflow[k])
        return half + half.conj().T + jnp.asarray(TAYLOR, decay.z.dtype)[k] * rho, None

    rho, _ = jax.lax.scan(power, float(TAYLOR[-1]) * rho, jnp.arange(DEGREE)[::-1])
    return rho, pi


def _seen(electrons: _Electrons, rows: tuple[Parts, ...], swing: int, angle: Spins | None) -> tuple[Parts, ...]:
    """The inflow of rho at an end, its slope and second derivative as electrons see it that turn: by the columns of Pi,
    which have not turned with them, and by both sides of Gamma."""
    if angle is None:
        return rows
    there = spin_blocks(electrons.valve.lattice, angle)[electrons.valve.lattice.contact_sites]
    turned, slope, second = (-1j * on_spinors(there, x) for x in (rows[0] + electrons.of.gain, *rows[1:]))
    changes = -1 * turned, swing * turned - slope, (2 * swing) * slope - 12 * turned - second
    return tuple(row + change for row, change in zip(rows, changes, strict=True))


def _propagated_pi(electrons: _Electrons, blocks: Blocks, angle: Spins | None, pi: Any) -> tuple[Any, list[Parts]]:
    """Pi after a step, and its sources (contacts, 2, columns): of spins that stand still, and what turns them."""
    valve, of, _, decay, taken = electrons
    faded, sources, weights = decay.left * pi, [of.source], [decay.standing]
    if angle is not None:
        there = spin_blocks(valve.lattice, angle)[valve.lattice.contact_sites]
        sources, weights = [*sources, -1j * on_spinors(there, of.source)], [*weights, decay.moving]

    def entered(x, k):
        source = sum((weight[k] * part for weight, part in zip(weights, sources, strict=True)), start=0.0)
        return on_contacts(valve.lattice, x, source)

    def power(later, k):
        product = lambda x: _product(electrons, blocks, x, stored_columns(valve).lead)
        turned = jax.lax.cond(taken, product, lambda x: x, later)
        return entered(turned + jnp.asarray(TAYLOR, decay.z.dtype)[k] * faded, k), None

    moved, _ = jax.lax.scan(power, entered(float(TAYLOR[-1]) * faded, DEGREE), jnp.arange(DEGREE)[::-1])
    return moved, sources


def _product(electrons: _Electrons, blocks: Blocks, columns: Any, lead: np.ndarray) -> Any:
    """A times ``columns`` that belong to the ``lead`` of each."""
    return -1j * (apply_effective(electrons.of.bare, blocks, columns) - electrons.mu[lead] * columns)


def _inflow(electrons: _Electrons, blocks: Blocks, pi: Any, swing: int, sources: list[Parts]) -> tuple[Any, Any, Any]:
    """sum_lp Pi_lp and its first two derivatives in units of the step, at an end of the step: there the turning share
    is -1, and its slope ``swing``."""
    valve, _, _, decay, _ = electrons
    times_a = lambda columns: _product(electrons, blocks, columns, np.repeat(valve.lattice.contact_leads, 2))
    entering = lambda source: _summed(valve, source.reshape(-1, len(decay.z))).reshape(*source.shape[:2], -1)
    source = sources[0] if len(sources) == 1 else sources[0] - sources[1]
    total, faded = _summed(valve, pi), _summed(valve, decay.z * pi)
    slope = on_contacts(valve.lattice, times_a(total) - faded, entering(source))
    change = entering(-decay.z * source)
    change = change if len(sources) == 1 else change + entering(swing * sources[1])
    second = times_a(slope - faded) + _summed(valve, decay.z**2 * pi)
    return total, slope, on_contacts(valve.lattice, second, change)


def _summed(valve: SpinValve, columns: Any) -> Any:
    """The sum over the poles, (rows, contact spinors)."""
    return columns.map(lambda part: all_sums_over_poles(valve, part))
