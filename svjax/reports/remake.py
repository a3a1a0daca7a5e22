"""How a store is opened, continued and made again: commands, and a program that needs no words of whoever made it.

What a store holds enters a program as literals of Python alone, or is read from the store when the program runs."""

import json
import shlex
from typing import Any

import numpy as np
import xarray as xr

from svjax.simulations.curve import check_drop
from svjax.storage.formats import CURVE, DIAGRAM, LOOP, RUN, SWEEP


def commands(store: xr.Dataset, path: str) -> str:
    """What the command line does with the store at ``path``."""
    where = shlex.quote(path)
    lines = [f"svjax info {where}", f"svjax report {where}"]
    if store.attrs["format"] == RUN and "spins" in store:
        lines.append(f"svjax animate {where}  # its spins as a moving picture")
    if store.attrs["format"] in (RUN, SWEEP, DIAGRAM, LOOP):
        lines.append(f"svjax resume {where}  # goes on where it was stopped, if it was")
    return "\n".join(lines)


def program(store: xr.Dataset, path: str) -> str:
    """Python that opens the store at ``path`` and computes what it holds again."""
    call = {RUN: _run, SWEEP: _sweep, CURVE: _curve, DIAGRAM: _diagram, LOOP: _loop}[store.attrs["format"]](store)
    uses = {
        "import json": "json.",
        "import jax": "jax.config",
        "import numpy as np": "np.",
        "import svjax as sv": "sv.",
        "from svjax.storage.driving import drive_from_record": "drive_from_record(",
        "from svjax.storage.driving import key_from_record": "key_from_record(",
        "from svjax.sweeps.tasks import task_from_record": "task_from_record(",
    }
    double = json.loads(store.attrs["valve"])["dtype"] == "float64"
    body = ['jax.config.update("jax_enable_x64", True)'] if double else []
    body += [f"store = sv.open({path!r})", *call]
    return "\n".join([*(line for line, word in uses.items() if any(word in part for part in body)), "", *body])


def _run(run: xr.Dataset) -> list[str]:
    """`three_stage` from the stored equilibrium on, or all of it where none was reached."""
    attributes, lines = run.attrs, []
    before = f"relax={attributes['relax']!r},"
    if np.isfinite(run["equilibrium_spins"].values).all():
        before = f"equilibrium=sv.load_equilibrium(store),  # {before} in its place computes stages 0 and 1 too"
    arguments = ["sv.load_valve(store),", f"{_bias(run, lines)},", before]
    arguments += [f"{name}={attributes[name]!r}," for name in ("duration", "dt", "save_every", "method")]
    observe = json.loads(attributes["observe"])
    if isinstance(observe, str):
        lines.append(_missing("observe", observe))
        observe = "observe"
    arguments.append(f"observe={observe},")
    for name in ("drive", "key"):
        if name in attributes:
            stored = f"{name}_from_record(json.loads(store.attrs[{name!r}]))"
            arguments.append(f"{name}={_stored(name, attributes[name], stored, lines)},")
    return [*lines, "again = sv.three_stage(", *(f"    {argument}" for argument in arguments), ")"]


def _sweep(sweep: xr.Dataset) -> list[str]:
    lines: list[str] = []
    bias, drive = _bias(sweep, lines), json.loads(sweep.attrs["task"]).get("drive")
    given = ""
    if drive is not None and drive["kind"] == "function":
        lines.append(_missing("drive", drive["name"]))
        given = ", drive"
    return [
        *lines,
        'grid = json.loads(store.attrs["grid"])',
        f'task = task_from_record(json.loads(store.attrs["task"]){given})',
        f'again = sv.sweep(sv.load_valve(store), grid["values"], task, bias={bias}, zipped=grid["zipped"])',
    ]


def _curve(curve: xr.Dataset) -> list[str]:
    check_drop(curve.attrs["drop"])
    along = f'store["voltage"].values, "{curve.attrs["drop"]}", modes=store.sizes["mode"]'
    return [f"again = sv.steady_curve(sv.load_valve(store), {along})"]


def _diagram(diagram: xr.Dataset) -> list[str]:
    check_drop(diagram.attrs["drop"])
    return [
        "again = sv.phase_diagram(",
        '    sv.load_valve(store), store["voltage"].values, store["field"].values,',
        f"    bias=sv.{diagram.attrs['drop']},",
        '    axis=store.attrs["axis"], start=np.reshape(store.attrs["start"], (2, 3)),',
        *(f"    {name}={diagram.attrs[name]!r}," for name in ("duration", "angles", "rtol") if name in diagram.attrs),
        ")",
    ]


def _loop(loop: xr.Dataset) -> list[str]:
    lines: list[str] = []
    parameter = repr(str(loop.attrs["parameter"]))
    call = f"sv.load_valve(store), {_bias(loop, lines)}, {parameter}, store[{parameter}].values"
    return [*lines, f"again = sv.hysteresis({call})"]


def _bias(store: xr.Dataset, lines: list[str]) -> str:
    return _stored("bias", store.attrs["bias"], "sv.load_bias(store)", lines)


def _stored(name: str, record: str, stored: str, lines: list[str]) -> str:
    """The expression that gives what a record holds; of a function of one's own a name, for a line that says so."""
    found: Any = json.loads(record)
    if found.get("kind") != "function":
        return stored
    lines.append(_missing(name, found["name"]))
    return name


def _missing(name: str, function: object) -> str:
    return f"{name} = ...  # the function {function!r}, which a store does not hold"
