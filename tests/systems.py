"""The same system twice: as a `SpinValve` and as the reference implementation's `System`, with a state for both."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles

import svjax as sv


def random_spins(rng, count):
    spins = rng.normal(size=(count, 3))
    return jnp.asarray(spins / np.linalg.norm(spins, axis=1, keepdims=True))


TANGLED = dict(
    n_sites=7,
    bonds=[
        (0, 1, 0.7 + 0.4j),
        (1, 2),
        (2, 0, 1.3),
        (2, 3, -0.5j),
        (3, 4),
        (4, 5, 0.9),
        (5, 6, 1j),
        (6, 1, 0.3),
        (5, 3),
    ],
    layers=[[2, 0], [6, 4, 5]],
    contacts=[[0, 1], [6], [1, 3]],
    hopping=1.2,
    mu_bar=0.3,
    j_sd=1.7,
    j_ex=-0.8,
    anisotropy=(0.35, 0.07),
    easy_axes=np.array([(1.0, 2.0, -1.0), (0.5, 0.0, 1.0)]) / np.sqrt([[6.0], [1.25]]),
    field=np.array([0.11, -0.23, 0.31]),
    lead_coupling=(0.9, 1.4, 0.6),
    temperature=(0.15, 0.3, 0.2),
)
"""Seven sites, complex bonds, a site with two leads, three different leads, two different layers: no symmetry."""


def tangled(n_poles=5):
    """The valve and the reference system of TANGLED."""
    poles = sv.pade_poles(n_poles)
    reference = oracles.System(**TANGLED, poles=(np.array(poles.xi), np.array(poles.eta)))
    return sv.SpinValve.from_bonds(**TANGLED, poles=poles), reference


def as_state(valve, reference):
    """The reference's state, whose Pi are full matrices, with only the columns that the library stores."""
    rows = valve.lattice.contact_rows
    columns = [
        reference.pi[lead, pole][:, rows[lead]] for lead in range(len(rows)) for pole in range(len(valve.poles.xi))
    ]
    pi = np.concatenate([*columns, np.zeros((valve.lattice.dim, 0))], 1)
    return sv.State(jnp.asarray(reference.rho, complex), jnp.asarray(pi, complex), jnp.asarray(reference.spins))


def random_state(valve, system, seed=0):
    """A state that is neither real nor symmetric, for both (rho Hermitian, Pi in its contact columns)."""
    rng = np.random.default_rng(seed)
    dim = valve.lattice.dim
    complex_normal = lambda *shape: rng.normal(size=shape) + 1j * rng.normal(size=shape)
    rho = complex_normal(dim, dim)
    pi = np.zeros((len(valve.lattice.contacts), len(valve.poles.xi), dim, dim), complex)
    for lead, rows in enumerate(valve.lattice.contact_rows):
        pi[lead][:, :, rows] = complex_normal(len(valve.poles.xi), dim, len(rows))
    reference = oracles.State(rho + rho.conj().T, pi, random_spins(rng, len(valve.lattice.spin_sites)))
    return as_state(valve, reference), reference


def largest_difference(a, b):
    return max(
        float(np.abs(np.asarray(x) - y).max(initial=0.0))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )
