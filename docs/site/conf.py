"""Sphinx: the pages of ``make docs``. Warnings are errors, and so is a link that leads nowhere."""

import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

# It lies in out/docs-source; the docstrings are those of its checkout.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stream.version import __version__  # noqa: E402 - of that checkout

project = "hypothesis-stream"
author = "the authors of hypothesis-stream"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = [".md"]
html_theme = "furo"
html_title = f"hypothesis-stream {release}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 4
myst_links_external_new_tab = True
highlight_language = "text"  # blocks without a language are shells and figures
pygments_dark_style = "github-dark"

napoleon_google_docstring = True
napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autoclass_content = "both"
autodoc_default_options = {"members": True, "undoc-members": False}
python_maximum_signature_line_length = 90
add_module_names = False

# NumPy's own types are long, and no page explains them.
_NDARRAY = r"~?(?:numpy\.)?ndarray\[tuple\[(?:~?(?:typing\.)?Any|int), \.\.\.\], ~?(?:numpy\.)?dtype\["
_SHORT = [(_NDARRAY + r"~?(?:numpy\.)?uint8\]\]", "Image"), (_NDARRAY + r"[^\]]*\]\]", "Array")]
_MADE_BY_OTHERS = ("stream.Stream", "stream.Recording")
"""Classes that nobody builds by hand."""
_COLON = "\ue000"


def _short(text):
    for long, short in _SHORT:
        text = re.sub(long, short, text)
    return text


def _signature(app, what, name, obj, options, signature, returns):
    """Show arrays by the names that this project gives them."""
    if name in _MADE_BY_OTHERS:
        return "", None
    return signature and _short(signature), returns and _short(returns)


def _annotations(app, doctree):
    for node in doctree.findall(addnodes.desc_annotation):
        text = node.astext()
        if _short(text) != text:
            node.children = [nodes.Text(_short(text))]


def _hide_colon(app, what, name, obj, options, lines):
    """Of an attribute, what stands before a colon is no type; see ``_show_colon``."""
    if what in ("attribute", "property", "data") and lines:
        lines[0] = re.sub(r"(?<!:):(?!:)", _COLON, lines[0])


def _show_colon(app, what, name, obj, options, lines):
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _hide_colon, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", _show_colon, priority=600)  # after it
    app.connect("doctree-read", _annotations)
