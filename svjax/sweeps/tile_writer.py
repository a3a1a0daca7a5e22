"""What a tile of runs has behind it: rows that are saved while it runs, and the checkpoint from which it goes on."""

import time
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from svjax.model.equations import State
from svjax.simulations.dataset import STATES
from svjax.storage.checkpoint import Checkpoint
from svjax.storage.folders import saving
from svjax.sweeps.parameter_grid import Tile
from svjax.sweeps.sweep_store import SweepStore

SECONDS_PER_SAVE = 2.0
SAVING_SHARE = 0.05
"""Rows and checkpoints are saved every two seconds, or less often where that takes more than this share of the time."""


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


@dataclass
class TileWriter:
    """Keeps rows until they are due, then saves them and, behind them, a checkpoint."""

    store: SweepStore
    tile: Tile
    row: int = 0
    waiting: list[dict[str, np.ndarray]] = field(default_factory=list)
    saved: float = field(default_factory=time.monotonic)
    cost: float = 0.0
    checkpoint: Checkpoint | None = field(init=False)

    def __post_init__(self):
        self.checkpoint = self.store.checkpoint(self.tile)

    def add(self, rows: dict[str, np.ndarray], position: Position) -> None:
        self.waiting.append(rows)
        if self.checkpoint is not None and time.monotonic() - self.saved > max(
            SECONDS_PER_SAVE, self.cost / SAVING_SHARE
        ):
            started = time.monotonic()
            self.write_rows()
            if position.stage == 2:
                self.store.write(self.tile, {"end": position.end})
            self.write_checkpoint(self.checkpoint, position)
            self.saved, self.cost = time.monotonic(), time.monotonic() - started

    def write_rows(self) -> None:
        parts = [part for part in self.waiting if part]
        if parts:
            rows = {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]}
            self.store.write(self.tile, rows, self.row)
            self.row += next(iter(rows.values())).shape[1]
        self.waiting = []

    def write_checkpoint(self, checkpoint: Checkpoint, position: Position) -> None:
        arrays = {name: np.asarray(getattr(position.state, name)) for name in STATES}
        facts = {"identity": self.store.plan.identity, "tile": self.tile.number, "row": self.row}
        facts |= {"stage": position.stage, "step": position.step, "reasons": position.reasons}
        with saving(self.store.path):
            checkpoint.save(arrays | {"status": position.status, "end": position.end}, facts)

    def load(self) -> Position | None:
        """Where an earlier process was with this tile; None if it had not come far."""
        found = None if self.checkpoint is None else self.checkpoint.load()
        if found is None:
            return None
        arrays, facts = found
        if (facts.get("identity"), facts.get("tile")) != (self.store.plan.identity, self.tile.number):
            raise ValueError(f"The checkpoint of tile {self.tile.number} in {self.store.path} is of another sweep.")
        self.row = facts["row"]
        state = State(**{name: jnp.asarray(arrays[name]) for name in STATES})
        return Position(facts["stage"], facts["step"], state, arrays["status"], facts["reasons"], arrays["end"])
