"""One GPU against the cores of its host: prints the table of RESULTS.md for the device at hand, within eight minutes.

    python benchmarks/gpu.py [--seconds 420]

The case is a run of the paper's valve, J_sd = 2, eight optimised poles, steps of 0.1 by the exponential method. Times
are the least of several rounds, without compilation. Rows for which there is no time left are skipped, and say so; a
batch that the memory does not hold is halved, and says so. Without a GPU the "device" is one core of the host.
"""

import argparse
import os
import platform
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import svjax as sv
from svjax.engine.lapack import lapack_on_one_thread
from svjax.sweeps.batch import Spread, steady_point
from svjax.sweeps.tile import STEPPED_TOGETHER

SHAPES = {48: (12, 4), 96: (24, 4), 240: (24, 10), 1000: (40, 25)}
STEPS = {48: 20, 96: 20, 240: 10, 1000: 4}
"""Of the runs that are timed, by the number of sites."""
BATCHES = (1, 64, 256, 1024, 4096)
HEAD = (
    "what", "sites", "precision", "points at once", "ms per step or solution", "per point", "per point, host",
    "times the host", "memory", "kernels per step", "share of the bandwidth", "remarks",
)  # fmt: skip
ROWS = [
    *(("run", 48, "float64", batch) for batch in BATCHES),
    *((what, 48, "float64", batch) for batch in (64, 256) for what in ("steady state", "modes")),
    *(("run", sites, "float64", batch) for sites in (96, 240, 1000) for batch in (1, 64)),
    *(("run", 48, "float32", batch) for batch in BATCHES),
    *(("run", sites, "float32", batch) for sites in (96, 240, 1000) for batch in (1, 64)),
]
COUNTED = """\
Lowered for CUDA, a step of the exponential method for a batch has 166 gathers, 29 transposes (101 while a sparse
product moved the batch to the end and back) and 8 branches that are always taken. These keep the compiler of a CPU from
computing stages twice; for each of them a GPU may wait for its host.

`python benchmarks/gpu.py` prints this table for the device at hand.
"""
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"}
"""Instructions of a compiled program that launch nothing."""


def halving(work, batch):
    """work(batch), or that of the largest batch / 2^k that the memory holds, and the words that say so."""
    asked = batch
    while True:
        try:
            return work(batch), batch, "" if batch == asked else f"{asked} do not fit into the memory"
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error) or batch == 1:
                raise
        batch //= 2


def least_time(program, seconds=2.0):
    """The least seconds of up to ten calls, fewer where they are long, after one that does not count."""
    with lapack_on_one_thread():  # its threads wait for each other in busy loops where every core has a device
        return _least_time(program, seconds)


def _least_time(program, seconds):
    jax.block_until_ready(program())
    least, started = np.inf, time.perf_counter()
    for _ in range(10):
        begin = time.perf_counter()
        jax.block_until_ready(program())
        least = min(least, time.perf_counter() - begin)
        if time.perf_counter() - started > seconds:
            break
    return least


def work_of(what, sites, dtype):
    """What is computed of one point, function(shared, voltage), and what all points share."""
    length, width = SHAPES[sites]
    valve = sv.SpinValve.square(
        length, width, length // 3, length // 3, j_sd=2.0, poles=sv.optimized_poles(8), dtype=dtype
    )
    if what != "run":
        task = sv.SteadyTask() if what == "steady state" else sv.ModesTask(2)
        return lambda valve, voltage: steady_point(task, valve, sv.symmetric(voltage)), valve

    def run(shared, voltage):
        valve, state = shared
        options = dict(dt=0.1, save_every=STEPS[sites], start_step=1, method="etd")
        return sv.evolve(valve, state, sv.symmetric(voltage), 0.1 * STEPS[sites], **options).observables

    return run, (valve, start_of(valve))


def start_of(valve):
    """A state that costs no solution: how long a step takes does not depend on it."""
    dim, columns = valve.lattice.dim, len(valve.poles.xi) * sum(map(len, valve.lattice.contact_rows))
    kind = jnp.result_type(valve.dtype, jnp.complex64)
    return sv.State(jnp.eye(dim, dtype=kind) / 2, jnp.zeros((dim, columns), kind), sv.aligned_spins(valve))


def compiled(what, sites, dtype, devices, count, width):
    """The compiled program of ``count`` points, ``width`` at once on each of the ``devices``, and its arguments."""
    with jax.default_device(devices[0]):
        function, shared = work_of(what, sites, dtype)
        spread, voltages = Spread(tuple(devices), width), np.linspace(0.5, 1.5, count).astype(dtype)
    everywhere = NamedSharding(Mesh(np.array(devices), ("point",)), PartitionSpec())
    arguments = jax.device_put(shared, everywhere), spread.place(voltages)
    program = jax.jit(lambda shared, points: spread(function, shared, points))
    return program.lower(*arguments).compile(), arguments, shared


