"""Rows on their way to the disk: they wait until they are due, and what must not be ahead of them is written behind."""

import time
from collections.abc import Callable

import numpy as np

SECONDS_PER_SAVE = 2.0
SAVING_SHARE = 0.05
"""Rows are saved every two seconds, or less often where that takes more than this share of the time."""

Rows = dict[str, np.ndarray]


class RowBuffer:
    """Keeps rows, which lie along the ``axis`` of their arrays, until ``write(rows, number of the first)`` takes them.

    ``saved`` counts those that were written.
    """

    def __init__(self, write: Callable[[Rows, int], object], saved: int = 0, axis: int = 0):
        self.write, self.saved, self.axis = write, saved, axis
        self.waiting: list[Rows] = []
        self.last, self.cost = time.monotonic(), 0.0

    def add(self, rows: Rows) -> None:
        """Keep further rows; a segment without any has no names or arrays of length 0."""
        self.waiting.append(rows)

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self.last > max(SECONDS_PER_SAVE, self.cost / SAVING_SHARE)

    def save(self, behind: Callable[[], object] | None = None) -> None:
        """Write what waits, then let ``behind`` write what belongs to it: a checkpoint."""
        started = time.monotonic()
        parts = [part for part in self.waiting if part]
        if parts:
            rows = {name: np.concatenate([part[name] for part in parts], self.axis) for name in parts[0]}
            self.write(rows, self.saved)
            self.saved += next(iter(rows.values())).shape[self.axis]
        if behind is not None:
            behind()
        self.waiting, self.last = [], time.monotonic()
        self.cost = self.last - started
