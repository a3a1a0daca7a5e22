"""One page about a store: its pictures, numbers, parameters and checks, and how it was made."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import numpy as np
import xarray as xr

from svjax.engine.shown import in_words
from svjax.model.parameters import SYMBOLS
from svjax.model.valve import QUANTITIES
from svjax.reports import describe, describe_loop, describe_sweep
from svjax.reports.page import Html, code, facts, line, page, pictures, table
from svjax.reports.pictures import pictures_of
from svjax.reports.remake import commands, program
from svjax.simulations.runs import load_convergence
from svjax.storage.folders import reading
from svjax.storage.formats import CURVE, DIAGRAM, LOOP, RUN, SWEEP
from svjax.storage.plain import tidy_path
from svjax.sweeps.opening import open_store

KINDS = {RUN: "run", SWEEP: "sweep", CURVE: "steady states", DIAGRAM: "phase diagram", LOOP: "hysteresis"}
MADE_WITH = ("svjax_version", "jax_version", "numpy_version", "python_version", "precision", "device", "devices",
             "processes", "format", "format_version")  # fmt: skip
MOST_NUMBERS = 24
"""An array of at most so many numbers is shown with all of them."""

Section = tuple[str, Html]


def report(store: str | os.PathLike | xr.Dataset, out: str | os.PathLike | None = None) -> Path:
    """Write one HTML page about a run, a sweep, a curve or a diagram, which loads nothing from elsewhere.

    It holds the status, the pictures that `svjax.plot` draws of such a store, its parameters with symbols, units and
    meanings, the checks of a run with their limits, versions and device, and the commands that make it again.

    **Arguments:** ``store``: the folder, or the dataset that `open` gives; ``out``: the file, report.html in the folder
    if None.

    **Returns:** the path of the page. Raises what `open` raises, and ValueError for a dataset that is not svjax's or
    has no ``out``.
    """
    dataset, path = (store, None) if isinstance(store, xr.Dataset) else (open_store(store), tidy_path(store))
    if dataset.attrs.get("format") not in KINDS:
        raise ValueError(
            "Argument `store` must be the dataset of a run, a sweep, a curve or a diagram, but is another."
        )
    if out is None and path is None:
        raise ValueError("Argument `out` must be given for a dataset, but is None.")
    target = tidy_path(out) if out is not None else Path(path or "", "report.html")
    if target.is_dir():
        raise ValueError(f"Argument `out` must be a file, but {target} is a folder.")
    with reading(path or "in memory"):
        text = _page(dataset, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
    return target


def _page(store: xr.Dataset, path: Path | None) -> Html:
    kind, valve = store.attrs["format"], json.loads(store.attrs["valve"])
    status, sections = {RUN: _run, SWEEP: _sweep, CURVE: _curve, DIAGRAM: _diagram, LOOP: _loop}[kind](store, path)
    name = path.absolute().name if path else "in memory"
    swept = describe_sweep.swept(store) if kind == SWEEP else set()
    sections.insert(1, ("Parameters", _parameters(valve, store.attrs.get("bias"), swept)))
    sections += [("Made with", _made_with(store, path)), ("Make it again", _again(store, path))]
    drawn = ("", pictures(pictures_of(store)))
    return page(name, f"svjax {KINDS[kind]}, {status}. {describe.shape(valve)}.", [drawn, *sections])


def _run(run: xr.Dataset, path: Path | None) -> tuple[str, list[Section]]:
    run = run if path is None else describe.settled(run, path)
    show, found = describe.Show(None), load_convergence(run)
    lines = [*describe.saves_lines(run, show), *describe.run_lines(run, show)]
    lines.insert(1, ("method", str(run.attrs["method"])))
    rows, marks = [], []
    for check in found.checks if found else ():
        verdict = check.advice if math.isnan(check.limit) else "ok" if check.ok else f"not ok: {check.advice}"
        rows.append([check.name, f"{check.value:.1e}", f"{check.limit:.1e}", verdict])
        marks.append("" if math.isnan(check.limit) else "good" if check.ok else "bad")
    checks = (
        table(rows, ("check", "value", "limit", ""), marks) if rows else line("This run has no convergence report.")
    )
    return describe.run_status(run), [("Run", facts(lines)), ("Checks", checks)]


def _sweep(sweep: xr.Dataset, path: Path | None) -> tuple[str, list[Section]]:
    axes = [[name, *_symbol(name), describe_sweep.axis(values)] for name, values in describe_sweep.axes(sweep).items()]
    lines = [describe_sweep.points_line(sweep), *describe_sweep.task_lines(sweep, describe.Show(None))]
    failed = describe_sweep.failures(sweep)
    checks = facts(failed) if failed else line("No point failed.")
    sections = [("Axes", table(axes, ("parameter", "symbol", "unit", "values"))), ("Points", facts(lines))]
    return describe_sweep.sweep_status(sweep, path), [*sections, ("Checks", checks)]


def _curve(curve: xr.Dataset, _: Path | None) -> tuple[str, list[Section]]:
    heads, rows = describe.curve_table(curve)
    good = sum(not reason for reason in json.loads(curve.attrs["reasons"]))
    return f"{good} of {len(rows)} voltages in full", [("Steady states", table(rows, heads))]


def _diagram(diagram: xr.Dataset, _: Path | None) -> tuple[str, list[Section]]:
    heads, rows = describe.diagram_table(diagram)
    lines = describe.diagram_lines(diagram, describe.Show(None))
    return describe.diagram_status(diagram), [("Switching", table(rows, heads)), ("Runs", facts(lines))]


def _loop(loop: xr.Dataset, _: Path | None) -> tuple[str, list[Section]]:
    heads, rows = describe_loop.loop_table(loop)
    return describe_loop.loop_status(loop), [
        ("Jumps", facts(describe_loop.jump_lines(loop))),
        ("Stable states", table(rows, heads)),
    ]


def _parameters(valve: dict, bias: str | None, swept: set[str]) -> Html:
    """Symbol, value, unit and meaning of all that is not zero, and of the bias."""
    rows = []
    for name, value in describe.parameters(valve).items():
        symbol, unit = _symbol(name)
        rows.append([name, symbol, "swept" if name in swept else _value(value), unit, QUANTITIES[name].help])
    rows += [[name, "", text, "", "Band of a lead"] for name, text in describe.bands(valve)]
    record = json.loads(bias or "{}")
    for name, value in record.items():
        if name != "kind":
            (symbol, unit), shown = _symbol(name), "swept" if name in swept else _value(value)
            rows.append([name, symbol, shown, unit, f"Bias of the leads, {record['kind']}"])
    what = "Parameters that are zero are left out. gamma is the hopping; hbar = k_B = e = 1."
    return Html(line(what) + table(rows, ("parameter", "symbol", "value", "unit", "meaning"), kind="parameters"))


def _symbol(name: str) -> tuple[str, str]:
    """Symbol and unit of a parameter of the valve or of its bias, by the name of it or of an entry."""
    symbol, unit = SYMBOLS.get(name.split("[")[0], ("", ""))
    return symbol, "" if unit == "1" else unit.replace("hopping", "gamma")


def _value(value: object) -> str:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return in_words(str(value))
    return describe.numbers(array) if array.size <= MOST_NUMBERS else in_words(array)


def _made_with(store: xr.Dataset, path: Path | None) -> Html:
    lines = [(name.replace("_", " "), str(store.attrs[name])) for name in MADE_WITH if name in store.attrs]
    if path is not None:
        written = time.gmtime((path / "zarr.json").stat().st_mtime)
        lines.append(("last written", time.strftime("%Y-%m-%d %H:%M:%S UTC", written)))
    return facts(lines)


def _again(store: xr.Dataset, path: Path | None) -> Html:
    """The command that made a store if it knows one, what the command line does with it, and a program."""
    where, parts = str(path or "FOLDER"), []
    if "command" in store.attrs:
        parts += [line("The command that made it:"), code(str(store.attrs["command"]))]
    parts += [line("The command line opens it:"), code(commands(store, where))]
    parts += [line("Python opens it and computes it again from what it holds:"), code(program(store, where))]
    return Html("".join(parts))
