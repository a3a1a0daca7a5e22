"""What `svjax run`, `steady`, `diagram`, `sweep` and `resume` do. Heavy imports wait until they are needed."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from svjax.cli.bars import Bar, clock, counted
from svjax.cli.words import command_line

if TYPE_CHECKING:
    from xarray import Dataset

    from svjax.cli.diagram_options import DiagramOptions
    from svjax.cli.loop_options import HysteresisOptions
    from svjax.cli.options import RunOptions, SteadyOptions
    from svjax.cli.other_options import ResumeOptions
    from svjax.cli.sweep_options import SweepOptions
    from svjax.simulations.loop import Run
    from svjax.storage.size import Size

BAD_INPUT, DIVERGED, NOT_OK, INTERRUPTED = 2, 1, 3, 130
"""Exit statuses beside 0."""


def run(options: RunOptions) -> int:
    """`svjax run`: the three stages, their report and pictures."""
    from svjax.cli import starting
    from svjax.simulations import loop, observed, plan, runs
    from svjax.storage import size

    folder = options.folder()
    valve, bias = options.valve(), options.bias()
    warm = bool(valve.spin_temperature > 0) and bool((valve.damping > 0).any())
    key = starting.random_key(options.seed, options.start, warm)
    initial = starting.initial(options.start, options.equilibrium, valve, key)

    writer = runs.RunWriter(folder, overwrite=options.overwrite, command=command_line("run", options))
    to_do = plan.plan_three_stage(
        valve,
        bias,
        relax=options.relax,
        duration=options.duration,
        dt=options.dt,
        save_every=options.save_every,
        method=options.method,
        observe=options.observe or None,
        key=key if warm else None,
        **initial,
    )
    row = observed.first_row(to_do.observe, to_do.valve, to_do.initial)
    needed = size.size_of_run(to_do.relax_steps + to_do.steps, to_do.save_every, row, to_do.initial)
    _sized(needed, folder)
    return _to_the_end(folder, lambda bar: loop.carry_out(to_do, bar.run, writer))


def _sized(needed: Size, folder: Path) -> None:
    """Say what a job needs, and raise where the machine has less."""
    needed.check(folder)
    print(f"svjax: {needed}", file=sys.stderr)


def _interrupted(folder: Path) -> int:
    """Say how a job goes on that Ctrl-C has stopped; raises KeyboardInterrupt if nothing of it was saved."""
    if not folder.exists():
        raise KeyboardInterrupt
    print(f"svjax: interrupted; `svjax resume {shlex.quote(str(folder))}` goes on.", file=sys.stderr)
    return INTERRUPTED


def _to_the_end(folder: Path, work: "Callable[[Bar], Run | None]") -> int:
    """Let ``work`` run a run, and show what became of it."""
    from svjax import plot
    from svjax.reports import describe
    from svjax.simulations import convergence, loop, runs
    from svjax.storage import folders

    started, status, bar = time.monotonic(), 0, Bar()
    try:
        run = work(bar)
        bar.close()
        if run is not None:
            report = convergence.convergence_report(run)
            runs.store_convergence(folder, report)
            runs.discard_checkpoint(folder)
            status = 0 if report.ok else NOT_OK
    except loop.DivergedRun as error:
        bar.close()
        print(f"svjax: {error}", file=sys.stderr)
        status = DIVERGED
    except loop.Interrupted as error:
        bar.close()
        print(f"svjax: {error.run.reason}", file=sys.stderr)
        status = INTERRUPTED
    finally:
        bar.close()
    with folders.reading(folder):
        dataset = runs.open_run(folder)
        pictures = plot.run_pictures(folder, dataset)
        print(describe.describe(dataset))
    drawn = f" and in it {', '.join(pictures)}" if pictures else ""
    print(f"\nwrote {folder}{drawn} in {clock(time.monotonic() - started)}")
    return status


def sweep(options: SweepOptions) -> int:
    """`svjax sweep`: all points of the ranges."""
    from svjax.sweeps import sweep

    folder, values, task = options.folder(), options.grid(), options.what()
    valve, bias = options.valve(), options.bias()

    plan = sweep.plan_sweep(valve, values, task, bias, options.zipped, options.batch)
    print(f"svjax: {plan.size}", file=sys.stderr)
    command = command_line("sweep", options)
    return _through(folder, lambda bar: sweep.create_and_run(folder, plan, options.overwrite, bar.sweep, command))


def _through(folder: Path, work: Callable[[Bar], object]) -> int:
    """Let ``work`` run a sweep, and show what became of it."""
    import jax

    from svjax.reports import describe_sweep
    from svjax.storage import folders

    started, bar = time.monotonic(), Bar()
    try:
        work(bar)
    except KeyboardInterrupt:
        bar.close()
        return _interrupted(folder)
    finally:
        bar.close()
    if jax.process_index() == 0:
        with folders.reading(folder):
            print(describe_sweep.describe_sweep(folder))
        print(f"\nwrote {folder} in {clock(time.monotonic() - started)}")
    return 0


def resume(options: ResumeOptions) -> int:
    """`svjax resume`: a run, a sweep, a diagram or a loop taken to its end."""
    from svjax.storage import formats, plain
    from svjax.sweeps import resume

    kind = plain.store_format(options.run)
    if kind in (formats.SWEEP, formats.DIAGRAM, formats.LOOP):
        resume.check_no_end(options.run, options.until)
    if kind in (formats.DIAGRAM, formats.LOOP):
        return _drawn(options.run, None, lambda watch: resume.resume_table(options.run, kind, watch))
    if kind == formats.SWEEP:
        return _through(options.run, lambda bar: resume.resume_sweep(options.run, progress=bar.sweep))
    return _to_the_end(options.run, lambda bar: resume.resume_run(options.run, progress=bar.run, until=options.until))


def steady(options: SteadyOptions) -> int:
    """`svjax steady`: steady states and their modes along a voltage."""
    from svjax import plot
    from svjax.reports import describe
    from svjax.simulations import curve, tables
    from svjax.storage import folders, formats, size

    started = time.monotonic()
    folder, voltages, valve = options.folder(), options.voltages(), options.valve()
    needed = size.size_of_curve(len(voltages), valve.lattice.dim, len(valve.lattice.spin_sites))
    _sized(needed, folder)
    folders.check_target(folder, options.overwrite, formats.CURVE)
    with counted(len(voltages), "voltage") as bar:

        def progress(number: int, voltage: float) -> None:
            bar.set_description_str(f"V = {voltage:g}", refresh=False)
            bar.update(number - bar.n)

        found = curve.steady_curve(valve, voltages, options.drop, modes=options.modes, progress=progress)
        bar.update(len(voltages) - bar.n)
    tables.save_table(folder, found.assign_attrs(command=command_line("steady", options)))
    plot.curve_pictures(folder, found)
    print(describe.describe_curve(found))
    print(f"\nwrote {folder} and in it steady.png, steady.pdf in {clock(time.monotonic() - started)}")
    return 0


def diagram(options: DiagramOptions) -> int:
    """`svjax diagram`: where the layers end and when they switch, over voltage and field."""
    from svjax.simulations import tables
    from svjax.storage import size

    folder, voltages, fields, valve = options.folder(), options.voltages(), options.fields(), options.valve()
    needed = size.size_of_diagram(len(voltages) * len(fields), valve.lattice.dim, len(valve.lattice.spin_sites))
    _sized(needed, folder)
    chosen = {name: getattr(options, name) for name in ("drop", "axis", "start", "duration", "angles", "overwrite")}
    command = command_line("diagram", options)

    def work(watch: Callable[[str], object]) -> "Dataset":
        return tables.make_diagram(folder, valve, voltages, fields, **chosen, command=command, progress=watch)

    return _drawn(folder, len(voltages), work)


def _drawn(folder: Path, count: int | None, work: "Callable[[Callable[[object], object]], Dataset]") -> int:
    """Let ``work`` make a diagram of ``count`` tables or a loop of so many states, and show what became of it."""
    from svjax import plot
    from svjax.reports import describe, describe_loop
    from svjax.storage import folders, formats

    started = time.monotonic()
    try:
        with counted(count, "part") as bar:
            found = work(lambda _: bar.update())
    except KeyboardInterrupt:
        return _interrupted(folder)
    if found.attrs["format"] == formats.LOOP:
        name, draw, tell = "hysteresis", plot.loop_pictures, describe_loop.describe_loop
    else:
        name, draw, tell = "diagram", plot.diagram_pictures, describe.describe_diagram
    with folders.reading(folder):
        draw(folder, found)
        print(tell(found))
    print(f"\nwrote {folder} and in it {name}.png, {name}.pdf in {clock(time.monotonic() - started)}")
    return 0


def hysteresis(options: HysteresisOptions) -> int:
    """`svjax hysteresis`: stable states as a parameter goes forward and back."""
    from svjax.simulations import tables
    from svjax.storage import size

    folder, values, valve, bias = options.folder(), options.steps(), options.valve(), options.bias()
    needed = size.size_of_curve(2 * len(values), valve.lattice.dim, len(valve.lattice.spin_sites))
    _sized(needed, folder)
    chosen = {"overwrite": options.overwrite, "command": command_line("hysteresis", options)}

    def work(watch: Callable[[object], object]) -> "Dataset":
        return tables.make_loop(folder, valve, bias, options.parameter, values, **chosen, progress=watch)

    return _drawn(folder, 2 * len(values), work)
