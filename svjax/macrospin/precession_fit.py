"""Fit of the macrospin solution, Eqs. (19)-(21), to the magnetisations of a run: J_eff and the phase, with error bars.

The sum M = N_l m_l + N_r m_r is conserved and m_l - m_r turns about it at the single frequency omega = -J_eff |M|. The
height of its periodogram is therefore, but for a constant, minus the least-squares loss minimised over the phase: its
highest point is the global minimum, to within the grid, however many periods or how small a part of one there is.
"""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import optimistix as optx
from jaxtyping import Array, ArrayLike, Bool

from svjax.engine.arrays import Numbers, Scalar, real_array
from svjax.engine.error_bars import inverse_curvature, noise_variance
from svjax.engine.shown import Shown
from svjax.macrospin.model import (
    PERPENDICULAR,
    TwoVectors,
    axes_across,
    direction,
    inverse_length,
    macrospin_solution,
    nearby,
    rotate,
)
from svjax.macrospin.precession_data import check_data


class MacrospinFit(Shown, eqx.Module):
    """Result of `fit_macrospin`; from a vmapped fit every array has leading batch axes."""

    units: ClassVar = {"j_eff": "hopping", "error": "hopping", "phase": "rad", "phase_error": "rad"}

    j_eff: Scalar
    """J_eff in gamma; positive = ferromagnetic."""
    error: Scalar
    """One-sigma error of j_eff; infinite if the run does not determine it (parallel layers do not move)."""
    residual: Scalar
    """Root mean square of model minus run over all 6 T numbers: times, layers and components alike."""
    phase: Scalar
    """Angle (rad, in [-pi, pi]) about M by which the layers at t = 0 are turned from the `start` of `fit_macrospin`."""
    phase_error: Scalar
    """One-sigma error of the phase."""
    start: TwoVectors
    """Magnetisations per spin at t = 0: with m_left, m_right = start and phase = 0, `macrospin_solution` is the fit."""
    converged: Bool[Array, ""]
    """The gradient steps have come to rest."""
    max_residual: Scalar
    """Largest residual with which the fit calls the run a macrospin."""

    @property
    def ok(self) -> Bool[Array, "*batch"]:
        """The fit converged, the run determines J_eff, and the residual is not above `max_residual`."""
        return self.converged & jnp.isfinite(self.error) & (self.residual <= self.max_residual)

    @property
    def message(self) -> str:
        """What the fit has to say about itself, in words; of one fit, not of a batch."""
        if not np.isfinite(self.j_eff):
            return "The data are not finite or the times not increasing: nothing was fitted."
        if not np.isfinite(self.error):
            return "The run does not determine J_eff: the layers do not move."
        if not self.converged:
            return f"The fit did not converge (rms residual {self.residual:.2g}): do not use its J_eff."
        if self.residual > self.max_residual:
            return (
                f"The rms residual {self.residual:.2g} is above {self.max_residual:.2g}: the layers do not move as two "
                "macrospins, or not from this start, or the data are that noisy."
            )
        return f"J_eff = {self.j_eff:.4g} +- {self.error:.1g}, rms residual {self.residual:.2g}."


