"""Time and error of svjax beside its rivals, one run for all; writes RESULTS.md beside this file.

    python benchmarks/compare.py

The case is the paper's: the 12x4 valve, J_sd = 2, quenched from equilibrium to symmetric V = 1, up to t = 50. Errors
are the largest difference of M_r and of the currents (leads and interface) from a converged run, over the saves at
t = 1, 2, ... 50. Times are the least of several rounds taken in turns, without compilation.
"""

import os
import platform
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

if sys.argv[1:] == ["larger"]:  # in a process of its own, on one core: before JAX counts the cores
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import gpu
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from rivals import Textbook, dense_jax_step, scipy_run
from timing import in_turns

import svjax as sv
from svjax.observables.by_name import default_observables
from svjax.sweeps.tile import STEPPED_TOGETHER

jax.config.update("jax_enable_x64", True)

TIME, MU = 50.0, (0.5, -0.5)


def papers_valve(poles, dtype="float64"):
    return sv.SpinValve.square(j_sd=2.0, poles=poles, dtype=dtype)


SPINS = sv.steady_state(papers_valve(sv.optimized_poles(14)), (0.0, 0.0)).spins


def errors(found, reference):
    """Largest error of M_r, and of the currents."""
    pairs = {name: np.abs(np.asarray(found[name]) - np.asarray(reference[name])).max() for name in reference}
    return pairs["magnetization"], max(value for name, value in pairs.items() if name != "magnetization")


def svjax_run(poles, method, dt, dtype="float64", duration=TIME, every=None):
    valve = papers_valve(poles, dtype)
    state = sv.stationary(valve, SPINS)
    every = every or round(1 / dt)
    return lambda: sv.evolve(valve, state, MU, duration, dt=dt, method=method, save_every=every).observables


def svjax_batch(poles, method, dt, count, dtype="float64", duration=10.0):
    valve = papers_valve(poles, dtype)
    state = sv.stationary(valve, SPINS)
    every = round(1 / dt)
    one = lambda v: (
        sv.evolve(valve, state, sv.symmetric(v), duration, dt=dt, method=method, save_every=every).observables
    )
    in_groups = lambda voltages: jax.lax.map(one, voltages, batch_size=min(count, STEPPED_TOGETHER))
    batch, voltages = jax.jit(in_groups), jnp.linspace(0.5, 1.5, count)
    return lambda: batch(voltages)


class TextbookRun:
    """The textbook, a few steps at a time; `observables` are those after the steps so far."""

    def __init__(self):
        self.valve = papers_valve(sv.pade_poles(30))
        self.book, self.steps = Textbook(self.valve), 0
        self.full = self.book.start(sv.stationary(self.valve, SPINS))

    def __call__(self, steps=10):
        for _ in range(steps):
            self.full = self.book.step(self.full, MU, 0.02)
        self.steps += steps

    def observables(self):
        rows = self.valve.lattice.contact_rows
        columns = [self.full[1][:, lead, pole, rows[lead]] for lead in range(2) for pole in range(30)]
        state = sv.State(*map(jnp.asarray, (self.full[0], np.concatenate(columns, 1), self.full[2])))
        return default_observables(self.valve, state)


def dense_run(duration):
    valve = papers_valve(sv.pade_poles(30))
    step, state = dense_jax_step(valve, jnp.array(MU), 0.02), sv.stationary(valve, SPINS)
    steps = round(duration / 0.02)
    run = jax.jit(lambda y: jax.lax.scan(lambda y, _: (step(y), None), y, length=steps)[0])
    return lambda: run(state)


def memory(poles, method, dt, dtype="float64"):
    """Bytes that a run to t = 50 needs beside its program: arguments, results and what is in between."""
    valve = papers_valve(poles, dtype)
    state = sv.stationary(valve, SPINS)
    run = jax.jit(lambda s: sv.evolve(valve, s, MU, TIME, dt=dt, method=method, save_every=round(1 / dt)).observables)
    used = run.lower(state).compile().memory_analysis()
    return used.temp_size_in_bytes + used.argument_size_in_bytes + used.output_size_in_bytes


def textbook_memory():
    valve = papers_valve(sv.pade_poles(30))
    book, state = Textbook(valve), sv.stationary(valve, SPINS)
    tracemalloc.start()
    book.step(book.start(state), MU, 0.02)
    return tracemalloc.get_traced_memory()[1]


