"""Stores of earlier versions open, and mean what they meant: stores-0.1.0.tar.xz has three runs and a sweep of 0.1.0.

They are of three sites in a row, two of them spins, with complex amplitudes of a bond, which 0.1.0 kept with the bonds.
"""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import zarr

import svjax as sv
from svjax.cli.main import main
from svjax.storage.status import OF_POINTS, OF_RUNS, Status, flags, number_of, word_of

RUNS = {"complete": 1.0, "interrupted": 0.0, "diverged": 0.25}
"""What became of each, and the time of its last row."""


@pytest.fixture(scope="module", name="stores")
def fixture_stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    with tarfile.open(Path(__file__).with_name("stores-0.1.0.tar.xz")) as packed:
        packed.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_an_earlier_version_opens(stores, name, capsys):
    run = sv.open(stores / name)
    assert run.attrs["status"] == name and run["time"].values[-1] == RUNS[name]
    valve = sv.load_valve(run)
    assert np.array_equal(valve.bonds, [1, 0.6 + 0.8j]) and float(valve.j_sd) == 2.0
    assert main(["info", str(stores / name)]) == 0
    assert capsys.readouterr().out.startswith(f"status                      {name}")


def test_a_run_of_an_earlier_version_goes_on(stores, tmp_path):
    whole, path = sv.open(stores / "complete"), shutil.copytree(stores / "interrupted", tmp_path / "run")
    found = sv.resume(path)
    assert found.attrs["status"] == "complete" and found["time"].identical(whole["time"])
    np.testing.assert_allclose(found["magnetization"], whole["magnetization"], atol=1e-13, rtol=0)
    assert sv.load_convergence(whole) is not None and int(found["status"]) == int(whole["status"])


def test_a_sweep_of_an_earlier_version_opens(stores, capsys):
    sweep = sv.open(stores / "sweep")
    assert np.array_equal(sweep["status"], [1, 1]) and np.array_equal(sweep["voltage"], [0.0, 0.5])
    assert np.array_equal(sv.load_valve(sweep).bonds, [1, 0.6 + 0.8j])
    assert main(["info", str(stores / "sweep")]) == 0 and "2: 2 complete" in capsys.readouterr().out


def test_every_number_of_a_status_has_one_meaning():
    assert {word_of(int(status), flags(known)) for known in (OF_POINTS, OF_RUNS) for status in known} == {
        status.word for status in Status
    }
    before = {"flag_values": [0, 1, 2, 3, 4], "flag_meanings": "running complete interrupted diverged inaccurate"}
    assert [word_of(number, before) for number in range(5)] == before["flag_meanings"].split()
    assert [number_of(word, before) for word in ("diverged", "running")] == [3, 0]
    first = {"flag_values": [0, 1, 2, 3], "flag_meanings": "running complete interrupted diverged"}
    assert word_of(number_of("inaccurate", first), first) == "inaccurate"


def test_a_number_that_nobody_wrote_is_refused(stores, tmp_path):
    path = shutil.copytree(stores / "complete", tmp_path / "run")
    zarr.open_array(path / "status", mode="r+")[...] = 99
    with pytest.raises(ValueError, match="must be an intact svjax run"):
        sv.open(path)