def kernels(text):
    """How many instructions of a compiled program launch something, those in loops as often as the loops go round."""
    bodies, name = {}, ""
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.-]+) \(.*\{$", line)
        if head:
            name = "ENTRY" if head[1] else head[2]
            bodies[name] = []
        elif " = " in line and name:
            bodies[name].append(line.split(" = ", 1)[1])

    def of(name):
        return sum(cost(line) for line in bodies.get(name, ()))

    def cost(line):
        operation = re.search(r"[\s)]([a-z][a-z0-9-]*)\(", line)
        kind = operation[1] if operation else "constant"
        if kind == "while":
            rounds = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
            return int(rounds[1] if rounds else 1) * of(re.search(r"body=%?([\w.-]+)", line)[1])
        if kind == "conditional":
            listed = re.search(r"branch_computations=\{([^}]*)\}", line)
            both = listed[1] if listed else " ".join(re.findall(r"(?:true|false)_computation=(%?[\w.-]+)", line))
            return max(of(branch) for branch in re.findall(r"[\w.-]+", both.replace("%", "")))
        if kind == "call":
            return of(re.search(r"to_apply=%?([\w.-]+)", line)[1])
        return int(kind not in FREE)

    return of("ENTRY")


def bytes_of_step(shared):
    """What a step of one point moves at least: the state is read and written once for each of its four stages."""
    return 8 * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shared[1]))


def bandwidth(device, megabytes):
    """Bytes per second of a copy."""
    x = jax.device_put(np.ones(megabytes * 2**17), device)
    copy = jax.jit(lambda x: x + 1)
    return 2 * x.size * x.dtype.itemsize / least_time(lambda: copy(x))


class Table:
    """The rows, and what they have in common."""

    def __init__(self, device, host):
        self.device, self.host = device, host
        self.per_point, self.seconds, self.preparing = {}, {}, 0.0
        self.peak = bandwidth(device, 32 if device.platform == "cpu" else 512)

    def of_host(self, what, sites, dtype):
        """Seconds per point of a program on all cores, as sweeps do it."""
        key = what, sites, dtype
        if key not in self.per_point:
            width = STEPPED_TOGETHER if what == "run" else 1
            count = len(self.host) * width
            program, arguments, _ = compiled(*key, self.host, count, width)
            self.per_point[key] = least_time(lambda: program(*arguments)) / count
        return self.per_point[key]

    def row(self, what, sites, dtype, batch):
        """The cells of one row of `ROWS`."""

        def measured(batch):
            started = time.monotonic()
            program, arguments, shared = compiled(what, sites, dtype, [self.device], batch, batch)
            self.preparing = max(self.preparing, time.monotonic() - started)
            return least_time(lambda: program(*arguments)), program, shared

        (seconds, program, shared), batch, remark = halving(measured, batch)
        steps, host = STEPS[sites] if what == "run" else 1, self.of_host(what, sites, dtype)
        used = program.memory_analysis()
        memory = used.temp_size_in_bytes + used.argument_size_in_bytes + used.output_size_in_bytes
        launched = share = "-"
        if what == "run":
            launched = f"{kernels(program.as_text()) / steps:.0f}"
            share = f"{batch * bytes_of_step(shared) * steps / seconds / self.peak:.0%}"
        self.seconds.setdefault((what, sites, dtype), {})[batch] = seconds
        return [
            f"{1e3 * seconds / steps:.3f}", f"{1e3 * seconds / steps / batch:.4f}", f"{1e3 * host / steps:.4f}",
            f"{host * batch / seconds:.2f}", f"{memory / 1e6:.0f} MB", launched, share, remark,
        ], batch  # fmt: skip

    def expected(self, what, sites, dtype, batch):
        """Seconds that a row may take: to compile twice, as long as the longest up to now, and to run."""
        smaller = self.seconds.get((what, sites, dtype), {1: 0.1})
        most = max(smaller)
        return 2 * self.preparing + 3 * smaller[most] * max(1, batch / most)

    def crossovers(self):
        """From which batch on the device is faster than all cores."""
        for case, times in self.seconds.items():
            ahead = [batch for batch, seconds in sorted(times.items()) if seconds < batch * self.per_point[case]]
            found = f"from {ahead[0]} points at once on" if ahead else f"not up to {max(times)} points at once"
            yield f"- {case[0]}, {case[1]} sites, {case[2]}: the device is faster than all cores of the host {found}."


def line(cells):
    return f"| {' | '.join(map(str, cells))} |"


def not_measured():
    """What is to be measured, until somebody has."""
    batches = {}
    for *case, batch in ROWS:
        batches.setdefault(tuple(case), []).append(batch)
    rows = [line([*case, ", ".join(map(str, found)), "not measured"]) for case, found in batches.items()]
    return [COUNTED, line([*HEAD[:4], "GPU"]), "|" + "---|" * 5, *rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=420.0, help="after which no row is begun")
    end = time.monotonic() + parser.parse_args().seconds
    cores = len(os.sched_getaffinity(0))
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", cores)
    device, host = jax.local_devices()[0], jax.local_devices(backend="cpu")
    table = Table(device, host)
    print(
        f"{device.device_kind} ({device.platform}) beside {cores} cores ({platform.machine()}), jax {jax.__version__}."
    )
    print(f"A copy on the device moves {table.peak / 1e9:.0f} GB/s.\n")
    print(line(HEAD), "|" + "---|" * len(HEAD), sep="\n", flush=True)
    for row in ROWS:
        what, sites, dtype, batch = row
        if time.monotonic() + table.expected(*row) > end:
            print(line([*row, *["-"] * 7, "skipped: the time is used up"]), flush=True)
            continue
        cells, batch = table.row(*row)
        print(line([what, sites, dtype, batch, *cells]), flush=True)
    print("", *table.crossovers(), sep="\n")
    stats = device.memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        print(f"- At most {stats['peak_bytes_in_use'] / 1e9:.1f} of {stats['bytes_limit'] / 1e9:.1f} GB were in use.")


if __name__ == "__main__":
    main()
