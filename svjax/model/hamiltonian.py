"""The Hamiltonian of the electrons, Eq. (1)."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from svjax.engine.arrays import Matrix, Numbers, Scalar, Spins, real_array
from svjax.engine.tracing import inlined
from svjax.lattices.lattice import Lattice
from svjax.model.leads import PAULI, broadening
from svjax.model.spins import coupling
from svjax.model.valve import SpinValve, canonical


class BareHamiltonian(eqx.Module):
    """What of H_eff = H - (i/2) Gamma does not depend on the spins, computed once for many products.

    - `on_site`: (N, 2, 2) mu_bar_j - (i/2) Gamma_j on the sites. `coupling`: (N_S,) J_sd of the spins.
    - `bonds`: for each of the lattice's matchings H_ij of every site i and its partner j, (N,) or (N, 2, 2); None where
      all A_ij are one and H_ij = -`hopping`.
    """

    lattice: Lattice = eqx.field(static=True)
    on_site: Complex[Array, "sites 2 2"]
    coupling: Float[Array, "spins"]
    hopping: Scalar
    bonds: tuple[Inexact[Array, "sites *spinor"], ...] | None


def bare_hamiltonian(valve: SpinValve) -> BareHamiltonian:
    """`BareHamiltonian` of a valve whose leaves are arrays."""
    lattice, blocks = valve.lattice, bond_blocks(valve)
    one = jnp.eye(2, dtype=jnp.result_type(valve.dtype, jnp.complex64))
    on_site = jnp.broadcast_to(valve.mu_bar, (lattice.n_sites,))[:, None, None] * one
    on_site = on_site - 0.5j * broadening(valve) if lattice.contacts else on_site
    bonds = None
    if blocks is not None:
        back = blocks.conj() if blocks.ndim == 1 else jnp.swapaxes(blocks.conj(), 1, 2)
        table = jnp.concatenate([blocks, back, jnp.zeros_like(blocks[:1])])
        bonds = tuple(table[which] for _, which in lattice.matchings)
    return BareHamiltonian(lattice, on_site, coupling(valve), valve.hopping, bonds)


def with_spins(bare: BareHamiltonian, spins: Spins) -> Complex[Array, "sites 2 2"]:
    """(N, 2, 2) the on-site part of H_eff: mu_bar_j - (i/2) Gamma_j + (J_sd/2) sigma.S_j."""
    return bare.on_site + spin_blocks(bare.lattice, bare.coupling[:, None] * spins)


def spin_blocks(lattice: Lattice, vectors: Spins) -> Complex[Array, "sites 2 2"]:
    """(N, 2, 2) sigma.v_j/2 on the spins' sites, zero on the others."""
    x, y, z = lattice.spins_to_sites(vectors / 2).T
    return jnp.stack([jnp.stack([z, x - 1j * y], -1), jnp.stack([x + 1j * y, -z], -1)], -2)


def spin_part(blocks: Complex[Array, "sites 2 2"]) -> Spins:
    """Tr(block sigma)/2 of Hermitian blocks."""
    flip = blocks[:, 1, 0]
    return jnp.stack([flip.real, flip.imag, (blocks[:, 0, 0] - blocks[:, 1, 1]).real / 2], -1)


def spin_rotation(lattice: Lattice, angle: Spins) -> Complex[Array, "sites 2 2"]:
    """exp(-i angle.sigma/2) on the spins' sites, one on the others."""
    square = jnp.sum(angle**2, -1, keepdims=True)
    size = jnp.sqrt(jnp.where(square > 1e-12, square, 1.0))
    share = jnp.where(square > 1e-12, jnp.sin(size / 2) / (size / 2), 1 - square / 24)
    cosine = lattice.spins_to_sites(jnp.where(square > 1e-12, jnp.cos(size / 2), 1 - square / 8) - 1)
    return (1 + cosine)[..., None] * jnp.eye(2, dtype=angle.dtype) - 1j * spin_blocks(lattice, share * angle)


def local_blocks(valve: SpinValve, spins: Spins) -> Complex[Array, "sites 2 2"]:
    """(N, 2, 2) the on-site part of H_eff = H - (i/2) Gamma: mu_bar_j - (i/2) Gamma_j + (J_sd/2) sigma.S_j."""
    if spins.shape != (len(valve.lattice.spin_sites), 3):
        raise ValueError(f"Argument `spins` must have shape {(len(valve.lattice.spin_sites), 3)}, not {spins.shape}.")
    return with_spins(bare_hamiltonian(valve), spins)