def fit_macrospin(
    t: Numbers,
    m_left: Numbers,
    m_right: Numbers,
    n_s: Numbers,
    *,
    start: Numbers | None = PERPENDICULAR,
    max_residual: ArrayLike = 0.03,
) -> MacrospinFit:
    """Fit J_eff and the phase of two macrospins, Eqs. (19)-(21), to the magnetisations of a run, by least squares.

    All three components of both layers are data. The frequency comes from a periodogram, so that no guess is needed;
    then Adam, then Gauss-Newton to convergence. Motion faster than half a turn per sample is aliased. One run per call;
    a sweep is one call of ``jax.vmap(fit_macrospin, in_axes=(None, 0, 0, None))(t, m_left, m_right, n_s)``, in which a
    bad run gives nan and ``ok`` false and leaves the others alone. ``j_eff`` and ``phase`` can be differentiated with
    respect to the data.

    The error bar is that of the Gauss-Newton curvature and the residual's variance, the variance widened by
    (pi/2)/arccos(r) with r the correlation of the residual from one sample to the next: 1 for noise; for a smooth run,
    whose residual is not noise, it keeps the error bar from shrinking as the run is sampled more finely. It does not
    know how wrong the macrospin picture is: compare the fits with and without a known start.

    **Arguments:**

    - `t`: times (T,) in hbar/gamma, increasing, T >= 4; they need not be evenly spaced, nor begin at 0.
    - `m_left`, `m_right`: magnetisations per spin (T, 3) of the two layers.
    - `n_s`: number of spins of a layer, one number or one per layer.
    - `start`: magnetisations per spin (2, 3) at t = 0, before the phase turns them, known exactly (by default the
      paper's): J_eff and the phase are then all that is fitted. If None, the layers' directions are fitted too (as unit
      vectors), and the phase is the angle about M from x - z, the paper's start, to m_left - m_right at t = 0.
    - `max_residual`: residual above which ``ok`` is false.

    Raises ValueError for data of a wrong shape, and, unless called inside jit or vmap, for data that are not finite,
    times that do not increase, or layers' sums given in place of magnetisations per spin.
    """
    times, left, right, sizes = (real_array(x) for x in (t, m_left, m_right, n_s))
    begin = None if start is None else real_array(start)
    check_data(times, left, right, sizes, begin)
    m = jnp.stack([left, right], axis=1)
    return _fit(times, m, jnp.broadcast_to(sizes, (2,)), begin, real_array(max_residual))


class _Problem(eqx.Module):
    """Least squares in y = (omega times the run's length, angles at the run's centre).

    In omega, not J_eff, and with the angles at the centre, the unknowns are hardly correlated. With a known start there
    is one angle, about M; else there are four, two tangent coordinates of each layer's direction about a reference.
    """

    t: Array
    m: Array
    sizes: Array
    reference: Array
    known_start: bool = eqx.field(static=True)

    @property
    def centre(self) -> Array:
        return (self.t[0] + self.t[-1]) / 2

    def orbit(self, y: Array) -> tuple[Array, Array, Array]:
        """J_eff, the layers (2, 3) from which the phase counts, and the phase at the centre."""
        layers, phase = self.reference, y[1]
        if not self.known_start:
            layers, phase = nearby(self.reference, y[1:]), jnp.zeros(())
        omega = y[0] / (self.t[-1] - self.t[0])
        return -omega * inverse_length(self.sizes @ layers, jnp.sum(self.sizes)), layers, phase

    def residuals(self, y: Array, _: None = None) -> Array:
        j_eff, layers, phase = self.orbit(y)
        turned = macrospin_solution(
            self.t - self.centre, j_eff, self.sizes, m_left=layers[0], m_right=layers[1], phase=phase
        )
        return turned - self.m

    def loss(self, y: Array) -> Array:
        return jnp.mean(self.residuals(y) ** 2)

    def results(self, y: Array) -> tuple[Array, Array]:
        """J_eff and the phase at t = 0, not wrapped, (2,), and the layers (2, 3) there."""
        j_eff, layers, phase = self.orbit(y)
        total = self.sizes @ layers
        axis = direction(total, jnp.sum(self.sizes))
        start = macrospin_solution(-self.centre, j_eff, self.sizes, m_left=layers[0], m_right=layers[1], phase=phase)
        if not self.known_start:
            origin, now = (v[0] - v[1] for v in (jnp.asarray(PERPENDICULAR), layers))
            phase = jnp.arctan2(axis @ jnp.cross(origin, now), origin @ now - (axis @ origin) * (axis @ now))
        return jnp.stack([j_eff, phase + j_eff * (axis @ total) * self.centre]), start


