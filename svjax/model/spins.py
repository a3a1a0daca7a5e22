"""The classical spins: their energy, the field that is minus its gradient, their torque and small turns of them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from svjax.engine.arrays import Scalar, Spins
from svjax.engine.tracing import inlined
from svjax.model.valve import SpinValve, per_spin


def exchange_energy(valve: SpinValve, spins: Spins) -> Scalar:
    """J_ex sum_<ij> S_i.S_j over neighbouring spins of one layer."""
    return valve.j_ex * jnp.sum(spins * valve.lattice.spin_neighbours(spins)) / 2


def bond_energy(valve: SpinValve, spins: Spins) -> Scalar:
    """sum_<ij> S_i.J_ij.S_j over the spin bonds, J_ij a number or a 3x3 matrix (its antisymmetric part is the
    Dzyaloshinskii-Moriya interaction D.(S_i x S_j), D_c = sum_ab eps_abc J_ab / 2)."""
    if valve.spin_bonds is None:
        return jnp.zeros((), spins.dtype)
    first, second = spins[valve.lattice.spin_pairs.T]
    form = "ba,b,ba->" if valve.spin_bonds.ndim == 1 else "ba,bac,bc->"
    return jnp.einsum(form, first, valve.spin_bonds, second)


def zeeman_energy(valve: SpinValve, spins: Spins) -> Scalar:
    """-sum_j B_j.S_j."""
    return -jnp.sum(spins * per_spin(valve, "field"))


def anisotropy_energy(valve: SpinValve, spins: Spins) -> Scalar:
    """-sum_j K_j (S_j.e_j)^2."""
    return -jnp.sum(per_spin(valve, "anisotropy") * jnp.sum(spins * per_spin(valve, "easy_axes"), -1) ** 2)


TERMS = (exchange_energy, bond_energy, zeeman_energy, anisotropy_energy)
"""The terms of H_C, Eq. (2), without the coupling to the electrons. Another one is a function here, of any power."""


@inlined
def spin_energy(valve: SpinValve, spins: Spins) -> Scalar:
    """H_C of Eq. (2) without its coupling to the electrons, in units of the hopping."""
    return sum((term(valve, spins) for term in TERMS), jnp.zeros((), spins.dtype))


def coupling(valve: SpinValve) -> Float[Array, "spins"]:
    """J_sd of every spin: the electrons see (J_j/2) sigma.S_j, a spin the energy J_j s_j.S_j."""
    return per_spin(valve, "j_sd")


@inlined
def effective_field(valve: SpinValve, spins: Spins, spin_density: Spins) -> Spins:
    """B_j = -dH_C/dS_j, (N_S, 3), J_sd s_j included, so that dS/dt = S x B without damping.

    For the paper's valve -J_ex sum_neighbours S + B_ext + 2 K (S_j.e) e - J_sd s_j. ``spin_density`` is
    s_j = Tr(rho_jj sigma)/2 of the electrons on the spins' sites.
    """
    return -jax.grad(spin_energy, 1)(valve, spins) - coupling(valve)[:, None] * spin_density


@inlined
def field_change(valve: SpinValve, spins: Spins, turn: Inexact[Array, "spins 3"]) -> Inexact[Array, "spins 3"]:
    """The first-order change of the field of `spin_energy` when the spins change by ``turn``, which may be complex."""
    bare = lambda s: -jax.grad(spin_energy, 1)(valve, s)
    change = lambda part: jax.jvp(bare, (spins,), (part,))[1]
    return jax.lax.complex(change(turn.real), change(turn.imag)) if jnp.iscomplexobj(turn) else change(turn)


@inlined
def torque(valve: SpinValve, spins: Spins, field: Spins) -> Spins:
    """dS/dt, (N_S, 3), of dS/dt = S x B - alpha S x dS/dt, solved for it: [S x B - alpha S x (S x B)]/(1 + alpha^2)."""
    alpha = per_spin(valve, "damping")[:, None]
    torque = jnp.cross(spins, field)
    return (torque - alpha * jnp.cross(spins, torque)) / (1 + alpha**2)


@inlined
def tangents(spins: Spins) -> Float[Array, "spins 2 3"]:
    """Two unit vectors e1, e2 for each spin with e1 x e2 = S."""
    least = jax.nn.one_hot(jnp.argmin(jnp.abs(spins), -1), 3, dtype=spins.dtype)
    e1 = jnp.cross(spins, least)
    e1 = e1 / jnp.linalg.norm(e1, axis=-1, keepdims=True)
    return jnp.stack([e1, jnp.cross(spins, e1)], 1)


@inlined
def turn(spins: Spins, angles: Array) -> Spins:
    """Unit spins moved by ``angles`` (2N_S,) along their tangents."""
    moved = spins + jnp.einsum("jx,jxb->jb", angles.reshape(-1, 2), tangents(spins))
    return moved / jnp.linalg.norm(moved, axis=-1, keepdims=True)


@inlined
def stiffness(valve: SpinValve, spins: Spins, field: Spins, response: Array) -> Inexact[Array, "angles angles"]:
    """How the field across each spin answers to turns of all spins, e_i.dB/dS.e_j - S.B, (2N_S, 2N_S).

    ``field`` is B at the state and ``response`` one ds_jb/dS_ka, (N_S, 3, N_S, 3), of the electrons' spin density.
    Negative definite where the spins sit in a minimum of an energy.
    """
    axes = tangents(spins)
    bare = jax.jacfwd(lambda s: -jax.grad(spin_energy, 1)(valve, s))(spins)
    total = jnp.einsum("jxb,jbka,kya->jxky", axes, bare - coupling(valve)[:, None, None, None] * response, axes)
    angles = axes.shape[0] * 2
    along = jnp.repeat(jnp.sum(spins * field, -1), 2)
    return total.reshape(angles, angles) - jnp.diag(along)


@inlined
def turn_rate(valve: SpinValve, stiffness: Array) -> Array:
    """M of d(angles)/dt = M angles at a torque-free state, from the answer of the field across the spins.

    ``stiffness`` has the angles along its first axis. dS/dt = S x B turns the answer by S x, and damping adds alpha
    times the answer itself, both over 1 + alpha^2.
    """
    alpha = per_spin(valve, "damping")[:, None, None]
    pairs = stiffness.reshape(-1, 2, stiffness[0].size)
    turned = jnp.stack([-pairs[:, 1], pairs[:, 0]], 1)
    return ((turned + alpha * pairs) / (1 + alpha**2)).reshape(stiffness.shape)
