"""What a tile of runs has behind it: rows that are saved while it runs, and the checkpoint from which it goes on."""

from dataclasses import dataclass

import numpy as np

from svjax.model.equations import State
from svjax.simulations.dataset import state_from_arrays, state_to_arrays
from svjax.storage.folders import saving
from svjax.storage.row_buffer import RowBuffer
from svjax.sweeps.parameter_grid import Tile
from svjax.sweeps.sweep_store import SweepStore


@dataclass
class Position:
    """Where the runs of a tile are: the ``state`` of every point (in stage 1, of every valve) at a ``step``.

    ``status`` and ``reasons`` are those that the points will have; ``end`` is the time of the last good row of each.
    """

    stage: int
    step: int
    state: State
    status: np.ndarray
    reasons: list[str]
    end: np.ndarray


class TileWriter:
    """Keeps rows until they are due, then saves them and, behind them, a checkpoint."""

    def __init__(self, store: SweepStore, tile: Tile):
        self.store, self.tile, self.checkpoint = store, tile, store.checkpoint(tile)
        self.rows = RowBuffer(lambda rows, first: store.write(tile, rows, first), axis=1)

    def add(self, rows: dict[str, np.ndarray], position: Position) -> None:
        self.rows.add(rows)
        if self.checkpoint is not None and self.rows.due:
            self.rows.save(lambda: self._write_behind(position))

    def finish(self, position: Position, last: dict[str, np.ndarray]) -> None:
        """Save the rows that are left, and what there is at the end."""
        self.rows.save()
        self.store.write(self.tile, {"end": position.end} | last)

    def _write_behind(self, position: Position) -> None:
        if position.stage == 2:
            self.store.write(self.tile, {"end": position.end})
        arrays = state_to_arrays(position.state) | {"status": position.status, "end": position.end}
        facts = {"identity": self.store.plan.identity, "tile": self.tile.number, "row": self.rows.saved}
        facts |= {"stage": position.stage, "step": position.step, "reasons": position.reasons}
        assert self.checkpoint is not None
        with saving(self.store.path):
            self.checkpoint.save(arrays, facts)

    def load(self) -> Position | None:
        """Where an earlier process was with this tile; None if it had not come far."""
        found = None if self.checkpoint is None else self.checkpoint.load()
        if found is None:
            return None
        arrays, facts = found
        if (facts.get("identity"), facts.get("tile")) != (self.store.plan.identity, self.tile.number):
            raise ValueError(f"The checkpoint of tile {self.tile.number} in {self.store.path} is of another sweep.")
        self.rows.saved = facts["row"]
        ends = arrays["status"], facts["reasons"], arrays["end"]
        return Position(facts["stage"], facts["step"], state_from_arrays(arrays), *ends)
