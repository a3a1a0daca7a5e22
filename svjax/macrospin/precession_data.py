"""Whether data can be the magnetisations of a run, per spin, at times that increase."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array

from svjax.engine.arrays import known


def check_data(t: Array, m_left: Array, m_right: Array, n_s: Array, start: Array | None) -> None:
    """Raise a ValueError that names the first argument of `fit_macrospin` that cannot be what it should."""
    if t.ndim != 1 or t.size < 4:
        raise ValueError(f"Argument `t` must be of shape (T,) with T >= 4, but is of shape {t.shape}.")
    if n_s.shape not in ((), (2,)):
        raise ValueError(f"Argument `n_s` must be one number or one per layer, but is of shape {n_s.shape}.")
    if start is not None and start.shape != (2, 3):
        raise ValueError(f"Argument `start` must be of shape (2, 3), but is of shape {start.shape}.")
    layers = {"m_left": m_left, "m_right": m_right}
    for name, value in layers.items():
        if value.shape != (t.size, 3):
            raise ValueError(f"Argument `{name}` must be of shape {(t.size, 3)}, but is of shape {value.shape}.")
    for name, value in {"t": t, **layers, "n_s": n_s, "start": start}.items():
        if value is not None and known(value) and not np.all(np.isfinite(value)):
            raise ValueError(f"Argument `{name}` must be finite, but is {value[~np.isfinite(value)][0]} in places.")
    if known(t) and not np.all(np.diff(t) > 0):
        bad = int(np.argmin(np.diff(t) > 0))
        raise ValueError(f"Argument `t` must be strictly increasing, but is {t[bad]} and then {t[bad + 1]}.")
    if known(n_s) and not np.all(n_s > 0):
        raise ValueError(f"Argument `n_s` must be positive, but is {n_s}.")
    for name, value in layers.items():
        if known(value) and (length := np.median(np.linalg.norm(value, axis=1))) > 1.5:
            raise ValueError(f"Argument `{name}` must be per spin (length one), but is of length {length:.3g}.")