@inlined
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


@inlined
def bond_matrices(valve: SpinValve) -> Complex[Array, "bonds 2 2"]:
    """`bond_blocks` as 2x2 matrices, whatever they are."""
    blocks = bond_blocks(valve)
    if blocks is None:
        blocks = jnp.broadcast_to(-valve.hopping, (len(valve.lattice.bonds),))
    blocks = blocks[:, None, None] * jnp.eye(2, dtype=blocks.dtype) if blocks.ndim == 1 else blocks
    return blocks.astype(jnp.result_type(valve.dtype, jnp.complex64))


def apply_effective(bare: BareHamiltonian, blocks: Complex[Array, "sites 2 2"], columns: Any) -> Any:
    """H_eff times a block of columns (2N, columns), complex or in `Parts`: y_i = blocks_i x_i + sum_j H_ij x_j, by
    gathers over neighbours, whose derivatives are gathers too, and 2x2 products on the sites."""
    lattice = bare.lattice
    x = columns.reshape(lattice.n_sites, 2, -1)
    total = on_spinors(blocks, x)
    if bare.bonds is None:
        total = total - bare.hopping * jax.tree.map(lattice.neighbours, x)
    else:
        for (partners, _), amplitude in zip(lattice.matchings, bare.bonds, strict=True):
            theirs = jax.tree.map(partners, x)
            scalar = amplitude.ndim == 1
            total = total + (amplitude[:, None, None] * theirs if scalar else on_spinors(amplitude, theirs))
    return total.reshape(columns.shape)


def on_spinors(blocks: Inexact[Array, "sites 2 2"], x: Any) -> Any:
    """A 2x2 matrix times the spinor of each site."""
    spin = np.arange(2)
    same, other = (blocks[:, spin, turned].reshape(-1, 2, 1) for turned in (spin, 1 - spin))
    return same * x + other * x[:, ::-1]  # without copies, which rows put together would take


def hoppings(bare: BareHamiltonian) -> list[tuple[np.ndarray, Array]]:
    """Pairs of a partner j for each site i and the (N, 2, 2) blocks H_ij, zero where a site has none."""
    one = jnp.eye(2, dtype=bare.coupling.dtype)
    if bare.bonds is None:
        table = bare.lattice.neighbours
        columns = zip(table.index.T, table.filled.T, strict=True)
        return [(index, -bare.hopping * filled[:, None, None] * one) for index, filled in columns]
    blocks = [b if b.ndim == 3 else b[:, None, None] * one for b in bare.bonds]
    return [(table.index[:, 0], b) for (table, _), b in zip(bare.lattice.matchings, blocks, strict=True)]


def spinor_product(a: Complex[Array, "sites 2 2"], b: Complex[Array, "sites 2 2"]) -> Complex[Array, "sites 2 2"]:
    """a b of 2x2 blocks, without the calls that a product of small matrices is compiled to."""
    return jnp.sum(a[:, :, :, None] * b[:, None], 2)


def effective_hamiltonian(valve: SpinValve, spins: Numbers) -> Matrix:
    """(2N, 2N) dense H_eff = H - (i/2) Gamma, for direct solvers; never used in the time loop."""
    valve = canonical(valve)
    return _dense(valve, real_array(spins, "spins").astype(valve.dtype))


def hamiltonian(valve: SpinValve, spins: Numbers) -> Matrix:
    """(2N, 2N) dense H of Eq. (1), without the leads."""
    return _hermitian_part(effective_hamiltonian(valve, spins))


@inlined
def _dense(valve: SpinValve, spins: Spins) -> Matrix:
    blocks = local_blocks(valve, spins)
    return apply_effective(bare_hamiltonian(valve), blocks, jnp.eye(valve.lattice.dim, dtype=blocks.dtype))


@inlined
def _hermitian_part(matrix: Matrix) -> Matrix:
    return (matrix + matrix.conj().T) / 2


def hopping_reach(valve: SpinValve) -> float:
    """The largest sum of |H_ij| along a row, j the neighbours of i: no level of the hopping part lies further out."""
    ends, blocks = valve.lattice.bond_array, bond_blocks(valve)
    sized = np.full(len(ends), float(valve.hopping)) if blocks is None else np.asarray(blocks)
    size = np.linalg.norm(sized, 2, axis=(1, 2)) if sized.ndim == 3 and len(ends) else np.abs(sized).reshape(len(ends))
    return float(np.bincount(ends.ravel(), np.repeat(size, 2), valve.lattice.n_sites).max(initial=0.0))
