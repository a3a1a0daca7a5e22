"""Runs and sweeps that were stopped, killed or cut short by the disk go on to the very end they would have had."""

import errno
import json
import os
import random
import shutil
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import zarr
from helpers import SMALL, breaking_bias, small_valve
from sweeping import TASK, make, save_always
from test_devices import devices, words

import svjax as sv
from svjax.cli.main import main
from svjax.storage.checkpoint import Checkpoint
from svjax.storage.lock import Lock


class Stop(Exception):
    """As abrupt as a kill: nothing is written after it."""


def stopping(when):
    """A progress function that stops at its call number ``when``."""
    calls = iter(range(10**6))

    def progress(now):
        if next(calls) == when:
            raise Stop

    return progress


@pytest.fixture(scope="module", name="whole_run")
def fixture_whole_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    run = sv.three_stage(small_valve(), sv.symmetric(1.0), writer=sv.RunWriter(path), **SMALL)
    sv.store_convergence(path, sv.convergence_report(run))
    return sv.open_run(path).load()


@pytest.fixture(scope="module", name="whole_sweep")
def fixture_whole_sweep(tmp_path_factory):
    return make(tmp_path_factory.mktemp("sweeps") / "whole").load()


def stopped_run(path, when, bias=None, **changes):
    with pytest.raises(Stop):
        writer = sv.RunWriter(path)
        arguments = SMALL | dict(writer=writer, progress=stopping(when)) | changes
        sv.three_stage(small_valve(), sv.symmetric(1.0) if bias is None else bias, **arguments)
    return path


@pytest.mark.parametrize("when", [0, 1, 3])
def test_a_run_goes_on_from_every_segment(tmp_path, monkeypatch, whole_run, when):
    save_always(monkeypatch)
    path = stopped_run(tmp_path / "run", when)
    assert sv.open_run(path).attrs["status"] == "running"
    assert main(["resume", str(path)]) == 0
    assert sv.open_run(path).identical(whole_run)
    assert not list((path / ".checkpoints").iterdir())


def test_a_run_goes_on_where_rows_were_saved_behind_the_checkpoint(tmp_path, monkeypatch, whole_run):
    """A kill between the rows and the checkpoint: the rows are written once more, and are the same."""
    save_always(monkeypatch)
    path = stopped_run(tmp_path / "run", 3)
    found = path / ".checkpoints" / "run"
    os.replace(f"{found}.previous", found)
    assert sv.resume(path)["magnetization"].identical(whole_run["magnetization"])


def test_an_interrupted_run_goes_on_and_a_finished_one_is_left_alone(tmp_path, whole_run, capsys):
    def interrupt(now):
        if now.done == 1500:
            raise KeyboardInterrupt

    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        sv.three_stage(small_valve(), sv.symmetric(1.0), writer=sv.RunWriter(path), **SMALL | {"progress": interrupt})
    assert sv.open_run(path).attrs["status"] == "interrupted"
    assert main(["resume", str(path)]) == 0 and "complete" in capsys.readouterr().out
    assert sv.open_run(path).identical(whole_run)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.name != "zarr.json" and file.is_file()}
    assert sv.resume(path).identical(whole_run)
    assert before == {file: file.stat().st_mtime_ns for file in before}


def test_a_torn_checkpoint_is_skipped(tmp_path, monkeypatch, whole_run):
    save_always(monkeypatch)
    path = stopped_run(tmp_path / "run", 3)
    found = path / ".checkpoints" / "run"
    data = found.read_bytes()
    for name, torn in {"short": data[:-100], "empty": b"", "flipped": data[:500] + b"x" + data[501:]}.items():
        target = shutil.copytree(path, tmp_path / name)
        (target / ".checkpoints" / "run").write_bytes(torn)
        assert sv.resume(target)["magnetization"].identical(whole_run["magnetization"]), name
    found.write_bytes(data[:-1])
    found.with_name("run.previous").write_bytes(b"torn too")
    with pytest.raises(ValueError, match="no intact checkpoint"):
        sv.resume(path)
    assert sv.open_run(path).sizes["time"] > 300


