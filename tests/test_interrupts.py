"""Ctrl-C inside a long solve."""

import signal
import sys
import time

import pytest

CHILD = """
import jax; jax.config.update("jax_enable_x64", True)
import svjax as sv
valve, bias = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(8)), sv.symmetric(1.0)
state = sv.steady_state(valve, bias)
solve = {"steady": lambda: sv.steady_state(valve, bias), "modes": lambda: sv.relaxation_modes(valve, state, bias),
         "stable": lambda: sv.is_stable(valve, state, bias)}["WHICH"]
solve()
print("compiled", flush=True)
while True:
    solve()
"""


@pytest.mark.slow
@pytest.mark.parametrize("which", ["steady", "modes", "stable"])
def test_control_c_ends_a_direct_solve(which, launch):
    """Between the pieces of a solve: within seconds, where one piece takes a fraction of one on two cores."""
    program = launch([sys.executable, "-c", CHILD.replace("WHICH", which)], XLA_FLAGS="")
    while program.runs() and "compiled" not in program.text:
        time.sleep(0.2)
    time.sleep(0.5)
    began = time.monotonic()
    program.process.send_signal(signal.SIGINT)
    assert program.end() != 0 and "KeyboardInterrupt" in program.text
    assert time.monotonic() - began < 5
