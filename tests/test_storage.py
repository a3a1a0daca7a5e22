import json

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import zarr
from helpers import SMALL, breaking_bias, small_report, small_run, small_valve

import svjax as sv
from svjax.storage.records import bias_from_record, bias_to_record, valve_from_record, valve_to_record


@pytest.fixture(scope="module", name="stored")
def fixture_stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "first"
    sv.save_run(path, small_run())
    sv.store_convergence(path, small_report())
    return path


def test_a_run_comes_back_to_the_last_bit(stored):
    run, dataset = small_run(), sv.open_run(stored)
    for name, values in run.observables.items():
        assert np.array_equal(dataset[name].values, values)
    assert np.array_equal(dataset["time"], run.t) and np.array_equal(dataset["stage"], run.stage)
    assert eqx.tree_equal(sv.load_state(dataset), run.state)
    assert eqx.tree_equal(sv.load_state(dataset, "equilibrium"), run.equilibrium.state)
    assert eqx.tree_equal(sv.load_valve(dataset), run.plan.valve)
    assert sv.load_convergence(dataset) == small_report()
    assert float(dataset["final_time"]) == run.end == 50.0
    assert dataset.attrs["status"] == "complete"
    wanted = {"svjax_version", "jax_version", "numpy_version", "python_version", "device", "precision", "dt"}
    assert wanted <= dataset.attrs.keys()


def test_plain_xarray_opens_a_run_with_named_coordinates_and_units(stored):
    plain = xr.open_zarr(stored)
    assert plain.sizes["time"] == len(small_run().t)
    m = plain["magnetization"].sel(layer=1, component="z", time=50.0)
    assert m.item() == small_run().observables["magnetization"][-1, 1, 2]
    assert plain["charge_current"].dims == ("time", "lead") and plain["time"].attrs["units"] == "hbar/hopping"
    assert all(plain[name].attrs["units"] for name in small_run().observables)
    assert np.array_equal(plain["mu"].sel(time=50.0), [0.5, -0.5]) and not plain["mu"].sel(time=0.0).any()
    assert plain["status"].item() == 1


def test_a_stored_run_is_quenched_again_as_if_it_had_never_been_stored(stored):
    dataset = sv.open_run(stored)
    valve, bias = sv.load_valve(dataset), sv.load_bias(dataset)
    again = sv.three_stage(
        valve, bias, equilibrium=sv.load_equilibrium(dataset), duration=50.0, dt=0.05, save_every=5, method="rk38"
    )
    assert eqx.tree_equal(again.state, small_run().state) and np.array_equal(again.t, small_run().t)


def test_a_run_written_while_it_runs_equals_one_written_at_the_end(tmp_path, stored):
    writer = sv.RunWriter(tmp_path / "deep" / "live")
    sv.three_stage(small_valve(), sv.symmetric(1.0), writer=writer, **SMALL)
    sv.store_convergence(tmp_path / "deep" / "live", small_report())
    assert sv.open_run(tmp_path / "deep" / "live").identical(sv.open_run(stored))


def test_a_run_that_is_killed_keeps_the_rows_it_had_saved(tmp_path, monkeypatch):
    monkeypatch.setattr("svjax.storage.row_buffer.SECONDS_PER_SAVE", 0.0)
    monkeypatch.setattr("svjax.storage.row_buffer.SAVING_SHARE", np.inf)
    path = tmp_path / "killed"
    writer = sv.RunWriter(path)

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.done == 1500:
            raise Killed

    with pytest.raises(Killed):
        sv.three_stage(small_valve(), sv.symmetric(1.0), writer=writer, progress=kill, **SMALL)
    dataset = sv.open_run(path)
    assert dataset.attrs["status"] == "running" and dataset["time"].values[-1] == 25.0
    for name in small_run().observables:
        assert np.array_equal(dataset[name], small_run().observables[name][: dataset.sizes["time"]])
    assert eqx.tree_equal(sv.load_equilibrium(dataset).state, small_run().equilibrium.state)
    with pytest.raises(ValueError, match="holds no final state"):
        sv.load_state(dataset)
    plain = xr.open_zarr(path)
    assert plain.sizes["time"] == 401 and np.isnan(plain["charge_current"].sel(time=50.0)).all()


