"""Execute notebooks at full size and keep their outputs: python notebooks/run.py [FILE.py ...], by default all.

The percent scripts are the source. Each runs in a fresh kernel and is written, with outputs, to the .ipynb beside it.
`python -m pytest --nbmake notebooks` runs the .ipynb at reduced size and writes nothing.
"""

import base64
import io
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent
QUIET = ["--InteractiveShell.ast_node_interactivity=none"]
"""Keep what cells print and draw, not the value of their last line."""


def execute(script: Path) -> Path:
    notebook = jupytext.read(script)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    place = {"metadata": {"path": str(FOLDER)}}
    options = dict(kernel_name="python3", record_timing=False, resources=place, extra_arguments=QUIET)
    NotebookClient(notebook, timeout=7200, **options).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
    notebook.metadata.pop("language_info", None)
    target = script.with_suffix(".ipynb")
    nbformat.write(notebook, target)
    return target


def smaller(png: str) -> str:
    """The same picture with 128 colours: a third of the bytes."""
    picture, file = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"), io.BytesIO()
    picture.quantize(128).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main() -> None:
    chosen = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("[0-9]*.py"))
    for script in chosen:
        began = time.monotonic()
        target = execute(script)
        print(f"{target} {target.stat().st_size / 1e3:.0f} kB in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
