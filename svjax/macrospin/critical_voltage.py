"""The voltage at which the slow mode of the microscopic LLG starts to grow."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike
from scipy.optimize import brentq

from svjax.engine.arrays import Numbers, Scalar, known, real_array
from svjax.macrospin.effective_llg import effective_llg, slow_frequency
from svjax.model.levels import BiasLike, constant_levels
from svjax.model.valve import SpinValve, prepare
from svjax.reservoirs.bias import asymmetric


def critical_voltage(
    valve: SpinValve,
    between: Numbers,
    *,
    bias: Callable[[Scalar], BiasLike] = asymmetric,
    at: ArrayLike | None = None,
    angles: int = 9,
) -> Scalar:
    """The root in V of Re lambda_0(V), lambda_0 the slow mode of `effective_llg` about the easy axes.

    Beyond it the layers at rest switch or go round by themselves. Differentiable in the valve, forward and reverse, as
    the implicit function dV = -(dRe lambda_0/dp) dp/(dRe lambda_0/dV), in which the default ``at`` moves with p.

    **Arguments:**

    - `between`: two voltages (2,), in units of the hopping, that enclose the root.
    - `bias`: what a voltage means: `asymmetric`, `symmetric`, or a function of it such as ``lambda v: (0.0, v)``.
    - `at`, `angles`: as in `effective_llg`, ``at`` by default that in the middle; few angles are enough, because the
      layers are nearly at rest.

    **Returns:** V. Raises ValueError where Re lambda_0 has one sign at both ends (nan under a transformation), and what
    `effective_llg` raises.
    """
    valve, ends = prepare(valve), np.asarray(between, float)
    if ends.shape != (2,) or not np.all(np.isfinite(ends)) or not ends[0] < ends[1]:
        raise ValueError(f"Argument `between` must be two increasing finite voltages, but is {between}.")
    middle = constant_levels(valve, bias(jnp.asarray(ends.mean())))
    rate = slow_frequency(valve, middle) if at is None else real_array(at, "at")

    def growth(valve: SpinValve, rate: Scalar, voltage: Scalar) -> Scalar:
        return effective_llg(valve, bias(voltage), angles=angles, at=rate).modes()[0].real

    if known(*jax.tree.leaves(valve)):
        first, last = (float(growth(valve, rate, jnp.asarray(end))) for end in ends)
        if not first * last <= 0:
            raise ValueError(
                "Argument `between` must enclose a voltage at which the slow mode starts to grow, but Re lambda is "
                f"{first:.3g} and {last:.3g} at its ends."
            )
        return jnp.asarray(brentq(lambda v: float(growth(valve, rate, jnp.asarray(v))), *ends, xtol=1e-10))
    fixed = jax.lax.stop_gradient((valve, rate))
    root = jax.lax.stop_gradient(_root(lambda v: growth(*fixed, v), jnp.asarray(ends)))
    _, slope = jax.jvp(lambda v: growth(*fixed, v), (root,), (jnp.ones_like(root),))
    change = growth(valve, rate, root) / jax.lax.stop_gradient(slope)
    return root - change + jax.lax.stop_gradient(change)


def _root(f: Callable[[Scalar], Scalar], ends: Array, most: int = 40) -> Scalar:
    """A root between two ends of different sign by the Illinois method, nan where there is none."""

    def unfinished(carry):
        step, x, y = carry
        return (step < most) & (jnp.min(jnp.abs(y)) > 0) & (jnp.abs(x[1] - x[0]) > 1e-10)

    def improve(carry):
        step, x, y = carry  # y[0] is halved where the same end stays twice
        new = x[1] - y[1] * (x[1] - x[0]) / (y[1] - y[0])
        value = f(new)
        crossed = value * y[1] < 0
        kept = jnp.where(crossed, x[1], x[0]), jnp.where(crossed, y[1], y[0] / 2)
        return step + 1, jnp.stack([kept[0], new]), jnp.stack([kept[1], value])

    values = jnp.stack([f(ends[0]), f(ends[1])])
    _, x, y = jax.lax.while_loop(unfinished, improve, (0, ends, values))
    return jnp.where(values[0] * values[1] <= 0, x[jnp.argmin(jnp.abs(y))], jnp.nan)