@eqx.filter_jit
def _fit(t: Array, m: Array, sizes: Array, start: Array | None, max_residual: Array) -> MacrospinFit:
    problem, y = _periodogram_start(t, m, sizes, start)
    descended = jax.lax.stop_gradient(_adam(problem, y))
    tolerance = float(jnp.finfo(y.dtype).eps) ** 0.6
    solver = optx.GaussNewton(rtol=tolerance, atol=tolerance, linear_solver=lx.SVD())
    y = optx.least_squares(problem.residuals, solver, descended, max_steps=50, throw=False).value
    y = jnp.where(problem.loss(y) <= problem.loss(descended), y, descended)

    residuals, jacobian = problem.residuals(y), jax.jacfwd(problem.residuals)(y)
    jacobian = jacobian.reshape(residuals.size, -1)
    inverse, determined = inverse_curvature(jacobian)
    step = inverse @ (jacobian.T @ residuals.ravel())
    covariance = noise_variance(residuals, len(inverse)) * inverse
    (j_eff, phase), layers = problem.results(y)
    gradient, _ = jax.jacfwd(problem.results, has_aux=True)(y)
    errors = jnp.where(determined, jnp.sqrt(jnp.diagonal(gradient @ covariance @ gradient.T)), jnp.inf)
    valid = jnp.all(jnp.diff(t) > 0) & jnp.all(sizes > 0) & jnp.all(jnp.isfinite(residuals))
    return MacrospinFit(
        j_eff=jnp.where(valid, j_eff, jnp.nan),
        error=errors[0],
        residual=jnp.sqrt(jnp.mean(residuals**2)),
        phase=jnp.arctan2(jnp.sin(phase), jnp.cos(phase)),
        phase_error=errors[1],
        start=layers,
        converged=valid & jnp.all(jnp.abs(step) <= 1e-3 * jnp.sqrt(jnp.diagonal(covariance)) + 100 * tolerance),
        max_residual=max_residual,
    )


def _periodogram_start(t: Array, m: Array, sizes: Array, start: Array | None) -> tuple[_Problem, Array]:
    """The problem, and y at the global minimum of its loss, to within a grid of frequencies 2 pi/(8 T) apart."""
    total = sizes @ (jnp.mean(m, axis=0) if start is None else start)
    axis = direction(total, jnp.sum(sizes))
    across = jnp.array([1, 1j]) @ axes_across(axis)
    turning = (m[:, 0] - m[:, 1]) @ across

    even = jnp.linspace(t[0], t[-1], 2 * t.size - 1)
    length = 8 * 2 ** int(np.ceil(np.log2(even.size)))
    power = jnp.abs(jnp.fft.fft(jnp.interp(even, t, turning), length))
    omega = 2 * jnp.pi * jnp.fft.fftfreq(length)[jnp.argmax(power)] / (even[1] - even[0])

    problem = _Problem(t, m, sizes, m[0] if start is None else start, start is not None)
    back, turned = -omega * (t - problem.centre), omega * (t[-1] - t[0])
    if start is not None:
        phase = jnp.angle(jnp.sum(turning * jnp.exp(1j * back)) * jnp.conj((start[0] - start[1]) @ across))
        return problem, jnp.stack([turned, phase])
    layers = direction(jnp.mean(rotate(m, axis, back), axis=0))
    problem = eqx.tree_at(lambda p: p.reference, problem, jax.lax.stop_gradient(layers))
    return problem, jnp.append(turned, jnp.zeros(4))


def _adam(problem: _Problem, y: Array, steps: int = 50) -> Array:
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, steps))

    def step(carry, _):
        y, state = carry
        update, state = optimizer.update(jax.grad(problem.loss)(y), state)
        return (optax.apply_updates(y, update), state), None

    (last, _), _ = jax.lax.scan(step, (y, optimizer.init(y)), length=steps)
    return jnp.asarray(last)
