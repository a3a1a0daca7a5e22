"""Spectra of static configurations: levels of H(S), their spin and place, splitting and gap, broadened DOS; RKKY law.

All functions take a valve and its spins at one time and can be batched over either, so a scan over J_sd is one call:
``jax.vmap(lambda j: sv.spectrum(eqx.tree_at(lambda v: v.j_sd, valve, j), spins))(couplings)``. Leads are left out: H is
the Hermitian Eq. (1), filled up to energy 0.
"""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import sici
from jaxtyping import Array, Float, Int

from svjax.engine.arrays import Numbers, Scalar, Spins, real_array
from svjax.engine.shown import Shown
from svjax.model.equations import State
from svjax.model.hamiltonian import hamiltonian
from svjax.model.leads import PAULI
from svjax.model.valve import SpinValve, check_spins, prepare
from svjax.observables.electronic import magnetization

Levels = Float[Array, "dim"]


class Spectrum(Shown, eqx.Module):
    """The eigenstates phi_n of H(S), as `spectrum` finds them.

    States of one energy have no polarisation and weights of their own; each is given the mean over its level, which no
    choice of basis can change (so that without coupling, J_sd = 0, no state is polarised).
    """

    units: ClassVar = {"energies": "hopping"}

    energies: Levels
    """(2N,) in units of the hopping, ascending."""
    polarization: Float[Array, "dim 3"]
    """(2N, 3) sum_j <phi_n| sigma |phi_n>_j, between -1 and 1: the colours of Fig. 2(a)."""
    weights: Float[Array, "dim regions"]
    """(2N, layers + 1) P_l^n = sum_(j in l) |phi_n(r_j)|^2 of Appendix B: each magnetic layer in turn (pinned, free),
    then all other sites (the spacer)."""


def spectrum(valve: SpinValve, spins: Numbers) -> Spectrum:
    """Levels of H(S), Eq. (1), with the spin polarisation (Fig. 2) and the weight per layer (Fig. 16) of their states.

    ``spins`` are (N_S, 3) unit vectors. The energies can be differentiated always, polarisation and weights where no
    two levels coincide.
    """
    valve = prepare(valve)
    return _spectrum(valve, check_spins(valve, spins))


@jax.jit
def _spectrum(valve: SpinValve, spins: Spins) -> Spectrum:
    energies, states = jnp.linalg.eigh(hamiltonian(valve, spins))
    on_sites = states.reshape(valve.lattice.n_sites, 2, -1)
    sigma = jnp.array(PAULI, states.dtype)
    polarization = jnp.einsum("jsn,ast,jtn->na", on_sites.conj(), sigma, on_sites).real
    weights = jnp.sum(jnp.abs(on_sites) ** 2, 1).T @ _regions(valve)

    same = (jnp.abs(energies[:, None] - energies) <= _tolerance(energies)).astype(energies.dtype)
    same = same / jnp.sum(same, 1, keepdims=True)
    return Spectrum(energies, same @ polarization, same @ weights)


def _regions(valve: SpinValve) -> np.ndarray:
    """(N, layers + 1) one where a site belongs to a layer; the last column takes the sites of no layer."""
    lattice = valve.lattice
    member = np.zeros((lattice.n_sites, len(lattice.layers) + 1))
    member[lattice.spin_sites, lattice.spin_layers] = 1
    member[:, -1] = 1 - member.sum(1)
    return member


def _tolerance(energies: Levels) -> Scalar:
    """Below this distance two levels are one: the rounding error of a diagonalisation."""
    return energies.shape[0] * jnp.finfo(energies.dtype).eps * jnp.max(jnp.abs(energies))


def energy_levels(valve: SpinValve, spins: Numbers) -> Levels:
    """(2N,) eigenvalues of H(S), Eq. (1), ascending, in units of the hopping, for spins (N_S, 3)."""
    valve = prepare(valve)
    return _energy_levels(valve, check_spins(valve, spins))


@jax.jit
def _energy_levels(valve: SpinValve, spins: Spins) -> Levels:
    return jnp.linalg.eigvalsh(hamiltonian(valve, spins))


def level_splitting(valve: SpinValve, spins: Numbers) -> Scalar:
    """Delta epsilon between the two highest occupied levels of H(S): Figs. 4(b), 18(b); nan if fewer are occupied.

    Levels are occupied up to energy 0, and half of the zero modes with them.
    """
    energies = energy_levels(valve, spins)
    top = _highest_occupied(energies)
    return jnp.where(top >= 1, energies[top] - energies[top - 1], jnp.nan)


def level_gap(valve: SpinValve, spins: Numbers) -> Scalar:
    """Lowest empty minus highest occupied level of H(S), Fig. 18(c); nan if all or no levels are occupied."""
    energies = energy_levels(valve, spins)
    top = _highest_occupied(energies)
    inside = (top >= 0) & (top + 1 < energies.shape[0])
    return jnp.where(inside, energies[jnp.minimum(top + 1, energies.shape[0] - 1)] - energies[top], jnp.nan)


def _highest_occupied(energies: Levels) -> Int[Array, ""]:
    below = jnp.sum(energies < -_tolerance(energies))
    zero_modes = jnp.sum(jnp.abs(energies) <= _tolerance(energies))
    return below + (zero_modes + 1) // 2 - 1


def spectral_observables(valve: SpinValve, state: State) -> dict[str, Array]:
    """What Fig. 18 shows, for ``evolve(..., observe=spectral_observables)``: Delta epsilon(t) and the gap of H(S(t)).

    **Returns:** "splitting" and "gap", scalars in units of the hopping, "spins" (N_S, 3), the traces of single spins,
    and "magnetization" (layers, 3). It costs one diagonalisation per level quantity and save.
    """
    return {
        "magnetization": magnetization(valve, state),
        "spins": state.spins,
        "splitting": level_splitting(valve, state.spins),
        "gap": level_gap(valve, state.spins),
    }


def broadened_dos(valve: SpinValve, spins: Numbers, energies: Numbers, width: Numbers) -> Float[Array, "energies"]:
    """Density of states per site of an isolated valve, each level a Lorentzian of half width ``width``: Fig. 4(c).

        DOS(e) = (1/N) sum_n (width/pi) / ((e - e_n)^2 + width^2)

    This is Eq. (18) with G^R(e + i width) and no leads; it integrates to 2, the two spins of a site. ``energies`` (E,)
    and ``width`` are in units of the hopping, the result (E,) in inverse units.
    """
    at, width = real_array(energies), real_array(width)
    distance = at[:, None] - energy_levels(valve, spins)
    return jnp.sum(width / jnp.pi / (distance**2 + width**2), -1) / valve.lattice.n_sites


def rkky_law(j_sd: Numbers, spacer: Numbers) -> Array:
    """The coupling J_sd^2 [Si(pi N_NM) - pi/2] of two spins in a one-dimensional electron gas, beside Fig. 5.

    Si(x) is the sine integral. The law is known up to a positive factor; it is positive (ferromagnetic) for odd and
    negative for even ``spacer`` = N_NM and decays as J_sd^2 / (pi N_NM). Broadcasts, and can be differentiated.
    """
    return real_array(j_sd) ** 2 * (sici(jnp.pi * real_array(spacer))[0] - jnp.pi / 2)
