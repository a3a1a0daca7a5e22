"""The kinds of stores that svjax writes, the version of each, and what opens it."""

RUN, SWEEP, CURVE, DIAGRAM, LOOP = (f"svjax-{kind}" for kind in ("run", "sweep", "steady", "diagram", "hysteresis"))

VERSIONS = {RUN: 1, SWEEP: 1, CURVE: 1, DIAGRAM: 1, LOOP: 1}

OPENERS = {RUN: "sv.open_run", SWEEP: "sv.open_sweep", CURVE: "sv.open", DIAGRAM: "sv.open", LOOP: "sv.open"}


def short(kind: str) -> str:
    """The name of a ``kind`` in words."""
    return kind.removeprefix("svjax-")
