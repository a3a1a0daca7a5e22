"""Phase diagrams from the command line."""

import shutil

import numpy as np
import pytest
import xarray as xr
from helpers import small_valve

import svjax as sv
from svjax.cli.main import main
from svjax.macrospin import phase_diagram
from svjax.simulations.diagram import diagram_dataset
from svjax.simulations.tables import finish, open_diagram
from svjax.storage.folders import place
from svjax.storage.formats import DIAGRAM
from svjax.storage.lock import Lock

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
    sv.to_netcdf(diagram, tmp_path / "deep" / "diagram.nc")
    with xr.open_dataset(tmp_path / "deep" / "diagram.nc", engine="h5netcdf") as plain:
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


MORE = "--voltage 0,0.2,0.4,0.6,0.8 --field-range=-0.4:0.4:3 --duration 200 --angles 5 --start 1 0 0 0.1 0 1"


def tables(folder):
    return sorted((folder / ".checkpoints").glob("table-*"))


@pytest.fixture
def made(monkeypatch):
    """The numbers of angles of the tables that were made."""
    plain, counts = phase_diagram.effective_llg, []

    def counted(*args, **options):
        counts.append(options["angles"])
        return plain(*args, **options)

    monkeypatch.setattr(phase_diagram, "effective_llg", counted)
    monkeypatch.setattr(phase_diagram.os, "cpu_count", lambda: 1)
    return counts


def test_a_diagram_that_was_stopped_twice_ends_as_one_that_was_not(tmp_path, capsys, stop, made):
    whole, out = tmp_path / "whole", tmp_path / "stopped"
    assert main(["diagram", *VALVE.split(), *MORE.split(), "--out", str(whole)]) == 0
    assert made == [4, 5, 5, 5, 5, 5] and not (whole / ".checkpoints").exists()
    made.clear()
    stop(0)
    assert main(["diagram", *VALVE.split(), *MORE.split(), "--out", str(out)]) == 130
    assert f"`svjax resume {out}` goes on" in capsys.readouterr().err
    first = len(tables(out))
    assert 1 <= first < 4
    assert main(["info", str(out)]) == 0
    assert f"stopped, {first} of 5 tables; `svjax resume` goes on" in capsys.readouterr().out
    assert np.isnan(sv.open(out)["final"]).all() and sv.open(out).attrs["status"] == "stopped"
    stop(first)
    assert main(["resume", str(out)]) == 130
    assert first < len(tables(out)) <= 5
    torn = tables(out)[0]
    torn.write_bytes(torn.read_bytes()[:-1])  # is made again
    stop(None)
    assert main(["resume", str(out)]) == 0
    assert "complete" in capsys.readouterr().out and (out / "diagram.png").exists()
    assert made == [4, *[5] * 6] and not (out / ".checkpoints").exists()
    one, two = sv.open(whole), sv.open(out)
    assert one.identical(two.assign_attrs(command=one.attrs["command"])) and two.attrs["status"] == "complete"
    assert np.isfinite(one["switching_time"]).any()
    assert sv.resume(out).identical(two) and len(made) == 7


def test_a_table_of_another_diagram_is_refused(tmp_path, capsys, stop):
    mine, other = tmp_path / "mine", tmp_path / "other"
    stop(0)
    for out, angles in ((mine, "5"), (other, "6")):
        words = ["diagram", *VALVE.split(), *MORE.split(), "--angles", angles, "--out", str(out)]
        assert main(words) == 130
    shutil.copy(tables(other)[0], tables(mine)[0])
    stop(None)
    with pytest.raises(ValueError, match="cannot be continued: table 0 is of another one"):
        finish(mine, DIAGRAM)
    assert main(["resume", str(mine)]) == 2
    assert main(["resume", str(other), "--until", "5"]) == 2
    assert "`until` must be the end of a run, but" in capsys.readouterr().err
    place(mine, lambda folder: None, overwrite=True).release()  # nothing holds it any more


def test_a_diagram_is_written_by_one_process(tmp_path, stop):
    stop(0)
    out = tmp_path / "diagram"
    assert main(["diagram", *VALVE.split(), *MORE.split(), "--out", str(out)]) == 130
    lock = Lock(out)
    assert open_diagram(out).attrs["status"] == "running"
    with pytest.raises(BlockingIOError, match="is being written"):
        sv.resume(out)
    lock.release()
