"""The page about a store: what is on it, that it loads nothing and runs nothing, and that its programs hold."""

import base64
import io
import json
import shlex
from html import escape
from html.parser import HTMLParser

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
import zarr
from helpers import SMALL, small_report, small_run, small_valve
from matplotlib.figure import Figure
from PIL import Image

import svjax as sv
from svjax.cli.main import _parse, main
from svjax.cli.words import command_line
from svjax.model.valve import QUANTITIES
from svjax.reports.describe import describe
from svjax.reports.page import code, drawing, facts, line, page, picture, table
from svjax.storage.lock import Lock
from svjax.storage.status import Status

VALVE = "--length 4 --width 1 --pinned 1 --free 1 --j-sd 1.5 --anisotropy 0.4 0.1 --temperature 0.1 --poles 10"
WORDS = {
    "run": "--relax 5 --duration 10 --observe magnetization bond_current local_torque",
    "sweep": "--task steady --voltage 0,0.5 --j-sd 1.5,2",
    "steady": "--voltage 0,0.4 --modes 2",
    "diagram": "--voltage 0,0.5 --field-range=-0.4:0.4:3 --duration 100 --angles 5 --start 1 0 0 0.1 0 1",
}
KINDS = ["run", "sweep", "steady", pytest.param("diagram", marks=pytest.mark.slow)]
HOSTILE = '</td><script>alert(1)</script><img src=http://x.y/z onerror="a()">&amp;\''


@pytest.fixture(scope="module", name="stores")
def fixture_stores(tmp_path_factory):
    """Of each kind one store, made by the command line when it is first asked for."""
    folder = tmp_path_factory.mktemp("stores")

    def made(kind):
        if not (folder / kind).exists():
            assert main([kind, *VALVE.split(), *WORDS[kind].split(), "--out", str(folder / kind)]) == 0
        return folder / kind

    return made


class Page(HTMLParser):
    """Tags, attributes, the cells of the rows and the text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.rows, self.codes, self.open = [], [], [], [], []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "code":
            self.codes.append(data)

    def row(self, *start):
        (found,) = [row for row in self.rows if tuple(row[: len(start)]) == start]
        return found

    def pictures(self):
        sources = [value for name, value in self.attributes if name == "src"]
        return [Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) for source in sources]


def check_alone(page):
    """Nothing is loaded and nothing runs."""
    assert {value.split(",")[0] for name, value in page.attributes if name == "src"} <= {"data:image/png;base64"}
    names = {name for name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on")} and not names & {"href", "srcset", "action", "data"}
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not [word for word in ("url(", "@import") if word in page.text]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_page_of_its_own(stores, kind, capsys):
    path, before = stores(kind) / "report.html", plt.get_fignums()
    capsys.readouterr()
    assert main(["report", str(path.parent)]) == 0
    assert capsys.readouterr().out == f"wrote {path}\n"
    page, store = Page(path), sv.open(stores(kind))
    check_alone(page)
    drawn = {"run": 3, "sweep": 0, "steady": 1, "diagram": 1}[kind]
    assert len(page.pictures()) == drawn and page.tags.count("svg") == 1
    assert all(min(picture.size) > 40 for picture in page.pictures())
    for name in ("hopping", "anisotropy", "temperature"):
        quantity = QUANTITIES[name]
        value = np.asarray(getattr(sv.load_valve(store), name))
        shown = f"{value:g}" if value.ndim == 0 else "(" + ", ".join(f"{part:g}" for part in value) + ")"
        unit = quantity.unit.replace("hopping", "gamma")
        assert page.row(name, quantity.symbol) == [name, quantity.symbol, shown, unit, quantity.help]
    assert not [row for row in page.rows if row[0] == "damping"]
    assert page.row("jax version") == ["jax version", jax.__version__]
    assert page.codes[0] == store.attrs["command"]
    assert plt.get_fignums() == before


def test_a_run_has_its_checks_with_limits(tmp_path):
    sv.save_run(tmp_path / "run", small_run())
    report = sv.Convergence((*small_report().checks, sv.Check("made up", 2.0, 1.0, "do <b>this</b>")))
    sv.store_convergence(tmp_path / "run", report)
    page = Page(sv.report(tmp_path / "run", tmp_path / "deep" / "page.html"))
    assert (tmp_path / "deep" / "page.html").exists() and not (tmp_path / "run" / "report.html").exists()
    check = small_report()["charge balance"]
    assert page.row(check.name) == [check.name, f"{check.value:.1e}", f"{check.limit:.1e}", "ok"]
    assert page.row("made up") == ["made up", "2.0e+00", "1.0e+00", "not ok: do <b>this</b>"]
    assert page.row("voltage")[1:4] == ["V", "1", "gamma/e"]
    assert "svjax run, complete. 4 sites, 1 + 1 spins, 2 leads, 12 poles." in page.text
    assert len(page.codes) == 2 and "command that made it" not in page.text


def test_a_sweep_has_its_axes_and_a_point_drawn_on_the_lattice(stores, tmp_path):
    page = Page(sv.report(stores("sweep")))
    assert page.row("j_sd", "J_sd", "gamma") == ["j_sd", "J_sd", "gamma", "(1.5, 2)"]
    assert page.row("j_sd", "J_sd", "swept") and page.row("points") == ["points", "4: 4 complete"]
    found = sv.sweep(small_valve(), {"voltage": [0.3, 0.6]}, sv.SteadyTask(observe=("site_charge", "spins")))
    with pytest.raises(ValueError, match="`out` must be given for a dataset"):
        sv.report(found)
    page = Page(sv.report(found, tmp_path / "memory.html"))
    assert len(page.pictures()) == 2 and "at voltage = 0.6" in page.text and "FOLDER" in page.text


def test_a_stopped_run_says_so(tmp_path, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    sv.save_run(tmp_path / "run", small_run())
    group = zarr.open_group(tmp_path / "run", mode="r+")
    group["status"][...] = Status.RUNNING
    lock = Lock(tmp_path / "run")
    assert "svjax run, running." in Page(sv.report(tmp_path / "run")).text
    lock.release()
    assert "svjax run, stopped: `svjax resume " in Page(sv.report(tmp_path / "run")).text


def test_what_a_store_says_is_never_markup(tmp_path):
    """Every text of a stranger's store, in the page as text."""
    sv.save_run(tmp_path / "run", small_run())
    advice = [dict(name=HOSTILE, value=1.0, limit=0.5, advice=HOSTILE)]
    attributes = dict.fromkeys(("reason", "device", "jax_version", "precision", "command", "method"), HOSTILE)
    record = {"kind": "function", "name": HOSTILE, "levels": [HOSTILE]}
    attributes |= {"convergence": json.dumps(advice), "bias": json.dumps(record), "dt": HOSTILE}
    attributes |= {"observe": json.dumps(HOSTILE), "drive": json.dumps(record)}
    zarr.open_group(tmp_path / "run", mode="r+").attrs.update(attributes)
    with pytest.raises(ValueError):  # a step that is no number
        sv.report(tmp_path / "run")
    zarr.open_group(tmp_path / "run", mode="r+").attrs["dt"] = 0.05
    page = Page(sv.report(tmp_path / "run"))
    check_alone(page)
    known = "html head meta title style body header h1 h2 p section div figure figcaption img svg path circle table tr"
    assert set(page.tags) <= {*known.split(), "th", "td", "pre", "code"}
    assert page.row("device") == ["device", HOSTILE] and page.codes[0] == HOSTILE
    assert page.row(HOSTILE)[-1] == f"not ok: {HOSTILE}"
    compile(page.codes[-1], "program", "exec")
    assert repr(HOSTILE) in page.codes[-1]


