"""The same sweep on one device, on four, and in two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sweeping import TASK, make

import svjax as sv

SCRIPT = Path(__file__).parent / "sweeping.py"


def start(path, *words, devices=1, order="start", duration=TASK.duration, **settings):
    flags = f"--xla_force_host_platform_device_count={devices}"
    command = [sys.executable, str(SCRIPT), str(path), str(duration), order, *map(str, words)]
    environment = os.environ | {"XLA_FLAGS": flags} | settings
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes):
    texts = [process.communicate(timeout=300)[0] for process in processes]
    for process, text in zip(processes, texts, strict=True):
        assert process.returncode == 0, text
    return texts


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


def test_four_devices_agree_with_one(tmp_path, alone):
    (text,) = finish(start(tmp_path / "sweep", devices=4))
    assert "4 devices" in text
    found = sv.open_sweep(tmp_path / "sweep")
    assert found.attrs["devices"] == 4 and alone.attrs["devices"] == 1
    assert max(differences(found, alone).values()) < 1e-12


def test_two_processes_agree_with_one(tmp_path, alone):
    address = free_address()
    texts = finish(*(start(tmp_path / "sweep", address, rank, 2) for rank in (0, 1)))
    assert "process 0 of 2" in texts[0] and "process 1 of 2" in texts[1]
    found = sv.open_sweep(tmp_path / "sweep")
    assert found.attrs["processes"] == 2 and (found["begun"] == 1).all()
    assert max(differences(found, alone).values()) < 1e-12


def test_a_process_that_fails_is_named_to_the_others(tmp_path):
    address, path = free_address(), tmp_path / "sweep"
    first = start(path, address, 0, 2)
    other = start(path, address, 1, 2, duration=2 * TASK.duration)
    texts = [process.communicate(timeout=300)[0] for process in (first, other)]
    assert first.returncode and "Process 1 failed" in texts[0]
    assert other.returncode and "The processes must make the same call" in texts[1]
    assert np.count_nonzero(sv.open_sweep(path)["status"]) == 4  # the tiles of process 0 are kept
