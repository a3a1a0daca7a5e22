"""The Hamiltonian of the electrons, Eq. (1)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Inexact

from svjax.engine.arrays import Columns, Matrix, Numbers, Spins, real_array
from svjax.model.leads import PAULI, broadening
from svjax.model.spins import coupling
from svjax.model.valve import SpinValve, canonical


def local_blocks(valve: SpinValve, spins: Spins) -> Complex[Array, "sites 2 2"]:
    """(N, 2, 2) the on-site part of H_eff = H - (i/2) Gamma: mu_bar_j - (i/2) Gamma_j + (J_sd/2) sigma.S_j."""
    if spins.shape != (len(valve.lattice.spin_sites), 3):
        raise ValueError(f"Argument `spins` must have shape {(len(valve.lattice.spin_sites), 3)}, not {spins.shape}.")
    x, y, z = valve.lattice.spins_to_sites(coupling(valve)[:, None] * spins / 2).T
    pairs = jnp.stack(
        [jnp.stack([valve.mu_bar + z, x - 1j * y], -1), jnp.stack([x + 1j * y, valve.mu_bar - z], -1)], -2
    )
    return pairs - 0.5j * broadening(valve) if valve.lattice.contacts else pairs


def bond_blocks(valve: SpinValve) -> Inexact[Array, "bonds *spinor"] | None:
    """H_ij = -hopping A_ij of every bond (i, j): (bonds,) or (bonds, 2, 2); None where all A_ij are one.

    A_ij = [bonds_ij - i (rashba/hopping) (z x d_ij).sigma] e^(i flux w_ij), d_ij the bond's direction, w_ij its phase
    per flux.
    """
    lattice = valve.lattice
    if valve.bonds is None and valve.rashba is None and valve.flux is None:
        return None
    amplitude = jnp.ones(len(lattice.bonds), valve.dtype) if valve.bonds is None else valve.bonds
    blocks = -valve.hopping * amplitude
    if valve.rashba is not None:
        x, y, _ = lattice.directions.T
        sigma = np.einsum("ba,ast->bst", np.stack([-y, x], 1), np.array(PAULI[:2]))
        blocks = blocks[:, None, None] * jnp.eye(2) if blocks.ndim == 1 else blocks
        blocks = blocks + 1j * valve.rashba * jnp.asarray(sigma, jnp.result_type(valve.dtype, jnp.complex64))
    if valve.flux is not None:
        phase = jnp.exp(1j * valve.flux * jnp.asarray(lattice.phases_per_flux, valve.dtype))
        blocks = blocks * phase.reshape(-1, *[1] * (blocks.ndim - 1))
    return blocks


def bond_matrices(valve: SpinValve) -> Complex[Array, "bonds 2 2"]:
    """`bond_blocks` as 2x2 matrices, whatever they are."""
    blocks = bond_blocks(valve)
    if blocks is None:
        blocks = jnp.broadcast_to(-valve.hopping, (len(valve.lattice.bonds),))
    blocks = blocks[:, None, None] * jnp.eye(2, dtype=blocks.dtype) if blocks.ndim == 1 else blocks
    return blocks.astype(jnp.result_type(valve.dtype, jnp.complex64))


def hop(valve: SpinValve, x: Complex[Array, "sites 2 cols"]) -> Complex[Array, "sites 2 cols"]:
    """The hopping part of H times x: y_i = sum_j H_ij x_j, by gathers whose derivatives are gathers too."""
    blocks = bond_blocks(valve)
    if blocks is None:
        return -valve.hopping * valve.lattice.neighbours(x)
    back = blocks.conj() if blocks.ndim == 1 else jnp.swapaxes(blocks.conj(), 1, 2)
    table = jnp.concatenate([blocks, back, jnp.zeros_like(blocks[:1])])
    total = jnp.zeros_like(x)
    for partners, which in valve.lattice.matchings:
        amplitude, theirs = table[which], partners(x)
        if blocks.ndim == 1:
            total = total + amplitude[:, None, None] * theirs
        else:
            total = (
                total + amplitude[:, :, 0, None] * theirs[:, None, 0] + amplitude[:, :, 1, None] * theirs[:, None, 1]
            )
    return total


def apply_effective(valve: SpinValve, blocks: Complex[Array, "sites 2 2"], columns: Columns) -> Columns:
    """H_eff times a block of columns (2N, columns), by gathers over neighbours and 2x2 products on the sites."""
    x = columns.reshape(valve.lattice.n_sites, 2, -1)
    up, down = x[:, 0], x[:, 1]
    local = [blocks[:, s, 0, None] * up + blocks[:, s, 1, None] * down for s in (0, 1)]
    return (jnp.stack(local, 1) + hop(valve, x)).reshape(columns.shape)


def effective_hamiltonian(valve: SpinValve, spins: Numbers) -> Matrix:
    """(2N, 2N) dense H_eff = H - (i/2) Gamma, for direct solvers; never used in the time loop."""
    valve = canonical(valve)
    blocks = local_blocks(valve, real_array(spins, "spins").astype(valve.dtype))
    return apply_effective(valve, blocks, jnp.eye(valve.lattice.dim, dtype=blocks.dtype))


def hamiltonian(valve: SpinValve, spins: Numbers) -> Matrix:
    """(2N, 2N) dense H of Eq. (1), without the leads."""
    h_eff = effective_hamiltonian(valve, spins)
    return (h_eff + h_eff.conj().T) / 2


def hopping_reach(valve: SpinValve) -> float:
    """The largest sum of |H_ij| along a row, j the neighbours of i: no level of the hopping part lies further out."""
    size = np.linalg.norm(np.asarray(bond_matrices(valve)), 2, axis=(1, 2)) if valve.lattice.bonds else np.zeros(0)
    ends = valve.lattice.bond_array
    return float(np.bincount(ends.ravel(), np.repeat(size, 2), valve.lattice.n_sites).max(initial=0.0))
