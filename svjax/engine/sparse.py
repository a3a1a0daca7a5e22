"""Constant sparse matrices applied by gathers alone, whose derivatives are gathers too."""

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
    Compared by value: the products of equal matrices share their compiled programs.
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

    @cached_property
    def _key(self) -> tuple:
        return self.shape, *((part.dtype.str, part.tobytes()) for part in self.entries)

    def __eq__(self, other) -> bool:
        return isinstance(other, SparseRows) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __call__(self, x: Inexact[Array, "cols *rest"]) -> Inexact[Array, "rows *rest"]:
        return sparse_rows_p.bind(x, table=self, axis=0)


def _apply(x: Array, *, table: SparseRows, axis: int) -> Array:
    """One gather per slot; unit entries, the common case, need no multiplication."""
    total = jnp.zeros(_shape(x, table, axis), x.dtype)
    others = tuple(k for k in range(x.ndim) if k != axis)
    unit = np.all(table.value[table.filled] == 1)
    for index, value, filled in zip(table.index.T, table.value.T, table.filled.T, strict=True):
        term = jnp.take(x, index, axis, mode="clip")
        if unit:
            term = jnp.where(np.expand_dims(filled, others), term, 0)
        else:
            term = jnp.asarray(np.expand_dims(value, others), x.dtype) * term
        total = total + term
    return total


def _shape(x: Array, table: SparseRows, axis: int) -> tuple[int, ...]:
    return *x.shape[:axis], table.shape[0], *x.shape[axis + 1 :]


sparse_rows_p = Primitive("sparse_rows")
sparse_rows_p.def_impl(jax.jit(_apply, static_argnames=("table", "axis")))
sparse_rows_p.def_abstract_eval(lambda x, *, table, axis: x.update(shape=_shape(x, table, axis)))
mlir.register_lowering(sparse_rows_p, mlir.lower_fun(_apply, multiple_results=False))
ad.deflinear2(sparse_rows_p, lambda ct, x, *, table, axis: [sparse_rows_p.bind(ct, table=table.transpose, axis=axis)])


def _batch(args, dims, *, table, axis):
    """The batch stays where it is: moved to the end and back it would be two transposes of all arrays per product."""
    (x,), (dim,) = args, dims
    return sparse_rows_p.bind(x, table=table, axis=axis + (dim <= axis)), dim


batching.primitive_batchers[sparse_rows_p] = _batch


def matchings(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """The numbers of the ``pairs`` in groups that touch no site twice: an edge colouring, greedy, of few colours.

    Within a group every site has at most one partner, so that moving data to it is a gather that is its own transpose.
    """
    taken: dict[int, set[int]] = {}
    groups: list[list[int]] = []
    for number, (i, j) in enumerate(pairs):
        used = taken.setdefault(i, set()) | taken.setdefault(j, set())
        colour = next(k for k in range(len(groups) + 1) if k not in used)
        if colour == len(groups):
            groups.append([])
        groups[colour].append(number)
        taken[i].add(colour)
        taken[j].add(colour)
    return groups
