"""Constant chemical potentials of the leads, from whatever users give as a bias."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from svjax.engine.arrays import PerLead, known
from svjax.model.bias import Bias, as_bias
from svjax.model.valve import SpinValve

BiasLike = Bias | ArrayLike | Sequence | None
"""`symmetric(V)`, `asymmetric(V)`, another function of the time, one mu_l per lead, or None for all zero."""


def constant_levels(valve: SpinValve, bias: BiasLike) -> PerLead:
    """mu_l of a bias that must not depend on time, for a valve that must have leads."""
    leads = len(valve.lattice.contacts)
    if not leads:
        raise ValueError("Argument `valve` must have leads: nothing relaxes in an isolated valve, but it has none.")
    bias = as_bias(bias, leads)
    mu, later = (jnp.asarray(bias(jnp.asarray(t)), valve.j_sd.dtype) for t in (0.0, 1.7))
    if known(mu):
        if not np.all(np.isfinite(mu)):
            raise ValueError(f"Argument `bias` must be finite, but is {mu}.")
        if not np.array_equal(mu, later):
            raise ValueError(f"Argument `bias` must not depend on time, but is {mu} at t = 0 and {later} at t = 1.7.")
    return mu
