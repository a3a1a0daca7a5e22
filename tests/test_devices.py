"""The same sweep on one device, on four, and in two processes."""

import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from sweeping import TASK, make

import svjax as sv

SCRIPT = Path(__file__).parent / "sweeping.py"


def words(path, *others, order="start", duration=TASK.duration):
    return [sys.executable, SCRIPT, path, duration, order, *others]


def devices(count):
    return {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}"}


def finish(*programs):
    for program in programs:
        assert program.end() == 0, program.text
    return [program.text for program in programs]


def free_address():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def differences(one, other):
    """The largest difference of every variable but the counts, and whether all else is equal."""
    names = [name for name in one if np.issubdtype(one[name].dtype, np.inexact)]
    assert set(one) == set(other)
    assert np.array_equal(one["status"], other["status"])
    return {name: float(np.abs(one[name].values - other[name].values).max()) for name in names}


@pytest.fixture(scope="module", name="alone")
def fixture_alone(tmp_path_factory):
    return make(tmp_path_factory.mktemp("sweeps") / "alone").load()


def test_four_devices_agree_with_one(tmp_path, alone, launch):
    (text,) = finish(launch(words(tmp_path / "sweep"), **devices(4)))
    assert "4 devices" in text
    found = sv.open_sweep(tmp_path / "sweep")
    assert found.attrs["devices"] == 4 and alone.attrs["devices"] == 1
    assert max(differences(found, alone).values()) < 1e-12


def test_two_processes_agree_with_one(tmp_path, alone, launch):
    address = free_address()
    texts = finish(*(launch(words(tmp_path / "sweep", address, rank, 2), **devices(1)) for rank in (0, 1)))
    assert "process 0 of 2" in texts[0] and "process 1 of 2" in texts[1]
    found = sv.open_sweep(tmp_path / "sweep")
    assert found.attrs["processes"] == 2 and (found["begun"] == 1).all()
    assert max(differences(found, alone).values()) < 1e-12


@pytest.mark.slow
def test_a_process_that_fails_is_named_to_the_others(tmp_path, launch):
    address, path = free_address(), tmp_path / "sweep"
    first = launch(words(path, address, 0, 2), **devices(1))
    other = launch(words(path, address, 1, 2, duration=2 * TASK.duration), **devices(1))
    assert first.end() and "Process 1 failed" in first.text
    assert other.end() and "The processes must make the same call" in other.text
    assert np.count_nonzero(sv.open_sweep(path)["status"]) == 4  # the tiles of process 0 are kept
