"""Times of several programs taken in turns, so that a noisy machine disturbs all of them alike."""

import time

import jax


def in_turns(programs, rounds=10):
    """The least time in seconds of each of the named programs (functions without arguments), after one warm-up each."""
    for program in programs.values():
        jax.block_until_ready(program())
    least = dict.fromkeys(programs, float("inf"))
    for _ in range(rounds):
        for name, program in programs.items():
            started = time.perf_counter()
            jax.block_until_ready(program())
            least[name] = min(least[name], time.perf_counter() - started)
    return least
