"""Valves from what others have built: a Hamiltonian as a matrix, a graph of networkx, a system of kwant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from svjax.engine.arrays import Numbers, real_number
from svjax.lattices.bond_lists import with_lists
from svjax.lattices.lattice import Lattice
from svjax.model.builder import builder, finish_builders
from svjax.model.valve import QUANTITIES, SpinValve, build


@builder(omit=("bonds", "mu_bar"))
def from_hamiltonian(
    hamiltonian: Any,
    layers: Sequence[Sequence[int]] = (),
    contacts: Sequence[Sequence[int]] = (),
    *,
    spinful: bool = False,
    monolayers: Sequence[Sequence[int]] | None = None,
    positions: Numbers | None = None,
    **parameters: Any,
) -> SpinValve:
    """The valve whose electrons have the given Hamiltonian, before spins and leads are coupled to them.

    Its elements between sites become the ``bonds``, H_ij = -hopping A_ij, those on the sites the levels ``mu_bar``.

    **Arguments:**

    - `hamiltonian`: a Hermitian matrix, dense or sparse (SciPy): (N, N), the same for both spins, or with ``spinful``
      (2N, 2N), row 2 j + s for spin s on site j. Or a graph of networkx, nodes numbered in their order, with
      H_ij = -hopping times the ``weight`` of the edge, 1 if it has none; complex numbers and 2x2 matrices need a
      directed graph, an edge from i to j for H_ij.
    - `layers`, `contacts`, `monolayers`, `positions`: as in `SpinValve.from_bonds`; of a graph the nodes' ``pos`` are
      taken where ``positions`` are not given.

    Raises ValueError for a matrix that is not Hermitian, and for levels that depend on the spin: that is what the
    coupling to a classical spin does, so give such a site one, with its own j_sd.
    """
    if hasattr(hamiltonian, "adjacency"):
        listed, levels, places = _of_graph(hamiltonian)
        positions = places if positions is None else positions
    else:
        hopping = real_number(parameters["hopping"], "hopping")
        if hopping == 0:
            raise ValueError("Argument `hopping` must not be zero, because H_ij = -hopping A_ij.")
        listed, levels = _of_matrix(hamiltonian, hopping, spinful)
    lattice = Lattice.from_bonds(len(levels), [], layers, contacts, monolayers, (), positions)
    return build(*with_lists(lattice, parameters | {"bonds": listed, "mu_bar": levels}))


def from_kwant(
    system: Any,
    layers: Sequence[Sequence[int]] = (),
    contacts: Sequence[Sequence[int]] | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> SpinValve:
    """The valve on the sites of a finalized system of kwant, numbered as in ``system.sites``.

    Its electrons have the system's Hamiltonian at ``params``, with one orbital on each site, the same for both spins,
    or two, spin up and down. kwant's leads are replaced by wide-band leads on the sites that they touch, or on the
    given ``contacts``. ``parameters`` are those of `from_hamiltonian`, which also says what cannot be expressed.
    """
    matrix, orbitals, _ = system.hamiltonian_submatrix(params=params, sparse=True, return_norb=True)
    if set(orbitals) not in ({1}, {2}):
        raise ValueError("Argument `system` must have one orbital on every site or two on every site, but has others.")
    touched = [[int(site) for site in sites] for sites in system.lead_interfaces]
    own = {"spinful": orbitals[0] == 2, "positions": np.array([site.pos for site in system.sites], float)}
    return from_hamiltonian(matrix, layers, touched if contacts is None else contacts, **own | parameters)


def _of_graph(graph: Any) -> tuple[list, np.ndarray, np.ndarray | None]:
    """Bonds, levels (zero) and places of a graph of networkx."""
    number = {node: k for k, node in enumerate(graph)}
    listed = [(number[a], number[b], data.get("weight", 1.0)) for a, b, data in graph.edges(data=True)]
    if not graph.is_directed() and any(np.ndim(w) or np.iscomplexobj(w) for *_, w in listed):
        raise ValueError("Argument `hamiltonian` must be a directed graph where weights have a direction, but is not.")
    places = [data.get("pos") for _, data in graph.nodes(data=True)]
    return listed, np.zeros(len(number)), None if any(place is None for place in places) else np.array(places, float)


def _of_matrix(hamiltonian: Any, hopping: float, spinful: bool) -> tuple[list, np.ndarray]:
    """Bonds (i < j) and levels of a Hermitian matrix."""
    from scipy.sparse import csr_array

    matrix, size = cast(Any, csr_array(hamiltonian)), 2 if spinful else 1
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] % size:
        kind = "square, with two rows for each site" if spinful else "square"
        raise ValueError(f"Argument `hamiltonian` must be {kind}, but has shape {matrix.shape}.")
    if not np.all(np.isfinite(matrix.data)) or abs(matrix - matrix.conj().T).max() > 1e-12 * abs(matrix).max():
        raise ValueError("Argument `hamiltonian` must be finite and Hermitian, but is not.")
    blocks = matrix.tobsr((size, size))
    site = np.repeat(np.arange(len(blocks.indptr) - 1), np.diff(blocks.indptr))
    levels = np.zeros(len(blocks.indptr) - 1)
    listed = []
    for i, j, block in zip(site.tolist(), blocks.indices.tolist(), blocks.data, strict=True):
        if i == j:
            levels[i] = block[0, 0].real
            if np.abs(block - levels[i] * np.eye(size)).max() > 1e-12 * abs(matrix).max():
                raise ValueError(f"Argument `hamiltonian` must have equal levels of both spins, but not on site {i}.")
        elif i < j and np.any(block):
            trivial = np.all(block == block[0, 0] * np.eye(size))
            listed.append((i, j, (block[0, 0] if trivial else block) / -hopping))
    return listed, levels


finish_builders(QUANTITIES)
