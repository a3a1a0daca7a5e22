"""Several processes, also on several hosts, that share the tiles of one sweep."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils


def join_processes(coordinator: str | None = None, rank: int | None = None, count: int | None = None) -> None:
    """Join the other processes of this job; to be called before anything is computed.

    **Arguments:** address "host:port" of the ``coordinator``, which is process 0; the ``rank`` of this process and
    the ``count`` of all. All of them None: SLURM (and what else JAX knows) tells them.

    Raises ValueError if only some are given.
    """
    given = [value is not None for value in (coordinator, rank, count)]
    if any(given) and not all(given):
        raise ValueError("Arguments `coordinator`, `rank` and `count` must be given together, but one is missing.")
    if coordinator is not None and not re.fullmatch(r".+:\d+", coordinator):
        raise ValueError(f'Argument `coordinator` must be an address "host:port", but is {coordinator!r}.')
    jax.distributed.initialize(coordinator, count, rank)


def in_slurm_job() -> bool:
    """Whether SLURM has started this process as one of several."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in os.environ


def on_first(work: Callable[[], object]) -> None:
    """Let process 0 do some ``work`` that the others wait for; if it fails, all of them fail."""
    together(work if jax.process_index() == 0 else lambda: None)


def together(work: Callable[[], object]) -> None:
    """Let every process do some ``work`` and wait for the others; if it fails in one, all of them fail in the end."""
    error = None
    try:
        work()
    except Exception as caught:
        error = caught
    if jax.process_count() > 1:
        failed = np.flatnonzero(multihost_utils.process_allgather(np.array(error is not None)))
        if len(failed) and error is None:
            raise OSError(f"Process {failed[0]} failed; its message says why.")
    if error is not None:
        raise error
