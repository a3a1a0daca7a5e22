import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import SMALL, breaking_bias, small_run, small_valve

import svjax as sv


@pytest.fixture(scope="module", name="run")
def fixture_run():
    return small_run()


def same(rows, others):
    return rows.keys() == others.keys() and all(np.array_equal(rows[name], others[name]) for name in rows)


def at(run, stages):
    return {name: values[np.isin(run.stage, stages)] for name, values in run.observables.items()}


@pytest.mark.bits
def test_segments_equal_one_evolution_to_the_last_bit(run):
    valve = small_valve()
    state = sv.stationary(valve, sv.aligned_spins(valve))
    relaxed = sv.evolve(valve, state, None, 50.0, dt=0.05, save_every=5, start_step=-1000, method="rk38")
    driven = sv.evolve(valve, relaxed.state, sv.symmetric(1.0), 50.0, dt=0.05, save_every=5, method="rk38")
    assert run.status == "complete" and run.end == 50.0
    assert eqx.tree_equal(run.equilibrium.state, relaxed.state)
    assert eqx.tree_equal(run.state, driven.state)
    assert same(at(run, [1]), relaxed.observables)
    assert same(at(run, [2]), driven.observables)
    assert np.array_equal(run.t, np.concatenate([[-50.0], relaxed.t, driven.t]))


def test_the_first_row_is_stage_zero_and_nothing_flows_in_it(run):
    assert run.stage[0] == 0 and run.t[0] == -50.0
    assert np.array_equal(run.observables["magnetization"][0], [[1, 0, 0], [0, 0, 1]])
    assert np.abs(run.observables["charge_current"][0]).max() < 1e-12
    assert np.abs(run.observables["charge_current"][-1]).min() > 1e-3


def test_saves_are_counted_from_the_quench_where_stages_are_not_whole_numbers_of_saves(run):
    other = sv.three_stage(
        small_valve(), sv.symmetric(1.0), relax=25.15, duration=25.2, dt=0.05, save_every=5, method="rk38"
    )
    assert np.array_equal(other.t, [-503 * 0.05, *run.t[(run.t > -25.0) & (run.t <= 25.0)]])
    assert other.end == pytest.approx(25.2)
    assert np.all(np.bincount(other.stage) == [1, 100, 100])


@pytest.mark.parametrize("relax, duration", [(0.15, 0.2), (0.0, 0.2), (0.15, 0.0), (0.0, 0.0)])
def test_stages_may_be_shorter_than_the_interval_of_saves_or_empty(relax, duration):
    run = sv.three_stage(
        small_valve(), sv.symmetric(1.0), relax=relax, duration=duration, dt=0.05, save_every=5, method="rk38"
    )
    assert np.allclose(run.t, sorted({-relax, 0.0}), atol=1e-15) and run.end == duration
    assert len(run.t) == len(run.stage) == len(run.observables["magnetization"])
    start = sv.stationary(small_valve(), sv.aligned_spins(small_valve()))
    relaxed = sv.evolve(small_valve(), start, None, relax, dt=0.05, method="rk38").state if relax else start
    assert np.allclose(run.equilibrium.state.rho, relaxed.rho, rtol=0, atol=1e-13)
    assert eqx.tree_equal(run.state, run.equilibrium.state) == (duration == 0)


def test_one_equilibrium_serves_any_number_of_voltages(run):
    after = dict(duration=50.0, dt=0.05, save_every=5, method="rk38")
    prepared = sv.prepare_equilibrium(small_valve(), relax=50.0, dt=0.05, save_every=5, method="rk38")
    assert eqx.tree_equal(prepared.state, run.equilibrium.state)
    again = sv.three_stage(small_valve(), sv.symmetric(1.0), equilibrium=prepared, **after)
    assert same(again.observables, run.observables) and np.array_equal(again.t, run.t)
    other = sv.three_stage(small_valve(), sv.symmetric(0.5), equilibrium=run.equilibrium, **after)
    assert same(at(other, [0, 1]), at(run, [0, 1])) and not same(at(other, [2]), at(run, [2]))
    bare = sv.three_stage(small_valve(), sv.symmetric(1.0), equilibrium=prepared.state, **after)
    assert bare.t[0] == 0.0 and same(at(bare, [2]), at(run, [2]))


@pytest.mark.bits
def test_time_dependent_bias_sees_the_time_since_the_quench_and_no_time_before(run):
    bias = sv.Pulse([0.0, 0.0], [0.8, -0.8], 10.0, 5.0)
    pulsed = sv.three_stage(small_valve(), bias, **SMALL)
    assert same(at(pulsed, [0, 1]), at(run, [0, 1]))
    driven = sv.evolve(small_valve(), run.equilibrium.state, bias, 50.0, dt=0.05, save_every=5, method="rk38")
    assert same(at(pulsed, [2]), driven.observables) and not same(at(pulsed, [2]), at(run, [2]))


