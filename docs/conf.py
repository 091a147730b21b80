"""How `make docs` builds the site: Sphinx, with the pages in Markdown as they are read on any Git host."""

import ballast

project = "Ballast"
author = "The Ballast authors"
release = version = ballast.__version__
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"Ballast {release}"
html_show_sourcelink = False
myst_heading_anchors = 4  # links to headings, by the anchors that Git hosts make
