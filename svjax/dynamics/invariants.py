"""What a run must keep, whatever happens in it, and how far it may stray."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, DTypeLike

from svjax.model.equations import State
from svjax.model.valve import SpinValve
from svjax.observables.electronic import charge_balance


def length_limit(dtype: DTypeLike) -> float:
    """The largest ||S_j| - 1| of an accurate run: 1e-6, or what single precision can tell."""
    return 1e-6 if dtype == jnp.float64 else 1e-3


def balance_limit(dtype: DTypeLike) -> float:
    """The largest charge balance of an accurate run, in hopping/hbar."""
    return 1e-10 if dtype == jnp.float64 else 1e-3


def length_error(spins: ArrayLike) -> np.ndarray:
    """The largest ||S_j| - 1| of spins (..., N_S, 3), (...)."""
    return np.abs(np.linalg.norm(np.asarray(spins), axis=-1) - 1).max(-1, initial=0.0)


def shortened(error: float) -> str:
    """What to say of a run whose spins have changed their length by ``error``."""
    return f"The spins have changed their length by {error:.1e}: dt is too long."


def straying(valve: SpinValve, state: State) -> str:
    """In words, what of a finished run is beyond its limit; empty where all is well."""
    error = float(length_error(state.spins))
    if not error <= length_limit(valve.dtype):
        return shortened(error)
    balance = abs(float(charge_balance(valve, state)))
    if not balance <= balance_limit(valve.dtype):
        return f"The currents do not add up to the change of the charge, by {balance:.1e} hopping/hbar."
    return ""
