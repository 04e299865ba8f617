"""How Sphinx builds the site: `make docs`."""

import sys
from pathlib import Path

from docutils.nodes import Element
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from soundalike import __version__

project = "soundalike"
author = copyright = "the soundalike contributors"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_design",
    "commands",
    "http_routes",
    "schemas",
]
exclude_patterns = ["_build", "_ext"]

myst_enable_extensions = ["colon_fence", "deflist", "attrs_block", "attrs_inline", "dollarmath"]
myst_heading_anchors = 4

smartquotes = False  # options begin with two hyphens

# Docstrings are in the style of Google, with single backticks around code.
default_role = "literal"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_display_short_literal_types = True

# Every reference must lead somewhere, but for names of other packages, and of records and aliases that are not public.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!soundalike).*")]

html_theme = "furo"
html_title = "soundalike"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False


def find_public_name(app: Sphinx, env: BuildEnvironment, node: Element, content: Element) -> Element | None:
    """Lead from the name of a class in a signature, such as soundalike.core.types.Match, to its public name."""
    if node.get("refdomain") != "py":
        return None
    name = str(node["reftarget"]).rpartition(".")[2]
    domain = env.domains.python_domain
    found = [full for full, entry in domain.objects.items() if full.endswith(f".{name}") and entry.objtype == "class"]
    if len(found) != 1:
        return None
    entry = domain.objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, found[0])


def setup(app: Sphinx) -> None:
    """Connect the handler of references."""
    app.connect("missing-reference", find_public_name)
