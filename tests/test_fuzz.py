"""No words, no file and no damaged store end in a traceback: each is done, or refused in words with its exit status."""

import shutil
from importlib import import_module

import pytest
import zarr
from helpers import SMALL, small_valve
from hypothesis import HealthCheck, given, settings, strategies as st

import svjax as sv
from svjax.cli.main import main
from svjax.cli.options import RunOptions, SteadyOptions
from svjax.cli.sweep_options import SweepOptions

COMMANDS = {"run": RunOptions, "steady": SteadyOptions, "sweep": SweepOptions}
NAMES = sorted({name for kind in COMMANDS.values() for name in kind.__dataclass_fields__} - {"config", "out"})

numbers = st.one_of(
    st.integers(-3, 12),
    st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 3)),
    st.sampled_from(["nan", "inf", "-inf", "1e400", "1e308", "1e-300", "0", "-0", str(10**30)]),
).map(str)
ranges = st.builds(lambda *parts: ":".join(parts), numbers, numbers, numbers)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
values = st.one_of(numbers, ranges, st.lists(numbers, max_size=4).map(",".join), texts)
options = st.builds(
    lambda name, words: [f"--{name.replace('_', '-')}", *words], st.sampled_from(NAMES), st.lists(values, max_size=3)
)
"""An option with anything behind it."""

toml_values = st.recursive(
    st.one_of(
        numbers,
        st.booleans().map(lambda x: str(x).lower()),
        texts.map(lambda x: '"' + x.replace("\\", "").replace('"', "").replace("\n", " ") + '"'),
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "[" + ", ".join(parts) + "]"),
    max_leaves=4,
)
files = st.lists(st.tuples(st.sampled_from([*NAMES, "", "a.b", "j-sd", "[x]"]), toml_values), max_size=4).map(
    lambda lines: "\n".join(f"{name} = {value}" for name, value in lines)
)

BASE = ["--length", "4", "--width", "1", "--pinned", "1", "--free", "1"]


class Computed(KeyboardInterrupt):
    """Raised where the work would begin."""


@pytest.fixture
def nothing_is_computed(monkeypatch, tmp_path):
    def stop(*arguments, **_options):
        for writer in arguments:
            if isinstance(writer, sv.RunWriter):
                writer.close()
        raise Computed

    import_module("svjax.sweeps.resume")  # which keeps what it imports: not what stands there now
    monkeypatch.chdir(tmp_path)
    for where in (
        "svjax.simulations.loop.carry_out",
        "svjax.simulations.curve.steady_curve",
        "svjax.sweeps.sweep.create_and_run",
    ):
        monkeypatch.setattr(where, stop)


def status(words):
    """The exit status of a command; anything but that and a refusal of its words is a traceback."""
    try:
        return main(words)
    except SystemExit as refused:
        return refused.code


def check_words(command, more):
    assert status([command, *BASE, *[word for option in more for word in option]]) in (0, 1, 2, 130)


def check_file(command, text, folder):
    path = folder / "valve.toml"
    path.write_text(text, encoding="utf-8")
    assert status([command, str(path), *BASE]) in (0, 1, 2, 130)


FEW = dict(max_examples=25, deadline=None, derandomize=True, database=None)
MANY = dict(max_examples=500, deadline=None, database=None)
SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
commands, several = st.sampled_from(sorted(COMMANDS)), st.lists(options, min_size=1, max_size=3)


@settings(**FEW, suppress_health_check=SHARED)
@given(commands, several)
def test_any_words(nothing_is_computed, command, more):
    check_words(command, more)


@settings(**FEW, suppress_health_check=SHARED)
@given(commands, files)
def test_any_file(nothing_is_computed, tmp_path, command, text):
    check_file(command, text, tmp_path)


@pytest.mark.slow
@settings(**MANY, suppress_health_check=SHARED)
@given(commands, several)
def test_many_words(nothing_is_computed, command, more):
    check_words(command, more)


@pytest.mark.slow
@settings(**MANY, suppress_health_check=SHARED)
@given(commands, files)
def test_many_files(nothing_is_computed, tmp_path, command, text):
    check_file(command, text, tmp_path)


@pytest.fixture(scope="module", name="stores")
def fixture_stores(tmp_path_factory):
    """A run and a sweep."""
    folder = tmp_path_factory.mktemp("stores")
    sv.three_stage(small_valve(), sv.symmetric(1.0), writer=sv.RunWriter(folder / "run"), **SMALL)
    task = sv.RunTask(1.0, dt=0.1, start="aligned", method="rk38", observe=("spins", "energy"))
    sv.sweep(sv.SpinValve.chain(1, 1, 1, j_sd=1.0), {"j_sd": [1.0, 2.0]}, task, out=folder / "sweep")
    return folder


HARMS = ["missing", "empty", "short", "flipped"]
damage = st.tuples(st.integers(0, 10**6), st.sampled_from(HARMS), st.integers(0, 10**6))


def break_store(path, which, how, where):
    """One file of a store damaged."""
    found = sorted(file for file in path.rglob("*") if file.is_file())
    file = found[which % len(found)]
    data = file.read_bytes()
    if how == "missing":
        return file.unlink()
    at = where % (len(data) + 1)
    after = {"empty": b"", "short": data[:at], "flipped": data[:at] + b"\xff{" + data[at + 2 :]}
    file.write_bytes(after[how])


def check_store(stores, folder, kind, harm, commands=("info", "resume")):
    path = folder / "broken"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(stores / kind, path)
    break_store(path, *harm)
    for command in commands:
        assert status([command, str(path)]) in (0, 1, 2, 3, 130), (command, harm)


@settings(**FEW | {"max_examples": 10}, suppress_health_check=SHARED)
@given(st.sampled_from(["run", "sweep"]), damage)
def test_any_damaged_store(nothing_is_computed, stores, tmp_path, kind, harm):
    check_store(stores, tmp_path, kind, harm)


@pytest.mark.slow
@settings(**MANY, suppress_health_check=SHARED)
@given(st.sampled_from(["run", "sweep"]), damage)
def test_many_damaged_stores(nothing_is_computed, stores, tmp_path, kind, harm):
    check_store(stores, tmp_path, kind, harm, ("info", "report", "resume"))


def test_coordinates_that_are_damaged_are_no_traceback(stores, tmp_path, capsys):
    """A bit of them is enough for pictures to look for what is not there."""
    path = tmp_path / "broken"
    shutil.copytree(stores / "run", path)
    zarr.open_group(path, mode="r+")["layer"][...] = [5, 7]
    for command in ("report", "resume"):
        assert status([command, str(path)]) == 2, command
        assert "is damaged" in capsys.readouterr().err
