"""What a step costs: against one Euler step, against a dense Hamiltonian, and in compile time.

Run with `python -m pytest benchmarks --benchmark-only`. Ratios are of times taken in turns in the same run.
"""

import time

import jax
import jax.numpy as jnp
import pytest
from rivals import dense_derivative
from timing import in_turns

import svjax as sv
from svjax.engine.integrate import runge_kutta_step
from svjax.model.equations import coupled_derivative

STEPS = 50
MU = jnp.array([0.5, -0.5])


@pytest.fixture(scope="module")
def papers_valve():
    valve = sv.SpinValve.square(j_sd=2.0)
    return valve, sv.stationary(valve, sv.aligned_spins(valve))


def repeated(step, state):
    """A compiled loop of STEPS steps, as a function without arguments."""
    loop = jax.jit(lambda y, dt: jax.lax.scan(lambda y, n: (step(y, dt), None), y, jnp.arange(STEPS))[0])
    return lambda: loop(state, jnp.array(0.02))


def test_a_runge_kutta_step_costs_less_than_eight_euler_steps(benchmark, papers_valve):
    valve, state = papers_valve
    derivative = lambda t, y: coupled_derivative(valve, y, MU)
    euler = repeated(lambda y, dt: jax.tree.map(lambda y, k: y + dt * k, y, derivative(0.0, y)), state)
    step = repeated(lambda y, dt: runge_kutta_step(derivative, jnp.array(0.0), y, dt), state)
    times = in_turns({"euler": euler, "step": step})
    benchmark.extra_info |= {"sites": 48, "poles": 30, "steps": STEPS, "ratio": times["step"] / times["euler"]}
    benchmark.pedantic(lambda: jax.block_until_ready(step()), rounds=3)
    assert times["step"] < 8 * times["euler"]


def test_the_right_hand_side_is_four_times_faster_than_with_a_dense_hamiltonian(benchmark, papers_valve):
    valve, state = papers_valve
    ours, dense = (lambda y, f=f: f(valve, y, MU) for f in (coupled_derivative, dense_derivative))
    difference = jax.tree.map(lambda a, b: float(abs(a - b).max()), jax.jit(ours)(state), jax.jit(dense)(state))
    assert max(jax.tree.leaves(difference)) < 1e-12
    in_a_run = lambda f: repeated(lambda y, dt: jax.tree.map(lambda y, k: y + dt * k, y, f(y)), state)
    programs = {"ours": in_a_run(ours), "dense": in_a_run(dense)}
    times = in_turns(programs)
    benchmark.extra_info |= {"sites": 48, "poles": 30, "steps": STEPS, "ratio": times["dense"] / times["ours"]}
    benchmark.pedantic(lambda: jax.block_until_ready(programs["ours"]()), rounds=3)
    assert times["dense"] > 4 * times["ours"]


def test_a_run_compiles_in_less_than_fifteen_seconds(benchmark):
    valve = sv.SpinValve.square(j_sd=2.1)
    state = sv.stationary(valve, sv.aligned_spins(valve))
    started = time.perf_counter()
    jax.block_until_ready(sv.evolve(valve, state, MU, 1.0, dt=0.02))
    first = time.perf_counter() - started
    benchmark.extra_info["first_run_seconds"] = first
    benchmark.pedantic(lambda: jax.block_until_ready(sv.evolve(valve, state, MU, 1.0, dt=0.02)), rounds=3)
    assert first < 15
