"""What has become of a run or of a point of a sweep: one table of numbers and names for every store."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """The number in a store; its name in lower case is the word for it.

    - PENDING: a point of a sweep that is not finished. RUNNING: a run that is not, and was not stopped by Ctrl-C, which
      is INTERRUPTED.
    - COMPLETE: at its end, and INACCURATE: there, but the spins or the charge balance left their limits.
    - DIVERGED: the state became infinite or nan. NOT_CONVERGED: no steady state, or not all of its modes, were found.
      REFUSED: what was asked for cannot be computed.
    """

    PENDING = 0
    COMPLETE = 1
    DIVERGED = 2
    NOT_CONVERGED = 3
    REFUSED = 4
    INACCURATE = 5
    INTERRUPTED = 6
    RUNNING = 7

    @property
    def word(self) -> str:
        return self.name.lower()


OF_POINTS = tuple(Status)[: Status.INTERRUPTED]
"""What a point of a sweep can be."""
OF_RUNS = Status.RUNNING, Status.COMPLETE, Status.INTERRUPTED, Status.DIVERGED, Status.INACCURATE
"""What a run can be."""
FINISHED = Status.COMPLETE.word, Status.INACCURATE.word
"""Runs that have come to their end."""


def flags(known: Sequence[Status]) -> dict[str, Any]:
    """The attributes of a variable of numbers in a store that tell what they mean."""
    return {
        "flag_values": [int(status) for status in known],
        "flag_meanings": " ".join(status.word for status in known),
    }


def word_of(number: int, attributes: Mapping[str, Any]) -> str:
    """What a ``number`` in a store means, by the store's own flags, which were others in earlier versions.

    Raises ValueError for one that nobody wrote.
    """
    return _own(attributes).get(number) or Status(number).word


def number_of(word: str, attributes: Mapping[str, Any]) -> int:
    """The number of a ``word`` in a store, by its own flags if they have it."""
    own = {known: number for number, known in _own(attributes).items()}
    return own.get(word, int(Status[word.upper()]))


def _own(attributes: Mapping[str, Any]) -> dict[int, str]:
    words = str(attributes.get("flag_meanings", "")).split()
    return dict(zip(map(int, attributes.get("flag_values", ())), words, strict=False))
