"""The equation of motion of two layers as the electrons make it: torques, damping and moments with nothing fitted."""

from __future__ import annotations

from typing import ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, Float

from svjax.engine.arrays import Numbers, PerLead, Scalar, known, real_array, whole_number
from svjax.engine.shown import Entry, Shown, in_words
from svjax.macrospin.angle_table import (
    AngleTable,
    across,
    angle_table,
    chebyshev_cosines,
    field_and_inertia,
    traced_table,
)
from svjax.macrospin.layer_response import Layers
from svjax.macrospin.llg_results import LayerDamping, LayerExchange, LayerTorques
from svjax.macrospin.model import TwoNumbers, TwoVectors, direction, solve_macrospin
from svjax.macrospin.modes import at_rest, check_at_rest
from svjax.macrospin.rigid_layers import (
    are_rigid,
    check_layers,
    check_two_layers,
    check_valve,
    held_at,
    of_layers,
    sizes,
)
from svjax.model.levels import BiasLike, constant_levels
from svjax.model.valve import SpinValve, per_spin, prepare

STIFF, FOLLOWING = 4.0, 0.1
"""How much stiffer than the other layer one must be to be damped, and by which alpha."""


class EffectiveLLG(Shown, eqx.Module):
    """Two layers as rigid spins that move by the torques of the electrons, to first order in the rate of their motion:

        sum_k A_lk dm_k/dt = L_l [h_l + B_l + 2 K_l (L_l/N_l) (m_l.e_l) e_l]    across m_l,

    h the field of stationary electrons (exchange and spin-transfer torque), A = -L m x + damping + what the electrons'
    delay adds, both functions of the angle between the layers, of which a table is kept. Made by `effective_llg`.
    """

    units: ClassVar = {"anisotropy": "hopping", "field": "hopping", "mu": "hopping", "rate": "hopping"}
    silent: ClassVar = ("table", "n_s")

    table: AngleTable
    n_s: TwoNumbers
    anisotropy: TwoNumbers
    easy_axes: TwoVectors
    field: TwoVectors
    mu: PerLead
    rate: Scalar
    """Frequency of the precession for which the electrons' delay is right."""
    following: TwoNumbers
    """Damping added by hand, not from the electrons, to a layer too stiff for the expansion: it follows the other."""

    def _entries(self) -> list[Entry]:
        error = ("table_error", in_words(self.table.error), "1")
        return [*super()._entries(), ("angles", str(len(self.table.series.length)), ""), error]

    def time_derivative(self, m: TwoVectors) -> TwoVectors:
        """dm/dt (2, 3), in units of the hopping; the length of m does not matter."""
        m = direction(m)
        at = self.table.at(jnp.sum(m[0] * m[1]))
        field, inertia = field_and_inertia(at, m)
        along = jnp.sum(m * self.easy_axes, -1) * self.anisotropy * at.length / self.n_s
        torque = at.length[:, None] * (field + across(m, self.field + 2 * along[:, None] * self.easy_axes))
        own, unit = jnp.eye(2, dtype=m.dtype)[:, None, :, None], jnp.eye(3, dtype=m.dtype)[None, :, None, :]
        whole = inertia + own * (self.following * self.n_s)[:, None, None, None] * unit
        turned = -jnp.cross(m[:, :, None, None], whole, axis=1)  # L 1 across m, and less
        still = own * at.length[:, None, None, None] * m[:, :, None, None] * m[:, None, None, :]  # and along m
        return solved((turned + still).reshape(6, 6), -jnp.cross(m, torque).ravel()).reshape(2, 3)

    def modes(self, m: ArrayLike | None = None) -> Complex[Array, "modes"]:
        """Rates lambda of the two modes about the state of rest near ``m`` (2, 3), by default the easy axes.

        Im lambda >= 0, smallest |lambda| first, in units of the hopping: t_R = -1/Re lambda. The one of a layer that
        follows is no result. Differentiable. Raises RuntimeError where there is no state of rest near.
        """
        m = self.easy_axes if m is None else real_array(m, "m")
        _, matrix, torque = at_rest(self, m)
        if known(torque):
            check_at_rest(torque, m)
        return _upper_half(matrix)

    def solve(
        self, m0: Numbers, times: Numbers, *, rtol: float = 1e-8, atol: float = 1e-8, max_steps: int = 65536
    ) -> Float[Array, "T 2 3"]:
        """The directions at ``times`` from ``m0`` (2, 3) at ``times[0]``, as `solve_macrospin`; derivatives in reverse
        mode."""
        adjoint = diffrax.RecursiveCheckpointAdjoint()
        return solve_macrospin(self, m0, times, rtol=rtol, atol=atol, max_steps=max_steps, adjoint=adjoint)

    def torques(self, theta: ArrayLike) -> LayerTorques:
        """The electrons' fields on the layers at angles ``theta`` (rad, any shape) between them."""
        theta = real_array(theta, "theta")
        field = jnp.vectorize(lambda angle: self.table.at(jnp.cos(angle)).field, signature="()->(l,c)")(theta)
        return LayerTorques(theta, field[..., 0], field[..., 1] * jnp.array([-1.0, 1.0]))

    def damping(self, theta: ArrayLike) -> LayerDamping:
        """Damping and moments at angles ``theta`` (rad, any shape) between the layers."""
        theta = real_array(theta, "theta")
        tensor = jnp.vectorize(self._tensor, signature="()->(l,x,k,y)")(theta)
        alpha = jnp.einsum("...lxkx->...lk", tensor) / 2
        moment = jnp.einsum("...lxly,xy->...l", tensor, jnp.array([[0.0, 0.5], [-0.5, 0.0]]))
        return LayerDamping(theta, alpha, moment, tensor)

    def exchange(self) -> LayerExchange:
        """The coupling of the layers: bilinear and biquadratic parts of the electrons' field-like torque."""
        cosines = chebyshev_cosines(64)
        at = jax.vmap(self.table.at)(jnp.asarray(cosines, self.n_s.dtype))
        slope = at.length * at.field[:, :, 0]
        bilinear, curved = jnp.mean(slope, 0), jnp.mean(cosines[:, None] * slope, 0)
        rest = slope - bilinear - 2 * curved * cosines[:, None]
        return LayerExchange(bilinear, curved, jnp.sqrt(jnp.mean(rest**2, 0)))

    def _tensor(self, theta: Scalar) -> Float[Array, "2 2 2 2"]:
        zero, one = jnp.zeros_like(theta), jnp.ones_like(theta)
        m = jnp.stack([jnp.stack([zero, zero, one]), jnp.stack([jnp.sin(theta), zero, jnp.cos(theta)])])
        normal = jnp.broadcast_to(jnp.stack([zero, one, zero]), (2, 3))
        axes = jnp.stack([jnp.cross(normal, m), normal], 1)
        _, inertia = field_and_inertia(self.table.at(jnp.cos(theta)), m)
        return jnp.einsum("lxa,lakb,kyb->lxky", axes, inertia, axes) / self.n_s[:, None, None, None]


