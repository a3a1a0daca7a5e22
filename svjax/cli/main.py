"""The command line, `svjax run` and its like. Heavy imports wait until they are needed."""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import tyro

from svjax.cli.commands import BAD_INPUT, INTERRUPTED, diagram, hysteresis, resume, run, steady, sweep
from svjax.cli.diagram_options import DiagramOptions
from svjax.cli.loop_options import HysteresisOptions
from svjax.cli.options import RunOptions, ShapeOptions, SteadyOptions
from svjax.cli.other_options import AnimateOptions, ExportOptions, InfoOptions, ReportOptions, ResumeOptions
from svjax.cli.sweep_options import SweepOptions
from svjax.cli.viewing import animate, export, info, report
from svjax.cli.words import joined, toml_arguments

Options = (
    RunOptions
    | SteadyOptions
    | HysteresisOptions
    | DiagramOptions
    | SweepOptions
    | ResumeOptions
    | InfoOptions
    | ReportOptions
    | AnimateOptions
    | ExportOptions
)
COMPUTING: dict[str, tuple[type, Callable[[Any], int]]] = {
    "run": (RunOptions, run),
    "steady": (SteadyOptions, steady),
    "hysteresis": (HysteresisOptions, hysteresis),
    "diagram": (DiagramOptions, diagram),
    "sweep": (SweepOptions, sweep),
    "resume": (ResumeOptions, resume),
}
READING: dict[str, tuple[type, Callable[[Any], int]]] = {
    "info": (InfoOptions, info),
    "report": (ReportOptions, report),
    "animate": (AnimateOptions, animate),
    "export": (ExportOptions, export),
}
COMMANDS = {name: kind for name, (kind, _) in (COMPUTING | READING).items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status: 0, 1 for a run that diverged, 2 for bad input, 3 for a run whose
    convergence report is not all right, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        print(f"svjax {version('svjax')}")
        return 0
    arguments = joined("--observe", arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _Told()
            return _told_what_to_do(arguments)
    except (ValueError, RuntimeError, MemoryError, OverflowError, OSError) as error:
        print(f"svjax: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("svjax: interrupted before anything was saved.", file=sys.stderr)
        return INTERRUPTED


class _Told:
    """Shows every warning in one line, once."""

    def __init__(self):
        self.before: set[str] = set()

    def __call__(self, message, *_args, **_more) -> None:
        if str(message) not in self.before:
            print(f"svjax: {message}", file=sys.stderr)
        self.before.add(str(message))


def _told_what_to_do(arguments: list[str]) -> int:
    """Read options and their TOML file, and do what they say."""
    options = _parse(arguments)
    if isinstance(options, ShapeOptions) and options.config is not None:
        kind, name = type(options), f"svjax {arguments[0]}"
        words = toml_arguments(options.config, kind, name)
        default = tyro.cli(kind, args=words, prog=f"{name} {options.config}")
        options = tyro.cli(kind, args=arguments[1:], default=default, prog=name)
    return _do(options)


def _parse(arguments: list[str]) -> Options:
    description = "The nonequilibrium dynamics of spin valves, electrons and spins together."
    return tyro.extras.subcommand_cli_from_dict(COMMANDS, args=arguments, prog="svjax", description=description)


def _do(options: Options) -> int:
    for kind, read in READING.values():
        if isinstance(options, kind):
            return read(options)
    import jax

    jax.config.update("jax_enable_x64", True)
    if isinstance(options, SweepOptions | ResumeOptions):
        from svjax.engine import devices

        told = (options.coordinator, options.rank, options.processes)
        if any(part is not None for part in told) or devices.in_slurm_job():
            devices.join_processes(*told)
    return next(compute for kind, compute in COMPUTING.values() if isinstance(options, kind))(options)
