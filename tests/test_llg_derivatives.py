"""The microscopic LLG as a function of the valve's parameters: derivatives against central differences."""

from functools import cache

import equinox as eqx
import jax
import numpy as np
import pytest
from scipy.optimize import brentq

import svjax as sv

BASE = {"j_sd": 2.0, "lead_coupling": 1.0, "temperature": 0.1, "anisotropy": 0.02}
BIAS = (0.3, 1.1)


@cache
def standard(layer, length, width):
    poles = sv.pade_poles(12) if width == 1 else sv.optimized_poles(8)
    parameters = BASE | {"anisotropy": (0.4, BASE["anisotropy"])}
    return sv.SpinValve.square(length, width, layer, layer, mu_bar=0.15, poles=poles, **parameters)


def valve(p, layer=1, length=6, width=1):
    """With parameters ``p`` under the names of BASE; the anisotropy of both layers is changed by the same factor."""
    fields = lambda v: [getattr(v, name) for name in p]
    case = standard(layer, length, width)
    return eqx.tree_at(fields, case, [x * (p[name] / BASE[name]) for name, x in zip(p, fields(case), strict=True)])


def results(p, **shape):
    """Torques, damping and both modes."""
    llg = sv.effective_llg(valve(p, **shape), BIAS, angles=4, at=0.05)
    torques, modes = llg.torques(1.0), llg.modes()
    return torques.field_like, torques.damping_like, llg.damping(1.0).alpha, modes.real, modes.imag


def slope(f, name, part=0.0025):
    """Central differences of what takes a dict of parameters, of two steps, to the fourth order."""
    x, h = BASE[name], part * BASE[name]
    ends = [[np.asarray(y) for y in f({name: x + step})] for step in (h, -h, 2 * h, -2 * h)]
    return [(8 * (a - b) - (c - d)) / (12 * h) for a, b, c, d in zip(*ends, strict=True)]


def check(f, **shape):
    valve({}, **shape)  # made outside of the transformation
    found = jax.jit(jax.jacfwd(f))(BASE)
    for name in BASE:
        for own, expected in zip([y[name] for y in found], slope(f, name), strict=True):
            assert np.abs(own - expected).max() <= 1e-5 * np.abs(expected).max(), name
            assert np.all(np.isfinite(own))


def test_derivatives_of_torque_damping_and_modes():
    check(results)


@pytest.mark.slow
def test_derivatives_of_the_papers_valve():
    shape = {"layer": 4, "length": 12, "width": 4}
    check(lambda p: results(p, **shape), **shape)


@pytest.mark.slow
def test_reverse_mode_agrees():
    alpha = lambda x: results({"j_sd": x})[2][1, 1]
    assert float(jax.grad(alpha)(2.0)) == pytest.approx(float(jax.jvp(alpha, (2.0,), (1.0,))[1]), rel=1e-10)


def critical(p, between=(1.2, 1.41), at=0.05):
    return (sv.critical_voltage(valve(p), between, bias=lambda v: (0.0, v), angles=4, at=at),)


@pytest.mark.slow
@pytest.mark.parametrize("at", [0.05, None])
def test_derivatives_of_the_critical_voltage(at):
    """Also where the frequency of the table moves with the parameters, which is up to 1% of them."""
    check(lambda p: critical(p, at=at))


@pytest.mark.slow
def test_a_mode_starts_to_grow_at_the_critical_voltage():
    found = float(critical({})[0])
    growth = [
        float(sv.effective_llg(valve({}), (0.0, v), angles=4, at=0.05).modes()[0].real)
        for v in (found - 1e-6, found + 1e-6)
    ]
    assert growth[0] < 0 < growth[1] < 1e-6
    with pytest.raises(ValueError, match="`between` must enclose"):
        critical({}, (1.2, 1.3))
    with pytest.raises(ValueError, match="`between` must be two increasing"):
        critical({}, (1.0, 0.0))


@pytest.mark.slow
def test_the_critical_voltage_of_the_papers_valve():
    """Within 2% of the root of Re lambda of all spins and electrons, on the asymmetric side."""
    case = sv.SpinValve.square(j_sd=2.0, poles=sv.optimized_poles(8))
    found = float(sv.critical_voltage(case, (1.0, 3.0), bias=lambda v: (0.0, v)))

    def growth(v):
        state = sv.steady_state(case, (0.0, v), allow_unstable=True)
        return float(sv.relaxation_modes(case, state, (0.0, v))[0].real)

    assert found == pytest.approx(brentq(growth, 0.9 * found, 1.1 * found, xtol=1e-4), rel=0.02)
