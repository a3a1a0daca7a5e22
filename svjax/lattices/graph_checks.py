"""What a graph may be made of: pairs and groups of sites, and their places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from svjax.engine.arrays import host_array, whole_number

Pairs = tuple[tuple[int, int], ...]
Groups = tuple[tuple[int, ...], ...]


def tidy_pairs(name: str, pairs: Sequence, n_sites: int) -> Pairs:
    """Pairs of different sites as whole numbers, each pair once; raises ValueError for anything else."""
    tidy = []
    for pair in pairs:
        if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
            raise ValueError(f"Argument `{name}` must hold pairs of sites, with or without a number, but has {pair!r}.")
        i, j = (whole_number(site, name) for site in pair)
        if not (i < n_sites and j < n_sites) or i == j:
            raise ValueError(f"Argument `{name}` must join two different sites below {n_sites}, but has {(i, j)}.")
        tidy.append((i, j))
    unordered = [tuple(sorted(pair)) for pair in tidy]
    if len(set(unordered)) < len(unordered):
        double = next(pair for pair in sorted(unordered) if unordered.count(pair) > 1)
        raise ValueError(f"Argument `{name}` must name each pair of sites once, but {double} is there twice.")
    return tuple(tidy)


def tidy_groups(name: str, groups: Sequence, n_sites: int) -> Groups:
    """Lists of different sites as whole numbers; raises ValueError for anything else."""
    if not _is_sequence(groups) or not all(map(_is_sequence, groups)):
        raise ValueError(f"Argument `{name}` must hold one list of sites each, but is {groups!r}.")
    tidy = tuple(tuple(whole_number(site, name) for site in group) for group in groups)
    for group in tidy:
        if not group or len(set(group)) < len(group) or max(group) >= n_sites:
            raise ValueError(
                f"Argument `{name}` must list different sites between 0 and {n_sites - 1}, but has {group}."
            )
    return tidy


def _is_sequence(value: object) -> bool:
    """Whether a value has parts in an order that can be looked at twice; ranges are taken, texts and sets are not."""
    return hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, str | dict)


def tidy_positions(positions: Sequence, n_sites: int) -> tuple[tuple[float, float, float], ...]:
    """(x, y, z) of every site, zero where a coordinate is not given."""
    places = host_array(positions, "positions").astype(float)
    if places.ndim != 2 or places.shape[0] != n_sites or not 1 <= places.shape[1] <= 3 or not np.isfinite(places).all():
        raise ValueError(f"Argument `positions` must hold 1 to 3 coordinates of each of the {n_sites} sites.")
    return tuple((float(x), float(y), float(z)) for x, y, z in np.pad(places, ((0, 0), (0, 3 - places.shape[1]))))
