import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from helpers import breaking_bias, small_run, small_valve
from sweeping import make

import svjax as sv
from svjax.cli.main import _parse, main
from svjax.cli.options import RunOptions
from svjax.cli.words import toml_arguments
from svjax.simulations.loop import Progress
from svjax.sweeps.sweep import SweepProgress

TOML = """
length = 4
width = 1
pinned = 1
free = 1
j_sd = 1.5
anisotropy = [0.4, 0.1]
field = [0.0, 0.01, 0]
temperature = 0.1
poles = 12
pole-kind = "pade"
method = "rk38"
relax = 50
duration = 50
dt = 0.05
save-every = 5
"""
SHORT = ("--relax", "0", "--duration", "0")


@pytest.fixture(name="folder")
def fixture_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "valve.toml").write_text(TOML)
    return tmp_path


def test_run_takes_a_file_and_options_and_options_win(folder, capsys):
    assert main(["run", "valve.toml", "--j-sd", "2", "--voltage", "1", "--out", "runs/first"]) == 0
    dataset = sv.open_run("runs/first")
    assert sv.load_valve(dataset) == small_valve()
    for name, values in small_run().observables.items():
        assert np.array_equal(dataset[name], values)
    assert xr.open_zarr("runs/first")["status"].item() == 1
    assert sv.load_convergence(dataset)["step at the end"].ok
    assert {path.name for path in (folder / "runs/first").iterdir()} >= {"magnetization.png", "currents.png"}
    shown = capsys.readouterr()
    assert "step after the quench" in shown.out and "wrote runs/first" in shown.out
    assert "elapsed" in shown.err and "left" in shown.err and "stage 2" in shown.err

    assert main(["info", "runs/first"]) == 0
    plain = capsys.readouterr().out
    assert "j_sd" in plain and "complete" in plain and "fs" not in plain
    assert main(["info", "runs/first", "--gamma-ev", "2"]) == 0
    units, lab = sv.Units(2.0), capsys.readouterr().out
    current = units.current_to_microampere(dataset["interface_charge_current"].values[-1])
    assert f"[{current:.5g} uA]" in lab and f"[{units.time_to_fs(50.0):.5g} fs]" in lab
    assert f"{units.temperature_to_kelvin(0.1):.5g}" in lab and f"{units.field_to_tesla(0.01):.5g}" in lab

    assert main(["run", "valve.toml", "--j-sd", "2", "--equilibrium", "runs/first", "--out", "runs/second"]) == 0
    second = sv.open_run("runs/second")
    assert np.array_equal(second["charge_current"], dataset["charge_current"])


def test_without_options_it_is_the_papers_valve(monkeypatch):
    options = RunOptions()
    assert options.valve() == sv.SpinValve.square(12, 4, 4, 4, j_sd=2.0, poles="auto")
    assert (options.relax, options.duration, options.voltage, options.drop) == (1500.0, 1000.0, 1.0, "symmetric")
    paper = _parse(["run", "--method", "rk38", "--dt", "0.02", "--poles", "30", "--pole-kind", "pade"])
    assert paper.valve() == sv.SpinValve.square(12, 4, 4, 4, j_sd=2.0, poles=sv.pade_poles(30))
    assert (paper.method, paper.dt) == ("rk38", 0.02)


def test_one_default_for_every_door():
    """Method, step, poles and saves of the command line are those of the functions."""
    run, sweep = _parse(["run"]), _parse(["sweep", "--voltage", "0:1:2"])
    task = sv.RunTask(1000.0)
    assert sweep.what() == task and (run.method, run.dt, run.save_every) == (task.method, task.dt, task.save_every)
    poles = {len(_parse([name]).valve().poles.xi) for name in ("run", "steady")}
    assert poles == {len(sv.SpinValve.square(12, 4, 4, 4, j_sd=2.0, poles="auto").poles.xi)}
    for function in (sv.evolve, sv.three_stage):
        own = inspect.signature(function).parameters
        assert (own["method"].default, own["dt"].default, own["save_every"].default) == ("etd", None, None)


