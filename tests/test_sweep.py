"""Sweeps: every point is what it would be alone, failed points are told from the others, and stores are plain."""

import json
import pickle
import shutil
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import zarr
from helpers import small_valve
from sweeping import GRID, TASK, make

import svjax as sv
from svjax.cli.main import main
from svjax.engine.lapack import _openblas
from svjax.sweeps import tile as programs_of
from svjax.sweeps.parameter_grid import choose_block, make_grid, tiles
from svjax.sweeps.sweep_plan import plan_sweep


@pytest.fixture(scope="module", name="path")
def fixture_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweeps") / "first"
    make(path)
    return path


def alone(valve, voltage, task=TASK):
    """One run from aligned spins."""
    start = sv.stationary(valve, sv.aligned_spins(valve))
    return sv.evolve(
        valve, start, sv.symmetric(voltage), task.duration, dt=task.dt, save_every=task.save_every, method="rk38"
    )


def test_every_point_is_the_run_that_it_would_be_alone(path):
    found = sv.open_sweep(path)
    assert (found["status"] == 1).all() and (found["begun"] == 1).all() and not (found["reason"] != "").any()
    point = found.sel({"anisotropy[1]": 0.2, "voltage": 0.5})
    valve = eqx.tree_at(lambda v: v.anisotropy, small_valve(), jnp.array([0.4, 0.2]))
    run = alone(valve, 0.5)
    for name, values in run.observables.items():
        assert np.abs(point[name].values[1:] - values).max() < 1e-12
    assert np.array_equal(point["time"][1:], run.t) and point["time"][0] == 0
    assert np.array_equal(point["magnetization"][0], sv.magnetization(valve, run.state)) or point["time"].size > 1
    last = sv.State(*(jnp.asarray(point[f"final_{name}"].values) for name in ("rho", "pi", "spins")))
    assert max(abs(a - b).max() for a, b in zip(vars(last).values(), vars(run.state).values(), strict=True)) < 1e-12


def test_the_dataset_has_named_coordinates_with_units_and_its_provenance(path):
    found = sv.open_sweep(path)
    assert found["charge_current"].dims == ("anisotropy[1]", "voltage", "time", "lead")
    assert found["magnetization"].dims == ("anisotropy[1]", "voltage", "time", "layer", "component")
    units = {name: found[name].attrs["units"] for name in ("voltage", "anisotropy[1]", "time", "charge_current")}
    assert units == {
        "voltage": "hopping/e",
        "anisotropy[1]": "hopping",
        "time": "hbar/hopping",
        "charge_current": "hopping/hbar",
    }
    assert eqx.tree_equal(sv.load_valve(found), small_valve())
    assert type(sv.load_bias(found)) is sv.VoltageDrop
    wanted = {"svjax_version", "jax_version", "numpy_version", "python_version", "device", "devices", "precision"}
    assert wanted <= found.attrs.keys()
    plain = xr.open_zarr(path)
    assert plain.sizes["time"] == 241 and json.loads(plain.attrs["grid"])["values"] == GRID


def test_two_same_sweeps_are_bit_identical(tmp_path, path):
    make(tmp_path / "again")
    assert sv.open_sweep(tmp_path / "again").identical(sv.open_sweep(path))


def test_a_remainder_gives_the_same_bits(tmp_path, path):
    """Tiles of 2 of 3 voltages: the last one is filled up, and holds what another tile holds elsewhere."""
    found = make(tmp_path / "fewer", grid=GRID | {"voltage": [0.5, 1.0]})
    whole = sv.open_sweep(path)
    for name in ("magnetization", "spin_current", "final_rho"):
        assert np.array_equal(found[name], whole[name][:, 1:])


def test_chunks_are_tiles(path):
    group = zarr.open_group(path, mode="r")
    assert group["magnetization"].chunks == (1, 2, 241, 2, 3) and group["status"].chunks == (1, 2)


