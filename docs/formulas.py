"""Formulas of the documentation as MathML, which browsers show by themselves, and a site that needs no network.

A hook of mkdocs: formulas become MathML when a page is built, and the finished site must load nothing from elsewhere.
"""

import html
import re
import unicodedata
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

IN_PAGES = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
"""Formulas of pages, as arithmatex leaves them: inline or displayed."""
IN_NOTEBOOKS = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
"""Formulas of notebooks, displayed or inline, in their text."""
TEXT = re.compile(r'(<div class="jp-RenderedHTMLCommon jp-RenderedMarkdown.*?</div>)', re.DOTALL)
CODE = re.compile(r"(<(?:pre|code)\b.*?</(?:pre|code)>)", re.DOTALL)
LOADING = "script|img|iframe|source|link|video|audio|object|embed"
LOADED = re.compile(rf"""<(?:{LOADING})\b[^>]*?\b(?:src|href|data)\s*=\s*["'](?:https?:)?//""")
"""What a browser fetches from elsewhere when it opens a page."""
FETCHED = re.compile(r"""url\(\s*["']?(?:https?:)?//|@import\s+["'](?:https?:)?//""")
"""What a style sheet fetches from elsewhere."""


STYLED = re.compile(r'<mi mathvariant="(bold|bold-italic|script)">([^<]+)</mi>')
"""Letters in a style by an attribute, which browsers leave out."""
TAG = re.compile(r"\\tag\{(.*?)\}")


def mathml(formula: str, displayed: bool) -> str:
    """A formula in TeX, as it stands in a page, as MathML."""
    formula = TAG.sub(r"\\qquad\\text{(\1)}", html.unescape(formula).strip())
    found = convert(formula, display="block" if displayed else "inline")
    return STYLED.sub(lambda part: f"<mi>{styled(html.unescape(part[2]), part[1])}</mi>", found)


def styled(letters: str, style: str) -> str:
    """Letters as the characters that Unicode has for them in a ``style``, such as "bold"."""
    return "".join(_styled(letter, style.replace("-", " ").upper()) for letter in letters)


def _styled(letter: str, style: str) -> str:
    name = unicodedata.name(letter).replace("LETTER ", "").split(" ", 1)[1]
    try:
        return unicodedata.lookup(f"MATHEMATICAL {style} {name}")
    except KeyError:
        return unicodedata.lookup(f"{style} {name}")


def on_page_content(content: str, **_) -> str:
    """Called by mkdocs with each page."""
    content = IN_PAGES.sub(lambda found: mathml(found[3], found[2] == "["), content)
    return "".join(_notebook_text(part) if k % 2 else part for k, part in enumerate(TEXT.split(content)))


def _notebook_text(text: str) -> str:
    formula = lambda found: mathml(found[1] or found[2], found[1] is not None)
    return "".join(part if k % 2 else IN_NOTEBOOKS.sub(formula, part) for k, part in enumerate(CODE.split(text)))


def on_post_build(config, **_) -> None:
    """Called by mkdocs with the finished site; raises PluginError for what it loads from elsewhere."""
    for page in sorted(Path(config["site_dir"]).rglob("*")):
        if page.suffix in (".html", ".css") and (found := loads_from_elsewhere(page)):
            raise PluginError(f"{page} loads something from elsewhere: {found}")


def loads_from_elsewhere(page: Path) -> str | None:
    """The first thing that a page or a style sheet loads from another host; a link that is only followed is none."""
    text = page.read_text(encoding="utf-8")
    links = [part for part in LOADED.finditer(text) if 'rel="canonical"' not in text[part.start() : part.end() + 300]]
    found = links[0] if links and page.suffix == ".html" else FETCHED.search(text)
    return None if found is None else text[found.start() : found.end() + 80]
