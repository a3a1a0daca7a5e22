"""Drives and noise in whole runs and sweeps: what acts when, the same bits after a stop, other noise everywhere."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import SMALL, small_valve
from sweeping import save_always
from test_resume import Stop, stopping

import svjax as sv
from svjax.model.noise import with_noise

WARM = dict(damping=0.1, spin_temperature=0.05)
PULSE = sv.FieldPulse([0.0, 0.3, 0.0], center=2.0, width=1.0, layer=1)
KEY = jax.random.key(5)


def turned(valve, t):
    """A drive that is a function of the user's own."""
    return eqx.tree_at(lambda v: v.field, valve, valve.field + 0.2 * jnp.sin(t) * jnp.array([0.0, 1.0, 0.0]))


def other(valve, t):
    return eqx.tree_at(lambda v: v.field, valve, valve.field + 0.3 * jnp.sin(t) * jnp.array([0.0, 1.0, 0.0]))


@pytest.fixture(scope="module", name="whole")
def fixture_whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    run = sv.three_stage(
        small_valve(**WARM), sv.symmetric(1.0), writer=sv.RunWriter(path), drive=turned, key=KEY, **SMALL
    )
    return path, run


def test_a_driven_run_is_evolve_from_the_quench_on_and_its_noise_that_of_its_steps(whole):
    _, run = whole
    valve = small_valve(**WARM)
    start = sv.stationary(valve, sv.aligned_spins(valve))
    same = {name: SMALL[name] for name in ("dt", "save_every", "method")} | {"key": KEY}
    relaxed = sv.evolve(valve, start, None, 50.0, start_step=-1000, **same)
    after = sv.evolve(valve, relaxed.state, sv.symmetric(1.0), 50.0, drive=turned, **same)
    assert np.abs(run.equilibrium.state.spins - relaxed.state.spins).max() < 1e-12
    assert np.abs(run.state.spins - after.state.spins).max() < 1e-11
    assert np.abs(run.observables["magnetization"][-200:] - after.observables["magnetization"]).max() < 1e-11
    quiet = sv.evolve(valve, relaxed.state, sv.symmetric(1.0), 50.0, **same)
    assert np.abs(quiet.state.spins - after.state.spins).max() > 1e-2


def test_half_the_step_has_other_noise_and_is_not_compared(whole):
    report = sv.convergence_report(whole[1])
    assert [check.name for check in report.checks if check.name.startswith("step")] == ["step at the end"]
    assert report["step at the end"].ok and "not checked: noise" in str(report)
    assert str(sv.Convergence.from_records(report.to_records())) == str(report)


def stopped(path, when, **given):
    with pytest.raises(Stop):
        sv.three_stage(
            small_valve(**WARM), sv.symmetric(1.0), writer=sv.RunWriter(path), progress=stopping(when), **SMALL | given
        )
    return path


@pytest.mark.parametrize("when", [0, 3])
def test_a_run_with_noise_and_a_drive_goes_on_to_the_same_bits(tmp_path, monkeypatch, whole, when):
    save_always(monkeypatch)
    path = stopped(tmp_path / "run", when, drive=turned, key=KEY)
    with pytest.raises(ValueError, match="Argument `drive` must be given: the run was driven by the function 'turned'"):
        sv.resume(path)
    with pytest.raises(ValueError, match="Argument `drive` must be that of the run"):
        sv.resume(path, drive=other)
    assert sv.resume(path, drive=turned).identical(sv.open_run(whole[0]))


def test_a_drive_of_the_library_and_the_key_come_back_from_the_disk(tmp_path, monkeypatch):
    save_always(monkeypatch)
    given = dict(drive=PULSE, key=jax.random.PRNGKey(3), relax=0.0)
    whole = sv.three_stage(
        small_valve(**WARM), sv.symmetric(1.0), writer=sv.RunWriter(tmp_path / "whole"), **SMALL | given
    )
    path = stopped(tmp_path / "run", 0, **given)
    assert sv.resume(path).identical(sv.open_run(tmp_path / "whole"))
    assert np.array_equal(sv.open_run(path)["magnetization"].values, whole.observables["magnetization"])


