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
from svjax.engine.shown import Row, Shown, in_words
from svjax.macrospin.angle_table import AngleTable, across, angle_table, chebyshev_cosines, field_and_inertia
from svjax.macrospin.layer_response import Layers
from svjax.macrospin.llg_results import LayerDamping, LayerExchange, LayerTorques
from svjax.macrospin.model import TwoNumbers, TwoVectors, solve_macrospin
from svjax.macrospin.modes import at_rest, check_at_rest
from svjax.model.hamiltonian import bond_matrices
from svjax.model.levels import BiasLike, constant_levels
from svjax.model.valve import SpinValve, per_spin, prepare

RIGID = 0.95
"""A layer whose spins sum to less than this part of their number is not a macrospin."""

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
    """Damping added to a layer that is too stiff for the expansion, so that it follows the other."""

    def _rows(self) -> list[Row]:
        error = ("table_error", in_words(self.table.error), "1")
        return [*super()._rows(), ("angles", str(len(self.table.series.length)), ""), error]

    def time_derivative(self, m: TwoVectors) -> TwoVectors:
        """dm/dt (2, 3), in units of the hopping."""
        at = self.table.at(jnp.sum(m[0] * m[1]))
        field, inertia = field_and_inertia(at, m)
        along = jnp.sum(m * self.easy_axes, -1) * self.anisotropy * at.length / self.n_s
        torque = at.length[:, None] * (field + across(m, self.field + 2 * along[:, None] * self.easy_axes))
        more = self.following[:, None, None] * self.n_s[:, None, None] * jnp.eye(3, dtype=m.dtype)
        along_m = m[:, :, None] * m[:, None, :]  # nothing moves along m
        whole = inertia + jnp.einsum("lk,lab->lakb", jnp.eye(2, dtype=m.dtype), more + along_m)
        return jnp.linalg.solve(whole.reshape(6, 6), torque.ravel()).reshape(2, 3)

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

    A layer held `STIFF` times as fast as the other rings at a frequency at which electrons are not slow. Its own mode
    is no result, and could even grow: the layer is damped with alpha = `FOLLOWING` more, with which it follows the
    softer one; that changes the slow mode by less than 1%. `damping` is without it.

    **Arguments:**

    - `bias`: as in `steady_state`.
    - `angles`: how many angles; the printed ``table_error`` tells whether they are enough.
    - `at`: the frequency of the precession, in units of the hopping; by default that of the slow mode about the easy
      axes.

    **Returns:** an `EffectiveLLG`, whose results are differentiable in its fields: anisotropy, field, the table; not in
    the valve. Raises ValueError for a valve without exactly two layers and with leads, with terms
    that fix a direction in space other than anisotropy and field of whole layers (Rashba coupling, 2x2 bonds, 3x3
    exchange, magnetic leads), and for layers that are not rigid; RuntimeError where no state of rest was found.
    """
    valve = prepare(valve)
    mu = constant_levels(valve, bias)
    if not known(*jax.tree.leaves((valve, mu))):
        raise ValueError(
            "Argument `valve` must hold known numbers, and the bias too: make the table outside of `jit`, `vmap` and "
            "`grad`, and transform what is computed from it."
        )
    _check_valve(valve)
    count = whole_number(angles, "angles", 4)
    rate = _slow_frequency(valve, mu) if at is None else real_array(at, "at")
    if not (rate.shape == () and np.isfinite(rate) and rate > 0):
        raise ValueError(f"Argument `at` must be one positive frequency, but is {at}.")
    table, layers = angle_table(valve, mu, rate, count)
    _check_layers(valve, layers)
    return _with_table(valve, mu, rate, table)


def _with_table(valve: SpinValve, mu: PerLead, rate: Scalar, table: AngleTable) -> EffectiveLLG:
    anisotropy, axes, field = (
        _of_layers(valve, per_spin(valve, name)) for name in ("anisotropy", "easy_axes", "field")
    )
    held = _held(valve)
    following = jnp.where(held > STIFF * held[::-1], FOLLOWING, 0.0)
    return EffectiveLLG(table, _sizes(valve), anisotropy, axes, field, mu, rate, following)


def _of_layers(valve: SpinValve, values: Array) -> Array:
    """Of values per spin those of the first spin of each layer."""
    return values[np.searchsorted(valve.lattice.spin_layers, np.arange(2))]


def _sizes(valve: SpinValve) -> TwoNumbers:
    return jnp.asarray(np.bincount(valve.lattice.spin_layers, minlength=2), valve.dtype)


def _held(valve: SpinValve) -> TwoNumbers:
    """The frequencies |B| + 2 |K| of the layers by themselves."""
    size = jnp.linalg.norm(per_spin(valve, "field"), axis=-1) + 2 * jnp.abs(per_spin(valve, "anisotropy"))
    return jnp.maximum(_of_layers(valve, size), 1e-3)


def _slow_frequency(valve: SpinValve, mu: PerLead) -> Scalar:
    """The frequency of the slow mode about the easy axes, from a table of few angles."""
    guess = jnp.min(_held(valve))
    table, layers = angle_table(valve, mu, guess, 7)
    _check_layers(valve, layers)
    rough = _with_table(valve, mu, guess, table)
    _, matrix, torque = at_rest(rough, rough.easy_axes)
    found = jnp.maximum(_upper_half(matrix)[0].imag, 1e-3)
    return jnp.where(torque < 1e-10, found, guess)


def _check_valve(valve: SpinValve) -> None:
    count = len(valve.lattice.layers)
    if count != 2:
        raise ValueError(f"Argument `valve` must have two layers, but has {count}.")
    for name in ("anisotropy", "easy_axes", "field"):
        values = per_spin(valve, name)
        if any(np.ptp(np.asarray(values)[valve.lattice.spin_layers == k], axis=0).any() for k in (0, 1)):
            raise ValueError(f"Argument `{name}` must be the same on all spins of a layer, but is not.")
    blocks = bond_matrices(valve)
    turning = {
        "rashba": 0 if valve.rashba is None else valve.rashba,
        "bonds": blocks - jnp.trace(blocks, axis1=1, axis2=2)[:, None, None] / 2 * jnp.eye(2),
        "spin_bonds": 0 if valve.spin_bonds is None or valve.spin_bonds.ndim == 1 else valve.spin_bonds,
        "lead_polarization": valve.lead_polarization,
    }
    for name, part in turning.items():
        if np.size(part) and (size := np.max(np.abs(np.asarray(part)))) > 0:
            raise ValueError(
                f"Argument `{name}` must not fix a direction in space, for the table depends on the angle between the "
                f"layers alone, but a part of {size:.3g} does."
            )


def _check_layers(valve: SpinValve, layers: Layers) -> None:
    share = np.min(np.asarray(layers.length / _sizes(valve)))
    if not share > RIGID:
        raise ValueError(
            f"Argument `valve` must have rigid layers, but the spins of one sum to {share:.3g} of their number."
        )
    if not np.max(layers.softest) < 1e-6:
        raise ValueError(
            "Argument `valve` must have rigid layers, but parallel spins inside one turn away from each other: a turn "
            f"has the stiffness {-np.max(layers.softest):.3g}."
        )
    if not np.max(layers.residual) < 1e-9 or not np.all(layers.sound):
        raise RuntimeError(
            "The spins inside the layers did not come to rest at all angles: "
            f"max |S x B| = {np.max(layers.residual):.1e}."
        )