def test_every_option_reaches_the_valve():
    words = (
        "--length 6 --width 2 --pinned 1 --free 2 --buffer 1 --j-sd 3 --j-ex -0.5 --anisotropy 0.3 0.1 "
        "--easy-axes 0 0 1 1 0 0 --field 0.1 0.2 0.3 --mu-bar -0.1 --hopping 0.9 --lead-coupling 0.8 0.7 "
        "--temperature 0.1 0.2 --poles 5 --pole-kind matsubara --voltage 0.4 --drop asymmetric "
        "--dt 0.02 --save-every 3 --out here --relax 2"
    )
    options = _parse(["run", *words.split()])
    expected = sv.SpinValve.square(
        6,
        2,
        1,
        2,
        buffer=1,
        j_sd=3.0,
        j_ex=-0.5,
        anisotropy=(0.3, 0.1),
        easy_axes=((0, 0, 1), (1, 0, 0)),
        field=(0.1, 0.2, 0.3),
        mu_bar=-0.1,
        hopping=0.9,
        lead_coupling=(0.8, 0.7),
        temperature=(0.1, 0.2),
        poles=sv.matsubara_poles(5),
    )
    assert options.valve() == expected
    assert options.bias().shape == (1.0, 0.0) and float(options.bias().voltage) == 0.4
    assert (options.dt, options.save_every, options.relax) == (0.02, 3, 2.0) and options.folder() == Path("here")


