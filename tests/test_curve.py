"""Steady states along the voltage, as a dataset and from the command line."""

import json

import numpy as np
import pytest
import xarray as xr
from helpers import small_valve

import svjax as sv
from svjax.cli.main import main

SMALL = dict(length=4, width=1, pinned=1, free=1, anisotropy="0.4 0.1", temperature=0.1, field="0 0.01 0")
WORDS = [word for key, value in SMALL.items() for word in (f"--{key}", *str(value).split())]


@pytest.fixture(scope="module")
def curve():
    return sv.steady_curve(small_valve(poles=sv.optimized_poles(10)), [0.0, 0.4, 0.8], modes=2)


@pytest.mark.slow
def test_each_voltage_holds_its_steady_state(curve):
    valve = small_valve(poles=sv.optimized_poles(10))
    states = sv.steady_states(valve, [sv.symmetric(v) for v in (0.0, 0.4, 0.8)])
    for number, (voltage, state) in enumerate(zip((0.0, 0.4, 0.8), states, strict=True)):
        row = curve.isel(voltage=number)
        assert np.allclose(row["magnetization"], sv.magnetization(valve, state), atol=1e-9)
        assert np.allclose(row["charge_current"], [sv.charge_current(valve, state, lead) for lead in (0, 1)], atol=1e-9)
        torque = sv.current_driven_torque(valve, state, states[0])
        assert np.allclose(row["current_driven_torque"], torque, atol=1e-9)
        rates = np.asarray(sv.relaxation_modes(valve, state, sv.symmetric(voltage), count=2))
        assert np.allclose(row["rates"], rates, atol=1e-9)
        assert np.isclose(row["relaxation_time"], -1 / rates[0].real)
    assert curve["current_driven_torque"].isel(voltage=0).max() < 1e-9
    assert np.abs(curve["interface_charge_current"].values[1:]).min() > 1e-3


def test_a_voltage_beyond_the_poles_is_left_out_with_its_reason():
    valve = small_valve(poles=sv.optimized_poles(6, reach=100))
    found = sv.steady_curve(valve, [0.0, 60.0, 0.4], modes=1)
    reasons = json.loads(found.attrs["reasons"])
    assert [bool(reason) for reason in reasons] == [False, True, False]
    assert "poles" in reasons[1]
    assert np.isnan(found["relaxation_time"].values[1])
    assert np.isfinite(found["relaxation_time"].values[[0, 2]]).all()


def test_what_is_no_drop_or_no_valve_is_refused():
    with pytest.raises(ValueError, match=r"`drop` must be one of .* but is .left."):
        sv.steady_curve(small_valve(), [0.0], "left")
    with pytest.raises(ValueError, match="two layers and two leads"):
        sv.steady_curve(sv.SpinValve.chain(j_sd=1.0), [0.0])


def test_the_command_writes_a_dataset_and_a_picture(tmp_path, capsys):
    out = tmp_path / "curve"
    assert main(["steady", *WORDS, "--voltage", "0:0.8:3", "--modes", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "M_r^x" in printed and "yes" in printed
    assert (out / "steady.png").stat().st_size > 10_000
    dataset = xr.open_zarr(out)
    assert dataset["voltage"].values.tolist() == [0.0, 0.4, 0.8]
    assert dataset["rates"].shape == (3, 2)
    assert sv.load_valve(dataset).lattice.n_sites == 4
    assert main(["info", str(out), "--gamma-ev", "1"]) == 0
    assert "t_R (fs)" in capsys.readouterr().out
    assert main(["steady", *WORDS, "--voltage", "0,0.4", "--out", str(out)]) == 2
    assert "`out` must be a new folder" in capsys.readouterr().err


@pytest.mark.parametrize("voltage", ["0:8", "0:8:x", "a,b", "nan:1:2x"])
def test_a_range_that_is_none_is_refused_and_nothing_is_written(tmp_path, capsys, voltage):
    out = tmp_path / "curve"
    assert main(["steady", *WORDS, "--voltage", voltage, "--out", str(out)]) == 2
    assert "`voltage` must be first:last:count" in capsys.readouterr().err
    assert not out.exists()


def test_a_state_is_kept_where_not_all_of_its_modes_are_found():
    """One strip of four sites: the residual of one of its modes does not fall below some 1e-9."""
    valve = sv.SpinValve.square(4, 1, 1, 1, j_sd=2.0, poles=sv.optimized_poles(8))
    row = sv.steady_curve(valve, [1.0], "asymmetric").isel(voltage=0)
    state = sv.steady_state(valve, sv.asymmetric(1.0), allow_unstable=True)
    assert np.allclose(row["magnetization"], sv.magnetization(valve, state), atol=1e-6)
    assert np.isfinite(row["interface_charge_current"]) and np.isfinite(row["rates"]).any()