def test_zipped_lists_and_any_parameter_of_valve_and_bias(tmp_path):
    valve, pulse = small_valve(), sv.Pulse((0.0, 0.0), (0.1, -0.1), 5.0, 2.0)
    grid = {"j_sd": [1.0, 2.0], "temperature[0]": [0.1, 0.05], "amplitude[1]": [-0.3, 0.3]}
    task = sv.RunTask(10.0, dt=0.05, save_every=5, start="aligned", observe=("energy", "spins"), method="rk38")
    found = sv.sweep(valve, grid, task, bias=pulse, zipped=True)
    assert found["energy"].dims == ("point", "time") and found["spins"].dims == ("point", "time", "spin", "component")
    assert set(found) == {"energy", "spins", "end", "status", "reason", "begun"}
    other, bias = sv.set_parameters(valve, pulse, {"j_sd": 2.0, "temperature[0]": 0.05, "amplitude[1]": 0.3})
    start = sv.stationary(other, sv.aligned_spins(other))
    run = sv.evolve(other, start, bias, 10.0, dt=0.05, save_every=5, method="rk38")
    assert np.abs(found["spins"].values[1, -1] - run.state.spins).max() < 1e-12
    assert float(found["energy"][1, -1]) == pytest.approx(float(sv.energy(other, run.state)), abs=1e-12)
    assert found["j_sd"].dims == ("point",) and found["amplitude[1]"].attrs["units"] == "hopping"


@pytest.mark.slow
def test_easy_axes_keep_length_one():
    found = sv.sweep(small_valve(), {"easy_axes[1,0]": [0.0, 0.5]}, sv.SteadyTask(), bias=sv.symmetric(0.5))
    tilted = small_valve(easy_axes=((1, 0, 0), (0.5, 0, 1)))
    expected = sv.magnetization(tilted, sv.steady_state(tilted, sv.symmetric(0.5)))
    assert np.abs(found["magnetization"][1] - expected).max() < 1e-9
    stretched = eqx.tree_at(lambda v: v.easy_axes, small_valve(), jnp.array([[1.0, 0, 0], [0.5, 0, 1]]))
    with pytest.raises(ValueError, match="`easy_axes` must be of unit length"):
        sv.steady_state(stretched, None)


class Ramp(eqx.Module):
    """A bias of the user's own."""

    end: float

    def __call__(self, t):
        return self.end * jnp.minimum(t, 1.0) * jnp.array([0.5, -0.5])


def test_a_parameter_must_not_be_named_like_a_result():
    with pytest.raises(ValueError, match="must not name 'end', which is a variable of the results"):
        sv.sweep(small_valve(), {"end": [0.5, 1.0]}, TASK, bias=Ramp(1.0))
    with pytest.raises(ValueError, match="names 'j_sd' twice"):
        sv.sweep(small_valve(), {"j_sd": [1.0, 2.0], "j_sd ": [1.0, 2.0]}, TASK)


def test_a_valve_may_lack_what_is_observed():
    ring = sv.SpinValve.from_bonds(3, [(0, 1), (1, 2)], contacts=[[0], [2]], poles=sv.pade_poles(2))
    found = sv.sweep(ring, {"mu_bar": [0.0, 0.1]}, replace(TASK, duration=1.0, observe=("spins", "energy")))
    assert found["spins"].size == 0 and np.isfinite(found["energy"]).all()
    chain = sv.SpinValve.chain(1, 1, 1, j_sd=1.0)
    with pytest.raises(ValueError, match="the valve has no leads"):
        sv.sweep(chain, {"j_sd": [1.0, 2.0]}, replace(TASK, duration=1.0, observe=("charge_current",)))


def test_runs_start_in_the_equilibrium_of_their_valve():
    found = make(None, task=replace(TASK, start="equilibrium", last_state=False))
    state = sv.steady_state(small_valve(), None)
    point = found.sel({"anisotropy[1]": 0.1, "voltage": 0.5})
    assert np.abs(point["magnetization"].values[0] - sv.magnetization(small_valve(), state)).max() < 1e-9
    run = sv.evolve(small_valve(), state, sv.symmetric(0.5), 60.0, dt=0.05, save_every=5, method="rk38")
    for name in ("magnetization", "charge_current"):
        assert np.abs(point[name].values[1:] - run.observables[name]).max() < 1e-8
    still = found.sel(voltage=0.0)
    assert np.abs(still["magnetization"] - still["magnetization"].isel(time=0)).max() < 1e-8


@pytest.mark.slow
def test_exponential_runs_take_their_first_step_in_parts():
    """The levels jump there: a whole first step would leave an error of second order."""
    task = replace(TASK, duration=5.0, method="etd", last_state=False)
    found = sv.sweep(small_valve(), {"voltage": [0.5]}, task)
    start = sv.stationary(small_valve(), sv.aligned_spins(small_valve()))
    run = sv.evolve(small_valve(), start, sv.symmetric(0.5), 5.0, dt=0.05, save_every=5, method="etd")
    for name, values in run.observables.items():
        assert np.abs(found[name].values[0, 1:] - values).max() < 1e-12


