"""Two layers held at given directions: the field on each and the answer of both to slow turns, from the electrons.

Inside a layer the spins are relaxed. With U the tangent components of a uniform field on a layer and K the `stiffness`
of all spins in the field B + h that holds the layers (h uniform and across m on each), small turns x of the spins obey

    (-J + alpha + G) dx/dt = -U h + K w,    U^T w = 0,    J_sd ds = ... + G dx/dt,

J the turn S x of tangents. Columns of C and C~ solve K C + U(..) = 0, K^T C~ + U(..) = 0 with U^T C = U^T C~ = L, the
layers' lengths |sum_j S_j|. What remains is exact to first order in the rates:  C~^T (-J + alpha + G) C dm/dt = -L h.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from svjax.dynamics.torques import torque_limit
from svjax.electrons.response import Basis, eigenbasis, electrons_in, spin_response, static_susceptibility
from svjax.engine.arrays import PerLead, Scalar, Spins
from svjax.model.equations import local_spin_density
from svjax.model.extended import extended
from svjax.model.spins import coupling, effective_field, stiffness, tangents, turn
from svjax.model.valve import SpinValve, per_spin

STEPS = 20
"""The most steps of Newton's iteration for the spins inside the layers."""


class Layers(NamedTuple):
    """Layers at an angle: the field that turns each (2, 2), along its `frames`, the matrix A (2, 2, 2, 2) (layer, frame
    axis, layer, frame axis) of A dm/dt = L field and the lengths L (2,); with max |S x (B + h)|, the largest eigenvalue
    of what holds the spins inside the layers, not positive where it holds them, and whether the electrons' eigenbasis
    is sound."""

    field: Float[Array, "2 2"]
    inertia: Float[Array, "2 2 2 2"]
    length: Float[Array, "2"]
    residual: Scalar
    softest: Scalar
    sound: Bool[Array, ""]


def frames(cosine: Scalar) -> tuple[Float[Array, "2 3"], Float[Array, "2 2 3"]]:
    """Directions m_0 = z and m_1 in the xz plane at an angle, and the axes (t_l, n) across each, n ~ m_0 x m_1,
    t_l = n x m_l."""
    sine = jnp.sqrt(1 - cosine**2)
    one, zero = jnp.ones_like(cosine), jnp.zeros_like(cosine)
    m = jnp.stack([jnp.stack([zero, zero, one]), jnp.stack([sine, zero, cosine])])
    normal = jnp.broadcast_to(jnp.stack([zero, one, zero]), (2, 3))
    return m, jnp.stack([jnp.cross(normal, m), normal], 1)


class Relaxed(NamedTuple):
    """Spins at given directions of the layers, the fields h (2, 3) that hold them there and what was found on the way:
    K (2N_S, 2N_S), the answer of the electrons at rest, and max |S x (B + h)|."""

    spins: Spins
    holding: Float[Array, "2 3"]
    basis: Basis
    rho: Array
    stiffness: Array
    response: Array
    force: Array
    residual: Scalar


@jax.jit
def layers_at(valve: SpinValve, mu: PerLead, cosine: Scalar, rate: Scalar, start: Spins) -> tuple[Layers, Spins]:
    """The layers at an angle of the given cosine, their retardation as it is for a circular precession at ``rate``;
    and their spins in the frames (t_l, n, m_l) of the layers, which at another angle are a good ``start``.
    `parallel` is one, too.

    A turn at the frequency w0 in the sense of a spin in its field, dx/dt = -w0 J x, is answered by
    ds = Re chi(i w0) x + Im chi(i w0)/w0 dx/dt; what Re chi(i w0) differs from chi(0) goes with it into
    G = J_sd Im[(chi(i w0) - chi(0)) (1 + i J)]/w0.
    """
    valve = bare(valve)
    own = extended(valve, mu)
    m, axes = frames(cosine)
    frame = jnp.concatenate([axes, m[:, None]], 1)[valve.lattice.spin_layers]
    relaxed = relaxed_layers(own, mu, jnp.einsum("jx,jxb->jb", start, frame), axes)
    spins, basis = relaxed.spins, relaxed.basis
    uniform = uniform_turns(valve, spins, axes)
    length = jnp.linalg.norm(layer_sums(valve, spins), axis=-1)
    lengths = jnp.repeat(length, 2)
    right = _canting(relaxed.stiffness, uniform, lengths)
    left = _canting(relaxed.stiffness.T, uniform, lengths)
    friction = _delay(own, relaxed, mu, rate, right) + jnp.repeat(per_spin(valve, "damping"), 2)[:, None] * right
    inertia = (left.T @ (friction - rotated(right))).reshape(2, 2, 2, 2)
    field = -jnp.einsum("lb,lxb->lx", relaxed.holding, axes)
    sound = basis.sound & basis.unique
    layers = Layers(field, inertia, length, relaxed.residual, softest(relaxed, uniform), sound)
    return layers, jnp.einsum("jb,jxb->jx", spins, frame)


