"""How `make docs` builds the site. Warnings are errors there: a broken link fails."""

import re

from docutils import nodes
from sphinx.application import Sphinx

project = "imagepipe"
copyright = "the imagepipe authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "imagepipe"
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 4  # links go to headings as on GitHub
nitpicky = True


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", add_anchors)


def add_anchors(app: Sphinx, document: nodes.document) -> None:
    """Let links go to `<a id="...">` as on GitHub; MyST itself knows headings only."""
    known = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for html in document.findall(nodes.raw):
        for name in re.findall(r'<a id="([^"]+)">', html.astext()):
            known.setdefault(name, (html.line, name, ""))
