"""A valve small enough that a whole protocol takes milliseconds once it is compiled."""

from functools import cache

import jax.numpy as jnp

import svjax as sv

SMALL = dict(relax=50.0, duration=50.0, dt=0.05, save_every=5, method="rk38")
"""Two segments per stage, all of the same length, so that one compiled function serves every test."""


def small_valve(**changes):
    parameters = dict(j_sd=2.0, temperature=0.1, anisotropy=(0.4, 0.1), field=(0.0, 0.01, 0.0))
    return sv.SpinValve.square(4, 1, 1, 1, **parameters | {"poles": sv.pade_poles(12)} | changes)


@cache
def small_run():
    return sv.three_stage(small_valve(), sv.symmetric(1.0), **SMALL)


@cache
def small_report():
    return sv.convergence_report(small_run())


def breaking_bias(t):
    """A symmetric volt that turns into nan shortly after t = 37.5."""
    return jnp.where(t > 37.6, jnp.nan, 0.5) * jnp.array([1.0, -1.0])


class StoppedBar:
    """A bar that is interrupted at the thing after ``some``."""

    def __init__(self, some):
        self.left = some

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