class Losing(eqx.Module):
    """A symmetric voltage that is lost at some time."""

    voltage: jax.Array
    lost: jax.Array

    def __call__(self, t):
        return jnp.where(t > self.lost, jnp.nan, self.voltage) * jnp.array([0.5, -0.5])


def test_a_point_that_diverges_or_cannot_be_run_leaves_the_others_alone(path):
    grid = {"lost": [1e3, 20.0], "voltage": [0.0, 1000.0, 1.0]}
    found = make(None, grid=grid, bias=Losing(jnp.array(1.0), jnp.array(1e3)))
    assert found["status"].values.tolist() == [[1, 4, 1], [2, 4, 2]]
    meanings = found["status"].attrs["flag_meanings"].split()
    assert meanings == ["pending", "complete", "diverged", "not_converged", "refused", "inaccurate"]
    assert "stability limit" in found["reason"].values[0, 1]
    broken = found.sel({"lost": 20.0, "voltage": 1.0})
    assert f"non-finite after t = {float(broken['end']):g}" in str(broken["reason"].values)
    good = broken["time"] <= broken["end"]
    assert 0 < int(good.sum()) < 100 and np.isfinite(broken["magnetization"][good.values]).all()
    assert np.isnan(broken["magnetization"][~good.values]).all() and np.isnan(broken["final_rho"]).all()
    whole = sv.open_sweep(path).sel({"anisotropy[1]": 0.1, "voltage": [0.0, 1.0]})
    for name in ("magnetization", "final_spins"):
        np.testing.assert_allclose(found[name].isel({"lost": 0, "voltage": [0, 2]}), whole[name], atol=1e-12)


def test_steady_states_and_modes():
    valve = small_valve(anisotropy=0.1, field=(0.0, 0.0, 0.0))
    found = sv.sweep(valve, {"anisotropy": [0.1, 0.0], "voltage": [0.3, 1.0]}, sv.ModesTask(2))
    state = sv.steady_state(valve, sv.symmetric(1.0))
    point = found.sel(anisotropy=0.1, voltage=1.0)
    assert found["status"].values[0].tolist() == [1, 1] and float(point["residual"]) < 1e-9
    assert np.abs(point["rates"].values - sv.relaxation_modes(valve, state, sv.symmetric(1.0), count=2)).max() < 1e-9
    assert np.abs(point["magnetization"].values - sv.magnetization(valve, state)).max() < 1e-9
    assert found["status"].values[1].tolist() == [3, 3] and "not isolated" in str(found["reason"].values[1, 0])
    assert np.isnan(found["rates"].values[1]).all()


def rising(t):
    return jnp.stack([t, -t])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(grid={}), "`grid` must name at least one parameter"),
        (dict(grid={"jsd": [1.0]}), "the nearest is 'j_sd'"),
        (dict(grid={"j_sd": 1.0}), "must give a list of numbers for 'j_sd'"),
        (dict(grid={"j_sd": [1.0, np.nan]}), "must give finite numbers for 'j_sd'"),
        (dict(grid={"temperature": [0.1, -0.1]}), "`temperature` must be positive"),
        (dict(grid={"j_sd": [1.0, 2.0], "voltage": [1.0]}, zipped=True), "lists of one length"),
        (dict(grid={"anisotropy": [0.1], "anisotropy[0]": [0.1]}), "either 'anisotropy' or its entries"),
        (dict(batch=0), "`batch` must be a whole number of at least 1, but is 0"),
        (
            dict(grid={"j_sd": [1.0]}, task=sv.SteadyTask(), bias=lambda t: jnp.stack([t, -t])),
            "`bias` must not depend on time",
        ),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError) as error:
        make(tmp_path / "sweep", **changes)
    assert message in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(duration=1.01), "whole number of steps"),
        (dict(duration=1.0, method="euler"), "`method` must be one of"),
        (dict(duration=1.0, save_every=0), "`save_every` must be a whole number"),
        (dict(duration=1.0, observe=("magnetisation",)), "near is 'magnetization'"),
        (dict(duration=1.0, start="there"), "`start` must be"),
        (dict(duration=1.0, relax=1.0), "`relax` must be 0"),
    ],
)
def test_bad_tasks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sv.RunTask(**dict(dt=0.05) | arguments)


