"""Lattices that valves are built on: the sites of a strip by their places, neighbours where these are one apart."""

from collections.abc import Sequence

import numpy as np

from svjax.engine.arrays import whole_number
from svjax.lattices.lattice import Lattice


def square(length: int = 12, width: int = 4, pinned: int = 4, free: int = 4, *, buffer: int = 0) -> Lattice:
    """The valve of the paper's Fig. 1 on a ``length`` x ``width`` square lattice (site x * width + y).

    The pinned layer fills ``pinned`` columns after ``buffer`` columns of metal, the free layer ``free`` columns
    before the last ``buffer`` ones; one lead touches the first column and one the last.
    """
    x, y = _places(length=length, width=width)
    return _strip(np.stack([x, y], 1), x, pinned, free, buffer)


def chain(pinned: int = 5, spacer: int = 10, free: int = 5, *, leads: bool = False) -> Lattice:
    """The one-dimensional valve of Sec. III A: a chain of ``pinned`` + ``spacer`` + ``free`` sites (site x),
    isolated unless ``leads`` puts one lead on each end."""
    counts = [whole_number(n, name) for n, name in ((pinned, "pinned"), (spacer, "spacer"), (free, "free"))]
    if not isinstance(leads, bool | np.bool_):
        raise ValueError(f"Argument `leads` must be True or False, but is {leads!r}.")
    (x,) = _places(length=sum(counts))
    return _strip(x[:, None], x, pinned, free, 0, leads=bool(leads))


def honeycomb(length: int = 12, width: int = 4, pinned: int = 4, free: int = 4, *, buffer: int = 0) -> Lattice:
    """A honeycomb ribbon with zigzag edges, layers and leads as in `square`: site x * width + y is site x of the
    zigzag row y, and a row is joined to the next one at its even or its odd sites in turn."""
    x, y = _places(length=length, width=width)
    places = np.stack([x * np.sqrt(3) / 2, 1.5 * y + 0.5 * ((x + y) % 2 == 0)], 1)
    return _strip(places, x, pinned, free, buffer)


def triangular(length: int = 12, width: int = 4, pinned: int = 4, free: int = 4, *, buffer: int = 0) -> Lattice:
    """A strip of the triangular lattice, layers and leads as in `square`: site x * width + y, where every other
    column is half a bond higher."""
    x, y = _places(length=length, width=width)
    return _strip(np.stack([x * np.sqrt(3) / 2, y + 0.5 * (x % 2)], 1), x, pinned, free, buffer)


def cubic(
    length: int = 12, width: int = 4, height: int = 4, pinned: int = 4, free: int = 4, *, buffer: int = 0
) -> Lattice:
    """A bar of the simple cubic lattice, site (x * width + y) * height + z, whose layers and contacts are whole cross
    sections, placed as in `square`."""
    x, y, z = _places(length=length, width=width, height=height)
    return _strip(np.stack([x, y, z], 1), x, pinned, free, buffer)


def ring(n_sites: int, layers: Sequence[Sequence[int]] = (), contacts: Sequence[Sequence[int]] = ()) -> Lattice:
    """A ring of ``n_sites`` sites, a regular polygon with sides of length one. ``flux`` is the flux through the whole
    ring: going around it counterclockwise, an electron gathers the phase -flux, each of the n_sites bonds its share."""
    count = whole_number(n_sites, "n_sites", 3)
    angle = 2 * np.pi * np.arange(count) / count
    places = np.stack([np.cos(angle), np.sin(angle)], 1) / (2 * np.sin(np.pi / count))
    around = [(j, (j + 1) % count) for j in range(count)]
    return Lattice.from_bonds(count, around, layers, contacts, positions=places, windings=[1 / count] * count)


def _places(**counts: int) -> tuple[np.ndarray, ...]:
    """The coordinates of the points of a grid, the last the fastest."""
    sizes = [whole_number(count, name, 1) for name, count in counts.items()]
    return tuple(part.ravel() for part in np.meshgrid(*map(np.arange, sizes), indexing="ij"))


def _strip(
    places: np.ndarray, columns: np.ndarray, pinned: int, free: int, buffer: int, *, leads: bool = True
) -> Lattice:
    """A strip whose layers, contacts and monolayers are whole ``columns`` of sites; bonds along it come first."""
    groups = [np.flatnonzero(columns == column).tolist() for column in range(columns.max() + 1)]
    counts = {"pinned": pinned, "free": free, "buffer": buffer}
    pinned, free, buffer = (whole_number(count, name) for name, count in counts.items())
    needed, length = pinned + free + 2 * buffer, len(groups)
    if needed > length:
        raise ValueError(f"Argument `length` must be at least pinned + free + 2 buffer = {needed}, but is {length}.")
    regions = groups[buffer : buffer + pinned], groups[length - buffer - free : length - buffer]
    layers = [[site for column in region for site in column] for region in regions if region]
    pairs = sorted(neighbours(places), key=lambda pair: (columns[pair[0]] == columns[pair[1]], pair))
    contacts = [groups[0], groups[-1]] if leads else []
    return Lattice.from_bonds(len(places), pairs, layers, contacts, groups, (), places)


def neighbours(places: np.ndarray) -> list[tuple[int, int]]:
    """All pairs of sites (i, j), i < j, whose ``places`` are one apart."""
    from scipy.spatial import KDTree

    near = KDTree(places).query_pairs(1 + 1e-6, output_type="ndarray")
    return [(int(i), int(j)) for i, j in near]