def test_nothing_is_traced_twice():
    traces = []

    def observe(valve, state):
        traces.append(1)
        return {"m": sv.magnetization(valve, state)}

    sv.three_stage(small_valve(), sv.symmetric(1.0), observe=observe, **SMALL)
    first = len(traces)
    sv.three_stage(small_valve(), sv.symmetric(2.0), observe=observe, **SMALL)
    assert first >= 2 and len(traces) == first


def test_progress_tells_elapsed_and_remaining_time():
    seen = []
    sv.three_stage(small_valve(), sv.symmetric(1.0), progress=seen.append, **SMALL)
    assert [p.done for p in seen] == [0, 500, 1000, 1500, 2000] and {p.total for p in seen} == {2000}
    assert [p.stage for p in seen] == [0, 1, 1, 2, 2]
    assert np.all(np.diff([p.elapsed for p in seen]) >= 0)
    assert seen[0].remaining == float("inf") and 0 < seen[2].remaining < 60 and seen[-1].remaining == 0


@pytest.mark.bits
def test_control_c_keeps_what_was_saved(run):
    def stop(progress):
        if progress.done >= 1500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        sv.three_stage(small_valve(), sv.symmetric(1.0), progress=stop, **SMALL)
    kept = caught.value.run
    assert isinstance(caught.value, sv.Interrupted) and kept.status == "interrupted" and "t = 25" in kept.reason
    assert kept.end == 25.0 and kept.t[-1] == 25.0
    assert same(kept.observables, {name: values[: len(kept.t)] for name, values in run.observables.items()})
    rest = sv.evolve(
        small_valve(), kept.state, sv.symmetric(1.0), 25.0, dt=0.05, save_every=5, start_step=500, method="rk38"
    )
    assert eqx.tree_equal(rest.state, run.state)


def test_a_run_that_diverges_stops_says_when_and_keeps_what_was_saved(run):
    with pytest.raises(sv.DivergedError, match=r"non-finite after t = 37.5") as caught:
        sv.three_stage(small_valve(), breaking_bias, **SMALL)
    kept = caught.value.run
    assert kept.status == "diverged" and kept.t[-1] == 37.5 and kept.end == 25.0
    assert all(np.isfinite(values).all() for values in kept.observables.values())
    assert bool(jnp.isfinite(kept.state.rho).all())
    assert np.allclose(kept.observables["magnetization"], run.observables["magnetization"][: len(kept.t)], atol=1e-12)


def broken(**changes):
    return dict(valve=small_valve(), bias=sv.symmetric(1.0), **SMALL) | changes


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(dt=0.5), r"`dt` must stay below the stability limit 0\.\d+.* but is 0.5"),
        (dict(dt=-0.1), r"`dt` must be a positive number, but is -0.1"),
        (dict(dt=float("nan")), r"`dt` must be a positive number, but is nan"),
        (dict(relax=float("inf")), r"`relax` must be a positive number, but is inf"),
        (dict(relax=-50.0), r"`relax` must be a positive number, but is -50"),
        (dict(relax=10.03), r"`relax` must be a whole number of steps of dt = 0.05, but is 10.03"),
        (dict(duration=10.03), r"`duration` must be a whole number of steps of dt = 0.05, but is 10.03"),
        (dict(save_every=0), r"`save_every` must be a whole number of at least 1, but is 0"),
        (dict(save_every=2.5), r"`save_every` must be a whole number of at least 1, but is 2.5"),
        (dict(bias=sv.symmetric(float("nan"))), r"`bias` must be finite, but is \[nan nan\]"),
        (dict(bias=[0.5, 0.0, 0.0]), r"`bias` must give one level for each of the 2 leads"),
        (dict(spins=jnp.ones((3, 3))), r"`spins` must have shape \(2, 3\), but has shape \(3, 3\)"),
        (dict(spins=jnp.ones((2, 3))), r"`spins` must be of unit length, but lengths reach 1.73"),
        (dict(valve=small_valve(hopping=0.0)), r"`valve` must let every state reach a lead"),
        (dict(valve=eqx.tree_at(lambda v: v.temperature, small_valve(), -1.0)), r"`temperature` must be positive"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(changes, message):
    seen = []
    with pytest.raises(ValueError, match=message):
        arguments = broken(**changes)
        sv.three_stage(arguments.pop("valve"), arguments.pop("bias"), progress=seen.append, **arguments)
    assert not seen


def test_an_equilibrium_of_another_valve_is_refused(run):
    with pytest.raises(ValueError, match="`equilibrium` must belong to the same valve"):
        sv.three_stage(small_valve(j_sd=2.1), sv.symmetric(1.0), equilibrium=run.equilibrium, dt=0.05, method="rk38")


def test_a_valve_without_leads_relaxes_too():
    chain = sv.SpinValve.chain(1, 1, 1, j_sd=1.0)
    run = sv.three_stage(chain, None, relax=10.0, duration=10.0, dt=0.05, save_every=5, method="rk38")
    moved = np.abs(run.observables["magnetization"][-1] - run.observables["magnetization"][0]).max()
    assert len(run.t) == 81 and moved > 1e-3