@pytest.mark.parametrize("drive", [PULSE, sv.Ramp("anisotropy[1]", [0.0, 2.0], [0.1, 0.5]), sv.PeierlsPulse([1, 0, 0])])
def test_drives_come_back_from_their_records(drive):
    import json

    from svjax.storage.driving import drive_from_record, drive_to_record

    record = json.loads(json.dumps(drive_to_record(drive, small_valve())))
    assert eqx.tree_equal(drive_from_record(record), drive)


@pytest.mark.parametrize("key", [3, jax.random.split(KEY, 2), jnp.zeros(2)])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(ValueError, match="Argument `key` must be one key"):
        sv.RunTask(1.0, key=key)


GRID = {"anisotropy[1]": [0.1, 0.2], "voltage": [0.0, 0.5]}


def swept(**changes):
    task = dict(dt=0.05, save_every=5, start="aligned", relax=2.0, method="rk38", key=KEY, drive=turned)
    task = sv.RunTask(4.0, **task | changes.pop("task", {}))
    return sv.sweep(small_valve(**WARM), GRID, task, **dict(batch=2) | changes)


@pytest.fixture(scope="module", name="noisy")
def fixture_noisy():
    return swept()


@pytest.mark.slow
def test_a_sweep_with_noise_gives_each_point_its_own_and_the_same_again(noisy):
    spins = noisy["magnetization"]
    assert np.array_equal(spins, swept()["magnetization"])
    elsewhere = swept(task={"key": jax.random.key(6)})["magnetization"]
    assert np.abs(spins - elsewhere).isel(time=-1).max(("layer", "component")).min() > 1e-3


def test_a_point_of_a_sweep_is_the_run_with_its_key(noisy):
    """Point 3 relaxed as point 2, the first with its valve, and has its own number from the quench on."""
    valve = sv.set_parameters(small_valve(**WARM), None, {"anisotropy[1]": 0.2})[0]
    options = dict(dt=0.05, save_every=5, method="rk38")
    relaxed = sv.prepare_equilibrium(valve, relax=2.0, key=jax.random.fold_in(KEY, 2), **options)
    run = sv.three_stage(
        valve,
        sv.symmetric(0.5),
        duration=4.0,
        equilibrium=relaxed,
        drive=turned,
        key=jax.random.fold_in(KEY, 3),
        **options,
    )
    found = noisy["magnetization"].values[1, 1]
    assert np.abs(found - run.observables["magnetization"][-len(found) :]).max() < 1e-11


def test_a_sweep_with_noise_and_a_drive_of_ones_own_goes_on_to_the_same_bits(tmp_path, monkeypatch, noisy):
    save_always(monkeypatch)
    with pytest.raises(Stop):
        swept(out=tmp_path / "half", progress=stopping(2))
    with pytest.raises(ValueError, match="driven by the function 'turned'"):
        sv.resume(tmp_path / "half")
    again = sv.resume(tmp_path / "half", drive=turned)
    assert np.array_equal(again["magnetization"], noisy["magnetization"])


def test_derivatives_in_damping_and_temperature_are_finite_where_there_is_no_noise():
    """b ~ sqrt(alpha T_s): alpha db/dalpha = T_s db/dT_s = b/2, and 0 where alpha T_s = 0."""
    valve = small_valve()

    def noise(alpha, t):
        warm = eqx.tree_at(lambda v: (v.damping, v.spin_temperature), valve, (jnp.asarray(alpha), jnp.asarray(t)))
        return with_noise(warm, KEY, jnp.asarray(3), jnp.asarray(0.1)).field

    for alpha, t in ((0.0, 0.0), (0.2, 0.0), (0.0, 0.3), (0.2, 0.3)):
        b = noise(alpha, t) - noise(0.0, 0.0)
        forward, reverse = jax.jacfwd(noise, (0, 1))(alpha, t), jax.jacrev(noise, (0, 1))(alpha, t)
        wanted = (b / (2 * alpha), b / (2 * t)) if alpha * t else (0 * b, 0 * b)
        assert np.allclose(forward, wanted, atol=1e-12) and np.allclose(reverse, wanted, atol=1e-12)
    assert np.abs(b).max() > 0.1
