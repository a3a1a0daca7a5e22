"""Pieces of one HTML page that needs nothing from elsewhere. Each takes plain text, which it escapes."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import NewType

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.quiver import QuiverKey

Html = NewType("Html", str)
"""What has been escaped; only this module makes it."""
STYLE = """
:root { color-scheme: light dark; --text: #1c2127; --dim: #5b6570; --ground: #fff; --line: #d9dee4; --shade: #f4f6f8;
  --good: #00704f; --bad: #b03a00; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e3e7eb; --dim: #9aa5b1; --ground: #15191e; --line: #343c45; --shade: #1e242b;
    --good: #4fd0a5; --bad: #ff9466; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; color: var(--text); background: var(--ground);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
p { margin: .25rem 0; color: var(--dim); overflow-wrap: anywhere; }
.pictures { display: grid; gap: 1rem; margin-top: 1rem; }
figure { margin: 0; padding: .75rem; background: #fff; border: 1px solid var(--line); border-radius: 6px; }
figure img, figure svg { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { margin-top: .5rem; color: #5b6570; font-size: .85rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; white-space: pre; }
tr.good td:last-child { color: var(--good); }
tr.bad td:last-child { color: var(--bad); font-weight: 600; }
.numbers td:not(:last-child) { white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: .75rem; background: var(--shade); border-radius: 6px;
  font-size: .85rem; }
@media (max-width: 600px) {
  .facts tr, .facts td { display: block; }
  .facts th { display: block; border: 0; padding-bottom: 0; }
  .facts td { overflow-wrap: anywhere; }
  .parameters tr { display: grid; grid-template-columns: 7.5rem 4.5rem 1fr auto; border-bottom: 1px solid var(--line); }
  .parameters tr > * { border: 0; padding-right: .5rem; overflow-wrap: anywhere; }
  .parameters tr > :last-child { grid-column: 1 / -1; padding-top: 0; color: var(--dim); }
}
@media (min-width: 800px) {
  body { padding: 2rem; }
  .pictures { grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); align-items: start; }
}
"""


def facts(rows: Iterable[tuple[str, str]]) -> Html:
    """Names and values."""
    lines = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return Html(f'<table class="facts">{"".join(lines)}</table>')


def table(
    rows: Iterable[Sequence[str]], heads: Sequence[str], marks: Sequence[str] = (), kind: str = "numbers"
) -> Html:
    """Rows of cells below their heads, the last cell as wide as what is left; a row may be marked "good" or "bad"."""
    lines = ["<tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>"]
    for number, row in enumerate(rows):
        cells = [f"<td>{escape(cell)}</td>" for cell in row[:-1]]
        cells.append(f'<td colspan="{1 + len(heads) - len(row)}">{escape(row[-1])}</td>')
        lines.append(f'<tr class="{marks[number] if marks else ""}">{"".join(cells)}</tr>')
    return Html(f'<div class="wide"><table class="{kind}">{"".join(lines)}</table></div>')


def picture(ax: Axes, caption: str) -> Html:
    """The figure of ``ax``, inside of the page."""
    figure, buffer = ax.figure.figure, io.BytesIO()
    assert isinstance(figure, Figure)
    keys = [key.text for part in figure.axes for key in part.findobj(QuiverKey)]  # which a tight box leaves out
    kept = [*figure.get_default_bbox_extra_artists(), *keys]
    figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight", bbox_extra_artists=kept)
    data = base64.b64encode(buffer.getvalue()).decode()
    return drawing(f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">', caption)


def drawing(markup: str, caption: str) -> Html:
    """Markup of our own that holds nothing from a store, such as `sketch`, with a caption."""
    return Html(f"<figure>{markup}<figcaption>{escape(caption)}</figcaption></figure>")


def pictures(several: Iterable[Html]) -> Html:
    """Pictures side by side where there is room."""
    return Html(f'<div class="pictures">{"".join(several)}</div>')


def code(text: str) -> Html:
    """Commands, as they are."""
    return Html(f"<pre><code>{escape(text)}</code></pre>")


def line(text: str) -> Html:
    """A line of text."""
    return Html(f"<p>{escape(text)}</p>")


def page(title: str, below: str, sections: Iterable[tuple[str, Html]]) -> Html:
    """The whole page: title, a line below it, and sections under their headings; the first may have none."""
    parts = "".join(f"<section><h2>{escape(head)}</h2>{body}</section>" if head else body for head, body in sections)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return Html(
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title)}</title><style>{STYLE}</style></head>\n'
        f"<body><header><h1>{escape(title)}</h1>{line(below)}</header>{parts}</body></html>\n"
    )