def curves(reference):
    """Time and error of every method at several steps and numbers of poles."""
    cases = [("rk38", "Pade", n, dt) for n, dt in ((20, 0.08), (20, 0.05), (30, 0.04), (30, 0.02), (40, 0.02))]
    cases += [("rk38", "optimised", n, dt) for n, dt in ((6, 0.05), (7, 0.04), (8, 0.02))]
    cases += [("etd", "optimised", n, dt) for n in (6, 8, 10) for dt in (0.2, 0.1, 0.05)] + [("etd", "Pade", 30, 0.1)]
    cases += [("magnus", "optimised", n, dt) for n in (7, 8, 10) for dt in (0.25, 0.2, 0.125)]
    make = {"Pade": sv.pade_poles, "optimised": sv.optimized_poles}
    lines = [
        "| method | poles | dt | ms per unit of time | error of M_r | of the currents |",
        "|---|---|---|---|---|---|",
    ]
    for method, kind, n, dt in cases:
        every = round(1 / dt) if abs(round(1 / dt) * dt - 1) < 1e-9 else round(2 / dt)
        run = svjax_run(make[kind](n), method, dt, every=every)
        rows = {name: value[1::2] if every * dt > 1.5 else value for name, value in reference.items()}
        wrong = "{:.1e} | {:.1e}".format(*errors(run(), rows))
        value = in_turns({"run": run}, rounds=2)["run"] / TIME
        lines.append(f"| {method} | {n} {kind} | {dt} | {1e3 * value:.2f} | {wrong} |")
    return lines


def at(reference, t):
    """The row of a run saved at t = 1, 2, ..."""
    return {name: value[round(t) - 1] for name, value in reference.items()}


def report(reference):
    """The table of programs: times faster than the textbook, time, errors, memory."""
    settings = {
        "svjax, magnus, 8 optimised poles, dt = 0.25": (sv.optimized_poles(8), "magnus", 0.25),
        "svjax, magnus, 8 optimised poles, dt = 0.2": (sv.optimized_poles(8), "magnus", 0.2),
        "svjax, etd, 8 optimised poles, dt = 0.1 (the default)": (sv.optimized_poles(8), "etd", 0.1),
        "svjax, etd, 10 optimised poles, dt = 0.05": (sv.optimized_poles(10), "etd", 0.05),
        "svjax, rk38, 7 optimised poles, dt = 0.04": (sv.optimized_poles(7), "rk38", 0.04),
        "svjax, rk38, 30 Pade poles, dt = 0.02": (sv.pade_poles(30), "rk38", 0.02),
        "svjax, magnus, 8 optimised poles, dt = 0.25, float32": (sv.optimized_poles(8), "magnus", 0.25, "float32"),
        "svjax, etd, 8 optimised poles, dt = 0.1, float32": (sv.optimized_poles(8), "etd", 0.1, "float32"),
        "svjax, rk38, 30 Pade poles, dt = 0.02, float32": (sv.pade_poles(30), "rk38", 0.02, "float32"),
    }
    rows = {name: svjax_run(*setting) for name, setting in settings.items()}
    batches = {}
    for dtype, label in (("float64", ""), ("float32", "float32, ")):
        for n in (1, 8, 64):
            name = f"svjax, magnus, 8 optimised poles, dt = 0.25, {label}batch of {n}"
            batches[name] = svjax_batch(sv.optimized_poles(8), "magnus", 0.25, n, dtype)
    dense = "dense JAX, straight-line rk38, 30 Pade poles, dt = 0.02"
    book_name = "textbook: NumPy, full Pi, dense H, rk38, 30 Pade poles, dt = 0.02"
    wrong = {name: "{:.1e} | {:.1e}".format(*errors(run(), reference)) for name, run in rows.items()}
    size = {name: f"{memory(*setting) / 1e6:.1f} MB" for name, setting in settings.items()}
    book = TextbookRun()
    lasts = dict.fromkeys(rows, TIME) | {book_name: 0.2, dense: 0.2}
    lasts |= {name: 10.0 * int(name.split()[-1]) for name in batches}
    programs = rows | {dense: dense_run(0.2), book_name: book}
    times = in_turns(programs, rounds=5) | in_turns(batches, rounds=2)
    times = {name: value / lasts[name] for name, value in times.items()}
    book(100 - book.steps)
    valve = papers_valve(sv.pade_poles(30))
    started = time.perf_counter()
    states = scipy_run(valve, sv.stationary(valve, SPINS), MU, [2.0], rtol=1e-7, atol=1e-9)
    scipy_name = "SciPy DOP853 on svjax's right-hand side, 30 Pade poles, rtol 1e-7"
    times[scipy_name] = (time.perf_counter() - started) / 2.0
    at_two = {scipy_name: default_observables(valve, states[-1]), book_name: book.observables()}
    wrong |= {
        name: "{:.1e} | {:.1e} (at t = 2)".format(*errors(found, at(reference, 2))) for name, found in at_two.items()
    }
    size[book_name] = f"{textbook_memory() / 1e6:.1f} MB"
    lines = [
        "| program | times faster than the textbook | ms per unit of time | error of M_r | of the currents | memory |",
        "|---|---|---|---|---|---|",
    ]
    for name, value in times.items():
        found = f"{wrong.get(name, ' | ')} | {size.get(name, '')}"
        lines.append(f"| {name} | {times[book_name] / value:.0f} | {1e3 * value:.2f} | {found} |")
    return [*lines, "| tkwant, frozen spins | not measured: it is not on the package index | | | | |"]