def test_a_torn_checkpoint_never_replaces_a_whole_one(tmp_path):
    numbers = {"a": np.arange(3.0), "b": np.array([1j])}
    first = Checkpoint(tmp_path, "one")
    first.save(numbers, {"step": 1})
    first.save(numbers, {"step": 2})
    (tmp_path / "one").write_bytes(b"torn")
    second = Checkpoint(tmp_path, "one")
    arrays, facts = second.load()
    assert facts == {"step": 1} and all(np.array_equal(arrays[name], part) for name, part in numbers.items())
    second.save(numbers, {"step": 3})
    (tmp_path / "one").write_bytes(b"torn")
    assert Checkpoint(tmp_path, "one").load()[1] == {"step": 1}


def test_a_checkpoint_with_objects_in_it_is_not_opened(tmp_path):
    import hashlib
    import io

    from svjax.storage.checkpoint import MAGIC

    payload = io.BytesIO()
    np.savez(payload, **{"facts.json": np.array([{}], dtype=object)})
    digest = hashlib.sha256(payload.getvalue()).hexdigest().encode()
    (tmp_path / "one").write_bytes(MAGIC + digest + b"\n" + payload.getvalue())
    assert Checkpoint(tmp_path, "one").load() is None


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = stopped_run(tmp_path / "run", 1)
    other = tmp_path / "other"
    with pytest.raises(Stop):
        arguments = SMALL | dict(writer=sv.RunWriter(other), progress=stopping(1))
        sv.three_stage(small_valve(j_sd=1.5), sv.symmetric(1.0), **arguments)
    shutil.copytree(other / ".checkpoints", path / ".checkpoints", dirs_exist_ok=True)
    with pytest.raises(ValueError, match="its checkpoint is of another run"):
        sv.resume(path)


def test_functions_of_the_user_are_given_again(tmp_path, monkeypatch):
    save_always(monkeypatch)
    bias = lambda t: 0.5 * np.array([1.0, -1.0]) * (t > 0)
    length = lambda valve, state: {"length": (state.spins**2).sum(-1)}
    path = stopped_run(tmp_path / "run", 3, bias=bias, observe=length)
    with pytest.raises(ValueError, match="was the function"):
        sv.resume(path, observe=length)
    with pytest.raises(ValueError, match="`observe` must be given"):
        sv.resume(path, bias=bias)
    with pytest.raises(ValueError, match="`bias` must be that of the run"):
        sv.resume(path, bias=lambda t: 2 * bias(t), observe=length)
    found = sv.resume(path, bias=bias, observe=length)
    assert found.attrs["status"] == "complete" and np.allclose(found["length"], 1, atol=1e-6)


def test_a_diverged_run_cannot_go_on(tmp_path, capsys):
    with pytest.raises(sv.DivergedError):
        sv.three_stage(small_valve(), breaking_bias, writer=sv.RunWriter(tmp_path / "run"), **SMALL)
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "non-finite after t = 37.5" in capsys.readouterr().err


def test_other_versions_are_told_of(tmp_path):
    path = stopped_run(tmp_path / "run", 1)
    zarr.open_group(path, mode="r+").attrs["jax_version"] = "0.9.9"
    with pytest.warns(UserWarning, match=r"jax_version 0\.9\.9 -> "):
        sv.resume(path)


def test_info_tells_running_from_stopped(tmp_path, capsys):
    path = stopped_run(tmp_path / "run", 1)
    assert main(["info", str(path)]) == 0 and "stopped: `svjax resume" in capsys.readouterr().out
    lock = Lock(path)
    assert main(["info", str(path)]) == 0 and "running" in capsys.readouterr().out
    with pytest.raises(BlockingIOError, match="being written by this very process"):
        sv.resume(path)
    lock.release()


