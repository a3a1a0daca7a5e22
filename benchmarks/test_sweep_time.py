"""What a sweep costs per voltage, against single runs, on this machine.

Run with `python -m pytest benchmarks/test_sweep_time.py --benchmark-only`; compilation apart, all in one run.
"""

import time

import jax
import numpy as np

import svjax as sv

VOLTAGES = np.linspace(0, 8, 64)
DURATION = 50.0
SETTING = dict(dt=0.1, method="etd", save_every=5)


def test_a_voltage_of_a_sweep_costs_no_more_than_a_single_run(benchmark, tmp_path):
    """64 voltages of the 12x4 valve with everything that belongs to a sweep (equilibrium, rows, checkpoints), and runs
    of `evolve`, which save nothing, in turns with them."""
    valve = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(8))
    start = sv.steady_state(valve, None)
    single = lambda v: jax.block_until_ready(sv.evolve(valve, start, sv.symmetric(v), DURATION, **SETTING))
    task = sv.RunTask(DURATION, **SETTING)

    def sweep(number):
        return sv.sweep(valve, {"voltage": VOLTAGES}, task, out=tmp_path / f"sweep-{number}")

    single(1.0)
    sweep(0)
    singles, sweeps = [], []
    for number in range(1, 4):
        started = time.perf_counter()
        for voltage in VOLTAGES[::8]:
            single(float(voltage))
        singles.append((time.perf_counter() - started) / 8)
        started = time.perf_counter()
        assert (sweep(number)["status"] == 1).all()
        sweeps.append((time.perf_counter() - started) / len(VOLTAGES))
    ratio = min(sweeps) / min(singles)
    benchmark.extra_info |= {"per_voltage": min(sweeps), "single_run": min(singles), "ratio": ratio}
    benchmark.pedantic(lambda: single(1.0), rounds=1)
    print(f"\n{min(sweeps):.3f} s a voltage, {min(singles):.3f} s a single run, ratio {ratio:.3f}")
    assert ratio <= 1
