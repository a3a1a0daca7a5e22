"""Constant chemical potentials of the leads, from whatever users give as a bias."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import ArrayLike

from svjax.engine.arrays import PerLead
from svjax.model.valve import SpinValve
from svjax.reservoirs.bias import Bias, as_bias, described

BiasLike = Bias | ArrayLike | Sequence | None
"""`symmetric(V)`, `asymmetric(V)`, another function of the time, one mu_l per lead, or None for all zero."""


def constant_levels(valve: SpinValve, bias: BiasLike) -> PerLead:
    """mu_l of a bias that must not depend on time, for a valve that must have leads."""
    leads = len(valve.lattice.contacts)
    if not leads:
        raise ValueError("Argument `valve` must have leads: nothing relaxes in an isolated valve, but it has none.")
    bias = as_bias(bias, leads)
    if not described(bias).constant:
        raise ValueError(f"Argument `bias` must not depend on time, but is {bias}.")
    return jnp.asarray(bias(jnp.zeros(())), valve.dtype)