@pytest.mark.parametrize("order", ["resume", "overwrite"])
def test_two_processes_cannot_write_the_same_run(tmp_path, order, launch):
    path = stopped_run(tmp_path / "run", 2)
    hold = "import pathlib, sys, time; from svjax.storage.lock import Lock; lock = Lock(pathlib.Path(sys.argv[1]))"
    other = launch([sys.executable, "-c", f"{hold}; print('held', flush=True); time.sleep(1000)", path])
    while "held" not in other.text:
        assert other.runs(), other.text
        time.sleep(0.05)
    before = sorted(path.rglob("*"))
    with pytest.raises(BlockingIOError, match="is being written by another process"):
        if order == "resume":
            sv.resume(path)
        else:
            writer = sv.RunWriter(path, overwrite=True)
            sv.three_stage(small_valve(), sv.symmetric(1.0), writer=writer, **SMALL)
    assert sorted(path.rglob("*")) == before
    other.kill()
    assert sv.resume(path).attrs["status"] == "complete"


def test_two_processes_that_begin_the_same_run_at_once(tmp_path):
    first, second = (sv.RunWriter(tmp_path / "run") for _ in range(2))
    sv.three_stage(small_valve(), sv.symmetric(1.0), writer=first, **SMALL)
    with pytest.raises(FileExistsError, match="`out` must be a new folder"):
        sv.three_stage(small_valve(j_sd=1.5), sv.symmetric(1.0), writer=second, **SMALL)
    assert float(sv.load_valve(sv.open_run(tmp_path / "run")).j_sd) == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


class FullDisk:
    """Lets ``room`` more files be written, then the disk is full; a file takes ``seconds`` to be written."""

    def __init__(self, monkeypatch, room, seconds=0.0):
        self.room, put = room, zarr.storage._local._put
        monkeypatch.setattr(
            "zarr.storage._local._put", lambda *a, **k: self.check() or time.sleep(seconds) or put(*a, **k)
        )
        monkeypatch.setattr("svjax.storage.checkpoint.os.fsync", lambda descriptor: self.check())

    def check(self):
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("room", [10, 72, 86])
def test_a_full_disk_loses_nothing_of_a_run(tmp_path, monkeypatch, whole_run, room):
    save_always(monkeypatch)
    path = tmp_path / "run"
    with monkeypatch.context() as full:
        FullDisk(full, room)
        with pytest.raises(OSError, match="cannot be written \\(No space left on device\\)"):
            sv.three_stage(small_valve(), sv.symmetric(1.0), writer=sv.RunWriter(path), **SMALL)
    if room == 10:
        assert not list(tmp_path.iterdir())
    else:
        assert sv.resume(path)["spin_current"].identical(whole_run["spin_current"])


