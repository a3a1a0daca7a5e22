"""States of rest of two macrospins and the rates of small turns about them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex

from svjax.engine.arrays import Scalar
from svjax.macrospin.model import MacrospinModel, Macrospins, TwoVectors, axes_across, nearby


def macrospin_modes(model: MacrospinModel, m: ArrayLike) -> Complex[np.ndarray, "modes"]:
    """Rates lambda of small turns about the state of rest near ``m`` (2, 3), Im lambda >= 0, smallest |lambda| first.

    The state of rest by Newton's method on the two angles of each layer; raises RuntimeError where there is none near.
    """
    _, matrix, torque = at_rest(model, jnp.asarray(m))
    check_at_rest(torque, m)
    rates = np.linalg.eigvals(np.asarray(matrix))
    rates = rates[rates.imag >= 0]
    return rates[np.argsort(np.abs(rates))]


def check_at_rest(torque: Scalar, m: ArrayLike) -> None:
    """Raise where Newton's iteration from ``m`` did not end at rest."""
    if not float(torque) < 1e-12:
        raise RuntimeError(f"No state of rest was found near m = {np.asarray(m)}: |dm/dt| = {float(torque):.1e}.")


@jax.jit
def at_rest(model: Macrospins, m: TwoVectors, most: int = 30) -> tuple[TwoVectors, Array, Scalar]:
    """The state of rest near m, the derivative (4, 4) of dm/dt along the layers' tangents there, and max |dm/dt|.

    Differentiable in the model, forward and reverse: the last of Newton's steps is that of the implicit function.
    """

    def linearized(model, m):
        along = jax.vmap(axes_across)(m)
        slope = jax.jacfwd(model.time_derivative)(m)
        rate = jnp.einsum("lac,lc->la", along, model.time_derivative(m)).ravel()
        return rate, jnp.einsum("lac,lckd,kbd->lakb", along, slope, along).reshape(4, 4)

    def improve(carry):
        step, m, (rate, matrix) = carry
        m = nearby(m, jnp.linalg.solve(matrix, -rate))
        return step + 1, m, linearized(fixed, m)

    fixed, m = jax.lax.stop_gradient((model, m))
    unfinished = lambda carry: (carry[0] < most) & (jnp.max(jnp.abs(carry[2][0])) > 1e-14)
    _, m, (_, matrix) = jax.lax.while_loop(unfinished, improve, (0, m, linearized(fixed, m)))
    m, matrix = jax.lax.stop_gradient((m, matrix))
    m = nearby(m, jnp.linalg.solve(matrix, -linearized(model, m)[0]))
    rate, matrix = linearized(model, m)
    return m, matrix, jax.lax.stop_gradient(jnp.max(jnp.abs(rate)))  # nan at a state that is not the only one near