def test_every_piece_of_a_page_escapes_its_text():
    pieces = [
        facts([(HOSTILE, HOSTILE)]),
        table([[HOSTILE, HOSTILE]], (HOSTILE, HOSTILE)),
        picture(Figure().subplots(), HOSTILE),
        drawing("", HOSTILE),
        code(HOSTILE),
        line(HOSTILE),
        page(HOSTILE, HOSTILE, [(HOSTILE, line(HOSTILE))]),
    ]
    for count, piece in zip((2, 4, 2, 1, 1, 1, 5), pieces, strict=True):
        assert piece.count(escape(HOSTILE)) == count and "<script" not in piece and 'z onerror="' not in piece


@pytest.mark.parametrize("name", ["<b>y", "with space & 'quote'"])
def test_the_name_of_a_folder_is_text(tmp_path, name):
    path = tmp_path / name
    sv.save_run(path, small_run())
    page = Page(sv.report(path))
    assert name not in page.text and f"svjax info {shlex.quote(str(path))}" in "".join(page.codes)


@pytest.mark.parametrize("kind", KINDS)
def test_the_program_on_the_page_gives_the_same_numbers(stores, kind):
    names = {}
    exec(Page(sv.report(stores(kind))).codes[-1], names)
    store, again = names["store"], names["again"]
    if kind == "run":
        assert all(np.array_equal(store[name], values) for name, values in again.observables.items())
        assert set(again.observables) == {"magnetization", "bond_current", "local_torque"}
    else:
        found = "final" if kind == "diagram" else "magnetization"
        np.testing.assert_allclose(again[found], store[found], atol=1e-12)
        assert again[found].size > 5


