"""The folders are the table of contents of the physics: a module imports only from those before it in this list.

`python tests/test_house.py` writes the map of the house, docs/house.md, anew.
"""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import svjax

ROOMS = {
    "engine": "lapack shown arrays quantities parts sparse eigenbasis lyapunov tracing integrate methods error_bars"
    " least_squares clock",
    "lattices": "graph_checks lattice sketch geometries bond_lists",
    "reservoirs": "poles bands bias",
    "model": "units builder leaves valve importers spins leads hamiltonian extended parameters drives noise"
    " equations levels",
    "observables": "electronic local by_name",
    "electrons": "reach fermi stationary response landauer energy_integral current_noise heat spectrum",
    "dynamics": "step_size invariants magnus step evolve eigenproblem torques stability steady_state branches modes"
    " arclength continuation relaxation_fit",
    "periodic": "results period_map periodic_state shooting returns limit_cycle",
    "macrospin": "model modes precession_data precession_fit exchange layer_response layer_derivatives"
    " rigid_layers angle_table llg_results effective_llg critical_voltage slonczewski phase_diagram",
    "fitting": "coordinates data_checks targets multiple_shooting trial result minimise fit torques",
    "storage": "formats lock plain status folders layout checkpoint row_buffer compiled lattice_file records driving"
    " netcdf size",
    "simulations": "observed plan loop three_stage convergence dataset curve hysteresis diagram tables run_checkpoint"
    " runs starts prolong",
    "sweeps": "devices tasks parameter_grid batch points sweep_dataset sweep_store opening tile_writer tile sweep_plan"
    " sweep resume ensemble",
    "plot": "style maps film animation figures diagrams answers explore",
    "": "plot",
    "reports": "describe describe_loop describe_sweep page pictures remake report",
    "cli": "words parameters starting options sweep_options diagram_options loop_options other_options bars commands"
    " viewing main __main__",
}
ORDER = [f"{room}.{name}".strip(".") for room, names in ROOMS.items() for name in names.split()]
FOLDER = Path(__file__).parent.parent / "svjax"
MAP = FOLDER.parent / "docs" / "house.md"


def file(name):
    path = FOLDER / name.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "svjax":
            inside = node.module.removeprefix("svjax").lstrip(".")
            named = [f"{inside}.{name.name}".strip(".") for name in node.names]
            yield from named if set(named) & set(ORDER) else [inside]


def test_the_list_is_complete():
    files = {path for path in FOLDER.rglob("*.py") if path.stem != "__init__"}
    assert {file(name) for name in ORDER} - {file("plot")} == files and len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_one_way(name):
    assert not [other for other in imported(file(name)) if other not in ORDER[: ORDER.index(name)]]


def test_only_public_names_are_offered():
    offered = set(dir(svjax))
    assert offered == set(svjax.__all__) and {"SpinValve", "plot", "sweep"} <= offered
    assert not {"engine", "model", "TYPE_CHECKING", "np"} & offered
    assert all(hasattr(svjax, name) for name in offered)


def test_help_shows_short_types():
    for name in dir(svjax):
        if inspect.isfunction(item := getattr(svjax, name)):
            shown = str(inspect.signature(item))
            assert "jaxlib" not in shown and "Union" not in shown and len(shown) < 600, (name, shown)


def test_svjax_is_imported_without_what_nobody_uses_yet():
    """Its names come when they are first used; poles "auto" are known by then."""
    words = (
        "import sys, svjax; assert not {'jax', 'xarray', 'scipy'} & set(sys.modules); import jax; "
        "jax.config.update('jax_enable_x64', True); v = svjax.SpinValve.square(2, 1, 1, 1, j_sd=1.0, poles='auto'); "
        "print(len(v.poles.xi) > 2)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=100)
    assert done.stdout == "True\n", done.stderr


def test_every_public_name_has_its_page():
    pages = "\n".join(page.read_text() for page in (FOLDER.parent / "docs" / "api").glob("*.md"))
    public = (getattr(svjax, name) for name in dir(svjax) if not name.startswith("_"))
    own = [item for item in public if callable(item) and item.__module__.startswith("svjax")]
    assert len(own) > 100
    assert not [item.__name__ for item in own if f"::: {item.__module__}.{item.__name__}" not in pages]


@pytest.mark.parametrize("room", [room for room in ROOMS if room])
def test_rooms_stay_small(room):
    assert len(ROOMS[room].split()) <= 14


def test_files_stay_small():
    assert {str(path): lines for path in FOLDER.rglob("*.py") if (lines := path.read_text().count("\n")) > 250} == {}


HEAD = """# The house

Every module imports only from those above it. A file has at most 250 lines, a room at most 14 files.
"""


def first_words(path):
    """The first paragraph of what a module says of itself."""
    return ast.get_docstring(ast.parse(path.read_text())).split("\n\n")[0].replace("\n", " ")


def the_map():
    """The rooms and their modules in the order of imports, each in its own words."""
    rooms = []
    for room, names in ROOMS.items():
        if room:
            rows = [f"- `{name}`: {first_words(FOLDER / room / f'{name}.py')}" for name in names.split()]
            rooms.append(f"## {room}\n\n{first_words(FOLDER / room / '__init__.py')}\n\n" + "\n".join(rows) + "\n")
    return "\n".join([HEAD, *rooms])


def test_the_map_is_that_of_the_house():
    assert MAP.read_text() == the_map(), "python tests/test_house.py writes it anew"


if __name__ == "__main__":
    MAP.write_text(the_map())
