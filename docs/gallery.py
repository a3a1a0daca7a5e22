"""The gallery of the documentation: every picture of the notebooks, each leading to the cell that draws it.

A hook of mkdocs: where the page `gallery.md` says PICTURES, they are put.
"""

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "notebooks"
HERE = "PICTURES"


@dataclass(frozen=True)
class Picture:
    """A picture of a notebook: the ``notebook``'s name and title, the ``cell`` that draws it, its heading, its data."""

    notebook: str
    title: str
    cell: str
    heading: str
    png: str


def pictures(notebook: Path) -> Iterator[Picture]:
    """All pictures of a notebook with outputs, in their order."""
    title = heading = notebook.stem
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heads = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
            title = heads[0] if heads and text.startswith("# ") else title
            heading = heads[-1] if heads else heading
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield Picture(notebook.stem, title, cell["id"], heading, "".join(output["data"]["image/png"].split()))


def on_page_markdown(markdown: str, page, **_) -> str:
    """Called by mkdocs with each page."""
    if page.file.src_uri != "gallery.md":
        return markdown
    return markdown.replace(HERE, "\n\n".join(_rows(notebook) for notebook in sorted(FOLDER.glob("*.ipynb"))))


def _rows(notebook: Path) -> str:
    """The pictures of a notebook under its title."""
    found = list(pictures(notebook))
    return (
        f"## {found[0].title}\n\n"
        + '<div class="grid cards" markdown>\n\n'
        + "\n\n".join(map(_card, found))
        + "\n\n</div>"
    )


def _card(picture: Picture) -> str:
    to = f"notebooks/{picture.notebook}.ipynb#cell-id={picture.cell}"
    label = html.escape(picture.heading, quote=True).replace("[", "(").replace("]", ")")
    return f"-   [![{label}](data:image/png;base64,{picture.png})]({to})\n\n    {label}"