def larger_cases():
    """One right-hand side at 10x20 sites with 20 poles; six spins on 3x2 sites up to t = 80."""
    valve = sv.SpinValve.square(10, 20, 3, 3, j_sd=2.0, poles=sv.pade_poles(20))
    state = sv.stationary(valve, sv.aligned_spins(valve))
    rhs = jax.jit(lambda s: sv.time_derivative(valve, s, jnp.array(MU)))
    small = sv.SpinValve.from_bonds(
        6, [(0, 1), (2, 3), (4, 5), (0, 2), (1, 3), (2, 4), (3, 5)], [[0, 1, 2, 3, 4, 5]], [[0, 1], [4, 5]],
        j_sd=1.0, poles=sv.optimized_poles(8), anisotropy=0.1,
    )  # fmt: skip
    start = sv.stationary(small, sv.aligned_spins(small))
    run = lambda: sv.evolve(small, start, MU, 80.0, dt=0.1, method="etd", save_every=10).observables
    times = in_turns({"rhs": lambda: rhs(state), "six": run}, rounds=10)
    return [
        f"- On one core, one right-hand side, 10x20 sites (2N = 400), 2 leads, 20 poles: {1e3 * times['rhs']:.1f} ms.",
        f"- On one core, six spins on 3x2 sites, t = 80, etd, dt = 0.1: {times['six']:.3f} s after compilation.",
    ]


