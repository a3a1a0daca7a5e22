"""Integrals over the energy of what the contacts' Green function gives, on nodes that follow levels and Fermi edges."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from svjax.engine.arrays import Matrix, PerLead, Spins
from svjax.model.hamiltonian import effective_hamiltonian
from svjax.model.leads import Lead, leads
from svjax.model.valve import SpinValve

REACH = 40.0
"""Fermi functions are 0 or 1 within rounding so many temperatures away from mu."""

Measure = Callable[[Array, Complex[Array, "contact contact"], PerLead], Array]


def integrate_energy(valve: SpinValve, spins: Spins, mu: PerLead, measure: Measure) -> Array:
    """int de/(2 pi) measure(e, G^R(e) between the contacts, f_l(e)) of a wide-band ``valve`` at the levels ``mu``.

    The measure must vanish where all leads are full, and where all are empty. In the variable
    u(e) = sum_a [arsinh(x_a) - arsinh(x_a of a width larger by the spacing)]/3 + edges, x_a = (e - Re w_a)/|Im w_a| for
    the levels w_a of H_eff, a resonance takes the logarithm of its width, and a Fermi edge some thirty units at any
    temperature; Gauss-Legendre panels in u give ten digits. Nodes are held fixed in derivatives, which are those of the
    integral.
    """
    h_eff = effective_hamiltonian(valve, spins)
    energies, weights = _nodes(jax.lax.stop_gradient((h_eff, mu, valve.temperature)))
    contacts = np.concatenate(valve.lattice.contact_rows)
    identity = jnp.eye(len(h_eff), dtype=h_eff.dtype)

    def one(node: tuple[Array, Array]) -> Array:
        energy, weight = node
        green = jnp.linalg.solve(energy * identity - h_eff, identity[:, contacts])[contacts]
        return weight * measure(energy, green, jax.nn.sigmoid((mu - energy) / valve.temperature))

    return jnp.sum(jax.lax.map(one, (energies, weights / (2 * jnp.pi)), batch_size=64), 0)


def _nodes(of: tuple[Matrix, PerLead, PerLead]) -> tuple[Float[Array, "nodes"], Float[Array, "nodes"]]:
    """Energies and weights between REACH temperatures below the lowest and above the highest mu."""
    h_eff, mu, temperature = of
    levels = jnp.linalg.eigvals(h_eff)
    least = jnp.finfo(mu.dtype).eps * jnp.linalg.norm(h_eff)
    spacing = 4 * jnp.linalg.norm(h_eff) / len(levels)
    lowest, highest = jnp.min(mu - REACH * temperature), jnp.max(mu + REACH * temperature)

    def graded(distance: Array, width: Array, reach: Array) -> Array:
        """Nodes in a fixed proportion to the distance from ``width`` to ``reach``."""
        return jnp.sum(jnp.arcsinh(distance / width) - jnp.arcsinh(distance / (width + reach)), -1)

    def variable(e: Array) -> Array:
        from_levels, from_edges = e[..., None] - levels.real, e[..., None] - mu
        edges = 8 * jnp.sum(jnp.arctan(from_edges / (30 * temperature)), -1)
        tails = graded(from_edges, 30 * temperature, highest - lowest) / 2
        band = graded(e[..., None] - jnp.mean(levels.real), jnp.linalg.norm(h_eff), highest - lowest)
        return graded(from_levels, jnp.maximum(-levels.imag, least), spacing) / 3 + edges + tails + band

    panels = 2 * len(levels) + 20 * len(mu)
    x, weight = np.polynomial.legendre.leggauss(16)
    within = ((np.arange(panels)[:, None] + (1 + x) / 2) / panels).ravel()
    first, last = variable(lowest), variable(highest)
    wanted = first + (last - first) * jnp.asarray(within, mu.dtype)

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        below = variable(middle) < wanted
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    ends = jnp.full_like(wanted, lowest), jnp.full_like(wanted, highest)
    energies, _ = jax.lax.fori_loop(0, 64, halve, ends)
    density = jax.jvp(variable, (energies,), (jnp.ones_like(energies),))[1]
    return energies, jnp.asarray(np.tile(weight / 2, panels) / panels, mu.dtype) * (last - first) / density


def contact_gamma(valve: SpinValve) -> tuple[tuple[Lead, ...], Complex[Array, "leads contact contact"]]:
    """The leads of a wide-band valve, and the Gamma_l of each among all contact spinors, lead after lead."""
    found = leads(valve)
    blocks = [[lead.gamma if k == number else jnp.zeros_like(lead.gamma) for k, lead in enumerate(found)]
              for number in range(len(found))]  # fmt: skip
    return found, jnp.stack([jax.scipy.linalg.block_diag(*row) for row in blocks])
