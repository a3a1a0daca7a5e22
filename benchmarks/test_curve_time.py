"""Steady states and relaxation modes along the voltage, against reaching one steady state by time evolution.

Run with `python -m pytest benchmarks --benchmark-only`; times without compilation, in one run.
"""

import time

import jax
import numpy as np
import pytest

import svjax as sv


@pytest.mark.slow
def test_a_voltage_curve_takes_less_than_a_minute(benchmark):
    """33 voltages with their four slowest modes, and the run to t = 4000 that shows one steady state to 1e-4."""
    valve = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(10))
    biases = [sv.symmetric(v) for v in np.linspace(0, 8, 33)]

    def curve(biases):
        states = sv.steady_states(valve, biases)
        return [sv.relaxation_modes(valve, state, bias) for state, bias in zip(states, biases, strict=True)]

    curve(biases[:2])
    started = time.perf_counter()
    rates = curve(biases)
    direct = time.perf_counter() - started
    equilibrium = sv.steady_state(valve, biases[0])
    run = lambda time: sv.evolve(valve, equilibrium, biases[4], time, dt=0.1, method="etd", save_every=400).state
    jax.block_until_ready(run(40.0))
    started = time.perf_counter()
    jax.block_until_ready(run(400.0))
    by_run = 10 * (time.perf_counter() - started)
    ratio = by_run / (direct / len(biases))
    benchmark.extra_info |= {"curve_seconds": direct, "run_seconds": by_run, "run_over_one_voltage": ratio}
    benchmark.pedantic(lambda: curve(biases[:2]), rounds=1)
    print(f"\n33 voltages {direct:.1f} s; one run to t = 4000 {by_run:.1f} s, {ratio:.0f} times one voltage")
    assert direct < 60
    assert np.isclose(-1 / rates[0][0].real, 586, atol=1)