def on_one_core(part):
    """What ``compare.py part`` prints, which uses one core only."""
    found = subprocess.run([sys.executable, __file__, part], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


def gradients():
    """Cost of derivatives of M_r^x(t = 20) in J_sd, as a ratio to the run, and memory of reverse mode."""
    import equinox as eqx

    valve = papers_valve(sv.optimized_poles(8))
    state = sv.stationary(valve, SPINS)

    def tilt(j_sd, duration=20.0):
        changed = eqx.tree_at(lambda v: v.j_sd, valve, j_sd)
        return sv.evolve(changed, state, MU, duration, dt=0.1, method="etd").observables["magnetization"][-1, 1, 0]

    j_sd = jnp.array(2.0)
    forward = jax.jit(lambda j: jax.jvp(tilt, (j,), (jnp.ones(()),)))
    reverse = jax.jit(jax.value_and_grad(tilt))
    run = jax.jit(tilt)
    times = in_turns({"run": lambda: run(j_sd), "forward": lambda: forward(j_sd), "reverse": lambda: reverse(j_sd)}, 5)
    memory = [
        jax.jit(jax.grad(lambda j, d=d: tilt(j, d))).lower(j_sd).compile().memory_analysis().temp_size_in_bytes
        for d in (20.0, 80.0)
    ]
    return [
        f"- Forward mode: {times['forward'] / times['run']:.1f} times the run. "
        f"Reverse mode: {times['reverse'] / times['run']:.1f} times the run, for all parameters together.",
        f"- Memory of reverse mode: {memory[0] / 1e6:.0f} MB for 200 steps, {memory[1] / 1e6:.0f} MB for 800.",
    ]


def step_time(length=12, width=4, poles=8, voltages=1):
    """Seconds for a step of etd, for all voltages together."""
    valve = sv.SpinValve.square(length, width, length // 3, length // 3, j_sd=2.0, poles=sv.optimized_poles(poles))
    dim, columns = valve.lattice.dim, poles * 4 * width
    state = sv.State(jnp.eye(dim, dtype=complex) / 2, jnp.zeros((dim, columns), complex), sv.aligned_spins(valve))
    run = lambda v: (
        sv.evolve(valve, state, sv.symmetric(v), 2.0, dt=0.1, method="etd", save_every=20, start_step=1).state
    )
    batch, levels = jax.jit(jax.vmap(run)), jnp.linspace(0.5, 1.5, voltages)
    return in_turns({"run": lambda: batch(levels)}, rounds=3)["run"] / 20


def scaling():
    """Time of a step against sites, poles and voltages, with fitted exponents."""
    shapes = {48: (12, 4), 96: (24, 4), 240: (24, 10), 1000: (40, 25)}
    cases = {
        "sites, 8 poles": {sites: step_time(*shape) for sites, shape in shapes.items()},
        "poles, 48 sites": {n: step_time(poles=n) for n in (6, 8, 12, 16, 24)},
        "voltages, 48 sites, 8 poles": {n: step_time(voltages=n) for n in (1, 4, 16, 64)},
    }
    lines = []
    for name, cost in cases.items():
        exponent = np.polyfit(np.log(list(cost)), np.log(list(cost.values())), 1)[0]
        listed = ", ".join(f"{n}: {1e3 * value:.2f} ms" for n, value in cost.items())
        lines.append(f"- A step of etd by the number of {name}: {listed}; it grows as the power {exponent:.2f}.")
    return lines


def alternatives():
    """What other ways to take a step could gain at most, from the cost of their parts."""
    valve = papers_valve(sv.optimized_poles(8))
    matrix = sv.effective_hamiltonian(valve, SPINS)
    squared = jax.jit(lambda a: jax.lax.fori_loop(0, 50, lambda _, x: x @ a / 3, a))
    product, step = in_turns({"run": lambda: squared(matrix)}, rounds=10)["run"] / 50, step_time()
    limit = sv.stability_limit(valve, sv.symmetric(1.0), method="etd")
    rates = np.sort(np.asarray(valve.poles.xi)) * 0.025
    return [
        f"- Magnus' method with matrices: an exponential of H_eff takes about 12 products of dimension {len(matrix)}, "
        f"its use 4. One takes {1e3 * product:.2f} ms, all as long as {16 * product / step:.0f} steps of etd.",
        f"- A step-size controller: the band limits the step to {limit:.2f}, {limit / 0.1:.1f} times the recommended "
        "one. That is the most it could gain, before its error estimate is paid for.",
        f"- Fast poles followed adiabatically: the two fastest of 8 decay with {rates[-2]:.0f} and {rates[-1]:.0f}; "
        f"without them a step takes {step_time(poles=6) / step:.2f} of its time, and loses its order.",
        "- More stages: an explicit method that is stable for the band's frequencies, with errors of the currents of "
        "1e-5, needs at least 31 slopes per unit of time with 5 stages, 28 with 6, 23 with 7, 19 with 8.",
    ]


def main():
    reference = svjax_run(sv.optimized_poles(28), "etd", 0.01)()
    head = f"""# Results

Measured by `python benchmarks/compare.py` on {platform.processor() or platform.machine()}, \
{len(os.sched_getaffinity(0))} cores, {jax.default_backend()}; jax {jax.__version__}, numpy {np.__version__}, \
scipy {scipy.__version__}, Python {platform.python_version()}.

The 12x4 valve, J_sd = 2, quenched from equilibrium to symmetric V = 1, t <= 50, saves at t = 1, 2, ... Errors are those
against 28 optimised poles and dt = 0.01. Batches: time per voltage, {STEPPED_TOGETHER} at once, as sweeps take them.
"""
    sections = {
        "": report,
        "Time against error": curves,
        "Other sizes": lambda _: on_one_core("larger"),
        "Scaling": lambda _: scaling(),
        "Considered and left out": lambda _: alternatives(),
        "Derivatives": lambda _: gradients(),
        "On a GPU": lambda _: gpu.not_measured(),
    }
    parts = [head]
    for title, measure in sections.items():
        parts += [f"## {title}\n"] * bool(title) + ["\n".join(measure(reference)) + "\n"]
        Path(__file__).with_name("RESULTS.md").write_text("\n".join(parts))
        print(parts[-1], flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["larger"]:
        print("\n".join(larger_cases()))
    else:
        main()
