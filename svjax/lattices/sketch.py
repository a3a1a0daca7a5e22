"""A small picture of a valve for notebooks, as SVG: bonds, sites coloured by layer, contacts in grey."""

import numpy as np

from svjax.lattices.lattice import Lattice

WIDTH, MARGIN, MOST_SITES = 360.0, 12.0, 2000
LAYERS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")


def places(lattice: Lattice) -> np.ndarray:
    """(N, 2) where each site is drawn: its position, seen from aslant if z matters, or its monolayer and its place in
    that."""
    if lattice.positions:
        x, y, z = np.array(lattice.positions).T
        return np.stack([x + 0.37 * (z - z[0]), y + 0.29 * (z - z[0])], 1)
    at = np.zeros((lattice.n_sites, 2))
    for number, sites in enumerate(lattice.monolayers):
        at[list(sites)] = [(number, place - (len(sites) - 1) / 2) for place in range(len(sites))]
    return at


def sketch(lattice: Lattice) -> str:
    """The picture, or nothing for more sites than can be seen."""
    if lattice.n_sites > MOST_SITES:
        return ""
    at = places(lattice)
    at = (at - at.min(0)) * [1, -1]
    scale = min((WIDTH - 2 * MARGIN) / max(np.ptp(at[:, 0]), 1.0), 30.0)
    at = MARGIN + scale * (at - [0, at[:, 1].min()])
    height = np.max(at[:, 1]) + MARGIN
    colours = np.full(lattice.n_sites, "#FFFFFF")
    for number, sites in enumerate(lattice.layers):
        colours[list(sites)] = LAYERS[number % len(LAYERS)]
    bonds = "".join(f"M{at[i, 0]:.0f} {at[i, 1]:.0f}L{at[j, 0]:.0f} {at[j, 1]:.0f}" for i, j in lattice.bonds)
    dot = lambda site, size, style: f'<circle cx="{at[site, 0]:.0f}" cy="{at[site, 1]:.0f}" r="{size:.1f}" {style}/>'
    size = min(5.0, scale / 3)
    touched = "".join(dot(site, 2 * size, 'fill="#CCCCCC"') for sites in lattice.contacts for site in sites)
    dots = "".join(dot(site, size, f'fill="{colours[site]}" stroke="#888888"') for site in range(lattice.n_sites))
    path = f'<path d="{bonds}" stroke="#BBBBBB" fill="none"/>'
    width = np.max(at[:, 0]) + MARGIN
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f"<svg {size}>{path}{touched}{dots}</svg>"