@pytest.mark.bits
def test_control_c_and_divergence_are_recorded_with_their_reason(tmp_path):
    def stop(progress):
        if progress.done == 1500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer = sv.RunWriter(tmp_path / "stopped")
        sv.three_stage(small_valve(), sv.symmetric(1.0), writer=writer, progress=stop, **SMALL)
    stopped = sv.open_run(tmp_path / "stopped")
    assert stopped.attrs["status"] == "interrupted" and "t = 25" in stopped.attrs["reason"]
    assert stopped["time"].values[-1] == 25.0 == float(stopped["final_time"])
    rest = sv.evolve(
        sv.load_valve(stopped),
        sv.load_state(stopped),
        sv.load_bias(stopped),
        25.0,
        dt=0.05,
        save_every=5,
        start_step=500,
        method="rk38",
    )
    assert eqx.tree_equal(rest.state, small_run().state)

    with pytest.raises(sv.DivergedError):
        sv.three_stage(small_valve(), breaking_bias, writer=sv.RunWriter(tmp_path / "diverged"), **SMALL)
    diverged = sv.open_run(tmp_path / "diverged")
    assert diverged.attrs["status"] == "diverged" and "t = 37.5" in diverged.attrs["reason"]
    assert diverged["time"].values[-1] == 37.5 and np.isfinite(diverged["charge_current"]).all()
    assert eqx.tree_equal(sv.load_valve(diverged), small_valve())
    with pytest.raises(ValueError, match="was the function"):
        sv.load_bias(diverged)


def test_bad_input_leaves_no_folder(tmp_path):
    writer = sv.RunWriter(tmp_path / "run")
    with pytest.raises(ValueError, match="stability"):
        sv.three_stage(small_valve(), sv.symmetric(1.0), writer=writer, **SMALL | {"dt": 0.5})
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_only_replaced_if_it_holds_a_run_and_on_request(tmp_path, stored):
    target = tmp_path / "run"
    sv.save_run(target, small_run())
    with pytest.raises(FileExistsError, match="`out` must be a new folder"):
        sv.save_run(target, small_run())
    (target / "picture.png").write_text("old")
    sv.save_run(target, small_run(), overwrite=True)
    assert not (target / "picture.png").exists() and sv.open_run(target).attrs["status"] == "complete"
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"must be a svjax run to be overwritten"):
        sv.save_run(precious, small_run(), overwrite=True)
    assert (precious / "thesis.tex").read_text() == "mine"


def test_what_is_not_a_run_is_refused(tmp_path, stored):
    with pytest.raises(FileNotFoundError, match=r"must be a svjax run, but .* does not exist"):
        sv.open_run(tmp_path / "nothing")
    xr.Dataset({"a": ("x", np.zeros(3))}).to_zarr(tmp_path / "other", zarr_format=3, consolidated=False)
    with pytest.raises(FileNotFoundError, match=r"must be a svjax run, but .* is none"):
        sv.open_run(tmp_path / "other")
    sv.save_run(tmp_path / "future", small_run())
    zarr.open_group(tmp_path / "future", mode="r+").attrs["format_version"] = 99
    with pytest.raises(ValueError, match=r"must be a run of format 1, but .* has format 99"):
        sv.open_run(tmp_path / "future")
    broken = sv.open_run(stored).assign_attrs(valve="{}")
    with pytest.raises(ValueError, match="cannot be read"):
        sv.load_valve(broken)


def test_a_store_holds_numbers_and_texts_only(stored):
    types = set()
    for file in stored.rglob("zarr.json"):
        metadata = json.loads(file.read_text())
        types.add(metadata.get("data_type", "group"))
        assert "pickle" not in file.read_text()
    assert types == {"group", "int8", "int64", "float64", "complex128", "string"}


def test_any_valve_comes_back_to_the_last_bit():
    bonds = [(0, 1, 1.0), (1, 2, 0.3 + 0.4j), (2, 3), (3, 0, -1.0)]
    ring = sv.SpinValve.from_bonds(
        4,
        bonds,
        layers=[[2], [0]],
        contacts=[[1], [3], [0]],
        j_sd=1 / 3,
        temperature=[0.1, 0.2, 0.3],
        easy_axes=[(1, 2, 3), (0, 0, 1)],
        monolayers=[[0, 1], [2, 3]],
    )
    for valve in (ring, sv.SpinValve.chain(j_sd=0.1), small_valve(dtype="float32")):
        back = valve_from_record(json.loads(json.dumps(valve_to_record(valve))))
        assert eqx.tree_equal(back, valve)
    assert not eqx.tree_equal(valve_from_record(valve_to_record(ring)), eqx.tree_at(lambda v: v.j_sd, ring, 0.33))


@pytest.mark.parametrize(
    "bias",
    [
        sv.symmetric(1 / 3),
        sv.asymmetric(0.5),
        sv.Constant(jnp.array([0.1, 0.2])),
        sv.Waveform((0.0, 0.5, 1.0), (0.0, 0.3, 0.1), (1.0, 0.0)),
        sv.Oscillating(jnp.zeros(2), jnp.array([0.1, 0.2]), 0.3, 0.4),
        sv.Pulse(jnp.zeros(2), jnp.array([0.1, 0.2]), 0.3, 0.4),
    ],
)
def test_a_bias_comes_back(bias):
    back = bias_from_record(json.loads(json.dumps(bias_to_record(bias))))
    assert type(back) is type(bias)
    assert all(np.array_equal(back(jnp.asarray(t)), bias(jnp.asarray(t))) for t in (0.0, 0.7))
