"""How the documentation is built: `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from make_reference import write_pages  # noqa: E402  its folder has just been named

write_pages(ROOT / "docs" / "reference")

project = "beamstop"
copyright = "the beamstop authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
html_theme = "furo"  # without fonts or scripts from elsewhere
html_title = "beamstop"
html_copy_source = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_ivar = True
suppress_warnings = ["misc.highlighting_failure"]  # of DuckDB's SQL, which the highlighter only half knows
