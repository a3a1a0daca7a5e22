"""The grid of a sweep: values of named parameters, and the tiles of fixed size in which its points are computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from svjax.engine.arrays import Numbers, real_array
from svjax.model.parameters import get_parameter, set_parameters
from svjax.model.valve import QUANTITIES, SpinValve
from svjax.reservoirs.bias import Bias

SEED = "seed"
"""The parameter that is none of the physics: the seed of what a run draws at random."""

RESERVED = ("point", "time", "layer", "lead", "component", "mode", "site", "spin", "monolayer", "row", "column")


@dataclass(frozen=True)
class Grid:
    """All combinations of the ``values`` of the parameters ``names``, or their rows if ``zipped``.

    ``of_valve`` says of each parameter whether it belongs to the valve (or else to the bias).
    """

    names: tuple[str, ...]
    values: tuple[Float[np.ndarray, "_"], ...]
    zipped: bool
    of_valve: tuple[bool, ...]

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions of the dataset: the names of the parameters, or "point"."""
        return ("point",) if self.zipped else self.names

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.values[0]),) if self.zipped else tuple(len(values) for values in self.values)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def valve_dims(self) -> tuple[bool, ...]:
        """Of each dimension whether the valve changes along it."""
        return (any(self.of_valve),) if self.zipped else self.of_valve

    def at(self, indices: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """The parameters of the points with these ``indices``, one array of indices per dimension."""
        which = [indices[0]] * len(self.names) if self.zipped else indices
        return {name: values[k] for name, values, k in zip(self.names, self.values, which, strict=True)}


def make_grid(
    valve: SpinValve, bias: Bias, values: Mapping[str, Numbers], zipped: bool, seeds: bool | None = None
) -> Grid:
    """Check the ``values`` of parameters of ``valve`` and ``bias``, each a list of numbers, also against the valve.

    ``seeds`` says whether runs of other seeds have other spins at the quench, None that nothing is drawn at random.
    """
    if not values:
        raise ValueError("Argument `grid` must name at least one parameter, but is empty.")
    arrays: dict[str, np.ndarray] = {}
    for name, numbers in ((name.replace(" ", ""), numbers) for name, numbers in values.items()):
        field = name.split("[")[0]
        if name in arrays:
            raise ValueError(f"Argument `grid` must name each parameter once, but names {name!r} twice.")
        array = arrays[name] = np.asarray(real_array(numbers, f"grid[{name!r}]"), float)
        if name == SEED and seeds is not None:
            if not np.all((array >= 0) & (array == np.floor(array)) & (array < 2**32)):
                raise ValueError(f"Argument `grid` must give whole numbers from 0 on for 'seed', but has {array}.")
        else:
            get_parameter(valve, bias, name)
        if name in RESERVED:
            raise ValueError(f"Argument `grid` must not name {name!r}, which is a dimension of the results.")
        if field != name and field in values:
            raise ValueError(f"Argument `grid` must name either {field!r} or its entries, but names {name!r} too.")
        if array.ndim != 1 or not array.size:
            raise ValueError(f"Argument `grid` must give a list of numbers for {name!r}, but has shape {array.shape}.")
        if not np.isfinite(array).all():
            raise ValueError(f"Argument `grid` must give finite numbers for {name!r}, but has {array}.")
        if (
            field in QUANTITIES and not QUANTITIES[field].directions
        ):  # directions are made unit vectors when they are set
            QUANTITIES[field].check(name, jnp.asarray(array))
    if zipped and len({len(array) for array in arrays.values()}) > 1:
        lengths = {name: len(array) for name, array in arrays.items()}
        raise ValueError(f"Argument `grid` must give lists of one length to be zipped, but has {lengths}.")
    of_valve = tuple(bool(seeds) if name == SEED else hasattr(valve, name.split("[")[0]) for name in arrays)
    return Grid(tuple(arrays), tuple(arrays.values()), zipped, of_valve)


def choose_block(grid: Grid, points: int) -> tuple[int, ...]:
    """The shape of a tile of at most ``points`` points: long where only the bias changes, so that points share their
    valve, and such that tiles are evenly filled."""
    block, left = [1] * len(grid.shape), max(1, points)
    order = sorted(range(len(grid.shape)), key=lambda d: (grid.valve_dims[d], -d))
    for d in order:
        parts = ceil(grid.shape[d] / min(grid.shape[d], left))
        block[d] = ceil(grid.shape[d] / parts)
        left //= block[d]
    return tuple(block)


@dataclass(frozen=True)
class Tile:
    """One block of the grid: its ``number``, its ``index`` among the blocks, and what it holds.

    A block that reaches over the edge of the grid is filled with the points of the edge, so that all tiles have one
    size. ``region`` are the slices of the grid that are its own.
    """

    grid: Grid
    block: tuple[int, ...]
    number: int
    index: tuple[int, ...]

    @property
    def region(self) -> tuple[slice, ...]:
        sides = zip(self.index, self.block, self.grid.shape, strict=True)
        return tuple(slice(k * b, min(k * b + b, n)) for k, b, n in sides)

    @property
    def size(self) -> int:
        """How many points are its own."""
        return prod(part.stop - part.start for part in self.region)

    @property
    def inside(self) -> tuple[slice, ...]:
        """The slices of the block that lie within the grid."""
        return tuple(slice(0, part.stop - part.start) for part in self.region)

    @property
    def valve_index(self) -> tuple[int, ...]:
        """Tiles with the same valve index hold the same valves."""
        return tuple(k for k, own in zip(self.index, self.grid.valve_dims, strict=True) if own)

    @cached_property
    def indices(self) -> list[Int[np.ndarray, "points"]]:
        """Of every point of the block its index along each dimension of the grid."""
        return self._indices([np.arange(b) for b in self.block])

    @cached_property
    def valve_indices(self) -> list[Int[np.ndarray, "valves"]]:
        """`indices` of the points that differ in their valves, one of each."""
        pairs = zip(self.block, self.grid.valve_dims, strict=True)
        return self._indices([np.arange(b if own else 1) for b, own in pairs])

    @cached_property
    def valve_of_point(self) -> Int[np.ndarray, "points"]:
        """Of every point of the block the number of its valve among `valve_indices`."""
        pairs = zip(self.block, self.grid.valve_dims, strict=True)
        shape = tuple(b if own else 1 for b, own in pairs)
        return np.broadcast_to(np.arange(prod(shape)).reshape(shape), self.block).ravel()

    def _indices(self, ranges: list[np.ndarray]) -> list[np.ndarray]:
        sides = zip(self.index, self.block, ranges, self.grid.shape, strict=True)
        clipped = [np.minimum(k * b + r, n - 1) for k, b, r, n in sides]
        return [part.ravel() for part in np.meshgrid(*clipped, indexing="ij")]

    def cut(self, values: np.ndarray) -> np.ndarray:
        """Values of the block's points, points leading, as the part of the grid that is the tile's own."""
        return np.asarray(values).reshape(*self.block, *np.shape(values)[1:])[self.inside]


def tiles(grid: Grid, block: tuple[int, ...]) -> list[Tile]:
    """All tiles, those with the same valves one after another."""
    counts = [ceil(n / b) for n, b in zip(grid.shape, block, strict=True)]
    found = [Tile(grid, block, number, index) for number, index in enumerate(np.ndindex(*counts))]
    return sorted(found, key=lambda tile: (tile.valve_index, tile.index))


def one_point(valve: SpinValve, bias: Bias, values: Mapping[str, np.ndarray], k: int) -> tuple[SpinValve, Bias]:
    """The valve and the bias of point ``k`` of ``values``."""
    return with_values(valve, bias, {name: jax.numpy.asarray(column[k]) for name, column in values.items()})


def with_values(valve: SpinValve, bias: Bias, values: Mapping[str, Numbers]) -> tuple[SpinValve, Bias]:
    """The valve and the bias with the ``values`` of a point."""
    return set_parameters(valve, bias, {name: value for name, value in values.items() if name != SEED})
