"""Two macrospins: the exact solution of Eqs. (19)-(20), and their equation of motion with anisotropy, damping, torques.

Each layer is one rigid spin, M_l = N_l m_l, of N_l localized spins of length one. Energies are in units of the hopping
gamma, times in hbar/gamma, hbar = 1; layer 0 is the left (pinned) one, layer 1 the right (free) one.

The sign of ``j_eff`` is that of Eqs. (19)-(20), positive = ferromagnetic. Equation (21) as printed rotates the other
way: with H_MS = -J_eff M_l.M_r its omega is -sqrt(2) N_S J_eff.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from svjax.engine.arrays import Numbers, Scalar, Vector, real_array
from svjax.engine.shown import Shown

TwoNumbers = Float[Array, "2"]
TwoVectors = Float[Array, "2 3"]


class Macrospins(Protocol):
    """Two layers whose directions m (2, 3) obey dm/dt = time_derivative(m)."""

    def time_derivative(self, m: TwoVectors, /) -> TwoVectors: ...


PERPENDICULAR = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def macrospin_solution(
    t: Numbers,
    j_eff: Numbers,
    n_s: Numbers,
    *,
    m_left: Numbers = PERPENDICULAR[0],
    m_right: Numbers = PERPENDICULAR[1],
    phase: Numbers = 0.0,
) -> Float[Array, "*times 2 3"]:
    """Exact solution of the macrospin equations from any initial directions, Eq. (20).

    The sum M = N_l m_l + N_r m_r is conserved, so that both layers turn about it as one rigid body,

        dm_l/dt = J_eff m_l x M   =>   m_l(t) = R(M/|M|, omega t + phase) m_l(0),   omega = -J_eff |M|,

    with R(n, a) the right-handed rotation about n by a. From the perpendicular start (the default) this is Eq. (21)
    with omega = -sqrt(2) N_S J_eff and phi_l = phase, phi_r = pi + phase.

    **Arguments:**

    - `t`: times (T,), or one, in hbar/gamma.
    - `j_eff`: effective exchange between two spins, in gamma; positive = ferromagnetic.
    - `n_s`: number of spins of a layer, one number or one per layer.
    - `m_left`, `m_right`: magnetisations per spin (3,) at t = 0 and phase = 0; lengths other than one are kept.
    - `phase`: angle (rad) by which both layers are turned about M, the paper's varphi; no effect where M vanishes.

    **Returns:** the magnetisations per spin (T, 2, 3), differentiable in every argument, where M vanishes also.
    """
    sizes = jnp.broadcast_to(real_array(n_s), (2,))
    start = jnp.stack([real_array(m_left), real_array(m_right)])
    total = sizes @ start
    turning = real_array(phase) * inverse_length(total, jnp.sum(sizes))
    return rotate(start, total, turning - real_array(j_eff) * real_array(t))


def rotate(vectors: Array, about: Array, amount: Array) -> Array:
    """Turn (..., layers, 3) by the right-handed angle amount |about| about a vector (3,), smooth where that is zero.

    Rodrigues' formula with w = amount about: (1 - b w^2) v + a w x v + b w (w.v), a = sin|w|/|w|, b = (1 - cos|w|)/w^2.
    """
    amount = amount[..., None, None]
    square = amount**2 * (about @ about)
    small = square < 1e-3
    angle = jnp.sqrt(jnp.where(small, 1.0, square))
    a = jnp.where(small, 1 - square / 6 * (1 - square / 20 * (1 - square / 42)), jnp.sin(angle) / angle)
    b = jnp.where(
        small, 0.5 - square / 24 * (1 - square / 30 * (1 - square / 56)), 2 * (jnp.sin(angle / 2) / angle) ** 2
    )
    along = (vectors @ about)[..., None] * about
    return (1 - b * square) * vectors + a * amount * jnp.cross(about, vectors) + b * amount**2 * along


def direction(vector: Array, scale: ArrayLike = 1.0) -> Array:
    """Unit vector along `vector` (..., 3), or zero, with zero gradient, where it vanishes next to `scale`."""
    return vector * inverse_length(vector, scale)[..., None]


def inverse_length(vector: Array, scale: ArrayLike) -> Array:
    """1/|vector|, or zero as in `direction`."""
    square = jnp.sum(vector**2, axis=-1)
    nonzero = square > (10 * jnp.finfo(vector.dtype).eps * scale) ** 2
    return jnp.where(nonzero, 1 / jnp.sqrt(jnp.where(nonzero, square, 1.0)), 0.0)


def axes_across(axis: Array) -> Array:
    """Two unit vectors (2, 3) that make a right-handed frame with the unit vector `axis` (3,)."""
    first = direction(jnp.cross(axis, jnp.eye(3)[jnp.argmin(jnp.abs(axis))]))
    return jnp.stack([first, jnp.cross(axis, first)])


def nearby(layers: TwoVectors, angles: Array) -> TwoVectors:
    """Unit vectors (2, 3) turned by small ``angles`` (4,), two along the `axes_across` of each."""
    return direction(layers + jnp.einsum("la,lac->lc", angles.reshape(2, 2), jax.vmap(axes_across)(layers)))


def _shaped(*shape: int):
    return lambda value: jnp.broadcast_to(real_array(value), shape)


class MacrospinModel(Shown, eqx.Module):
    """Two macrospins with exchange, anisotropy, field, Gilbert damping and current-driven torques.

        H = -J_eff N_l N_r m_l.m_r - sum_l N_l [B.m_l + K_l (m_l.e_l)^2]
        dm_l/dt = m_l x b_l + a_l m_l x (p_l x m_l) + f_l m_l x p_l - alpha_l m_l x dm_l/dt,   b_l = -(1/N_l) dH/dm_l

    H is the microscopic Eq. (2) with all spins of a layer parallel (the exchange inside a layer is then a constant), so
    that K and B are the valve's own parameters, per spin. Every field is a differentiable leaf; a value of a layer may
    be given once for both.
    """

    units: ClassVar = {
        "j_eff": "hopping",
        "anisotropy": "hopping",
        "field": "hopping",
        "damping_like": "hopping",
        "field_like": "hopping",
    }

    j_eff: Scalar = eqx.field(converter=_shaped())
    """J_eff in gamma, positive = ferromagnetic."""
    n_s: TwoNumbers = eqx.field(converter=_shaped(2))
    """Number of spins of each layer (2,)."""
    anisotropy: TwoNumbers = eqx.field(converter=_shaped(2), default=0.0)
    """K (2,) in gamma per spin, positive = easy axis."""
    easy_axes: TwoVectors = eqx.field(converter=_shaped(2, 3), default=PERPENDICULAR)
    """Unit vectors e (2, 3)."""
    field: Vector = eqx.field(converter=_shaped(3), default=0.0)
    """External field B (3,) in gamma per spin, the same for both layers."""
    damping: TwoNumbers = eqx.field(converter=_shaped(2), default=0.0)
    """Gilbert damping alpha (2,), dimensionless; positive = the energy falls."""
    damping_like: TwoNumbers = eqx.field(converter=_shaped(2), default=0.0)
    """Damping-like (Slonczewski) torque a (2,) in gamma per spin; positive = turns m towards p."""
    field_like: TwoNumbers = eqx.field(converter=_shaped(2), default=0.0)
    """Field-like torque f (2,) in gamma per spin; acts as a field f p."""
    polarizer: TwoVectors | None = eqx.field(
        converter=lambda value: None if value is None else _shaped(2, 3)(value), default=None
    )
    """Unit vectors p (2, 3) of the spin polarisation; None: the layers polarise each other, p_l = m_r and p_r = m_l."""

    def energy(self, m: TwoVectors) -> Scalar:
        """H (gamma) of the two layers with magnetisations per spin m (2, 3)."""
        exchange = -self.j_eff * jnp.prod(self.n_s) * jnp.dot(m[0], m[1])
        return exchange - jnp.sum(self.n_s * (m @ self.field + self.anisotropy * jnp.sum(m * self.easy_axes, -1) ** 2))

    def effective_field(self, m: TwoVectors) -> TwoVectors:
        """Field on each spin (gamma), b_l = -(1/N_l) dH/dm_l = J_eff N_r m_r + B + 2 K_l (m_l.e_l) e_l."""
        return -jax.grad(self.energy)(m) / self.n_s[:, None]

    def time_derivative(self, m: TwoVectors) -> TwoVectors:
        """dm/dt (gamma) for |m| = 1: solved for, (T - alpha m x T)/(1 + alpha^2), T the torque without damping."""
        p = m[::-1] if self.polarizer is None else self.polarizer
        h = self.effective_field(m) + self.damping_like[:, None] * jnp.cross(p, m) + self.field_like[:, None] * p
        torque, alpha = jnp.cross(m, h), self.damping[:, None]
        return (torque - alpha * jnp.cross(m, torque)) / (1 + alpha**2)


def _rate(t, m: TwoVectors, model: Macrospins) -> TwoVectors:
    return model.time_derivative(m)


def solve_macrospin(
    model: Macrospins,
    m0: Numbers,
    times: Numbers,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-10,
    max_steps: int = 4096,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> Float[Array, "T 2 3"]:
    """Integrate a macrospin model with adaptive steps (diffrax, Tsit5).

    **Arguments:**

    - `model`: the parameters.
    - `m0`: unit vectors (2, 3), the magnetisations per spin at ``times[0]``.
    - `times`: increasing times (T,) in hbar/gamma, at which the solution is returned.
    - `rtol`, `atol`: tolerances of a step; the length |m| = 1 is kept to about these.
    - `max_steps`: an error says so if the run needs more.
    - `adjoint`: how to differentiate; the default works in forward and in reverse mode.

    **Returns:** the magnetisations per spin (T, 2, 3), differentiable in the model's leaves and in m0.
    """
    model = jax.tree.map(real_array, model)  # tree_at may have put Python floats here
    start, ts = real_array(m0), real_array(times)
    if start.shape != (2, 3):
        raise ValueError(f"Argument `m0` must be of shape (2, 3), but is of shape {start.shape}.")
    if ts.ndim != 1 or ts.size < 2:
        raise ValueError(f"Argument `times` must be of shape (T,) with T >= 2, but is of shape {ts.shape}.")
    ts = eqx.error_if(ts, ~jnp.all(jnp.diff(ts) > 0), "Argument `times` must be strictly increasing, but is not.")
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_rate),
        diffrax.Tsit5(),
        ts[0],
        ts[-1],
        dt0=None,
        y0=start,
        args=model,
        saveat=diffrax.SaveAt(ts=ts),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=max_steps,
        adjoint=diffrax.DirectAdjoint() if adjoint is None else adjoint,
    )
    return jnp.asarray(solution.ys)
