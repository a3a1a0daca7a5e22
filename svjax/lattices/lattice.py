"""Sites, bonds, magnetic layers and contacts: everything about a valve that is geometry and never differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from svjax.engine.arrays import host_array, whole_number
from svjax.engine.sparse import SparseRows, matchings
from svjax.lattices.graph_checks import Groups, Pairs, tidy_groups, tidy_pairs, tidy_positions


@dataclass(frozen=True, repr=False)
class Lattice:
    """The graph of a spin valve: hashable, compared by value, static under ``jit``.

    - ``bonds``: pairs of sites (i, j) that electrons hop between.
    - ``layers``, ``contacts``: one list of sites per magnetic layer and per lead. Spins are ordered by layer, then as
      the layer lists its sites.
    - ``monolayers``: groups of sites along the transport direction (each site alone if not given).
    - ``spin_bonds``: pairs of magnetic sites with an exchange of their own, beside j_ex between neighbours in a layer.
    - ``positions``: (x, y, z) of each site in units of the bond length, or empty.
    - ``windings``: per bond, the share of the flux that an electron sees as a phase on its way from j to i.
    """

    n_sites: int
    bonds: Pairs
    layers: Groups = ()
    contacts: Groups = ()
    monolayers: Groups = ()
    spin_bonds: Pairs = ()
    positions: tuple[tuple[float, float, float], ...] = ()
    windings: tuple[float, ...] = ()

    @staticmethod
    def from_bonds(
        n_sites, bonds, layers=(), contacts=(), monolayers=None, spin_bonds=(), positions=None, windings=None
    ) -> "Lattice":
        """Check and normalise the arguments of the constructor; raises ValueError on anything that is not a graph."""
        n_sites = whole_number(n_sites, "n_sites", 1)
        if monolayers is None:
            monolayers = [[j] for j in range(n_sites)]
        groups = {"layers": layers, "contacts": contacts, "monolayers": monolayers}
        tidy = {name: tidy_groups(name, group, n_sites) for name, group in groups.items()}
        for name in ("layers", "monolayers"):
            sites = [site for group in tidy[name] for site in group]
            if len(set(sites)) < len(sites):
                raise ValueError(f"Argument `{name}` must not share a site between {name}, but does.")
        pairs = tidy_pairs("bonds", bonds, n_sites)
        places = () if positions is None else tidy_positions(positions, n_sites)
        shares = () if windings is None else tuple(host_array(windings, "windings").astype(float).tolist())
        if (shares and len(shares) != len(pairs)) or not np.isfinite(shares).all():
            raise ValueError(
                f"Argument `windings` must hold {len(pairs)} numbers, one per bond, but has {len(shares)}."
            )
        layers, contacts, monolayers = tidy.values()
        lattice = Lattice(n_sites, pairs, layers, contacts, monolayers, positions=places, windings=shares)
        return lattice.with_spin_bonds(spin_bonds)

    def with_spin_bonds(self, pairs: Sequence[Sequence[int]]) -> "Lattice":
        """The same lattice with the ``pairs`` of magnetic sites as its spin bonds."""
        tidy = tidy_pairs("spin_bonds", pairs, self.n_sites)
        if stray := sorted({site for pair in tidy for site in pair} - set(self.spin_sites.tolist())):
            raise ValueError(f"Argument `spin_bonds` must join sites of `layers`, but site {stray[0]} is in none.")
        return replace(self, spin_bonds=tidy)

    def __reduce__(self):
        return Lattice, tuple(getattr(self, part.name) for part in fields(self))

    def __repr__(self) -> str:
        parts = [f"{self.n_sites} sites", f"{len(self.bonds)} bonds"]
        if self.spin_bonds:
            parts.append(f"{len(self.spin_bonds)} spin bonds")
        for name, groups, what in (("layers", self.layers, "spins"), ("leads", self.contacts, "sites")):
            sizes = ", ".join(str(len(group)) for group in groups)
            parts.append(f"{len(groups)} {name}" + (f" ({sizes} {what})" if groups else ""))
        return f"Lattice: {', '.join(parts)}"

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, part.name) for part in fields(self)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def dim(self) -> int:
        """2 N, the dimension of the one-electron space."""
        return 2 * self.n_sites

    @property
    def sizes(self) -> dict[str, int]:
        """How many there are of everything that a parameter may have one value for."""
        counts = {"sites": self.n_sites, "bonds": len(self.bonds), "layers": len(self.layers)}
        counts |= {"spins": len(self.spin_sites), "spin_bonds": len(self.spin_bonds), "leads": len(self.contacts)}
        return counts | {"contacts": sum(map(len, self.contacts))}

    @cached_property
    def spin_sites(self) -> np.ndarray:
        """(N_S,) the site of each classical spin."""
        return np.array([site for layer in self.layers for site in layer], dtype=int)

    @cached_property
    def spin_layers(self) -> np.ndarray:
        """(N_S,) the layer of each classical spin."""
        return np.repeat(np.arange(len(self.layers)), [len(layer) for layer in self.layers]).astype(int)

    @cached_property
    def spin_pairs(self) -> np.ndarray:
        """(spin_bonds, 2) the two spins of each of the ``spin_bonds``."""
        spin = {site: k for k, site in enumerate(self.spin_sites.tolist())}
        return np.array([(spin[i], spin[j]) for i, j in self.spin_bonds], dtype=int).reshape(-1, 2)

    @cached_property
    def contact_sites(self) -> np.ndarray:
        """(contacts,) the sites of all contacts, lead after lead; a site with two leads is there twice."""
        return np.array([site for sites in self.contacts for site in sites], dtype=int)

    @cached_property
    def contact_leads(self) -> np.ndarray:
        """(contacts,) the lead of each contact."""
        return np.repeat(np.arange(len(self.contacts)), [len(sites) for sites in self.contacts]).astype(int)

    @cached_property
    def contact_rows(self) -> tuple[np.ndarray, ...]:
        """Per lead, the rows 2 j + s of its contact spinors."""
        return tuple((2 * np.array(sites)[:, None] + np.arange(2)).ravel() for sites in self.contacts)

    @cached_property
    def contacts_to_sites(self) -> SparseRows:
        """(N, contacts) adds what belongs to each contact on its site."""
        count = len(self.contact_sites)
        return SparseRows((self.n_sites, count), self.contact_sites, range(count), np.ones(count))

    @cached_property
    def bond_array(self) -> np.ndarray:
        """(bonds, 2) the two sites of each bond."""
        return np.array(self.bonds, dtype=int).reshape(-1, 2)

    @cached_property
    def neighbours(self) -> SparseRows:
        """(N, N) one for each bond, so that hopping is ``-hopping * neighbours(x)`` where all amplitudes are one."""
        i, j = self.bond_array.T
        return SparseRows((self.n_sites, self.n_sites), [*i, *j], [*j, *i], np.ones(2 * len(i)))

    @cached_property
    def matchings(self) -> tuple[tuple[SparseRows, np.ndarray], ...]:
        """The bonds in groups in which no site has two partners: per group, the matrix that brings every site what its
        partner has, and (N,) the number of the site's bond, of b = bonds forward (i gets from j), bonds + b backward,
        and 2 bonds where a site has no partner."""
        found, count = [], len(self.bonds)
        for group in matchings(list(self.bonds)):
            i, j = self.bond_array[group].T
            which = np.full(self.n_sites, 2 * count)
            which[i], which[j] = group, np.array(group) + count
            partners = SparseRows((self.n_sites, self.n_sites), [*i, *j], [*j, *i], np.ones(2 * len(i)))
            found.append((partners, which))
        return tuple(found)

    @cached_property
    def directions(self) -> np.ndarray:
        """(bonds, 3) unit vectors d_ij from site i to site j of each bond; needs ``positions``."""
        if not self.positions:
            raise ValueError("Argument `rashba` needs a lattice with `positions`, which give bonds their directions.")
        i, j = self.bond_array.T
        step = np.array(self.positions)[j] - np.array(self.positions)[i]
        length = np.linalg.norm(step, axis=1, keepdims=True)
        if not np.all(length > 0):
            raise ValueError("Argument `positions` must not put two sites that share a bond on one place, but does.")
        return step / length

    @cached_property
    def phases_per_flux(self) -> np.ndarray:
        """(bonds,) the phase of each amplitude A_ij for a flux of one: ``windings``, or from ``positions`` that of a
        uniform field, (x_i y_j - x_j y_i)/2 times the flux through a unit of area."""
        if self.windings:
            return np.array(self.windings)
        if not self.positions:
            raise ValueError("Argument `flux` needs a lattice with `positions` or `windings`, but it has neither.")
        i, j = self.bond_array.T
        x, y, _ = np.array(self.positions).T
        return (x[i] * y[j] - x[j] * y[i]) / 2

    @cached_property
    def spin_neighbours(self) -> SparseRows:
        """(N_S, N_S) one for each pair of neighbouring spins of the same layer, the pairs that J_ex joins."""
        spin = {site: k for k, site in enumerate(self.spin_sites)}
        layer = dict(zip(self.spin_sites, self.spin_layers, strict=True))
        pairs = [(spin[i], spin[j]) for i, j in self.bonds if i in spin and j in spin and layer[i] == layer[j]]
        i, j = zip(*pairs, strict=True) if pairs else ((), ())
        return SparseRows((len(spin), len(spin)), i + j, j + i, np.ones(2 * len(pairs)))

    @cached_property
    def spins_to_sites(self) -> SparseRows:
        """(N, N_S) puts each spin on its site."""
        count = len(self.spin_sites)
        return SparseRows((self.n_sites, count), self.spin_sites, range(count), np.ones(count))

    def interface(self, monolayer: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The bonds that cross from ``monolayer`` to the next, from the spacer to layer 1 if None: their numbers, and 1
        where the bond (i, j) has i on the near side, else -1.

        The spacer side is everything that layer 0 reaches without passing through layer 1.
        """
        if monolayer is None:
            if len(self.layers) != 2:
                raise ValueError(f"The interface to the free layer needs two layers, but there are {len(self.layers)}.")
            near, far = self._reach(set(self.layers[0]), set(self.layers[1])), set(self.layers[1])
        else:
            last = len(self.monolayers) - 2
            if whole_number(monolayer, "monolayer") > last:
                raise ValueError(f"Argument `monolayer` must lie between 0 and {last}, but is {monolayer}.")
            near, far = set(self.monolayers[monolayer]), set(self.monolayers[monolayer + 1])
        sign = [(i in near and j in far) - (j in near and i in far) for i, j in self.bonds]
        numbers = np.flatnonzero(sign)
        return numbers, np.array(sign, dtype=int)[numbers]

    def _reach(self, sites: set[int], wall: set[int]) -> set[int]:
        linked: dict[int, list[int]] = {j: [] for j in range(self.n_sites)}
        for i, j in self.bonds:
            linked[i].append(j)
            linked[j].append(i)
        seen, frontier = set(sites), list(sites)
        while frontier:
            new = set(linked[frontier.pop()]) - seen - wall
            seen |= new
            frontier.extend(new)
        return seen
