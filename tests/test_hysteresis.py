"""Loops of stable states: closed forms of Stoner and Wohlfarth, energies, and the way through the command line."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr

import svjax as sv
from svjax.cli.main import main
from svjax.simulations import hysteresis
from svjax.storage.lock import Lock


def particle(angle, anisotropy=0.3, **more):
    """One spin with an easy axis at an ``angle`` to z that the electrons do not see."""
    axis = [np.sin(angle), 0.0, np.cos(angle)]
    given = dict(j_sd=0.0, anisotropy=anisotropy, easy_axes=[axis], poles=sv.optimized_poles(8))
    return sv.SpinValve.from_bonds(2, [(0, 1)], layers=[[0]], contacts=[[0], [1]], **given | more)


@pytest.mark.parametrize("angle", [0.3, pytest.param(1.1, marks=pytest.mark.slow)])
def test_the_loop_of_stoner_and_wohlfarth(angle):
    """B_sw = 2K (cos^(2/3) + sin^(2/3))^(-3/2), on both ways, and the angle of every state in between."""
    K, values = 0.3, np.linspace(-0.7, 0.7, 15)
    loop = sv.hysteresis(particle(angle, K), None, "field[2]", values)
    exact = 2 * K * (np.cos(angle) ** (2 / 3) + np.sin(angle) ** (2 / 3)) ** -1.5
    jumps = json.loads(loop.attrs["jumps"])
    assert [(jump["way"], jump["kind"]) for jump in jumps] == [("forward", "fold"), ("back", "fold")]
    np.testing.assert_allclose([jump["value"] for jump in jumps], [exact, -exact], atol=1e-7)
    theta = np.linspace(-np.pi, np.pi, 200001)
    for way, sign in (("forward", -1), ("back", 1)):
        for value in values:
            energy = -K * np.cos(theta - angle) ** 2 - value * np.cos(theta)
            inner = energy[1:-1]
            minima = theta[1:-1][(inner < energy[:-2]) & (inner < energy[2:])]
            before = abs(value) < exact or value * sign > 0
            side = sign if before else -sign
            own = [m for m in minima if np.sign(np.cos(m - angle)) == side] or list(minima)
            spin = loop["spins"].sel(way=way, **{"field[2]": value}).values[0]
            found = np.arctan2(spin[0], spin[2])
            assert min(abs(np.angle(np.exp(1j * (found - m)))) for m in own) < 1e-4, (way, value)
            assert abs(spin[1]) < 1e-6
    assert loop["jumped"].sum() == 2 and (loop["rate"].values.real <= 1e-9).all()


@pytest.mark.slow
def test_a_loop_of_a_valve_ends_where_it_began():
    """Two layers among electrons at a voltage, nothing symmetric: both ways meet outside of the jumps, and each state
    is a steady state that no mode leaves."""
    valve = sv.SpinValve.square(
        4, 1, 1, 1, j_sd=1.3, anisotropy=(0.4, 0.05), field=(0.02, 0.01, 0.0), poles=sv.optimized_poles(8)
    )
    bias, values = sv.asymmetric(0.3), np.linspace(-0.3, 0.3, 7)
    loop = sv.hysteresis(valve, bias, "field[2]", values)
    assert loop["jumped"].any("field[2]").all()
    ends = loop["spins"].isel({"field[2]": [0, -1]})
    np.testing.assert_allclose(ends.sel(way="forward")[1], ends.sel(way="back")[1], atol=1e-8)
    middle = loop["magnetization"].sel({"field[2]": 0.0}, method="nearest")
    assert abs(middle.sel(way="forward") - middle.sel(way="back")).max() > 0.5
    for way in ("forward", "back"):
        for value in (values[1], values[4]):
            spins = loop["spins"].sel(way=way, **{"field[2]": value}).values
            at = sv.set_parameters(valve, None, {"field[2]": value})[0]
            state = sv.steady_state(at, bias, spins=spins)
            np.testing.assert_allclose(state.spins, spins, atol=1e-7)
            assert sv.is_stable(at, state, bias)


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.1], [0.1, np.nan], [[0.1, 0.2]]])
def test_wrong_values_are_refused(values):
    with pytest.raises(ValueError, match="`values` must hold at least two finite numbers"):
        sv.hysteresis(particle(0.3), None, "field[2]", values)


def test_a_loop_from_the_command_line(tmp_path, monkeypatch, capsys):
    """Computed, drawn, told, opened, exported, and read by plain xarray."""
    monkeypatch.chdir(tmp_path)
    few = ["--length", "4", "--width", "1", "--pinned", "1", "--free", "1", "--j-sd", "1"]
    few += ["--anisotropy", "0.4", "0.05"]
    words = ["--parameter", "field[2]", "--values=-0.3:0.3:5", "--field", "0.02", "0", "0", "--out", "loop"]
    assert main(["hysteresis", *few, *words]) == 0
    told = capsys.readouterr().out
    loop = sv.open("loop")
    for jump in json.loads(loop.attrs["jumps"]):
        assert f"{jump['value']:.6g}" in told
    assert (tmp_path / "loop" / "hysteresis.png").exists()
    assert main(["info", "loop"]) == 0 and "forward" in capsys.readouterr().out
    assert main(["report", "loop"]) == 0 and "<img" in (tmp_path / "loop" / "report.html").read_text()
    assert main(["export", "loop", "--out", "loop.nc"]) == 0
    plain = xr.open_dataset("loop.nc", engine="h5netcdf")
    np.testing.assert_array_equal(plain["spins"], loop["spins"])
    np.testing.assert_array_equal(plain["rate_imag"], loop["rate"].values.imag)
    assert main(["export", "loop", "--out", "loop.nc"]) == 2 and "must be a new file" in capsys.readouterr().err
    assert main(["hysteresis", *few, "--parameter", "feild", "--values=0:1:2"]) == 2
    assert "nearest is 'field'" in capsys.readouterr().err


WORDS = "--length 4 --width 1 --pinned 1 --free 1 --j-sd 1 --anisotropy 0.4 0.05 --field 0.02 0 0"
LOOP = ["hysteresis", *WORDS.split(), "--parameter", "field[2]", "--values=-0.3:0.3:5"]


def test_a_loop_that_was_stopped_twice_ends_as_one_that_was_not(tmp_path, capsys, stop, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "stopped"
    assert main([*LOOP, "--out", str(whole)]) == 0
    stop(2)
    assert main([*LOOP, "--out", str(out)]) == 130
    assert f"`svjax resume {out}` goes on" in capsys.readouterr().err
    one, half = sv.open(whole), sv.open(out)
    assert half.attrs["status"] == "stopped" and half.attrs["points"] == 3
    first = half["spins"].sel(way="forward").values[:3]
    np.testing.assert_array_equal(first, one["spins"].sel(way="forward")[:3])
    assert np.isnan(half["spins"].values).sum() == 7 * first[0].size
    assert main(["info", str(out)]) == 0
    assert "stopped, 3 of 10 states; `svjax resume` goes on" in capsys.readouterr().out
    assert main(["report", str(out)]) == 0 and "stopped, 3 of 10" in (out / "report.html").read_text()
    stop(3)
    assert main(["resume", str(out)]) == 130  # beyond the forward way and its jump
    torn = out / ".checkpoints" / "state-6"
    torn.write_bytes(torn.read_bytes()[:-1])  # is made again
    assert sv.open(out).attrs["points"] == 6
    counted = []
    own = hysteresis._observed
    monkeypatch.setattr(hysteresis, "_observed", lambda *given: counted.append(given[1].value) or own(*given))
    stop(None)
    assert main(["resume", str(out)]) == 0
    np.testing.assert_allclose(counted, [0.15, 0.0, -0.15, -0.3], atol=1e-12)
    assert not (out / ".checkpoints").exists()
    two = sv.open(out)
    assert two.identical(one.assign_attrs(command=two.attrs["command"])) and two.attrs["status"] == "complete"
    assert len(json.loads(two.attrs["jumps"])) == 2 and (out / "hysteresis.png").exists()
    assert sv.resume(out).identical(two) and len(counted) == 4


def test_a_state_of_another_loop_is_refused(tmp_path, capsys, stop):
    mine, other = tmp_path / "mine", tmp_path / "other"
    stop(0)
    for out, damping in ((mine, "0"), (other, "0.1")):
        assert main([*LOOP, "--damping", damping, "--out", str(out)]) == 130
    shutil.copy(other / ".checkpoints" / "state-0", mine / ".checkpoints" / "state-0")
    with pytest.raises(ValueError, match="cannot be continued: state 0 is of another one"):
        sv.resume(mine)
    assert main(["resume", str(other), "--until", "5"]) == 2
    assert "`until` must be the end of a run, but" in capsys.readouterr().err
    lock = Lock(other)
    with pytest.raises(BlockingIOError, match="is being written"):
        sv.resume(other)
    assert sv.open(other).attrs["status"] == "running"
    lock.release()


@pytest.mark.slow
def test_a_loop_in_memory_goes_on_from_its_points():
    given = particle(0.3), None, "field[2]", np.linspace(-0.7, 0.7, 5)
    whole, points = sv.hysteresis(*given), []

    def interrupted(done):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sv.hysteresis(*given, points=points, progress=interrupted)
    assert len(points) == 4
    assert sv.hysteresis(*given, points=points).identical(whole) and len(points) == 10
