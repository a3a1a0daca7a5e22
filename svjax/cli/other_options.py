"""What `svjax resume` and `svjax info` can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class ResumeOptions:
    """Continue a run or a sweep that was stopped from its last checkpoint, to the same end, or a run to a later one."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of the run or the sweep."""
    until: float | None = None
    """A later end of a run, also of one that is complete, since the quench [hbar/gamma]."""
    coordinator: str | None = None
    """Address host:port of process 0, where several processes share a sweep without SLURM."""
    rank: int | None = None
    """Number of this process, from 0 on."""
    processes: int | None = None
    """Number of all processes."""


@dataclass(frozen=True)
class InfoOptions:
    """Print what is in a run or a sweep: parameters, ends, convergence; also of one that runs or was stopped."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of the run or the sweep."""
    gamma_ev: float | None = None
    """The hopping gamma, to add fs, eV, tesla, microampere and kelvin [eV]."""
