"""Compiled programs that are kept on disk: the same numbers, whatever has become of their files."""

import os
import sys
import warnings

import pytest

import svjax as sv
from svjax.storage import compiled
from svjax.storage.compiled import PARTIAL, VARIABLE, WholeEntries

CHILD = """
import jax
jax.config.update("jax_enable_x64", True)
found = []
jax.monitoring.register_event_listener(lambda event, **_: found.append(event))
import numpy as np
import svjax as sv
valve = sv.SpinValve.square(3, 1, 1, 1, j_sd=2.0, poles=sv.optimized_poles(6))
spins = np.array([[0.6, 0.0, 0.8], [0.48, 0.6, 0.64]])
run = sv.evolve(valve, sv.stationary(valve, spins, (0.3, -0.1)), (0.5, -0.2), 1.0, dt=0.1)
print("hits", found.count("/jax/compilation_cache/cache_hits"))
print("numbers", *[np.asarray(part).tobytes().hex() for part in (run.state.spins, run.observables["charge_current"])])
"""
DAMAGE = [
    lambda whole: b"",
    lambda whole: whole[:10],
    lambda whole: whole[: len(whole) // 2],
    lambda whole: whole[:-1],
    lambda whole: bytes(len(whole)),
    lambda whole: whole[:100] + bytes([whole[100] ^ 1]) + whole[101:],
    lambda whole: whole + b"more",
]


@pytest.fixture(name="child")
def fixture_child(launch, tmp_path):
    """The number of programs that a process takes from the folder, and its numbers."""

    def run(**environment):
        program = launch([sys.executable, "-c", CHILD], **{VARIABLE: str(tmp_path)} | environment)
        assert program.end() == 0, program.text
        assert "cpu_aot_loader" not in program.text and len(program.text) < 1000, program.text
        lines = dict(line.split(" ", 1) for line in program.text.splitlines())
        return int(lines["hits"]), lines["numbers"]

    return run


def entries(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_programs_are_taken_from_the_folder_and_damaged_ones_are_not(child, tmp_path):
    without = child(**{VARIABLE: ""})
    assert without[0] == 0 and entries(tmp_path) == []
    assert child() == without
    kept = entries(tmp_path)
    whole = {path: path.read_bytes() for path in kept}
    assert len(kept) > len(DAMAGE)
    assert child() == (len(kept), without[1])
    for path, damage in zip(kept, DAMAGE, strict=False):
        path.write_bytes(damage(whole[path]))
    dead = kept[0].with_name(f"{PARTIAL}dead")  # of a process that was killed
    dead.write_bytes(b"half")
    os.utime(dead, (0, 0))
    assert child() == (len(kept) - len(DAMAGE), without[1])
    assert entries(tmp_path) == kept
    assert all(WholeEntries(path.parent).get(path.name) for path in kept)


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_entry_that_is_not_whole_is_none(damage, tmp_path):
    cache, value = WholeEntries(tmp_path), bytes(range(256))
    assert cache.get("key") is None
    cache.put("key", value)
    assert cache.get("key") == value
    path = tmp_path / "key"
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("key") is None
    cache.put("key", value)
    assert cache.get("key") == value and entries(tmp_path) == [path]


def test_another_processor_has_entries_of_its_own(monkeypatch):
    own = compiled._processor()
    assert compiled._processor() == own
    monkeypatch.setattr(compiled.os, "cpu_count", lambda: 1000)
    cores = compiled._processor()
    monkeypatch.setattr(compiled.Path, "read_text", lambda path: "flags : fpu sse\n\nflags : other")
    assert len({own, cores, compiled._processor()}) == 3


def test_what_cannot_be_written_is_said_once(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = WholeEntries(tmp_path / "file")
    with pytest.warns(UserWarning, match="Compiled programs are not kept"):
        cache.put("key", b"value")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put("other", b"value")
    assert cache.get("key") is None
    with pytest.raises(ValueError, match="Argument `folder` must be a folder that can be written"):
        sv.keep_compiled(tmp_path / "file")


def test_a_folder_that_cannot_be_written_stops_nothing(launch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    program = launch([sys.executable, "-c", "import svjax"], **{VARIABLE: str(tmp_path / "file")})
    assert program.end() == 0 and "Nothing is kept" in program.text
