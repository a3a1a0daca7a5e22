"""What all tests share: settings of the compiler, an end for everything that hangs, bounded memory, and the last lines
of a run: what was left out of it, and what it took."""

import ctypes
import gc
import mmap
import os
import re
from collections import Counter
from pathlib import Path

# Eigenvalues of small matrices: the threads of LAPACK wait for each other longest where every core has a worker.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import equinox as eqx
import jax
import jaxlib
import pytest
from programs import Program

jax.config.update("jax_enable_x64", True)

QUICK_TO_COMPILE = {
    "xla_backend_optimization_level": "0",
    "xla_cpu_use_fusion_emitters": "false",
    "xla_cpu_parallel_codegen_split_count": "1",
}
"""Tests compile many small programs once each: settings that compile them in a third of the time, and run them slower.
A program in one part takes half of the memory maps, so that it is longer kept.

Long runs want the usual ones back: XLA_FLAGS=--xla_backend_optimization_level=3 pytest -m slow
"""


def known_to_the_compiler(flag):
    """Whether this version has the flag: it ends the process at one that it has not."""
    for library in Path(jaxlib.__file__).parent.rglob("libjax_common*"):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(flag.encode()) >= 0:
                return True
    return False


if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):  # read when the first program is compiled
    chosen = [f"--{flag}={value}" for flag, value in QUICK_TO_COMPILE.items() if known_to_the_compiler(flag)]
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *chosen])

gc.freeze()  # what is imported stays
gc.set_threshold(50_000, 20, 20)  # traces make so many objects that a collection at every 700 takes a tenth of all time

SLOW_LIMIT = 3600
"""Seconds that a slow test may take; those of the others stand in pyproject.toml."""

LONG = [
    "resume", "periodic", "evolve", "sweep", "gradients", "report", "effective_llg", "devices", "starts", "gates",
    "bits", "cli", "fit", "steady", "diagram", "objects", "explore", "relaxation", "magnus", "compilations", "cuda",
]  # fmt: skip
"""Files that take longest, these first: the workers end together."""

MOST_MAPS, MOST_MEMORY, LEAST_GAIN = 7_000, 1.1e9, 0.25e9
"""A process that holds more memory maps or bytes than this drops its compiled programs, unless it holds little more
than after it last did so; at the end of a file already at 0.7 of them, as the next file wants other programs."""

PROCESS = Path("/proc/self")
"""What Linux says of a process; where it is not there, memory is not watched."""


@pytest.fixture(name="stop")
def fixture_stop(monkeypatch):
    """Make a diagram or a loop of the command line stop after some of its parts, or not for None."""
    from helpers import StoppedBar

    from svjax.cli import commands

    plain = commands.counted
    return lambda some: monkeypatch.setattr(commands, "counted", plain if some is None else lambda *_: StoppedBar(some))


@pytest.fixture
def launch(tmp_path_factory):
    """Starts a `Program` from (command, environment); none of them outlives the test."""
    programs, folder = [], tmp_path_factory.mktemp("programs")

    def start(command, **environment):
        programs.append(Program(command, folder / f"{len(programs)}.txt", **environment))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()


def resident():
    """Bytes of memory that this process holds, where the system says so."""
    if not PROCESS.exists():
        return 0
    return os.sysconf("SC_PAGESIZE") * int((PROCESS / "statm").read_text().split()[1])


def pytest_configure(config):
    config.seen = {"slow": 0, "maps": 0, "memory": 0.0, "floor": resident()}
    config.peaks = {}


def pytest_collection_modifyitems(config, items):
    order = {f"test_{name}": k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_LIMIT))
    if "xla_cpu_use_fusion_emitters=false" in os.environ.get("XLA_FLAGS", ""):
        left_out = [item for item in items if item.get_closest_marker("bits")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_deselected(items):
    for item in items:
        item.config.seen["slow"] += item.get_closest_marker("slow") is not None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Drop the compiled programs of a process before they are too many for it."""
    if not PROCESS.exists():
        return
    seen, count = item.config.seen, (PROCESS / "maps").read_bytes().count(b"\n")
    seen["maps"] = max(count, seen["maps"])
    share = 1.0 if nextitem is not None and nextitem.path == item.path else 0.7
    if count > share * MOST_MAPS or resident() > max(share * MOST_MEMORY, seen["floor"] + LEAST_GAIN):
        jax.clear_caches()
        eqx.clear_caches()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        seen["floor"] = resident()


def pytest_sessionfinish(session):
    """The peak of the memory; a worker reports it to the process that started it."""
    config = session.config
    if PROCESS.exists():
        peak = re.search(r"VmHWM:\s+(\d+)", (PROCESS / "status").read_text())
        config.seen["memory"] = int(peak[1]) / 1e6
    if hasattr(config, "workeroutput"):
        config.workeroutput["seen"] = config.seen


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    if hasattr(node, "workeroutput"):
        node.config.peaks[node.gateway.id] = node.workeroutput["seen"]


def pytest_terminal_summary(terminalreporter, config):
    peaks = config.peaks or {"this process": config.seen}
    slow = max(peak["slow"] for peak in peaks.values())
    reasons = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    left_out = [f"{slow} slow tests (-m slow)"] if slow else []
    left_out += [f"{count} ({reason.removeprefix('Skipped: ')})" for reason, count in reasons.items()]
    left_out += ["anything on a GPU (there is none)"] if jax.default_backend() == "cpu" else []
    terminalreporter.write_line("not run: " + (", ".join(left_out) or "nothing, all was run"))
    for name, peak in sorted(peaks.items()):
        terminalreporter.write_line(f"peak of {name}: {peak['memory']:.2f} GB, {peak['maps']:,} memory maps")
