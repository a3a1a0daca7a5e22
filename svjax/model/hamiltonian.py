"""The Hamiltonian of the electrons, Eq. (1), and the energy and field of the spins, Eq. (2)."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from svjax.engine.arrays import Columns, Matrix, Scalar, Spins
from svjax.model.valve import SpinValve

PAULI = ((0, 1), (1, 0)), ((0, -1j), (1j, 0)), ((1, 0), (0, -1))


def local_blocks(valve: SpinValve, spins: Spins) -> Complex[Array, "sites 2 2"]:
    """(N, 2, 2) the on-site part of H_eff = H - (i/2) Gamma: mu_bar - (i/2) Gamma_j + (J_sd/2) sigma.S_j."""
    x, y, z = (valve.j_sd / 2) * valve.lattice.spins_to_sites(spins).T
    level = valve.mu_bar - 0.5j * (valve.lattice.contact_matrix @ valve.lead_coupling)
    return jnp.stack([jnp.stack([level + z, x - 1j * y], -1), jnp.stack([x + 1j * y, level - z], -1)], -2)


def apply_effective(valve: SpinValve, blocks: Complex[Array, "sites 2 2"], columns: Columns) -> Columns:
    """H_eff times a block of columns (2N, columns), by gathers over neighbours and 2x2 products on the sites."""
    x = columns.reshape(valve.lattice.n_sites, 2, -1)
    up, down = x[:, 0], x[:, 1]
    local = [blocks[:, s, 0, None] * up + blocks[:, s, 1, None] * down for s in (0, 1)]
    y = jnp.stack(local, 1) - valve.hopping * valve.lattice.neighbours(x)
    return y.reshape(columns.shape)


def effective_hamiltonian(valve: SpinValve, spins: Spins) -> Matrix:
    """(2N, 2N) dense H_eff = H - (i/2) Gamma, for direct solvers; never used in the time loop."""
    blocks = local_blocks(valve, spins)
    return apply_effective(valve, blocks, jnp.eye(valve.lattice.dim, dtype=blocks.dtype))


def hamiltonian(valve: SpinValve, spins: Spins) -> Matrix:
    """(2N, 2N) dense H of Eq. (1), without the leads."""
    width = jnp.repeat(valve.lattice.contact_matrix @ valve.lead_coupling, 2)
    return effective_hamiltonian(valve, spins) + 0.5j * jnp.diag(width)


def spin_energy(valve: SpinValve, spins: Spins) -> Scalar:
    """H_C of Eq. (2) without its coupling to the electrons, in units of the hopping."""
    exchange = valve.j_ex * jnp.sum(spins * valve.lattice.spin_neighbours(spins)) / 2
    zeeman = -jnp.sum(spins @ valve.field)
    along = jnp.sum(spins * valve.easy_axes[valve.lattice.spin_layers], -1)
    return exchange + zeeman - jnp.sum(valve.anisotropy[valve.lattice.spin_layers] * along**2)


def effective_field(valve: SpinValve, spins: Spins, spin_density: Spins) -> Float[Array, "spins 3"]:
    """B_j = -dH_C/dS_j = -J_ex sum_neighbours S + B + 2 K (S_j.e) e - J_sd s_j, (N_S, 3), so that dS/dt = S x B.

    ``spin_density`` is s_j = Tr(rho_jj sigma)/2 of the electrons on the spins' sites.
    """
    axes = valve.easy_axes[valve.lattice.spin_layers]
    stiffness = 2 * valve.anisotropy[valve.lattice.spin_layers] * jnp.sum(spins * axes, -1)
    exchange = -valve.j_ex * valve.lattice.spin_neighbours(spins)
    return exchange + valve.field + stiffness[:, None] * axes - valve.j_sd * spin_density
