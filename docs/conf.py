"""How `make docs` builds the site. Warnings are errors there: a broken link fails."""

project = "imagepipe"
copyright = "the imagepipe authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "imagepipe"
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 4  # links go to headings as on GitHub
nitpicky = True
