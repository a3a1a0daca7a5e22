"""The notebooks as they are kept: each .ipynb is its script with its outputs, small, without errors or warnings.

They are executed, at reduced size, by `python -m pytest --nbmake notebooks`.
"""

from pathlib import Path

import jupytext
import pytest

SCRIPTS = sorted((Path(__file__).parent.parent / "notebooks").glob("[0-9]*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_kept_notebook(script):
    kept = script.with_suffix(".ipynb")
    notebook = jupytext.read(kept)
    cells = lambda book: [(cell.cell_type, cell.source) for cell in book.cells]
    assert cells(notebook) == cells(jupytext.read(script)), "python notebooks/run.py makes it anew"
    assert kept.stat().st_size < 350_000
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
