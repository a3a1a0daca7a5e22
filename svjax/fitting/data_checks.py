"""Whether data can be those of a target: finite, of the right shape, with errors that fit."""

from __future__ import annotations

import numpy as np


def spread(sigma: np.ndarray, ndim: int) -> np.ndarray:
    """One error per time (T,) serves all components of the values (T, ...)."""
    return sigma.reshape(-1, *[1] * (ndim - 1)) if sigma.ndim == 1 and sigma.size > 1 else sigma


def check_finite(name: str, value: np.ndarray) -> None:
    """Raise a ValueError that names ``name`` where a value is not finite."""
    if not np.all(np.isfinite(value)):
        raise ValueError(f"Argument `{name}` must be finite, but is {value[~np.isfinite(value)][0]} in places.")


def check_values(values: np.ndarray, sigma: np.ndarray | None, axis: str, at: np.ndarray) -> None:
    """Raise a ValueError unless there is a row of finite values for each place ``at``, with errors that fit them."""
    if values.shape[:1] != at.shape:
        raise ValueError(
            f"Argument `values` must have one entry for each `{axis}`, ({len(at)}, ...), but has shape {values.shape}."
        )
    bad = ~np.all(np.isfinite(values.reshape(len(at), -1)), 1)
    if np.any(bad):
        raise ValueError(f"Argument `values` must be finite, but is not at {axis} = {at[bad][0]:g}.")
    if sigma is None:
        return
    if not np.all(np.isfinite(sigma) & (sigma > 0)):
        raise ValueError("Argument `sigma` must be positive and finite, but is not.")
    try:
        np.broadcast_to(spread(sigma, values.ndim), values.shape)
    except ValueError:
        raise ValueError(
            f"Argument `sigma` must fit the shape {values.shape} of `values`, but has shape {sigma.shape}."
        ) from None


def check_shape(values: np.ndarray, predicted) -> None:
    """Raise a ValueError unless values have the shape of what is predicted."""
    if predicted.shape != values.shape:
        raise ValueError(f"Argument `values` must have shape {predicted.shape}, but has shape {values.shape}.")
