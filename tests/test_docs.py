"""The examples of the documentation do what the text beside them says, and its pages need no network."""

import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "any-magnet.md"


@pytest.fixture(scope="module", name="formulas")
def fixture_formulas():
    for needed in ("latex2mathml", "mkdocs"):
        pytest.importorskip(needed)
    place = importlib.util.spec_from_file_location("formulas", PAGE.with_name("formulas.py"))
    assert place is not None and place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def test_formulas_of_pages_and_notebooks_become_mathml(formulas):
    page = '<p>at <span class="arithmatex">\\(a &lt; \\Gamma_l\\)</span> <code>\\(x\\)</code></p>'
    found = formulas.on_page_content(page)
    assert found.startswith("<p>at <math") and found.endswith("</math> <code>\\(x\\)</code></p>")
    assert 'display="inline"' in found and "&#x00393;" in found and "&#x0003C;" in found
    shown = formulas.on_page_content('<div class="arithmatex">\\[\\frac{1}{2}\\]</div>')
    styles = formulas.mathml(r"\mathbf S \boldsymbol{\sigma} \mathcal I \mathcal J x \tag{8, 9}", False)
    assert all(f"<mi>{letter}</mi>" in styles for letter in "\U0001d412\U0001d748\u2110\U0001d4a5x")
    assert "(8,&#x000A0;9)" in styles and "mathvariant" not in styles
    assert 'display="block"' in shown and "<mfrac>" in shown
    cell = (
        '<div class="jp-RenderedHTMLCommon jp-RenderedMarkdown x"><p>$$t$$ and $J_{sd}$, <code>$5</code> $6</p></div>'
    )
    found = formulas.on_page_content(f"<p>$a$ and $b$</p>{cell}")
    assert "<p>$a$ and $b$</p>" in found and found.count("<math") == 2 and "<code>$5</code> $6" in found


@pytest.mark.parametrize(
    ("text", "fetches"),
    [
        ('<a href="https://doi.org/1">paper</a><img src="picture.png">', False),
        ('<head><link rel="canonical" href="https://svjax.org/"></head>', False),
        ('<script src="https://cdn.jsdelivr.net/mathjax.js"></script>', True),
        ("<link rel='stylesheet' href='//fonts.example/a.css'>", True),
        ('<img alt="a" src="http://example.org/a.png">', True),
        ("<style>@import 'https://example.org/a.css'</style>", True),
        ("<p style='background: url(https://example.org/a.png)'></p>", True),
    ],
)
def test_a_page_that_needs_the_network_stops_the_build(formulas, tmp_path, text, fetches):
    (tmp_path / "index.html").write_text(text)
    config = {"site_dir": tmp_path}
    if not fetches:
        return formulas.on_post_build(config)
    with pytest.raises(formulas.PluginError, match="loads something from elsewhere"):
        formulas.on_post_build(config)


@pytest.mark.slow
def test_the_examples_of_any_magnet_hold():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5 and sum(block.count("assert") for block in blocks) == 5
    names = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
