"""What `svjax resume`, `info`, `report` and `animate` can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class StoreOptions:
    """Something that svjax wrote."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of the run, the sweep, or whatever else svjax wrote."""


@dataclass(frozen=True)
class ResumeOptions(StoreOptions):
    """Continue a run, a sweep, a diagram or a loop that was stopped from its last checkpoint, to the same end, or a run
    to a later one."""

    until: float | None = None
    """A later end of a run, also of one that is complete, since the quench [hbar/gamma]."""
    coordinator: str | None = None
    """Address host:port of process 0, where several processes share a sweep without SLURM."""
    rank: int | None = None
    """Number of this process, from 0 on."""
    processes: int | None = None
    """Number of all processes."""


@dataclass(frozen=True)
class ReportOptions(StoreOptions):
    """Write one HTML page about a run, a sweep, a curve or a diagram: pictures, parameters, checks, how to make it."""

    out: Path | None = None
    """The file of the page; report.html in that folder if not given."""


@dataclass(frozen=True)
class AnimateOptions(StoreOptions):
    """Draw a run that observed spins as a moving picture: spins, currents on the bonds if observed, magnetisations."""

    out: Path | None = None
    """A file that ends in .gif, .html or .mp4; spins.gif in that folder if not given."""
    plane: Literal["xz", "xy", "yz"] | None = None
    """Components of the spins that are arrows; those that vary most if not given."""
    frames: int = 200
    """At most so many, evenly in time [number]."""
    fps: int = 20
    """Frames in a second [number]."""


@dataclass(frozen=True)
class ExportOptions(StoreOptions):
    """Write what is in a store to a netCDF file, which every program of the field reads; complex numbers in parts."""

    out: Path | None = None
    """The new file; named as the folder with .nc behind if not given."""


@dataclass(frozen=True)
class InfoOptions(StoreOptions):
    """Print what is in a run or a sweep: parameters, ends, convergence; also of one that runs or was stopped."""

    gamma_ev: float | None = None
    """The hopping gamma, to add fs, eV, tesla, microampere and kelvin [eV]."""
