"""Error bars from the Gauss-Newton curvature, and which combinations of parameters the data do not determine."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from svjax.engine.arrays import Scalar

UNDETERMINED = 1e-6
"""A singular value of the Jacobian, its columns scaled to length one, is taken to be zero below this."""


def inverse_curvature(
    jacobian: Float[Array, "data n"],
) -> tuple[Float[Array, "n n"], Bool[Array, ""]]:
    """(J^T J)^-1, the covariance of n parameters for data of unit variance, and whether the data determine them.

    Where they do not, the inverse is that of another matrix and means nothing.
    """
    lengths = jnp.linalg.norm(jacobian, axis=0)
    roundoff = 1e3 * jnp.finfo(jacobian.dtype).eps
    moves = lengths > roundoff * jnp.sqrt(len(jacobian))
    lengths = jnp.where(moves, lengths, 1.0)
    scaled = jacobian / lengths
    curvature = scaled.T @ scaled
    determined = jnp.all(moves) & (jnp.linalg.eigvalsh(curvature)[0] > roundoff)
    inverse = jnp.linalg.inv(jnp.where(determined, curvature, jnp.eye(len(lengths))))
    return inverse / jnp.outer(lengths, lengths), determined


def noise_variance(residuals: Float[Array, "time *shape"], n: int) -> Scalar:
    """The variance of data whose residuals are left by a fit of ``n`` parameters: their square over data minus n,
    widened by (pi/2)/arccos(r), r the correlation of the residual from one time to the next.

    The factor is 1 for noise. The residual of a smooth run is not noise, and with the factor its error bars do not
    shrink as it is sampled more finely: cos(w t) has r = cos(w dt), and passes through zero, or has one independent
    value, every pi/w.
    """
    square = jnp.sum(residuals**2)
    correlation = jnp.sum(residuals[1:] * residuals[:-1]) / jnp.where(square > 0, square, 1.0)
    correlation = jnp.clip(correlation, 0.0, 1 - 1 / len(residuals) ** 2)
    return square / (residuals.size - n) * (jnp.pi / 2) / jnp.arccos(correlation)


def undetermined(derivative: ArrayLike, names: Sequence[str]) -> list[str]:
    """The combinations of the named parameters along which the data do not change, in words; none if all is well.

    The directions are the right singular vectors, of singular value zero, of the ``derivative`` (data, n) with columns
    scaled to one.
    """
    jacobian = np.asarray(derivative)
    lengths = np.linalg.norm(jacobian, axis=0)
    still = lengths <= 1e-12 * max(lengths.max(initial=0.0), np.finfo(float).tiny)
    silent = [f"{name} (the data do not depend on it)" for name, zero in zip(names, still, strict=True) if zero]
    moving = [k for k, zero in enumerate(still.tolist()) if not zero]
    if not moving:
        return silent
    values, directions = np.linalg.svd(jacobian[:, moving] / lengths[moving])[1:]
    values = np.append(values, np.zeros(len(moving) - len(values)))
    return silent + [
        _combination([names[k] for k in moving], direction / lengths[moving])
        for value, direction in zip(values, directions, strict=True)
        if value <= UNDETERMINED * values[0]
    ]


def _combination(names: Sequence[str], direction: np.ndarray) -> str:
    """The parameters that take part in a direction, and the ratio of their changes."""
    direction = direction / direction[np.argmax(np.abs(direction))]
    moving = [(name, change) for name, change in zip(names, direction.tolist(), strict=True) if abs(change) > 1e-3]
    changes = ", ".join(f"{change:.3g}" for _, change in moving)
    return f"({', '.join(name for name, _ in moving)}) changed as ({changes})"
