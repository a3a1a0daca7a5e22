"""The file list is the table of contents of the physics: each module imports only from those above it."""

import ast
from pathlib import Path

import pytest

import svjax

ORDER = """
    shapes units poles lattice bias valve parameters hamiltonian equations observables electrons levels landauer
    integrate steps evolve response roots stability steady branch relaxation envelope
    uncertainty macrospin macrospin_fit spectrum exchange
    free targets descent shooting fitted fit macrospin_torques
    plan clock march protocol convergence records layout curve
    lock checkpoint plain store run_checkpoint storage
    grid tasks batch points processes sweep_layout sweep_store tile_writer tile sweeps resumption
    netcdf plot describe describe_sweep options sweep_options bars cli
""".split()  # noqa: SIM905
FOLDER = Path(__file__).parent.parent / "svjax"


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "svjax":
            inside = node.module.removeprefix("svjax").lstrip(".")
            yield from [inside.split(".")[0]] if inside else [name.name for name in node.names]


def test_the_list_is_complete():
    assert sorted(ORDER) == sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_one_way(name):
    later = [other for other in imported(FOLDER / f"{name}.py") if other not in ORDER[: ORDER.index(name)]]
    assert not later


def test_every_public_name_has_its_page():
    pages = "\n".join(page.read_text() for page in (FOLDER.parent / "docs" / "api").glob("*.md"))
    public = (getattr(svjax, name) for name in dir(svjax) if not name.startswith("_"))
    own = [item for item in public if callable(item) and item.__module__.startswith("svjax")]
    assert len(own) > 100
    assert not [item.__name__ for item in own if f"::: {item.__module__}.{item.__name__}" not in pages]