@pytest.mark.parametrize("room", [3, 7, 27])
def test_files_that_are_still_being_written_when_the_disk_is_full_are_not_left(tmp_path, monkeypatch, room):
    """Several files are written at a time: the others go on when one of them fails."""
    with monkeypatch.context() as full:
        FullDisk(full, room, seconds=0.1)
        with pytest.raises(OSError, match="No space left on device"):
            sv.three_stage(small_valve(), sv.symmetric(1.0), writer=sv.RunWriter(tmp_path / "run"), **SMALL)
    time.sleep(0.3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("room", [10, 75, 90])
def test_a_full_disk_loses_nothing_of_a_sweep(tmp_path, monkeypatch, whole_sweep, room):
    save_always(monkeypatch)
    path = tmp_path / "sweep"
    with monkeypatch.context() as full:
        FullDisk(full, room)
        with pytest.raises(OSError, match="cannot be written \\(No space left on device\\)"):
            make(path)
    if room == 10:
        assert not list(tmp_path.iterdir())
    else:
        check_sweep(sv.resume(path), whole_sweep)


def check_sweep(found, whole):
    """All but the number of starts is as in an undisturbed sweep."""
    assert found.drop_vars("begun").identical(whole.drop_vars("begun"))


@pytest.mark.parametrize("when", [0, 5])
def test_a_sweep_goes_on_from_every_segment_and_repeats_no_point(tmp_path, monkeypatch, whole_sweep, when):
    save_always(monkeypatch)
    path = tmp_path / "sweep"
    with pytest.raises(Stop):
        make(path, stopping(when))
    before = sv.open_sweep(path)
    finished, begun = before["status"].values == 1, before["begun"].values.copy()
    found = sv.resume(path)
    check_sweep(found, whole_sweep)
    assert np.array_equal(found["begun"].values[finished], begun[finished])
    assert not (path / ".checkpoints").exists()


def test_a_torn_checkpoint_of_a_sweep_is_skipped(tmp_path, monkeypatch, whole_sweep):
    save_always(monkeypatch)
    path = tmp_path / "sweep"
    with pytest.raises(Stop):
        make(path, stopping(6))
    (newest,) = (file for file in (path / ".checkpoints").iterdir() if not file.suffix)
    assert newest.with_name(f"{newest.name}.previous").exists()
    newest.write_bytes(newest.read_bytes()[:-7])
    check_sweep(sv.resume(path), whole_sweep)


@pytest.mark.parametrize("method", ["rk38", pytest.param("etd", marks=pytest.mark.slow)])
def test_relaxation_at_zero_bias_goes_on_too(tmp_path, monkeypatch, method):
    save_always(monkeypatch)
    task = replace(TASK, relax=40.0, method=method)
    whole = make(tmp_path / "whole", task=task)
    for when in (0, 2):
        path = tmp_path / f"stopped{when}"
        with pytest.raises(Stop):
            make(path, stopping(when), task=task)
        check_sweep(sv.resume(path), whole)


def test_a_sweep_of_another_valve_is_not_continued(tmp_path, monkeypatch, whole_sweep):
    save_always(monkeypatch)
    with pytest.raises(Stop):
        make(tmp_path / "one", stopping(1))
    with pytest.raises(Stop):
        make(tmp_path / "other", stopping(1), valve=small_valve(j_sd=1.5))
    shutil.copytree(tmp_path / "other" / ".checkpoints", tmp_path / "one" / ".checkpoints", dirs_exist_ok=True)
    with pytest.raises(ValueError, match="is of another sweep"):
        sv.resume(tmp_path / "one")
    found = json.loads((tmp_path / "other" / "zarr.json").read_text())
    found["attributes"]["valve"] = found["attributes"]["valve"].replace("1.5", "2.5")
    (tmp_path / "other" / "zarr.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match="do not match its identity"):
        sv.resume(tmp_path / "other")


def kill_and_resume(launch, path, kills, task, cache):
    """Start a sweep and kill -9 it ``kills`` times at random moments; what was finished at each kill."""
    chance, seen = random.Random(7), []
    environment = dict(JAX_COMPILATION_CACHE_DIR=str(cache), JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0")
    for _ in range(kills):
        order = "resume" if path.exists() else "start"
        program = launch(words(path, order=order, duration=task.duration), **environment | devices(1))
        while not path.exists() or not working(path, seen):
            assert program.runs(), program.text
            time.sleep(0.05)
        time.sleep(chance.uniform(0.0, 0.5))
        assert program.runs(), program.text
        program.kill()
        found = sv.open_sweep(path)
        seen.append((found["status"].values == 1, found["begun"].values.copy()))
    return seen


def working(path, seen):
    """Whether the process has begun or continued a tile since the last kill."""
    return sv.open_sweep(path)["begun"].values.sum() > (seen[-1][1].sum() if seen else 0)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_sweep_that_is_killed_again_and_again(tmp_path, kills, launch):
    """Long enough that no process comes to the end before its kill."""
    task = replace(TASK, duration=60.0 * kills + 60.0)
    seen = kill_and_resume(launch, tmp_path / "sweep", kills, task, tmp_path / "cache")
    found = sv.resume(tmp_path / "sweep")
    check_sweep(found, make(None, task=task))
    for finished, begun in seen:
        assert np.array_equal(found["begun"].values[finished], begun[finished])
    assert (found["begun"] > 1).any()


FEW = ["--length", "4", "--width", "1", "--pinned", "1", "--free", "1", "--poles", "8"]
ENDS = {"relax": 3.0, "dt": 0.05, "save_every": 14, "method": "rk38"}


@pytest.mark.parametrize("first", [2.05, pytest.param(2.1, marks=pytest.mark.slow)])
def test_a_run_prolonged_is_the_longer_run(tmp_path, first):
    """Also where the first end is no save, and where the longer run is stopped on its way; t = 0 keeps its row."""
    valve, bias = small_valve(), sv.Pulse([0.1, 0.0], [0.4, -0.2], center=2.5, width=0.7)
    whole = sv.three_stage(valve, bias, duration=5.0, **ENDS, writer=sv.RunWriter(tmp_path / "whole"))
    path = tmp_path / "run"
    short = sv.three_stage(valve, bias, duration=first, **ENDS, writer=sv.RunWriter(path))
    sv.store_convergence(path, sv.convergence_report(short))
    sv.discard_checkpoint(path)
    with pytest.raises(Stop):
        sv.resume(path, until=5.0, progress=stopping(0))
    assert sv.open_run(path).attrs["status"] == "running"
    found, full = sv.resume(path), sv.open_run(tmp_path / "whole")
    assert found["time"].identical(full["time"]) and found["mu"].identical(full["mu"])
    assert found.attrs["duration"] == 5.0 and "convergence" not in found.attrs
    for name in ("magnetization", "charge_current", "spin_current", "final_rho", "final_pi", "final_spins"):
        np.testing.assert_allclose(found[name], full[name], atol=1e-14, rtol=0)
    assert (found["stage"] == full["stage"]).all() and float(found["final_time"]) == whole.end


def test_a_run_is_prolonged_from_the_command_line_and_again(tmp_path, capsys):
    words = [*FEW, "--relax", "2", "--dt", "0.1", "--anisotropy", "0.4", "0.02"]
    path = str(tmp_path / "run")
    main(["run", *words, "--duration", "2", "--out", path])
    assert main(["resume", path, "--until", "4"]) in (0, 3)
    assert main(["resume", path, "--until", "4.5"]) in (0, 3)
    assert sv.open_run(path)["time"].values[-1] == pytest.approx(4.5)
    assert sv.load_convergence(sv.open_run(path)) is not None
    made = sv.open_run(path).attrs["command"]
    assert made.startswith("svjax run --length 4") and made.endswith(f"&& svjax resume {path} --until 4.5")
    capsys.readouterr()
    for until, why in (("4", "later than the run's end, t = 4.5"), ("4.55", "whole"), ("nan", "until")):
        assert main(["resume", path, "--until", until]) == 2
        assert why in capsys.readouterr().err


def test_a_stopped_run_is_given_a_later_end(tmp_path, monkeypatch):
    save_always(monkeypatch)
    path = stopped_run(tmp_path / "run", 1)
    assert sv.open_run(path).attrs["status"] == "running"
    found = sv.resume(path, until=SMALL["duration"] + 1)
    sv.three_stage(
        small_valve(),
        sv.symmetric(1.0),
        **SMALL | {"duration": SMALL["duration"] + 1},
        writer=sv.RunWriter(tmp_path / "whole"),
    )
    full = sv.open_run(tmp_path / "whole")
    np.testing.assert_allclose(found["magnetization"], full["magnetization"], atol=1e-14, rtol=0)
    assert found["time"].identical(full["time"])


def test_a_run_whose_later_end_was_not_laid_out_is_what_it_was(tmp_path, monkeypatch):
    """Stopped before the new end is written: the run is complete, and can still be prolonged."""
    path = tmp_path / "run"
    sv.three_stage(small_valve(), sv.symmetric(1.0), writer=sv.RunWriter(path), **SMALL)
    before = sv.open_run(path).load()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: {}["gone"])
        with pytest.raises(KeyError):
            sv.resume(path, until=SMALL["duration"] + 1)
    assert sv.open_run(path).identical(before) and sv.resume(path).identical(before)
    assert sv.resume(path, until=SMALL["duration"] + 1).attrs["status"] == "complete"


def test_a_sweep_is_given_no_later_end(tmp_path):
    make(tmp_path / "sweep")
    with pytest.raises(ValueError, match="`until` must be the end of a run"):
        sv.resume(tmp_path / "sweep", until=9.0)
