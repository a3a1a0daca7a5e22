"""Branches past folds: switching fields in closed form, loss of stability against a count of growing modes."""

import equinox as eqx
import numpy as np
import pytest

import svjax as sv

K, UP = 0.3, [[0.0, 0.0, 1.0]]


def one_spin(**changes):
    """One spin on one site, which the electrons do not turn unless j_sd is given."""
    given = dict(layers=[[0]], contacts=[[0], [0]], j_sd=0.0, anisotropy=K, easy_axes=(0.0, 0.0, 1.0), damping=0.05)
    return sv.SpinValve.from_bonds(1, [], **given | dict(temperature=0.2, poles=sv.optimized_poles(8)) | changes)


@pytest.mark.parametrize(("across", "sign"), [((0.1, 0.0), 1), pytest.param((0.03, -0.2), -1, marks=pytest.mark.slow)])
def test_a_spin_switches_where_stoner_and_wohlfarth_say(across, sign):
    """|b_z|^(2/3) + |b_x|^(2/3) = 1 with b = B/(2K) (the astroid), down as well as up; between the two folds the
    branch goes back through unstable states."""
    expected = 2 * K * (1 - (np.hypot(*across) / (2 * K)) ** (2 / 3)) ** 1.5
    valve = one_spin(field=(*across, 0.0))
    found = sv.follow(valve, None, "field[2]", [sign * 0.8, 0.0, -sign * 0.8], spins=sign * np.array(UP))
    first, second = found.critical
    assert (first.kind, second.kind) == ("fold", "fold")
    np.testing.assert_allclose([first.value, second.value], [-sign * expected, sign * expected], atol=1e-9)
    assert abs(first.rate) < 1e-6
    values, unstable = np.asarray(found.values), ~np.asarray(found.stable)
    along = np.diff(sign * values)
    assert not unstable[0] and not unstable[-1] and unstable.sum() > 5
    assert np.all(np.diff(np.flatnonzero(unstable)) == 1) and along[0] < 0 and np.any(along > 0)
    assert values[-1] == -sign * 0.8 and np.sum(values == 0.0) == 3
    field = np.column_stack([np.broadcast_to(across, (len(values), 2)), values])
    torque = np.cross(found.spins[:, 0], field + 2 * K * found.spins[:, 0] * np.array([0, 0, 1.0]))
    assert np.abs(torque).max() < 1e-10


def test_rates_along_a_branch_are_those_of_the_kittel_formula():
    """Without damping a spin along z turns with B + 2 K; the rate with damping is (i - alpha)/(1 + alpha^2) of that."""
    found = sv.follow(one_spin(), None, "field[2]", [0.1, 0.2, 0.5], spins=UP)
    expected = (found.values + 2 * K) * (1j - 0.05) / (1 + 0.05**2)
    np.testing.assert_allclose(found.rates, expected, atol=1e-12)
    assert not found.critical and {0.1, 0.2, 0.5} <= set(np.asarray(found.values).tolist())


def driven():
    """Electrons of a magnetic lead that turn the spin away."""
    return one_spin(
        j_sd=1.0,
        anisotropy=0.1,
        field=(0.02, 0.01, 0.0),
        damping=0.01,
        lead_polarization=((0.3, 0.0, 0.7), (0.0, 0.0, 0.0)),
        lead_coupling=0.5,
    )


def test_a_steady_state_gives_way_to_a_cycle_where_its_modes_start_to_grow():
    valve = driven()
    found = sv.follow(valve, sv.symmetric(0.0), "voltage", [0.0, -1.0])
    (point,) = found.critical
    assert point.kind == "hopf" and abs(point.rate.real) < 1e-9 and point.rate.imag > 0.1
    assert np.all(found.stable == (found.values > point.value))
    for shift in (1e-4, -1e-4):
        bias = sv.symmetric(point.value + shift)
        state = sv.steady_state(valve, bias, spins=point.spins, allow_unstable=True)
        assert sv.is_stable(valve, state, bias) == (shift > 0)
    rest = sv.steady_state(valve, sv.symmetric(-1.0), spins=found.spins[-1], allow_unstable=True)
    np.testing.assert_allclose(found.spins[-1], rest.spins, atol=1e-9)
    growing = sv.relaxation_modes(valve, rest, sv.symmetric(-1.0), count=1)
    np.testing.assert_allclose(found.rates[-1], growing[0], atol=1e-9)


def test_a_parameter_of_the_valve_is_followed_at_a_bias_of_any_kind():
    valve = driven()
    found = sv.follow(valve, (0.05, -0.05), "j_sd", [1.0, 0.8])
    changed = eqx.tree_at(lambda v: v.j_sd, valve, 0.8)
    np.testing.assert_allclose(found.spins[-1], sv.steady_state(changed, (0.05, -0.05)).spins, atol=1e-9)


@pytest.mark.parametrize(
    ("parameter", "values", "message"),
    [
        ("field[2]", [0.0], "`values` must hold at least two"),
        ("field[2]", [0.0, 1.0, 0.5], "ascending or descending"),
        ("feld", [0.0, 1.0], "nearest is 'field'"),
    ],
)
def test_bad_arguments(parameter, values, message):
    with pytest.raises(ValueError, match=message):
        sv.follow(one_spin(), None, parameter, values, spins=UP)
