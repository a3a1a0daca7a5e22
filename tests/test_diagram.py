"""Phase diagrams from the command line."""

import numpy as np
import pytest
import xarray as xr
from helpers import small_valve

import svjax as sv
from svjax.cli.main import main
from svjax.simulations.diagram import diagram_dataset

VALVE = "--length 4 --width 1 --pinned 1 --free 1 --j-sd 1.5 --anisotropy 0.4 0.1 --temperature 0.1 --poles 10"
GRID = "--voltage 0,0.5 --field-range=-0.4:0.4:3 --duration 200 --angles 5 --start 1 0 0 0.1 0 1"


def test_the_command_writes_a_diagram_that_every_door_opens(tmp_path, capsys):
    out = tmp_path / "diagram"
    assert main(["diagram", *VALVE.split(), *GRID.split(), "--out", str(out)]) == 0
    told, sized = capsys.readouterr()
    assert "svjax: 6 points; " in sized
    assert (out / "diagram.png").stat().st_size > 10_000
    diagram = sv.open(out)
    assert dict(diagram.sizes) == {"voltage": 2, "field": 3, "layer": 2, "component": 3}
    assert np.allclose(np.linalg.norm(diagram["final"], axis=-1), 1, atol=1e-3)
    # against the free layer's easy axis a field above K turns it, and none along it does
    switched = np.isfinite(diagram["switching_time"].sel(layer=1).values)
    assert switched[:, 0].all() and not switched[:, 2].any()
    assert "switched" in told and "j_sd" in told
    assert main(["info", str(out), "--gamma-ev", "1"]) == 0
    assert "fs" in capsys.readouterr().out
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "svjax phase diagram, complete." in page and page.count("<img ") == 1
    with pytest.raises(FileNotFoundError, match=r"is a diagram: `sv\.open`"):
        sv.open_run(out)
    sv.to_netcdf(diagram, tmp_path / "diagram.nc")
    with xr.open_dataset(tmp_path / "diagram.nc", engine="h5netcdf") as plain:
        assert np.array_equal(plain["final"], diagram["final"])
    assert main(["diagram", *VALVE.split(), *GRID.split(), "--out", str(out)]) == 2
    assert "`overwrite` replaces a diagram" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["--field-range", "1:2"], ["--axis", "0", "0", "0"], ["--duration", "-1"], ["--field-range", "0:1:10000000000"]],
)
def test_bad_words(words, tmp_path, capsys):
    assert main(["diagram", *VALVE.split(), *words, "--out", str(tmp_path / "x")]) == 2
    assert "Traceback" not in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_only_two_drops():
    with pytest.raises(ValueError, match="`drop` must be one of"):
        diagram_dataset(small_valve(), [0.0], [0.0], "left")
