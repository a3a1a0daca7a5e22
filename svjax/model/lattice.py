"""Sites, bonds, magnetic layers and contacts: everything about a valve that is geometry and never differentiated."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Inexact

from svjax.engine.arrays import Numbers


class SparseRows:
    """A constant sparse matrix in padded-row (ELLPACK) form, applied to the leading axis of an array by gathers alone.

    The product is ``y[i, ...] = sum_k value[i, k] x[index[i, k], ...]``. Its transpose is again a product of this kind,
    so that reverse mode costs as much as the product, where the automatic transpose of a gather is a slow scatter.
    """

    def __init__(self, shape: tuple[int, int], rows: Numbers, cols: Numbers, values: Numbers):
        self.shape = shape
        self.entries = tuple(np.asarray(part) for part in (rows, cols, values))
        row, col, value = self.entries
        counts = np.bincount(row.astype(int), minlength=shape[0])
        width = int(counts.max(initial=0))
        order = np.argsort(row, kind="stable")
        slot = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.index = np.zeros((shape[0], width), dtype=np.int32)
        self.value = np.zeros((shape[0], width), dtype=value.dtype if len(value) else float)
        if len(row):
            self.index[row[order], slot] = col[order]
            self.value[row[order], slot] = value[order]
        self.filled = np.arange(width) < counts[:, None]

    @cached_property
    def transpose(self) -> "SparseRows":
        row, col, value = self.entries
        return SparseRows((self.shape[1], self.shape[0]), col, row, value)

    def __call__(self, x: Inexact[Array, "cols *rest"]) -> Inexact[Array, "rows *rest"]:
        return sparse_rows_p.bind(x, table=self)


def _apply(x: Array, *, table: SparseRows) -> Array:
    """One gather per slot; unit entries, the common case, need no multiplication."""
    total = jnp.zeros((table.shape[0], *x.shape[1:]), x.dtype)
    axes = tuple(range(1, x.ndim))
    unit = np.all(table.value[table.filled] == 1)
    for index, value, filled in zip(table.index.T, table.value.T, table.filled.T, strict=True):
        term = x[index]
        if unit:
            term = jnp.where(np.expand_dims(filled, axes), term, 0)
        else:
            term = jnp.asarray(np.expand_dims(value, axes), x.dtype) * term
        total = total + term
    return total


sparse_rows_p = Primitive("sparse_rows")
sparse_rows_p.def_impl(jax.jit(_apply, static_argnames="table"))
sparse_rows_p.def_abstract_eval(lambda x, *, table: x.update(shape=(table.shape[0], *x.shape[1:])))
mlir.register_lowering(sparse_rows_p, mlir.lower_fun(_apply, multiple_results=False))
ad.deflinear2(sparse_rows_p, lambda ct, x, *, table: [table.transpose(ct)])


def _batch(args, dims, *, table):
    (x,), (dim,) = args, dims
    return table(jnp.moveaxis(x, dim, -1)), x.ndim - 1


batching.primitive_batchers[sparse_rows_p] = _batch


@dataclass(frozen=True)
class Lattice:
    """The graph of a spin valve: hashable, compared by value, static under ``jit``.

    ``bonds`` holds (i, j, amplitude), H_ij = -hopping * amplitude and H_ji its conjugate. ``layers`` and ``contacts``
    hold one list of sites per magnetic layer and per lead. Spins are ordered by layer, then as the layer lists its
    sites. ``monolayers`` groups the sites along the transport direction (each site alone if not given).
    """

    n_sites: int
    bonds: tuple[tuple[int, int, complex], ...]
    layers: tuple[tuple[int, ...], ...] = ()
    contacts: tuple[tuple[int, ...], ...] = ()
    monolayers: tuple[tuple[int, ...], ...] = ()

    @staticmethod
    def from_bonds(n_sites, bonds, layers=(), contacts=(), monolayers=None) -> "Lattice":
        """Check and normalise the arguments of the constructor; raises ValueError on anything that is not a graph."""
        if n_sites != int(n_sites) or n_sites < 1:
            raise ValueError(f"Argument `n_sites` must be a whole number of at least 1, but is {n_sites}.")
        n_sites = int(n_sites)
        if monolayers is None:
            monolayers = [[j] for j in range(n_sites)]
        tidy_bonds = tuple(_tidy_bond(bond, n_sites) for bond in bonds)
        pairs = [frozenset(bond[:2]) for bond in tidy_bonds]
        if len(set(pairs)) < len(pairs):
            double = next(sorted(pair) for pair in pairs if pairs.count(pair) > 1)
            raise ValueError(f"Argument `bonds` must name each pair of sites once, but {tuple(double)} is there twice.")
        groups = {"layers": layers, "contacts": contacts, "monolayers": monolayers}
        tidy = {name: tuple(_tidy_sites(name, sites, n_sites) for sites in group) for name, group in groups.items()}
        magnetic = [site for layer in tidy["layers"] for site in layer]
        if len(set(magnetic)) < len(magnetic):
            raise ValueError("Argument `layers` must not share a site between layers, but does.")
        return Lattice(n_sites, tidy_bonds, tidy["layers"], tidy["contacts"], tidy["monolayers"])

    @cached_property
    def _hash(self) -> int:
        return hash((self.n_sites, self.bonds, self.layers, self.contacts, self.monolayers))

    def __hash__(self) -> int:
        return self._hash

    @property
    def dim(self) -> int:
        """2 N, the dimension of the one-electron space."""
        return 2 * self.n_sites

    @cached_property
    def spin_sites(self) -> np.ndarray:
        """(N_S,) the site of each classical spin."""
        return np.array([site for layer in self.layers for site in layer], dtype=int)

    @cached_property
    def spin_layers(self) -> np.ndarray:
        """(N_S,) the layer of each classical spin."""
        return np.repeat(np.arange(len(self.layers)), [len(layer) for layer in self.layers]).astype(int)

    @cached_property
    def contact_matrix(self) -> np.ndarray:
        """(N, leads) 1 where a site is a contact of a lead."""
        matrix = np.zeros((self.n_sites, len(self.contacts)), dtype=int)
        for lead, sites in enumerate(self.contacts):
            matrix[list(sites), lead] = 1
        return matrix

    @cached_property
    def contact_rows(self) -> tuple[np.ndarray, ...]:
        """Per lead, the rows 2 j + s of its contact spinors."""
        return tuple((2 * np.array(sites)[:, None] + np.arange(2)).ravel() for sites in self.contacts)

    @cached_property
    def neighbours(self) -> SparseRows:
        """(N, N) the amplitudes of the bonds, so that hopping is ``-hopping * neighbours(x)``."""
        i, j, a = zip(*self.bonds, strict=True) if self.bonds else ((), (), ())
        values = np.concatenate([np.array(a, complex), np.conj(np.array(a, complex))])
        values = np.real(values) if np.all(np.isreal(values)) else values
        return SparseRows((self.n_sites, self.n_sites), i + j, j + i, values)

    @cached_property
    def spin_neighbours(self) -> SparseRows:
        """(N_S, N_S) one for each pair of neighbouring spins of the same layer, the pairs that J_ex joins."""
        spin = {site: k for k, site in enumerate(self.spin_sites)}
        layer = dict(zip(self.spin_sites, self.spin_layers, strict=True))
        pairs = [(spin[i], spin[j]) for i, j, _ in self.bonds if i in spin and j in spin and layer[i] == layer[j]]
        i, j = zip(*pairs, strict=True) if pairs else ((), ())
        return SparseRows((len(spin), len(spin)), i + j, j + i, np.ones(2 * len(pairs)))

    @cached_property
    def spins_to_sites(self) -> SparseRows:
        """(N, N_S) puts each spin on its site."""
        count = len(self.spin_sites)
        return SparseRows((self.n_sites, count), self.spin_sites, range(count), np.ones(count))

    def interface(self, monolayer: int | None = None) -> tuple[tuple[int, int, complex], ...]:
        """The bonds (i, j, amplitude) that cross from ``monolayer`` to the next; from the spacer to layer 1 if None.

        The spacer side is everything that layer 0 reaches without passing through layer 1.
        """
        if monolayer is None:
            if len(self.layers) != 2:
                raise ValueError(f"The interface to the free layer needs two layers, but there are {len(self.layers)}.")
            near, far = self._reach(set(self.layers[0]), set(self.layers[1])), set(self.layers[1])
        else:
            if not 0 <= monolayer < len(self.monolayers) - 1:
                last = len(self.monolayers) - 2
                raise ValueError(f"Argument `monolayer` must lie between 0 and {last}, but is {monolayer}.")
            near, far = set(self.monolayers[monolayer]), set(self.monolayers[monolayer + 1])
        forward = [(i, j, a) for i, j, a in self.bonds if i in near and j in far]
        backward = [(j, i, complex(np.conj(a))) for i, j, a in self.bonds if j in near and i in far]
        return tuple(forward + backward)

    def _reach(self, sites: set[int], wall: set[int]) -> set[int]:
        linked: dict[int, list[int]] = {j: [] for j in range(self.n_sites)}
        for i, j, _ in self.bonds:
            linked[i].append(j)
            linked[j].append(i)
        seen, frontier = set(sites), list(sites)
        while frontier:
            new = set(linked[frontier.pop()]) - seen - wall
            seen |= new
            frontier.extend(new)
        return seen


def _tidy_bond(bond: Sequence, n_sites: int) -> tuple[int, int, complex]:
    i, j, amplitude = (*bond, 1.0) if len(bond) == 2 else bond
    if not (0 <= i < n_sites and 0 <= j < n_sites) or i == j or not np.isfinite(amplitude):
        raise ValueError(
            f"Argument `bonds` must join two different sites below {n_sites} with a finite amplitude, but has {bond}."
        )
    return int(i), int(j), complex(amplitude)


def _tidy_sites(name: str, sites: Sequence[int], n_sites: int) -> tuple[int, ...]:
    tidy = tuple(int(site) for site in sites)
    if not tidy or len(set(tidy)) < len(tidy) or not all(0 <= site < n_sites for site in tidy):
        raise ValueError(f"Argument `{name}` must list different sites between 0 and {n_sites - 1}, but has {sites}.")
    return tidy


def square(length: int, width: int, pinned: int, free: int, buffer: int) -> Lattice:
    """A length x width strip, site x * width + y: ``buffer`` columns of metal, the pinned layer, the spacer, the free
    layer and ``buffer`` columns of metal again; one lead on the first and one on the last column."""
    sizes = {"length": length, "width": width, "pinned": pinned, "free": free, "buffer": buffer}
    for name, value in sizes.items():
        least = 1 if name in ("length", "width") else 0
        if value != int(value) or value < least:
            raise ValueError(f"Argument `{name}` must be a whole number of at least {least}, but is {value}.")
    needed = pinned + free + 2 * buffer
    if needed > length:
        raise ValueError(f"Argument `length` must be at least pinned + free + 2 buffer = {needed}, but is {length}.")
    columns = [[x * width + y for y in range(width)] for x in range(length)]
    bonds = [(i, i + width) for column in columns[:-1] for i in column] + [
        (i, i + 1) for column in columns for i in column[:-1]
    ]
    regions = columns[buffer : buffer + pinned], columns[length - buffer - free : length - buffer]
    layers = [[site for column in region for site in column] for region in regions if region]
    return Lattice.from_bonds(length * width, bonds, layers, [columns[0], columns[-1]], columns)
