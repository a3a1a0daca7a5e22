"""Zero-frequency noise of charge and spin currents at frozen spins, after Landauer and Buttiker."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, Float

from svjax.electrons.energy_integral import contact_gamma, integrate_energy
from svjax.electrons.landauer import at_levels
from svjax.engine.arrays import PerLead, Spins
from svjax.model.leads import PAULI
from svjax.model.levels import BiasLike
from svjax.model.valve import SpinValve


def zero_frequency_noise(valve: SpinValve, spins: ArrayLike, bias: BiasLike) -> Float[Array, "leads leads"]:
    """S_lm = int dt <dI_l(t) dI_m(0) + dI_m(0) dI_l(t)> of the particle currents into the valve, (leads, leads).

        S_lm = (1/pi) int de sum_jk Tr[A_jk(l) A_kj(m)] f_j (1 - f_k),   A_jk(l) = delta_lj delta_lk - s_lj^+ s_lk,

    with s_lj the scattering matrix from lead j to lead l (M. Buttiker, Phys. Rev. B 46, 12485 (1992)), in units of the
    hopping/hbar. At zero bias it is 4 T G on the diagonal, G = dI/dmu; at zero temperature a tunnel contact has 2 |I|.
    Rows and columns add up to zero, since no charge stays on the valve. Any number of leads, magnetic or with a band,
    each at its own temperature. ``spins`` are (N_S, 3) unit vectors, ``bias`` constant. Differentiable.
    """
    return _noise(*at_levels(valve, spins, bias))[:, 0, :, 0]


def spin_noise(valve: SpinValve, spins: ArrayLike, bias: BiasLike) -> Float[Array, "leads 3 leads 3"]:
    """`zero_frequency_noise` of the spin currents, sigma/2 per unit time into the valve: lead, axis, lead, axis.

    The current is that of `spin_current`, what the coupling to the lead adds to the spin of the valve; for a lead with
    a band what its outermost contact adds to the spin of valve and band. Spin is not conserved on the valve, so nothing
    adds up to zero.
    """
    return _noise(*at_levels(valve, spins, bias))[:, 1:, :, 1:] / 4


def fano_factors(valve: SpinValve, spins: ArrayLike, bias: BiasLike) -> PerLead:
    """S_ll/(2 |I_l|) of the particle current of each lead, (leads,): 1 for rare, independent electrons at low T."""
    given = at_levels(valve, spins, bias)
    return jnp.diagonal(_noise(*given)[:, 0, :, 0]) / (2 * jnp.abs(_currents(*given)))


@jax.jit
def _noise(valve: SpinValve, spins: Spins, mu: PerLead) -> Float[Array, "leads 4 leads 4"]:
    """The noise of the currents of 1 and sigma.

    With the columns W_l of the coupling, Gamma_l = W_l W_l^+, and s_lj = delta_lj - i W_l^+ G W_j, the current of an
    observable o (1 or sigma) at lead l is W_j^+ [i delta_lj o G - i delta_lk G^+ o - G^+ {Gamma_l, o} G/2] W_k.
    """
    rows, gamma = contact_gamma(valve)
    lead = np.repeat(np.arange(len(rows)), [len(one.rows) for one in rows])
    observables = _one_and_sigma(len(lead), gamma.dtype)
    own = jnp.asarray(lead == np.arange(len(rows))[:, None], gamma.dtype)
    total = gamma.sum(0)
    shared = jnp.einsum("lab,obc->loac", gamma, observables)
    shared = (shared + jnp.swapaxes(shared.conj(), -1, -2)) / 2

    def measure(_, green, f):
        into = 1j * own[:, None, :, None] * (observables @ green)
        operator = into + jnp.swapaxes(into.conj(), -1, -2) - green.conj().T @ shared @ green
        current = total @ operator
        occupied = f[lead, None] * (1 - f[lead])
        return jnp.einsum("loab,ab,mpba->lomp", current, occupied + occupied.T, current).real

    return integrate_energy(valve, spins, mu, measure)


@jax.jit
def _currents(valve: SpinValve, spins: Spins, mu: PerLead) -> PerLead:
    """Particle currents into the valve."""
    _, gamma = contact_gamma(valve)

    def measure(_, green, f):
        through = jnp.einsum("lab,bc,mcd,ad->lm", gamma, green, gamma, green.conj()).real
        return jnp.sum(through * (f[:, None] - f), 1)

    return integrate_energy(valve, spins, mu, measure)


def _one_and_sigma(size: int, dtype) -> Complex[Array, "4 contact contact"]:
    pauli = jnp.array([((1, 0), (0, 1)), *PAULI], dtype)
    return jax.vmap(lambda matrix: jnp.kron(jnp.eye(size // 2, dtype=dtype), matrix))(pauli)
