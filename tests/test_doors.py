"""What a tired user hands to files, sweeps and the command line: taken, or refused in words."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import small_valve

import svjax as sv
from svjax.cli.main import main
from svjax.cli.options import RunOptions
from svjax.cli.words import numbers, toml_arguments
from svjax.reservoirs.bias import symmetric
from svjax.storage.lock import is_locked
from svjax.storage.plain import tidy_path
from svjax.sweeps.devices import join_processes
from svjax.sweeps.parameter_grid import make_grid


def options_of(tmp_path, text):
    path = tmp_path / "valve.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return toml_arguments(path, RunOptions, "svjax run")


@pytest.mark.parametrize("value", ['"false"', "0", "[]", "1.0"])
def test_a_switch_of_a_toml_file_is_true_or_false(tmp_path, value):
    with pytest.raises(ValueError, match=r"Key `overwrite` of .* must be true or false"):
        options_of(tmp_path, f"overwrite = {value}\n")
    assert options_of(tmp_path, "overwrite = false\n") == ["--no-overwrite"]


@pytest.mark.parametrize("line", ["j_sd = [2.0, 5.0]", "voltage = [0.0, 3.0]", "length = [4, 6]"])
def test_a_list_where_one_number_belongs_is_refused(tmp_path, line):
    with pytest.raises(ValueError, match="must be one value, but is the list"):
        options_of(tmp_path, line)


def test_two_spellings_of_one_key_are_refused_and_a_byte_order_mark_is_no_key(tmp_path):
    with pytest.raises(ValueError, match="two spellings"):
        options_of(tmp_path, "j_sd = 2.0\nj-sd = 3.0\n")
    assert options_of(tmp_path, b"\xef\xbb\xbfj_sd = 2.0\n") == ["--j-sd", "2.0"]


def test_home_is_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tidy_path("~/runs/a") == tmp_path / "runs" / "a"
    found = sv.sweep(small_valve(), {"voltage": [0.0, 0.5]}, sv.SteadyTask(), out="~/tilt")
    assert (tmp_path / "tilt" / "zarr.json").exists() and not Path("~").exists()
    assert sv.open("~/tilt").attrs["format"] == "svjax-sweep" and found.status.values.tolist() == [1, 1]
    with pytest.raises(FileNotFoundError, match=r"is a sweep: `sv.open_sweep` opens it"):
        sv.open_run("~/tilt")
    with pytest.raises(FileNotFoundError, match="must be a store that svjax wrote"):
        sv.open(tmp_path)


@pytest.mark.parametrize("task", [sv.SteadyTask, "steady", None])
def test_a_task_is_an_object(task):
    with pytest.raises(ValueError, match="Argument `task` must be"):
        sv.sweep(small_valve(), {"voltage": [0.0, 0.5]}, task)


@pytest.mark.parametrize("values", [{0.0, 1.0}, (v for v in (0.0, 1.0)), [True, False], [1j], ["a"]])
def test_values_of_a_sweep_are_real_numbers(values):
    with pytest.raises(ValueError, match="Argument `grid"):
        make_grid(small_valve(), symmetric(0.0), {"voltage": values}, False)


def test_ten_thousand_points_are_checked_in_no_time():
    started = time.perf_counter()
    values = {"j_sd": np.linspace(0, 4, 10_000), "temperature": np.linspace(0.1, 1, 10_000)}
    make_grid(small_valve(), symmetric(0.0), values, True)
    assert time.perf_counter() - started < 2
    with pytest.raises(ValueError, match="Argument `temperature` must be positive"):
        make_grid(small_valve(), symmetric(0.0), {"temperature": np.linspace(-1, 1, 10_000)}, False)


@pytest.mark.parametrize(("voltages", "modes"), [([], 4), ([np.nan], 4), ([0.0], 0), ([0.0], 1.5)])
def test_a_curve_needs_voltages_and_modes(voltages, modes):
    with pytest.raises(ValueError, match=r"Argument `(voltages|modes)` must"):
        sv.steady_curve(small_valve(), voltages, modes=modes)


def test_an_address_has_a_port():
    with pytest.raises(ValueError, match="host:port"):
        join_processes("localhost", 0, 1)


def test_a_range_without_end_is_refused_before_it_is_made():
    with pytest.raises(OverflowError, match="at most"):
        numbers("voltage", "0:1:1000000000")


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"svjax {sv.__version__}\n"


def test_stores_open_where_the_system_has_no_locks(tmp_path):
    sv.sweep(small_valve(), {"voltage": [0.0, 0.5]}, sv.SteadyTask(), out=tmp_path / "sweep")
    code = "import sys; sys.modules['fcntl'] = None; import jax; jax.config.update('jax_enable_x64', True)\n"
    code += f"import svjax as sv; print(sv.open({str(tmp_path / 'sweep')!r}).status.values.sum())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "2", done.stderr[-500:]


SHAPE = ["--length", "4", "--width", "1", "--pinned", "1", "--free", "1", "--temperature", "0.1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run --poles 12 --relax 1e9", "of memory (1 point, 10,000,010,000 steps each;"),
        ("run --poles 12 --relax 0 --duration 4e12 --observe spins", "This needs"),
        ("sweep --voltage 0:1:1000000 --j-sd 1:2:1000000", "1,000,000,000,000 points, 10,000 steps each;"),
        ("sweep --voltage 0:1:1000000000", "`voltage` must have at most 1,000,000 values, but has 1,000,000,000"),
        ("sweep --task steady --voltage 0,1 --duration 5", "Option --duration has no effect with --task steady."),
        ("sweep --task modes --voltage 0,1 --observe spins", "Option --observe has no effect with --task modes."),
        ("sweep --voltage 0,1 --modes 2", "Option --modes has no effect with --task run."),
        ("sweep --task modes --voltage 0,1 --modes 0", "`modes` must be a whole number of at least 1, but is 0"),
        ("sweep --anisotropy 0.4,0.02", "must be `0.4 0.02` for a value each or `0.4:0.02:2` for two points"),
        ("steady --modes 0", "`modes` must be a whole number of at least 1, but is 0"),
        ("run --poles 40 --pole-kind optimized", "`poles` must be 3 to 32"),
        ("run --poles auto --temperature 1e-7", "`poles` cannot be 'auto', since no expansion reaches |e - mu|/T ="),
    ],
)
def test_what_is_too_large_unclear_or_without_effect_is_refused(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main([words.split()[0], *SHAPE, *words.split()[1:], "--out", "x"]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and "Traceback" not in shown.err and not list(tmp_path.iterdir())


def test_a_job_says_its_size_keeps_all_that_is_observed_and_quotes_paths(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [*SHAPE, "--relax", "0", "--duration", "2", "--poles", "12", "--dt", "0.05"]
    words += ["--observe", "energy", "--observe", "spins", "site_charge", "--out", "a b"]
    assert main(["run", *words]) == 0
    shown = capsys.readouterr()
    assert "svjax: 1 point, 40 steps each; " in shown.err and "kB of memory, " in shown.err
    assert "wrote a b in 0:" in shown.out
    run = sv.open_run("a b")
    assert {"energy", "spins", "site_charge"} <= set(run)
    size = sum(file.stat().st_size for file in Path("a b").rglob("*") if file.is_file() and "c" in file.parts)
    told = float(shown.err.split("kB of memory, ")[1].split()[0]) * 1e3
    assert size < 3 * told and told < 30 * size


def test_a_sweep_in_memory_writes_nothing_and_equals_one_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr("svjax.storage.row_buffer.SECONDS_PER_SAVE", 0.0)
    task = sv.RunTask(1.0, 0.05, start="aligned", relax=0.5, last_state=True)
    grid = {"j_sd": [1.0, 2.0], "voltage": [0.0, 1.0]}
    found = sv.sweep(small_valve(), grid, task, batch=2)
    stored = sv.sweep(small_valve(), grid, task, batch=2, out=tmp_path / "sweep")
    assert found.equals(stored.load()) and found.attrs["identity"] == stored.attrs["identity"]
    assert found.status.values.tolist() == [[1, 1], [1, 1]]
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_a_store_is_locked_while_another_process_writes_to_it(tmp_path, launch):
    code = "import sys, pathlib, time\nfrom svjax.storage.lock import Lock\n"
    code += f"lock = Lock(pathlib.Path({str(tmp_path)!r}), int(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    (tmp_path / ".lock").touch()
    assert not is_locked(tmp_path)
    for rank in ("0", "3"):
        program = launch([sys.executable, "-c", code, rank])
        while program.runs() and "held" not in program.text:
            time.sleep(0.05)
        assert is_locked(tmp_path), program.text
        program.kill()
        assert not is_locked(tmp_path)
