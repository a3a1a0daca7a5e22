from dataclasses import replace

import equinox as eqx
import numpy as np
import pytest
from helpers import small_report, small_run, small_valve

import svjax as sv


@pytest.fixture(scope="module", name="run")
def fixture_run():
    return small_run()


@pytest.fixture(scope="module", name="report")
def fixture_report():
    return small_report()


def test_a_good_run_passes_every_check(report):
    names = [check.name for check in report.checks]
    assert names == [
        "poles",
        "step after the quench",
        "step at the end",
        "charge balance",
        "length of the spins",
        "occupations",
        "Hermiticity",
    ]
    assert all(check.ok for check in report.checks if check.name != "poles")
    assert "NOT OK" not in str(replace(report, checks=report.checks[1:]))


def test_the_pole_error_is_the_distance_to_the_exact_density_matrix(run, report):
    mu = [0.5, -0.5]
    exact = sv.exact_density_matrix(small_valve(), run.state.spins, mu)
    found = sv.stationary(small_valve(), run.state.spins, mu).rho
    assert report["poles"].value == pytest.approx(np.abs(found - exact).max(), rel=1e-6)
    assert 1e-6 < report["poles"].value < 1e-3


def test_the_step_error_is_the_difference_to_half_the_step(run, report):
    half = sv.evolve(
        small_valve(), run.equilibrium.state, sv.symmetric(1.0), 25.0, dt=0.025, save_every=10, method="rk38"
    )
    rows = np.flatnonzero((run.t > 0) & (run.t <= 25.0))
    late = half.t >= 1.0
    errors = [np.abs(run.observables[name][rows] - half.observables[name])[late].max() for name in run.observables]
    assert report["step after the quench"].value == pytest.approx(max(errors), rel=1e-3)
    assert report["step after the quench"].value > 10 * report["step at the end"].value > 0


def test_what_is_wrong_is_said_in_words(run):
    def verdicts(state):
        return sv.convergence_report(replace(run, state=state, last=None))

    long = verdicts(eqx.tree_at(lambda s: s.spins, run.state, 1.0001 * run.state.spins))
    assert not long.ok and not long["length of the spins"].ok
    assert long["length of the spins"].value == pytest.approx(1e-4, rel=1e-3)
    assert "NOT OK: take a smaller dt" in str(long)
    skew = verdicts(eqx.tree_at(lambda s: s.rho, run.state, run.state.rho.at[0, 1].add(1e-3)))
    assert not skew["Hermiticity"].ok and skew["Hermiticity"].value == pytest.approx(1e-3)
    full = verdicts(eqx.tree_at(lambda s: s.rho, run.state, run.state.rho + 0.2 * np.eye(8)))
    assert not full["occupations"].ok and full["occupations"].value > 0.01


def test_too_few_poles_are_reported():
    run = sv.three_stage(
        small_valve(poles=sv.pade_poles(2)), sv.symmetric(1.0), relax=0.0, duration=0.0, dt=0.05, method="rk38"
    )
    report = sv.convergence_report(run)
    assert not report["poles"].ok and "take more poles" in str(report)


def test_records_hold_plain_data_and_come_back(report):
    broken = replace(report.checks[0], value=float("nan"))
    records = sv.Convergence((broken, *report.checks[1:])).to_records()
    assert records[0]["value"] is None and all(isinstance(r["limit"], float) for r in records)
    back = sv.Convergence.from_records(records)
    assert back.checks[1:] == report.checks[1:]
    assert np.isnan(back.checks[0].value) and not back.checks[0].ok and not back.ok