def test_tiles_cover_the_grid_once_and_share_their_valves():
    valve, bias = small_valve(), sv.symmetric(0.0)
    grid = make_grid(valve, bias, {"voltage": np.arange(65.0), "j_sd": [1.0, 2.0, 3.0]}, False)
    block = choose_block(grid, 16)
    assert block == (13, 1)
    seen = np.zeros(grid.shape, int)
    for tile in tiles(grid, block):
        seen[tile.region] += 1
        assert len(tile.indices[0]) == 13 and len(tile.valve_indices[0]) == 1
    assert (seen == 1).all()
    order = [tile.valve_index for tile in tiles(grid, block)]
    assert order == sorted(order)
    assert choose_block(grid, 1000) == (65, 3)


def test_the_batch_fits_the_memory(monkeypatch):
    arguments = small_valve(), {"voltage": np.arange(5000.0)}, TASK, None, False, None
    monkeypatch.setattr("svjax.sweeps.sweep_plan.MOST_POINTS", {"cpu": 10**6})
    whole = plan_sweep(*arguments)
    assert whole.block == (5000,)
    monkeypatch.setattr("svjax.sweeps.sweep_plan._memory", lambda device: 10**8)
    assert 10 < plan_sweep(*arguments).block[0] < 1000


class FullMemory:
    """A program of a sweep on devices whose memory holds ``most`` points at once."""

    def __init__(self, program, most):
        self.program, self.most, self.widths = program, most, []

    def __call__(self, spread, *arguments):
        self.widths.append(spread.width)
        if spread.width > self.most:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes.")
        return self.program(spread, *arguments)


@pytest.fixture(name="full")
def fixture_full(monkeypatch):
    """Every program of a tile, on a full memory; and points that go together on a CPU too."""

    def make(most):
        spread = programs_of.spread_over
        monkeypatch.setattr(
            programs_of, "spread_over", lambda devices, points, _: replace(spread(devices, points, 1), width=4)
        )
        programs = {}
        for name in ("start_points", "quench_points", "march_points", "steady_points"):
            programs[name] = FullMemory(getattr(programs_of, name), most)
            monkeypatch.setattr(programs_of, name, programs[name])
        return programs

    return make


@pytest.mark.parametrize("task", [replace(TASK, duration=5.0), pytest.param(sv.SteadyTask(), marks=pytest.mark.slow)])
def test_a_full_memory_halves_what_is_computed_at_once(full, tmp_path, task):
    expected = make(tmp_path / "whole", task=task, batch=4).load()
    programs = full(1)
    with pytest.warns(UserWarning, match="does not hold") as said:
        found = make(tmp_path / "halved", task=task, batch=4).load()
    assert [str(one.message)[-6:] for one in said] == ["now 2.", "now 1."]
    assert sorted((width for program in programs.values() for width in program.widths), reverse=True)[:3] == [4, 2, 1]
    assert (found["status"] == 1).all() and len(found.data_vars) > 4
    for name in found:
        if np.issubdtype(found[name].dtype, np.inexact):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-11)


def test_a_memory_that_holds_no_point_is_said_to_be_too_small(full):
    full(0)
    with pytest.warns(UserWarning, match="does not hold"), pytest.raises(MemoryError, match="make `batch` smaller"):
        make(None, task=sv.SteadyTask(), batch=4)


def test_eigenvectors_of_points_are_computed_on_one_thread(monkeypatch):
    """Several wait for each other in busy loops, above all where every core has a device."""
    library = _openblas()
    if library is None:
        pytest.skip("SciPy has another LAPACK")
    before, seen, program = library.scipy_openblas_get_num_threads(), [], programs_of.steady_points

    def watched(*arguments):
        seen.append(library.scipy_openblas_get_num_threads())
        return program(*arguments)

    monkeypatch.setattr(programs_of, "steady_points", watched)
    library.scipy_openblas_set_num_threads(2)
    try:
        make(None, task=sv.SteadyTask(), batch=4)
        assert set(seen) == {1} and library.scipy_openblas_get_num_threads() == 2
    finally:
        library.scipy_openblas_set_num_threads(before)