@pytest.mark.parametrize(
    "words, message",
    [
        ("--temperature -0.1", "`temperature` must be positive, but is"),
        ("--temperature 0", "`temperature` must be positive, but is"),
        ("--temperature 0.1 0.1 0.1", "`temperature` must be one value or 2 of them, but has 3"),
        ("--lead-coupling -1", "`lead_coupling` must not be negative, but is"),
        ("--j-sd nan", "`j_sd` must be finite, but is nan"),
        ("--field 0 inf 0", "`field` must be finite, but is"),
        ("--voltage nan", "`voltage` must be finite, but is nan"),
        ("--relax inf", "`relax` must be a positive number, but is inf"),
        ("--relax 10.01", "`relax` must be a whole number of steps of dt = 0.05, but is 10.01"),
        ("--duration 10.01", "`duration` must be a whole number of steps of dt = 0.05, but is 10.01"),
        ("--dt 0.5", "`dt` must stay below the stability limit 0.0"),
        ("--dt 0", "`dt` must be a positive number, but is 0"),
        ("--save-every 0", "`save_every` must be a whole number of at least 1, but is 0"),
        ("--free 9", "`length` must be at least pinned + free + 2 buffer = 10, but is 4"),
        ("--pinned -1", "`pinned` must be a whole number of at least 0, but is -1"),
        ("--easy-axes 0 0 0 0 0 1", "`easy_axes` must hold directions"),
        ("--poles 0", "`poles` must be at least 1, but is 0"),
        ("--hopping 0", "`valve` must let every state reach a lead"),
        ("--lead-coupling 0", "`valve` must let every state reach a lead"),
        ("--equilibrium nowhere", "must be a svjax run, but nowhere does not exist"),
        ("--start nowhere", "`start` must be a file of spins or a run, but nowhere does not exist"),
        ("--start valve.toml", "`start` must hold x, y, z of each spin, but valve.toml does not"),
    ],
)
def test_bad_input_gives_a_short_message_and_leaves_nothing_behind(folder, capsys, words, message):
    assert main(["run", "valve.toml", *words.split(), "--out", "deep/run"]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and "Traceback" not in shown.err and len(shown.err) < 400
    assert [path.name for path in folder.iterdir()] == ["valve.toml"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("jsd = 2.0", "Key `jsd` of valve.toml must be an option of `svjax run`; the nearest is `j_sd`"),
        ("temprature = 0.1", "the nearest is `temperature`"),
        ("[valve]\nj_sd = 2.0", "Key `valve` of valve.toml must be an option"),
        ("dt = true", "Key `dt` of valve.toml must not be true or false, but is true"),
        ("dt = ", "`config` must be a TOML file, but valve.toml is not one"),
    ],
)
def test_a_bad_file_is_refused(folder, capsys, text, message):
    (folder / "valve.toml").write_text(text)
    assert main(["run", "valve.toml", "--out", "run"]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["valve.toml"]


@pytest.mark.parametrize("words", ["run --jsd 2", "run --j-sd two", "run --drop half", "run --length 4.5", "fly"])
def test_unknown_options_and_words_are_refused(folder, capsys, words):
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2 and "Traceback" not in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["valve.toml"]


def test_a_missing_file_is_named(folder, capsys):
    assert main(["run", "none.toml"]) == 2
    assert "none.toml" in capsys.readouterr().err


def test_an_existing_folder_is_kept_unless_told_to_overwrite(folder, capsys):
    assert main(["run", "valve.toml", *SHORT, "--out", "run"]) == 0
    assert main(["run", "valve.toml", *SHORT, "--j-sd", "1", "--out", "run"]) == 2
    assert "`out` must be a new folder, but run exists" in capsys.readouterr().err
    assert float(sv.load_valve(sv.open_run("run")).j_sd) == 1.5
    assert main(["run", "valve.toml", *SHORT, "--j-sd", "1", "--out", "run", "--overwrite"]) == 0
    assert float(sv.load_valve(sv.open_run("run")).j_sd) == 1.0


def test_without_out_every_run_gets_a_folder_of_its_own(folder):
    assert main(["run", "valve.toml", *SHORT]) == 0
    assert main(["run", "valve.toml", *SHORT]) == 0
    names = {path.name for path in (folder / "runs").iterdir()}
    assert names == {"4x1-jsd1.5-symmetric-V1", "4x1-jsd1.5-symmetric-V1-2"}


def test_info_refuses_what_is_not_a_run(folder, capsys):
    assert main(["info", "nowhere"]) == 2
    assert "must be a svjax run, but nowhere does not exist" in capsys.readouterr().err
    assert main(["info", "."]) == 2
    assert "must be a svjax run" in capsys.readouterr().err


def test_control_c_keeps_what_was_saved(folder, capsys, monkeypatch):
    def stop(bar, now: Progress):
        if now.done == 1500:
            raise KeyboardInterrupt

    monkeypatch.setattr("svjax.cli.bars.Bar.run", stop)
    assert main(["run", "valve.toml", "--j-sd", "2", "--out", "run"]) == 130
    shown = capsys.readouterr()
    assert "interrupted after t = 25; 301 saves are kept" in shown.err and "Traceback" not in shown.err
    dataset = sv.open_run("run")
    assert dataset.attrs["status"] == "interrupted" and dataset["time"].values[-1] == 25.0
    assert np.array_equal(dataset["charge_current"], small_run().observables["charge_current"][:301])
    assert main(["info", "run"]) == 0 and "interrupted" in capsys.readouterr().out


def test_a_run_that_diverges_says_when_and_keeps_what_was_saved(folder, capsys, monkeypatch):
    monkeypatch.setattr(RunOptions, "bias", lambda self: breaking_bias)
    assert main(["run", "valve.toml", "--out", "run"]) == 1
    shown = capsys.readouterr()
    assert "non-finite after t = 37.5" in shown.err and "Traceback" not in shown.err
    dataset = sv.open_run("run")
    assert dataset.attrs["status"] == "diverged" and dataset["time"].values[-1] == 37.5
    assert (folder / "run" / "magnetization.png").exists()


def test_the_command_itself(folder):
    environment = {name: value for name, value in os.environ.items() if name != "JAX_ENABLE_X64"}

    def call(*words):
        command = [sys.executable, "-m", "svjax.cli", *words]
        return subprocess.run(command, capture_output=True, env=environment, text=True, timeout=100)

    bad = call("run", "--temperature", "-1", "--out", "run")
    assert bad.returncode == 2 and bad.stdout == "" and not (folder / "run").exists()
    assert bad.stderr == "svjax: Argument `temperature` must be positive, but is [-1. -1.].\n"
    for words in ([], ["runn"], ["--overwrite", "run"], ["--", "run"]):
        wrong = call(*words)
        assert wrong.returncode == 2 and wrong.stdout == "" and "Traceback" not in wrong.stderr, words
        assert "svjax --help" in wrong.stderr, words
    shown = call("run", "--help")
    assert shown.returncode == 0 and shown.stderr == ""
    for name in RunOptions.__dataclass_fields__:
        assert name == "config" or f"--{name.replace('_', '-')}" in shown.stdout
    for text in ("[gamma]", "[hbar/gamma]", "default:"):
        assert text in shown.stdout


def test_help_of_all_commands_needs_nothing_that_computes():
    words = (
        "import sys; from svjax.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as done: print(done.code, {'jax', 'equinox', 'scipy', 'xarray'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=100)
    *told, last = shown.stdout.splitlines()
    assert last == "0 set()", shown.stderr
    commands = [line.split()[2:4] for line in told if line.startswith("│   • ")]
    assert ["run", "Run"] in commands and ["hysteresis", "Change"] in commands and len(commands) == 10


SWEEP = """
length = 4
width = 1
pinned = 1
free = 1
anisotropy = ["0.4", "0.1"]
field = [0.0, 0.01, 0]
temperature = 0.1
poles = 12
pole-kind = "pade"
j-sd = [1, 2]
duration = 60
dt = 0.05
method = "rk38"
save-every = 5
start = "aligned"
last-state = true
"""


def test_sweep_takes_ranges_and_files_and_resume_and_info_know_it(folder, capsys, monkeypatch):
    (folder / "sweep.toml").write_text(SWEEP)

    def stop(bar, now: SweepProgress):
        if now.points == 2:
            raise KeyboardInterrupt

    words = ["sweep", "sweep.toml", "--j-sd", "2", "--anisotropy", "0.4", "0.1,0.2", "--voltage", "0:1:3"]
    with monkeypatch.context() as context:
        context.setattr("svjax.cli.bars.Bar.sweep", stop)
        assert main([*words, "--batch", "2", "--out", "runs/sweep"]) == 130
    assert "`svjax resume runs/sweep` goes on" in capsys.readouterr().err
    assert main(["info", "runs/sweep"]) == 0
    shown = capsys.readouterr().out
    assert "stopped; `svjax resume runs/sweep` goes on" in shown and "6: 4 pending, 2 complete" in shown
    assert main(["resume", "runs/sweep"]) == 0
    shown = capsys.readouterr()
    assert "6 of 6 points" in shown.err and "left" in shown.err and "6: 6 complete" in shown.out
    make("direct")
    found, direct = sv.open_sweep("runs/sweep"), sv.open_sweep("direct")
    assert found.drop_vars("begun").equals(direct.drop_vars("begun"))
    assert main(["info", "runs/sweep", "--gamma-ev", "2"]) == 0 and "fs]" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        ("--voltage 1", "At least one number must be a range"),
        (
            "--voltage 0:1",
            "`voltage` must be first:last:count, with a count of at least 2, or a list of numbers, but is '0:1'",
        ),
        ("--voltage 0:1:0", "with a count of at least 2"),
        ("--voltage 0:1:3 --rank 0 --processes 4", "must be given together"),
        ("--voltage 0:1:3 --temperature 0.1:-0.1:2", "`temperature` must be positive"),
        ("--voltage 0:1:3 --dt 2", "must have points that can be computed"),
        ("--voltage 0:1:3 --observe magnetisation", "near is 'magnetization'"),
        ("--voltage 0:1:3 --rank 1 --coordinator 127.0.0.1:9", "must be given together"),
    ],
)
def test_bad_sweeps_are_refused_and_leave_nothing_behind(folder, capsys, words, message):
    assert main(["sweep", *words.split(), "--out", "deep/sweep"]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["valve.toml"]


def test_every_option_of_a_sweep_reaches_it():
    words = (
        "--field 0 0:1:3 0 --lead-coupling 0.8:0.9:2 --hopping 0.9 --mu-bar=-1:1:2 --voltage 0.5 --drop asymmetric "
        "--task modes --modes 2 --allow-unstable --batch 7 --zipped --temperature 0.1 0.2 --poles 8"
    )
    options = _parse(["sweep", *words.split()])
    assert options.grid() == {"mu_bar": [-1.0, 1.0], "field[1]": [0.0, 0.5, 1.0], "lead_coupling": [0.8, 0.9]}
    assert options.valve().temperature.tolist() == [0.1, 0.2] and float(options.valve().mu_bar) == -1.0
    assert options.bias().shape == (1.0, 0.0) and float(options.bias().voltage) == 0.5
    assert options.what() == sv.ModesTask(2, allow_unstable=True) and (options.batch, options.zipped) == (7, True)
    words = "--start aligned --relax 5 --duration 7 --dt 0.1 --save-every 5 --observe spins energy --last-state"
    run = _parse(["sweep", *words.split()]).what()
    assert run == sv.RunTask(7.0, 0.1, "etd", 5, ("spins", "energy"), "aligned", 5.0, True)
    assert _parse(["sweep", "--task", "steady"]).what() == sv.SteadyTask()


def test_a_run_saves_what_was_asked_for(folder):
    assert main(["run", "valve.toml", *SHORT, "--observe", "energy", "spins", "--out", "run"]) == 0
    dataset = sv.open_run("run")
    assert json.loads(dataset.attrs["observables"]) == ["energy", "spins"] and "magnetization" not in dataset
    assert dataset["spins"].dims == ("time", "spin", "component")


NEW = '    tilt: Scalar = quantity("tau", "hopping", "A new one", default=0.25)\n'
KNOWN = """
import jax
jax.config.update("jax_enable_x64", True)
import svjax as sv
from svjax.reports.describe import Show, valve_lines
from svjax.cli.main import _parse
from svjax.fitting.coordinates import parameters
from svjax.storage.records import valve_to_record
from svjax.sweeps.parameter_grid import make_grid

assert float(_parse(["run", "--tilt", "0.5"]).valve().tilt) == 0.5
valve = _parse(["run", "--poles", "4"]).valve()
assert ("tilt", "0.25 gamma") in valve_lines(valve_to_record(valve), Show(None))
assert _parse(["sweep", "--tilt", "0:1:3"]).grid() == {"tilt": [0.0, 0.5, 1.0]}
assert make_grid(valve, sv.symmetric(0.0), {"tilt": [0.0, 1.0]}, False).names == ("tilt",)
parameters(valve, sv.symmetric(0.0), ["tilt"])
_parse(["run", "--help"])
"""


def test_a_new_line_of_the_table_is_an_option_a_line_of_info_an_axis_and_a_fit(tmp_path):
    shutil.copytree(Path(sv.__file__).parent, tmp_path / "svjax")
    table = tmp_path / "svjax/model/leaves.py"
    text = table.read_text()
    table.write_text(text.replace("    hopping: Scalar", NEW + "    hopping: Scalar", 1))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", KNOWN]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, text=True, timeout=100)
    assert done.returncode == 0 and "A new one, tau" in done.stdout, done.stderr[-800:]


GRAPH = """
sites = 3
[[bonds]]
sites = [0, 1]
[[bonds]]
sites = [1, 2]
[[layers]]
sites = [1]
[[leads]]
sites = [0]
[[leads]]
sites = [2]
"""


@pytest.mark.parametrize("command", ["run", "steady", "sweep"])
def test_a_lattice_file_stands_in_place_of_the_strip(folder, capsys, command):
    (folder / "graph.toml").write_text(GRAPH)
    words = ["--lattice", "graph.toml", "--j-sd", "0.7", "--field", "0.1", "0", "0.2", "--poles", "6", "--temperature"]
    options = _parse([command, *words, "0.1", "0.2"])
    physics = dict(j_sd=0.7, field=(0.1, 0, 0.2), temperature=(0.1, 0.2))
    expected = sv.load_lattice("graph.toml", **physics, poles=sv.optimized_poles(6))
    assert options.valve() == expected
    assert main([command, *words, "0.1", "--length", "5", "--voltage", "1" if command == "run" else "0,1"]) == 2
    assert "Option --length has no effect with --lattice." in capsys.readouterr().err


def test_a_lattice_of_a_toml_file_keeps_its_levels(folder):
    levels = GRAPH.replace("sites = 3", "".join(f"[[sites]]\nlevel = {e}\n" for e in (0.1, 0.2, -0.3)))
    (folder / "graph.toml").write_text(levels)
    (folder / "own.toml").write_text('lattice = "graph.toml"\npoles = 8\ntemperature = [0.1, 0.2]\nj-sd = 1.0\n')
    valve = _parse(["run", *toml_arguments(Path("own.toml"), RunOptions, "svjax run")]).valve()
    assert valve.mu_bar.tolist() == [0.1, 0.2, -0.3] and valve.anisotropy.tolist() == [0.0]
    assert valve.temperature.tolist() == [0.1, 0.2] and float(valve.j_sd) == 1.0
    for command, level in (("run", "0"), ("steady", "0.5"), ("sweep", "0")):
        given = _parse([command, "--lattice", "graph.toml", "--poles", "8", "--mu-bar", level]).valve()
        assert given.mu_bar.tolist() == float(level)


def test_a_seed_belongs_to_spins_with_a_temperature(folder, capsys):
    warm = ["--spin-temperature", "0.1", "--damping", "0.1"]
    assert main(["run", "valve.toml", *SHORT, *warm, "--out", "warm"]) == 2
    assert "`spin_temperature` needs a seed" in capsys.readouterr().err
    for command in ("run", "sweep"):
        ranges = ["--voltage", "0,1"] if command == "sweep" else []
        assert main([command, "valve.toml", *SHORT, *ranges, "--seed", "1", "--out", "cold"]) == 2
        assert "`seed` has no effect" in capsys.readouterr().err
    ends = []
    for seed, out in (("1", "a"), ("1", "b"), ("2", "c")):
        words = ["--relax", "0", "--duration", "1", *warm, "--seed", seed, "--out", out]
        assert main(["run", "valve.toml", *words]) == 0
        ends.append(sv.open_run(out)["magnetization"].values[-1])
    assert np.array_equal(ends[0], ends[1]) and np.abs(ends[0] - ends[2]).max() > 1e-3