def test_the_program_of_a_driven_noisy_run_of_functions(tmp_path):
    """Noise and a drive of svjax's own come from the store; functions of one's own have to be named."""
    drive, bias = sv.Ramp("j_sd", (0.0, 5.0), (2.0, 1.5)), lambda t: np.array([0.4, 0.1])
    observe = lambda valve, state: {"m": sv.magnetization(valve, state)}
    valve = small_valve(damping=0.1, spin_temperature=0.01)
    options = SMALL | dict(relax=0.0, duration=5.0)
    run = sv.three_stage(valve, bias, drive=drive, key=jax.random.key(3), observe=observe, **options)
    sv.save_run(tmp_path / "run", run)
    program = Page(sv.report(tmp_path / "run")).codes[-1]
    assert program.count("a store does not hold") == program.count("which a store") == 2
    names = {"bias": bias, "observe": observe}
    exec("\n".join(line for line in program.splitlines() if " = ...  # the function " not in line), names)
    assert np.array_equal(names["again"].observables["m"], run.observables["m"])


def test_the_program_of_a_run_that_reached_no_equilibrium_starts_from_aligned_spins(tmp_path):
    sv.save_run(tmp_path / "run", small_run())
    zarr.open_group(tmp_path / "run", mode="r+")["equilibrium_spins"][...] = np.nan
    program, names = Page(sv.report(tmp_path / "run")).codes[-1], {}
    assert "    relax=50.0,\n" in program and "load_equilibrium" not in program
    exec(program, names)
    assert all(np.array_equal(names["store"][name], values) for name, values in names["again"].observables.items())


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_of_a_store_gives_the_same_options(stores, kind):
    words = [kind, *VALVE.split(), *WORDS[kind].split(), "--out", str(stores(kind))]
    command = sv.open(stores(kind)).attrs["command"]
    assert command.startswith(f"svjax {kind} --length 4 ")
    assert _parse(shlex.split(command)[1:]) == _parse(words)


def test_the_command_holds_what_a_file_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "valve.toml").write_text(
        "length = 4\nwidth = 1\npinned = 1\nfree = 1\nj-sd = 1.5\nfield = [0, -1e-5, 0]\n"
    )
    (tmp_path / "sweep.toml").write_text(
        "length = 4\nwidth = 1\npinned = 1\nfree = 1\nmu-bar = [-1, 1]\nlast-state = true\n"
    )
    short = ["--relax", "0", "--duration", "0"]
    assert main(["run", "valve.toml", *short, "--j-sd", "2", "--out", "a b"]) == 0
    command = shlex.split(sv.open("a b").attrs["command"])
    assert "valve.toml" not in command and command[-2:] == ["--out", "a b"]
    assert main([*command[1:-1], "again"]) == 0
    assert sv.load_valve(sv.open("again")) == sv.load_valve(sv.open("a b"))
    assert float(sv.load_valve(sv.open("again")).j_sd) == 2.0
    assert main(["sweep", "sweep.toml", "--task", "steady", "--out", "s"]) == 2  # last_state is for runs
    assert main(["sweep", "sweep.toml", "--duration", "1", "--start", "aligned", "--out", "s"]) == 0
    command = shlex.split(sv.open("s").attrs["command"])
    assert {"--last-state", "--mu-bar=-1,1"} <= set(command)
    assert main([*command[1:], "--overwrite"]) == 0


@pytest.mark.parametrize("kind", WORDS)
def test_options_left_alone_are_not_in_the_command(kind):
    assert command_line(kind, _parse([kind])) == f"svjax {kind}"


def test_bad_stores_and_files_are_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "`path` must be a store that svjax wrote, but" in capsys.readouterr().err
    sv.save_run(tmp_path / "run", small_run())
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path)]) == 2
    assert f"`out` must be a file, but {tmp_path} is a folder" in capsys.readouterr().err
    with pytest.raises(ValueError, match="`store` must be the dataset of a run"):
        sv.report(sv.open(tmp_path / "run").assign_attrs(format="else"), tmp_path / "page.html")
    with pytest.raises(ValueError, match="is damaged"):
        sv.report(sv.open(tmp_path / "run").drop_attrs().assign_attrs(format="svjax-run"), tmp_path / "page.html")


def test_complex_amplitudes_poles_per_lead_and_bands_are_described(tmp_path):
    ring = [(j, (j + 1) % 4, 0.6 + 0.8j) for j in range(4)]
    valve = sv.SpinValve.from_bonds(
        4,
        ring,
        layers=[[0]],
        contacts=[[1], [3]],
        j_sd=1.0,
        poles=(sv.optimized_poles(6), sv.optimized_poles(8)),
        bands=[None, sv.LorentzianBand(0.3, 4.0)],
    )
    run = sv.three_stage(valve, (0.1, -0.1), relax=0.0, duration=0.0)
    sv.save_run(tmp_path / "run", run)
    shown = describe(sv.open(tmp_path / "run"))
    assert "6 + 8 poles" in shown and "(1, 1, 1, 1)" in shown and "LorentzianBand: " in shown
    page = Page(sv.report(tmp_path / "run"))
    assert page.row("bonds", "A", "(1, 1, 1, 1)") and page.row("bands[1]")
