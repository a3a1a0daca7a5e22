"""A valve small enough that a whole protocol takes milliseconds once it is compiled."""

import svjax as sv

SMALL = dict(relax=100.0, duration=100.0, dt=0.1, save_every=5)
"""Two segments per stage, all of the same length, so that one compiled function serves every test."""


def small_valve(**changes):
    parameters = dict(j_sd=2.0, temperature=0.1, anisotropy=(0.4, 0.1), field=(0.0, 0.01, 0.0))
    return sv.SpinValve.square(4, 1, 1, 1, **parameters | {"poles": sv.pade_poles(12)} | changes)