def test_other_errors_of_the_device_are_not_hidden(monkeypatch):
    def broken(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken")

    monkeypatch.setattr(programs_of, "steady_points", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        make(None, task=sv.SteadyTask())


def test_netcdf_holds_the_same(tmp_path, path):
    found = sv.open_sweep(path)
    sv.to_netcdf(found, tmp_path / "sweep.nc")
    with xr.open_dataset(tmp_path / "sweep.nc", engine="h5netcdf") as back:
        assert back["magnetization"].identical(found["magnetization"].load())
        assert np.array_equal(back["final_rho_real"] + 1j * back["final_rho_imag"], found["final_rho"])
        assert back.attrs["valve"] == found.attrs["valve"] and back["component"].values.tolist() == ["x", "y", "z"]
    with pytest.raises(FileExistsError, match="must be a new file"):
        sv.to_netcdf(found, tmp_path / "sweep.nc")


def test_netcdf_is_written_piece_by_piece(tmp_path, path, monkeypatch):
    monkeypatch.setattr("svjax.storage.netcdf.PIECE_BYTES", 20_000)
    sv.to_netcdf(sv.open_sweep(path)[["spin_current"]], tmp_path / "sweep.nc")
    with xr.open_dataset(tmp_path / "sweep.nc", engine="h5netcdf") as back:
        assert back["spin_current"].identical(sv.open_sweep(path)["spin_current"].load())


def test_what_is_not_a_sweep_of_this_version_is_refused(tmp_path, path):
    with pytest.raises(FileNotFoundError, match=r"must be a svjax sweep, but .* does not exist"):
        sv.open_sweep(tmp_path / "nothing")
    change(copy(path, tmp_path / "old"), lambda found: found["attributes"].update(format_version=0))
    with pytest.raises(ValueError, match=r"must be a sweep of format 1, but .* has format 0"):
        sv.open_sweep(tmp_path / "old")
    with pytest.raises(ValueError, match=r"must be a sweep of format 1"):
        sv.resume(tmp_path / "old")


def test_a_damaged_store_is_called_so(tmp_path, path, capsys):
    broken = copy(path, tmp_path / "broken")
    chunk = next(part for part in (broken / "status" / "c").rglob("*") if part.is_file())
    chunk.write_bytes(chunk.read_bytes()[:3])
    assert main(["info", str(broken)]) == 2 and "is damaged" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is damaged"):
        sv.resume(broken)
    change(copy(path, tmp_path / "bare"), lambda found: found["attributes"].pop("jax_version"))
    assert main(["info", str(tmp_path / "bare")]) == 2 and "is damaged" in capsys.readouterr().err


def copy(path, target):
    shutil.copytree(path, target)
    return target


def change(path, how):
    found = json.loads((path / "zarr.json").read_text())
    how(found)
    (path / "zarr.json").write_text(json.dumps(found))


class Bomb:
    """Pickled data that would leave a file behind when they are read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("where", ["data", "metadata"])
def test_a_strangers_store_executes_nothing(tmp_path, path, where):
    target = copy(path, tmp_path / "sweep")
    if where == "data":
        shutil.rmtree(target / "status" / "c", ignore_errors=True)
        metadata = dict(
            zarr_format=2, shape=[2, 3], chunks=[2, 3], dtype="|O", order="C", compressor=None, fill_value=0
        )
        metadata["filters"] = [{"id": "pickle", "protocol": 5}]
        (target / "status" / "zarr.json").unlink()
        (target / "status" / ".zarray").write_text(json.dumps(metadata))
        (target / "status" / "0.0").write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))

        def point_there(found):
            found["consolidated_metadata"]["metadata"]["status"] = metadata
    else:

        def point_there(found):
            array = found["consolidated_metadata"]["metadata"]["status"]
            array["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]

    change(target, point_there)
    with pytest.raises(ValueError, match="must"):
        sv.open_sweep(target)
    with pytest.raises(ValueError, match="must"):
        sv.resume(target)
    assert not (tmp_path / "boom").exists()


def test_a_store_holds_numbers_and_texts_only(path):
    types = {json.loads(file.read_text()).get("data_type") for file in path.rglob("zarr.json")}
    assert types == {None, "int8", "int32", "int64", "float64", "complex128", "string"}
    assert not any(b"pickle" in file.read_bytes() for file in path.rglob("*") if file.is_file())


def test_an_existing_folder_is_only_replaced_if_it_holds_a_sweep_and_on_request(tmp_path, path):
    target = copy(path, tmp_path / "sweep")
    with pytest.raises(FileExistsError, match="`out` must be a new folder"):
        make(target)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match="must be a svjax sweep to be overwritten"):
        make(tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious" / "thesis.tex").read_text() == "mine"
    make(target, overwrite=True)
    assert sv.open_sweep(target).identical(sv.open_sweep(path))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("svjax.storage.folders.os.access", lambda folder, mode: False)
    with pytest.raises(PermissionError, match="`out` must lie in a folder that can be written"):
        make(tmp_path / "sweep")
    assert not list(tmp_path.iterdir())
