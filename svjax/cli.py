"""The command line: `svjax run`, `svjax steady` and `svjax info`. Heavy imports wait until they are needed."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from svjax.options import RunOptions, SteadyOptions, toml_arguments

if TYPE_CHECKING:
    from svjax.march import Progress

BAD_INPUT, DIVERGED, INTERRUPTED = 2, 1, 130


@dataclass(frozen=True)
class InfoOptions:
    """Print what is in a run: its parameters, its ends, its convergence; also of one that is running or was stopped."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of the run."""
    gamma_ev: float | None = None
    """The hopping gamma, to add fs, eV, tesla, microampere and kelvin [eV]."""


COMMANDS = {"run": RunOptions, "steady": SteadyOptions, "info": InfoOptions}


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status: 0, 1 for a run that diverged, 2 for bad input, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parse(arguments)
        if isinstance(options, InfoOptions):
            return _info(options)
        if options.config is not None:
            kind, name = type(options), f"svjax {arguments[0]}"
            words = toml_arguments(options.config, kind)
            default = tyro.cli(kind, args=words, prog=f"{name} {options.config}")
            options = tyro.cli(kind, args=arguments[1:], default=default, prog=name)
        return _run(options) if isinstance(options, RunOptions) else _steady(options)
    except (ValueError, OSError) as error:
        print(f"svjax: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("svjax: interrupted before anything was saved.", file=sys.stderr)
        return INTERRUPTED


def _parse(arguments: list[str]) -> RunOptions | SteadyOptions | InfoOptions:
    description = "The nonequilibrium dynamics of spin valves, electrons and spins together."
    return tyro.extras.subcommand_cli_from_dict(COMMANDS, args=arguments, prog="svjax", description=description)


def _run(options: RunOptions) -> int:
    import jax

    jax.config.update("jax_enable_x64", True)
    from svjax import convergence, describe, march, protocol, storage

    started, status = time.monotonic(), 0
    folder = options.folder()
    valve, bias = options.valve(), options.bias()
    earlier = None if options.equilibrium is None else storage.open_run(options.equilibrium)
    bar = _Bar()
    try:
        run = protocol.three_stage(
            valve,
            bias,
            relax=options.relax,
            duration=options.duration,
            dt=options.dt,
            save_every=options.save_every,
            method=options.method,
            equilibrium=None if earlier is None else storage.load_equilibrium(earlier),
            progress=bar,
            writer=storage.RunWriter(folder, overwrite=options.overwrite),
        )
        bar.close()
        storage.store_convergence(folder, convergence.convergence_report(run))
    except march.DivergedRun as error:
        bar.close()
        print(f"svjax: {error}", file=sys.stderr)
        status = DIVERGED
    except march.Interrupted as error:
        bar.close()
        print(f"svjax: {error.run.reason}", file=sys.stderr)
        status = INTERRUPTED
    finally:
        bar.close()
    dataset = storage.open_run(folder)
    pictures = _pictures(folder, dataset)
    print(describe.describe(dataset))
    print(f"\nwrote {folder} and in it {', '.join(pictures)} in {_clock(time.monotonic() - started)}")
    return status


def _pictures(folder: Path, dataset) -> list[str]:
    """The pictures that the saved rows allow."""
    from svjax import plot

    drawn = {}
    if "magnetization" in dataset and dataset.sizes["layer"] and dataset.sizes["time"] > 1:
        drawn["magnetization"] = plot.magnetization(dataset, layer=dataset.sizes["layer"] - 1)
    if "interface_spin_current" in dataset and (dataset["stage"].values == 2).any():
        drawn["currents"] = plot.currents(dataset)
    files = [f"{name}.{kind}" for name in drawn for kind in ("png", "pdf")]
    for file in files:
        plot.save(drawn[Path(file).stem], folder / file)
    return files


def _steady(options: SteadyOptions) -> int:
    import jax

    jax.config.update("jax_enable_x64", True)
    from tqdm import tqdm

    from svjax import curve, describe, plot, storage, store

    started = time.monotonic()
    folder, voltages = options.folder(), options.voltages()
    store.check_target(folder, options.overwrite, curve.FORMAT)
    quiet = 0.1 if sys.stderr.isatty() else 30.0
    with tqdm(total=len(voltages), unit="voltage", mininterval=quiet, file=sys.stderr) as bar:

        def progress(number: int, voltage: float) -> None:
            bar.set_description_str(f"V = {voltage:g}", refresh=False)
            bar.update(number - bar.n)

        found = curve.steady_curve(options.valve(), voltages, options.drop, modes=options.modes, progress=progress)
        bar.update(len(voltages) - bar.n)
    storage.save_curve(folder, found)
    axes = plot.steady_curve(found)
    for kind in ("png", "pdf"):
        plot.save(axes[0], folder / f"steady.{kind}")
    print(describe.describe_curve(found))
    print(f"\nwrote {folder} and in it steady.png, steady.pdf in {_clock(time.monotonic() - started)}")
    return 0


def _info(options: InfoOptions) -> int:
    from svjax import curve, describe, plain, storage
    from svjax.units import Units

    units = None if options.gamma_ev is None else Units(options.gamma_ev)
    if plain.store_format(options.run) == curve.FORMAT:
        print(describe.describe_curve(storage.open_curve(options.run), units))
    else:
        print(describe.describe(storage.open_run(options.run), units))
    return 0


class _Bar:
    """A progress bar with the stage, elapsed and remaining time; to a file or a pipe it writes a line now and then."""

    def __init__(self):
        self.bar = None

    def __call__(self, now: "Progress") -> None:
        from tqdm import tqdm

        if self.bar is None:
            layout = "{desc} |{bar}| {percentage:3.0f}%{postfix}"
            quiet = 0.1 if sys.stderr.isatty() else 30.0
            self.bar = tqdm(total=now.total, bar_format=layout, mininterval=quiet, file=sys.stderr)
        left = "compiling" if now.remaining == float("inf") else f"{_clock(now.remaining)} left"
        self.bar.set_description_str(f"stage {now.stage}, t = {now.t:8.1f}", refresh=False)
        self.bar.set_postfix_str(f"{_clock(now.elapsed)} elapsed, {left}", refresh=False)
        self.bar.update(now.done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


if __name__ == "__main__":
    sys.exit(main())