def solved(matrix: Float[Array, "n n"], right: Float[Array, "n"]) -> Float[Array, "n"]:
    """matrix^-1 right where the diagonal of the matrix outweighs the rest, by Gauss and Jordan without pivots: written
    out it compiles to a few loops, in half the time of a call of LAPACK."""
    rows = jnp.concatenate([matrix, right[:, None]], 1)
    for k in range(len(right)):
        row, own = rows[k] / rows[k, k], np.arange(len(right))[:, None] == k
        rows = jnp.where(own, row, rows - rows[:, k, None] * row)
    return rows[:, -1]


def _upper_half(matrix: Float[Array, "4 4"]) -> Complex[Array, "2"]:
    """The eigenvalues of conjugate pairs with Im >= 0, smallest first."""
    rates = jnp.linalg.eigvals(matrix)
    rates = rates[jnp.argsort(-rates.imag)][:2]
    return rates[jnp.argsort(jnp.abs(rates))]


def effective_llg(valve: SpinValve, bias: BiasLike, *, angles: int = 33, at: ArrayLike | None = None) -> EffectiveLLG:
    """The microscopic Landau-Lifshitz-Gilbert equation of a valve with two layers at a constant bias.

    The layers are held at angles between 0 and pi, the spins inside them relaxed (`steady_state` of spins whose sum is
    along m), and the answer of the electrons to slow turns of both layers is tabulated: the torque of stationary
    electrons, and their delay as it is for a circular precession of frequency ``at``. Nothing is fitted. The table
    holds for any common direction of the layers.

    One number is not from the electrons. A layer held `STIFF` times as fast as the other rings at a frequency at which
    electrons are not slow, so that its own mode is no result, and could even grow: ``following`` adds alpha =
    `FOLLOWING`, put in by hand, to its damping, with which it follows the softer one. That changes the slow mode by
    less than 1%. `damping` is without it; ``eqx.tree_at(lambda x: x.following, llg, jnp.zeros(2))`` takes it out.

    **Arguments:**

    - `bias`: as in `steady_state`.
    - `angles`: how many angles; the printed ``table_error`` tells whether they are enough.
    - `at`: the frequency of the precession, in units of the hopping; by default that of the slow mode about the easy
      axes.

    Under `jit`, `grad` and the like the table is made of differentiable steps, with first derivatives in the valve and
    the bias, also of the default ``at``; that takes some times as long, so take few ``angles``, and it is nan where
    the layers are not rigid.

    **Returns:** an `EffectiveLLG`, whose results are differentiable in its fields and the valve. Raises ValueError for
    a valve without exactly two layers and with leads, with terms that fix a direction in space other than anisotropy
    and field of whole layers (Rashba coupling, 2x2 bonds, 3x3 exchange, magnetic leads), and for layers that are not
    rigid; RuntimeError where no state of rest was found.
    """
    valve = prepare(valve)
    mu = constant_levels(valve, bias)
    check_two_layers(valve)
    count, numbers = whole_number(angles, "angles", 4), known(*jax.tree.leaves((valve, mu)))
    if numbers:
        check_valve(valve)
    rate = slow_frequency(valve, mu) if at is None else real_array(at, "at")
    if known(rate) and not (rate.shape == () and np.isfinite(rate) and rate > 0):
        raise ValueError(f"Argument `at` must be one positive frequency, but is {at}.")
    if numbers:
        return _with_table(valve, mu, rate, _checked_table(valve, mu, rate, count)[0])
    table, layers = traced_table(valve, mu, rate, count)
    table = jax.tree.map(lambda x: jnp.where(are_rigid(valve, layers), x, jnp.nan), table)
    return _with_table(valve, mu, rate, table)


