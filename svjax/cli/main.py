"""The command line, `svjax run` and its like. Heavy imports wait until they are needed."""

import ast
import sys
import warnings
from collections.abc import Sequence
from dataclasses import make_dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tyro

from svjax.cli import commands, viewing
from svjax.cli.commands import BAD_INPUT, INTERRUPTED
from svjax.cli.words import joined, toml_arguments

COMPUTING = {
    "run": "options.RunOptions",
    "steady": "options.SteadyOptions",
    "hysteresis": "loop_options.HysteresisOptions",
    "diagram": "diagram_options.DiagramOptions",
    "sweep": "sweep_options.SweepOptions",
    "resume": "other_options.ResumeOptions",
}
READING = {
    "info": "other_options.InfoOptions",
    "report": "other_options.ReportOptions",
    "animate": "other_options.AnimateOptions",
    "export": "other_options.ExportOptions",
}
"""What the commands can be told; each is a function of its name in `svjax.cli.commands` or `svjax.cli.viewing`."""


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
    from svjax.cli.options import ShapeOptions

    if isinstance(options, ShapeOptions) and options.config is not None:
        kind, name = type(options), f"svjax {arguments[0]}"
        words = toml_arguments(options.config, kind, name)
        default = tyro.cli(kind, args=words, prog=f"{name} {options.config}")
        options = tyro.cli(kind, args=arguments[1:], default=default, prog=name)
    return _do(arguments[0], options)


def _parse(arguments: list[str]) -> Any:
    """What a command is told; only its own options are imported, and none where it is not said which command."""
    named = COMPUTING | READING
    if arguments and arguments[0] in named:
        module, kind = named[arguments[0]].split(".")
        options = getattr(import_module(f"svjax.cli.{module}"), kind)
        return tyro.cli(options, args=arguments[1:], prog=f"svjax {arguments[0]}")
    made = lambda name: make_dataclass(name, [], namespace={"__doc__": _docstring(*named[name].split("."))})
    commands = {name: made(name) for name in named}
    description = "The nonequilibrium dynamics of spin valves, electrons and spins together."
    tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="svjax", description=description)
    raise ValueError("The first word must be a command: see `svjax --help`.")


def _docstring(module: str, kind: str) -> str:
    """Of options, without an import of them: many are made of the parameters of a valve, which need JAX."""
    tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind)
    return ast.get_docstring(found) or ""


def _do(name: str, options: Any) -> int:
    if name in READING:
        return getattr(viewing, name)(options)
    import jax

    jax.config.update("jax_enable_x64", True)
    if name in ("sweep", "resume"):
        from svjax.sweeps import devices

        told = (options.coordinator, options.rank, options.processes)
        if any(part is not None for part in told) or devices.in_slurm_job():
            devices.join_processes(*told)
    return getattr(commands, name)(options)
