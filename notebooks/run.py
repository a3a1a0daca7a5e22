"""Execute notebooks at full size and keep their outputs: python notebooks/run.py [FILE.py ...], by default all.

The percent scripts are the source. Each runs in a fresh kernel and is written, with outputs, to the .ipynb beside it.
`python -m pytest --nbmake notebooks` runs the .ipynb at reduced size and writes nothing.
"""

import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def execute(script: Path) -> Path:
    notebook = jupytext.read(script)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    client = NotebookClient(
        notebook,
        timeout=3600,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()
    notebook.metadata.pop("language_info", None)
    target = script.with_suffix(".ipynb")
    nbformat.write(notebook, target)
    return target


def main() -> None:
    chosen = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("[0-9]*.py"))
    for script in chosen:
        began = time.monotonic()
        target = execute(script)
        print(f"{target} {target.stat().st_size / 1e3:.0f} kB in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
