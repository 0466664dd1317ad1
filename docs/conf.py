"""Sphinx's settings: `make docs`. Nothing is fetched; warnings are errors."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from pygments.lexers.special import TextLexer  # noqa: E402
from reference_pages import write_pages  # noqa: E402

import zoo  # noqa: E402

project = "zoo"
author = "the zoo authors"
copyright = "the zoo authors"  # noqa: A001  Sphinx's name
version = release = zoo.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
root_doc = "index"
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "zoo"
html_static_path = ["_static"]
html_css_files = ["zoo.css"]
templates_path = ["_templates"]
html_favicon = "_static/icon.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "zoo", "image_light": "_static/icon.svg", "image_dark": "_static/icon.svg"},
    "navbar_align": "left",
    "navbar_center": ["navbar-nav", "catalogue-link"],
    "navbar_end": ["theme-switcher"],
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "start": []}

_ELSEWHERE = re.compile(r"\[([^]]+)\]\((?:\.\./)+(?!images)([^)#]+)(?:#[^)]*)?\)")


def _without_links_out_of_docs(app: Any, docname: str, source: list[str]) -> None:
    """Pages link to examples and sources outside docs/: such links are replaced by their paths."""

    def named(found: re.Match[str]) -> str:
        text, path = found.groups()
        inside = (HERE / app.env.doc2path(docname, base=False)).parent / found.group(0).partition("](")[2].rstrip(")")
        if inside.resolve().is_relative_to(HERE):
            return found.group(0)
        return text if path in text else f"{text} (`{path}`)"

    source[0] = _ELSEWHERE.sub(named, source[0])


def setup(app: Any) -> None:
    for name in ("tree", "csv", "txt"):
        app.add_lexer(name, TextLexer)
    app.connect("builder-inited", lambda app: write_pages(HERE / "reference" / "generated"))
    app.connect("source-read", _without_links_out_of_docs)