def softest(relaxed: Relaxed, uniform: Float[Array, "angles 4"]) -> Scalar:
    """The largest eigenvalue of the stiffness against turns inside the layers."""
    inside = jnp.eye(len(uniform), dtype=uniform.dtype) - uniform @ jnp.linalg.pinv(uniform)
    return jnp.linalg.eigvalsh(inside @ (relaxed.stiffness + relaxed.stiffness.T) @ inside / 2)[-1]


def _delay(
    valve: SpinValve, relaxed: Relaxed, mu: PerLead, rate: Scalar, turns: Float[Array, "angles 4"]
) -> Float[Array, "angles 4"]:
    """G of `layers_at` times ``turns``; J e_1 = e_2, J e_2 = -e_1."""
    local = tangents(relaxed.spins)
    vectors = lambda turns: jnp.einsum("jxb,jxc->cjb", local, turns.reshape(*local.shape[:2], 4))
    ahead, still = vectors(rotated(turns)), relaxed.response
    own = lambda turn: spin_response(relaxed.basis, valve, relaxed.rho, mu, 1j * rate, turn).imag
    late = jax.vmap(own)(vectors(turns) + 1j * ahead) - jnp.einsum("jbka,cka->cjb", still, ahead)
    return jnp.einsum("jxb,j,cjb->jxc", local, coupling(valve), late).reshape(turns.shape) / rate


def parallel(valve: SpinValve) -> Spins:
    """Every spin along its layer, in the layers' frames."""
    return jnp.zeros((len(valve.lattice.spin_sites), 3), valve.dtype).at[:, 2].set(1)


def bare(valve: SpinValve) -> SpinValve:
    """The valve without what fixes a direction in space."""
    fixing = lambda v: (v.anisotropy, v.field)
    return eqx.tree_at(fixing, valve, jax.tree.map(jnp.zeros_like, fixing(valve)))


def relaxed_layers(valve: SpinValve, mu: PerLead, start: Spins, axes: Array) -> Relaxed:
    """Newton's iteration for the spins and the fields that hold the layers across ``axes``."""
    layer, limit = valve.lattice.spin_layers, torque_limit(valve.dtype) / 10

    def at(spins: Spins, holding: Array) -> Relaxed:
        basis = eigenbasis(valve, spins)
        rho, _ = electrons_in(basis, valve, mu)
        field = effective_field(valve, spins, local_spin_density(valve, rho)) + holding[layer]
        response = static_susceptibility(basis, valve, rho, mu)
        force = jnp.einsum("jxb,jb->jx", tangents(spins), field).ravel()
        aside = jnp.einsum("lb,lxb->lx", layer_sums(valve, spins), axes).ravel()
        residual = jnp.maximum(jnp.max(jnp.abs(force)), jnp.max(jnp.abs(aside)))
        stiff = stiffness(valve, spins, field, response)
        return Relaxed(spins, holding, basis, rho, stiff, response, jnp.concatenate([force, aside]), residual)

    def unfinished(carry):
        return (carry[0] < STEPS) & (carry[1].residual > limit)

    def improve(carry):
        step, now = carry
        uniform = uniform_turns(valve, now.spins, axes)
        move = jnp.linalg.solve(bordered(now.stiffness, uniform), -now.force)
        holding = now.holding + jnp.einsum("lx,lxb->lb", move[-4:].reshape(2, 2), axes)
        return step + 1, at(turn(now.spins, move[:-4]), holding)

    return jax.lax.while_loop(unfinished, improve, (0, at(start, jnp.zeros((2, 3), start.dtype))))[1]


def layer_sums(valve: SpinValve, spins: Spins) -> Float[Array, "2 3"]:
    """Sum of the spins of each layer."""
    member = np.arange(2)[:, None] == valve.lattice.spin_layers
    return jnp.asarray(member, spins.dtype) @ spins


def uniform_turns(valve: SpinValve, spins: Spins, axes: Array) -> Float[Array, "angles 4"]:
    """U: tangent components of a field along each of the ``axes`` (2, 2, 3) of its layer."""
    member = jax.nn.one_hot(valve.lattice.spin_layers, 2, dtype=spins.dtype)
    return jnp.einsum("jxb,jl,lyb->jxly", tangents(spins), member, axes).reshape(2 * len(spins), 4)


def bordered(stiff: Array, uniform: Array) -> Array:
    """The stiffness with the constraints that hold the layers: a bordered matrix."""
    return jnp.block([[stiff, uniform], [uniform.T, jnp.zeros((4, 4), stiff.dtype)]])


def _canting(stiff: Array, uniform: Array, lengths: Array) -> Float[Array, "angles 4"]:
    """C, how the spins turn with their layers."""
    aim = jnp.concatenate([jnp.zeros_like(uniform), jnp.diag(lengths)])
    return jnp.linalg.solve(bordered(stiff, uniform), aim)[:-4]


def rotated(turns: Array) -> Array:
    """J, S x of the turns (2N_S, 4)."""
    pairs = turns.reshape(-1, 2, turns.shape[1])
    return jnp.stack([-pairs[:, 1], pairs[:, 0]], 1).reshape(turns.shape)
