"""Lattices that valves are built on, with the positions of their sites."""

from collections.abc import Sequence

import numpy as np

from svjax.engine.arrays import whole_number
from svjax.model.lattice import Lattice


def square(length: int, width: int, pinned: int, free: int, buffer: int) -> Lattice:
    """A length x width strip, site x * width + y: ``buffer`` columns of metal, the pinned layer, the spacer, the free
    layer and ``buffer`` columns of metal again; one lead on the first and one on the last column."""
    length, width = whole_number(length, "length", 1), whole_number(width, "width", 1)
    bonds = [((x, y), (x + 1, y)) for x in range(length - 1) for y in range(width)]
    bonds += [((x, y), (x, y + 1)) for x in range(length) for y in range(width - 1)]
    places = [(x, y) for x in range(length) for y in range(width)]
    return _strip(places, bonds, [x for x, _ in places], pinned, free, buffer)


def chain(pinned: int, spacer: int, free: int, leads: bool) -> Lattice:
    """A chain of pinned + spacer + free sites, with a lead on each end if ``leads``."""
    counts = [whole_number(n, name) for n, name in ((pinned, "pinned"), (spacer, "spacer"), (free, "free"))]
    whole = square(sum(counts), 1, pinned, free, 0)
    contacts = whole.contacts if leads else ()
    return Lattice(whole.n_sites, whole.bonds, whole.layers, contacts, whole.monolayers, (), whole.positions)


def _strip(
    places: Sequence, bonds: Sequence, columns: Sequence[int], pinned: int, free: int, buffer: int, scale: float = 1.0
) -> Lattice:
    """A strip between two leads from the ``places`` of its sites, the pairs of places that are bonds, and the column
    that each site belongs to: the layers and monolayers are whole columns."""
    number = {place: k for k, place in enumerate(places)}
    groups = [[k for k, c in enumerate(columns) if c == column] for column in sorted(set(columns))]
    counts = {"pinned": pinned, "free": free, "buffer": buffer}
    pinned, free, buffer = (whole_number(count, name) for name, count in counts.items())
    needed, length = pinned + free + 2 * buffer, len(groups)
    if needed > length:
        raise ValueError(f"Argument `length` must be at least pinned + free + 2 buffer = {needed}, but is {length}.")
    regions = groups[buffer : buffer + pinned], groups[length - buffer - free : length - buffer]
    layers = [[site for column in region for site in column] for region in regions if region]
    pairs = [(number[a], number[b]) for a, b in bonds]
    positions = scale * np.array(places, float)
    return Lattice.from_bonds(len(places), pairs, layers, [groups[0], groups[-1]], groups, (), positions)