def _checked_table(valve: SpinValve, mu: PerLead, rate: Scalar, count: int) -> tuple[AngleTable, Layers]:
    table, layers = angle_table(valve, mu, rate, count)
    check_layers(valve, layers)
    return table, layers


def _with_table(valve: SpinValve, mu: PerLead, rate: Scalar, table: AngleTable) -> EffectiveLLG:
    anisotropy, axes, field = (of_layers(valve, per_spin(valve, name)) for name in ("anisotropy", "easy_axes", "field"))
    held = held_at(valve)
    following = jnp.where(held > STIFF * held[::-1], FOLLOWING, 0.0)
    return EffectiveLLG(table, sizes(valve), anisotropy, axes, field, mu, rate, following)


def slow_frequency(valve: SpinValve, mu: PerLead) -> Scalar:
    """The frequency of the slow mode about the easy axes, from a table of few angles; differentiable."""
    tabulate = _checked_table if known(*jax.tree.leaves((valve, mu))) else traced_table
    guess = jnp.min(held_at(valve))
    rough = _with_table(valve, mu, guess, tabulate(valve, mu, guess, 7)[0])
    _, matrix, torque = at_rest(rough, rough.easy_axes)
    found = jnp.maximum(_upper_half(matrix)[0].imag, 1e-3)
    return jnp.where(torque < 1e-10, found, guess)
