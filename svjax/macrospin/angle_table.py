"""Fields and retardation of two layers as functions of the angle between them, for any directions of the layers.

Turning all spins turns all that the electrons do, so that with o_l the other layer, n = m_0 x m_1 and c = m_0.m_1

    field_l across m_l   = f_l o_l + d_l n,
    A_lk                 = a_lk 1 + b_lk [m_l x] + p_lk o_l o_k^T + q_lk n o_k^T      (rows across m_l, columns m_k)

with coefficients that are smooth in c also where the layers are collinear: Chebyshev series in c, cosines of the angle.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from svjax.engine.arrays import PerLead, Scalar
from svjax.engine.lapack import lapack_on_one_thread
from svjax.engine.tracing import inlined
from svjax.macrospin.layer_derivatives import differentiable_layers
from svjax.macrospin.layer_response import Layers, layers_at, parallel
from svjax.macrospin.model import TwoVectors, direction
from svjax.model.valve import SpinValve


class Coefficients(NamedTuple):
    """f_l and d_l of the field per spin (2, 2), a, b, p, q of A (2, 2, 4), and the lengths |sum_j S_j| (2,)."""

    field: Float[Array, "2 2"]
    inertia: Float[Array, "2 2 4"]
    length: Float[Array, "2"]


class AngleTable(eqx.Module):
    """Chebyshev series of all `Coefficients` in the cosine of the angle."""

    series: Coefficients
    """Each with a leading axis of the order."""

    def at(self, cosine: Scalar) -> Coefficients:
        """The coefficients at one cosine."""
        return jax.tree.map(lambda series: clenshaw(series, cosine), self.series)

    @property
    def error(self) -> Scalar:
        """The largest of the last two terms of a series next to its largest value, over all fields and all of A."""
        parts = [jnp.max(jnp.abs(x[-2:])) / jnp.max(jnp.sum(jnp.abs(x), 0)) for x in self.series[:2]]
        return jnp.maximum(*parts)


@inlined
def clenshaw(series: Float[Array, "orders ..."], x: Scalar) -> Array:
    """sum_n series_n T_n(x) by Clenshaw's recurrence, written out so that it compiles to one loop."""
    now = after = jnp.zeros_like(series[0])
    for term in series[:0:-1]:
        now, after = term + 2 * x * now - after, now
    return series[0] + x * now - after


def chebyshev_cosines(count: int) -> np.ndarray:
    """Cosines of ``count`` angles (k + 1/2) pi/count, the zeros of a Chebyshev polynomial."""
    return np.cos(np.pi * (np.arange(count) + 0.5) / count)


def angle_table(valve: SpinValve, mu: PerLead, rate: Scalar, count: int) -> tuple[AngleTable, Layers]:
    """The table from ``count`` angles, and the layers it comes from with a leading axis of the angles."""
    found, last = [], [parallel(valve)]
    with lapack_on_one_thread():
        for cosine in chebyshev_cosines(count):
            start = last[-1] if len(last) < 3 else direction(2 * last[-1] - last[-2])
            layers, spins = layers_at(valve, mu, jnp.asarray(cosine, valve.dtype), rate, start)
            found.append(layers)
            last.append(spins)
        layers = jax.block_until_ready(_stacked(found))
    return _interpolated(layers, jnp.asarray(chebyshev_cosines(count), valve.dtype)), layers


@jax.jit
def _stacked(parts: list[Layers]) -> Layers:
    return jax.tree.map(lambda *part: jnp.stack(part), *parts)


def traced_table(valve: SpinValve, mu: PerLead, rate: Scalar, count: int) -> tuple[AngleTable, Layers]:
    """`angle_table` with derivatives in the valve and mu."""
    cosines = jnp.asarray(chebyshev_cosines(count), valve.dtype)
    layers = jax.lax.map(lambda cosine: differentiable_layers(valve, mu, cosine, rate), cosines)
    return _interpolated(layers, cosines), layers


@jax.jit
def _interpolated(layers: Layers, cosines: Float[Array, "angles"]) -> AngleTable:
    values, orders = jax.vmap(coefficients)(layers, cosines), np.arange(len(cosines))
    transform = np.cos(np.outer(orders, np.pi * (orders + 0.5) / len(orders))) * 2 / len(orders)
    transform[0] /= 2
    return AngleTable(jax.tree.map(lambda x: jnp.tensordot(jnp.asarray(transform, x.dtype), x, 1), values))


def coefficients(layers: Layers, cosine: Scalar) -> Coefficients:
    """The coefficients of layers at an angle that is neither 0 nor pi, whose components are along (t_l, n).

    t_l sin = s_l o_l across m_l with s = (1, -1), and m x t = n, m x n = -t.
    """
    square = 1 - cosine**2
    sine, sign = jnp.sqrt(square), jnp.array([1.0, -1.0], layers.field.dtype)
    field = jnp.stack([sign * layers.field[:, 0], layers.field[:, 1]], 1) / sine
    between = jnp.array([[1.0, 0.0], [0.0, 1.0]]) + cosine * jnp.array([[0.0, 1.0], [1.0, 0.0]])  # m_l.m_k
    part = jnp.moveaxis(layers.inertia, 2, 1)  # (layer, layer, axis, axis)
    tt, tn, nt, nn = part[..., 0, 0], part[..., 0, 1], part[..., 1, 0], part[..., 1, 1]
    plane = sign[:, None] * sign * (tt - between * nn) / square
    mixed = sign * (nt + between * tn) / square
    return Coefficients(field, jnp.stack([nn, -tn, plane, mixed], -1), layers.length)


@inlined
def field_and_inertia(at: Coefficients, m: TwoVectors) -> tuple[TwoVectors, Float[Array, "2 3 2 3"]]:
    """The fields across the unit vectors m (2, 3) and A (2, 3, 2, 3), rows across m_l; columns act across m_k."""
    normal, other = jnp.cross(m[0], m[1]), m[::-1]
    field = at.field[:, :1] * across(m, other) + at.field[:, 1:] * normal
    turn = jnp.cross(m[:, None, :], jnp.eye(3, dtype=m.dtype)).transpose(0, 2, 1)
    projection = jnp.eye(3, dtype=m.dtype) - m[:, :, None] * m[:, None, :]
    each = lambda number, of_layer, columns: at.inertia[:, None, :, None, number] * of_layer * columns
    whole = (  # products, not einsum, which would call a matrix product for each
        each(0, projection[:, :, None, :], 1.0)
        + each(1, turn[:, :, None, :], 1.0)
        + each(2, across(m, other)[:, :, None, None], other[None, None])
        + each(3, normal[None, :, None, None], other[None, None])
    )
    return field, whole


def across(m: TwoVectors, vectors: TwoVectors) -> TwoVectors:
    """The part of each vector that is across m."""
    return vectors - jnp.sum(m * vectors, -1, keepdims=True) * m
