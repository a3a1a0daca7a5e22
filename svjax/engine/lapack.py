"""LAPACK as JAX calls it on CPUs: on one thread, and without the batches that wait for each other for ever."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import scipy
from jax._src.interpreters import mlir as private
from jax.extend.core import Primitive
from jax.interpreters import mlir

TASK = 200_000
"""Products that jaxlib gives to one task of a batch, at least."""
COST = {"lu": 1, "triangular_solve": 1, "cholesky": 1}
"""Bounds on what it takes a matrix for, in products next to its rows times columns times the larger of them."""
OTHERS = ("eig", "eigh", "geqp3", "geqrf", "hessenberg", "householder_product", "ormqr", "schur", "svd", "tridiagonal")
COST_OF_OTHERS = 30


def in_small_batches() -> None:
    """Let JAX's own programs on CPUs call LAPACK for batches that are a single task, one after the other.

    jaxlib 0.10 cuts a larger batch into tasks for the threads that run the program, and the thread that did so waits
    for them. Two such calls at a time on a machine of two cores leave no thread that could work: the program stands
    still for ever. Which programs do depends on the number of cores and on chance.
    """
    for primitive, entry in list(getattr(private, "_platform_specific_lowerings", {}).get("cpu", {}).items()):
        rule = getattr(entry, "rule", None)  # where another version of JAX keeps them elsewhere, they stay as they are
        if primitive.name in (*COST, *OTHERS) and rule is not None:
            mlir.register_lowering(primitive, partial(_lowered, primitive, rule), platform="cpu", inline=entry.inline)


def _lowered(primitive: Primitive, plain: Any, context: Any, *operands: Any, **parameters: Any) -> Any:
    """The ``plain`` lowering where it makes a single task, else a loop over those."""
    shapes = [x.shape for x in context.avals_in]
    over = len(shapes[0]) - 2
    batch, together = prod(shapes[0][:over]), _together(primitive.name, [s[over:] for s in shapes], context.avals_in[0])
    if batch <= together:
        return plain(context, *operands, **parameters)

    def loop(*matrices):
        flat = tuple(x.reshape(batch, *x.shape[over:]) for x in matrices)
        found = jax.lax.map(lambda one: primitive.bind(*one, **parameters), flat, batch_size=together)
        return jax.tree.map(lambda x: x.reshape(*shapes[0][:over], *x.shape[1:]), found)

    return mlir.lower_fun(loop, multiple_results=primitive.multiple_results)(context, *operands)


def _together(name: str, shapes: list[tuple[int, ...]], operand: Any) -> int:
    """How many matrices are a single task."""
    rows, columns = (max((*shape, 1, 1)[k] for shape in shapes) for k in (0, 1))
    cost = COST.get(name, COST_OF_OTHERS) * rows * columns * max(rows, columns)
    return max(1, TASK // max(cost * (3 if jnp.issubdtype(operand.dtype, jnp.complexfloating) else 1), 1))


@contextmanager
def lapack_on_one_thread() -> Iterator[None]:
    """Let the OpenBLAS that SciPy brings, and that JAX calls on CPUs, work on one thread; without effect elsewhere.

    Its threads wait for each other in busy loops: eigenvectors of 96 rows take 60 times as long beside another program
    that computes. What is called must have ended within the block.
    """
    library = _openblas()
    if library is None:
        yield
        return
    before = library.scipy_openblas_get_num_threads()
    library.scipy_openblas_set_num_threads(1)
    try:
        yield
    finally:
        library.scipy_openblas_set_num_threads(before)


@cache
def _openblas() -> ctypes.CDLL | None:
    for path in (Path(scipy.__file__).parent.parent / "scipy.libs").glob("libscipy_openblas*"):
        library = ctypes.CDLL(str(path))
        if hasattr(library, "scipy_openblas_set_num_threads"):
            return library
    return None
