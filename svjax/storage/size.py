"""How large a job is, said in one line before it starts, and refused above what the machine has."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import jax
import numpy as np

from svjax.model.equations import State

COPIES = 8
"""States of a point that are in memory at once."""


@dataclass(frozen=True)
class Size:
    """``points``, time ``steps`` of each (0 where nothing is stepped), and bytes in ``memory`` and on ``disk``."""

    points: int
    steps: int
    memory: float
    disk: float

    def __str__(self) -> str:
        what = f"{self.points:,} points" if self.points > 1 else "1 point"
        steps = f", {self.steps:,} steps each" if self.steps else ""
        return f"{what}{steps}; {in_bytes(self.memory)} of memory, {in_bytes(self.disk)} on disk"

    def check(self, folder: Path | None) -> None:
        """Raise MemoryError or OSError where the machine, or the disk of ``folder``, holds less; None is memory."""
        memory = self.memory + (0 if folder is not None else self.disk)
        if memory > (most := memory_of_machine()):
            raise MemoryError(
                f"This needs {in_bytes(memory)} of memory ({self}), and the machine has {in_bytes(most)}."
            )
        if folder is not None:
            there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
            if self.disk > (left := shutil.disk_usage(there).free):
                raise OSError(f"This needs {in_bytes(self.disk)} on disk ({self}), and {there} has {in_bytes(left)}.")


def size_of_run(steps: int, save_every: int, row: dict[str, np.ndarray], state: State) -> Size:
    """What a run takes of which each save is a ``row``."""
    rows, of_state = (steps // save_every + 2) * (bytes_of(row) + 32), bytes_of(state)
    return Size(1, steps, 2 * rows + COPIES * of_state, rows + 4 * of_state)


def size_of_curve(points: int, dim: int, spins: int) -> Size:
    """What steady states with their modes take: matrices (dim, dim) and the susceptibility's (3 spins, dim, dim)."""
    each = 16 * dim * dim
    return Size(points, 0, (3 * spins + 12) * each, points * (each + 24 * spins))


def size_of_diagram(points: int, dim: int, spins: int) -> Size:
    """What a phase diagram takes: matrices of one table for each processor, and a few numbers for each point."""
    tables = (os.cpu_count() or 1) * size_of_curve(1, dim, spins).memory
    return Size(points, 0, tables + 2000 * points, 64 * points)


def memory_of_machine() -> float:
    """Bytes, as far as the system tells."""
    names = getattr(os, "sysconf_names", {})
    known = {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(names)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else inf


def in_bytes(count: float) -> str:
    """Bytes with a unit."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def bytes_of(tree: Any) -> int:
    """Of all arrays, also of those of which only shape and type are known."""
    return sum(part.size * part.dtype.itemsize for part in jax.tree.leaves(tree))
