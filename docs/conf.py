"""How Sphinx builds the pages: python -m sphinx -W --keep-going -c docs . docs/_build/html.

The source is the whole repository, so that pages, notebooks and the files at its root are one site
and link to each other as they lie.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

import pmpnet

ROOT = Path(__file__).parent.parent
project, author = "pmpnet", "the authors of pmpnet"
version = release = pmpnet.__version__
root_doc = "docs/index"
include_patterns = [
    "docs/**", "notebooks/*.ipynb", "benchmarks/README.md", "CHANGELOG.md", "CONTRIBUTING.md",
    "HOUSE.md",
]  # fmt: skip
exclude_patterns = [
    "docs/_build",
    "**/jupyter_execute",
    ".*",
    "build",
    "dist",
    "pmpnet",
    "tests",
    "*.egg-info",
]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # readers need no network for formulas
    "sphinx_copybutton",
    "numpydoc",
]

# Pages and notebooks: notebooks are shown as they ran
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]
copybutton_exclude = ".linenos, .gp, .go"  # of an example its code, without prompts and output

# The reference: docstrings say types and shapes, so signatures need not
default_role = "py:obj"
highlight_language = "text"  # of blocks that do not say theirs
nitpicky = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
nitpick_ignore_regex = [("py:.*", r"(numpy|scipy|sklearn|torch|casadi)\..*")]
autosummary_generate = False
numpydoc_show_class_members = False
add_module_names = False
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

# Looks
html_theme = "pydata_sphinx_theme"
html_title = "pmpnet"
html_static_path = ["_static"]
html_css_files = ["pmpnet.css"]
templates_path = ["_templates"]
html_additional_pages = {"index": "to_start.html"}
html_copy_source = html_show_sourcelink = False
html_sidebars = {f"docs/{page}": [] for page in ("index", "install", "tour")}
html_theme_options = {
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
}
copyright = "the authors of pmpnet, MIT licence"


def plain_bars(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let the bars of norms and absolute values in a docstring be bars."""
    code = False
    for i, line in enumerate(lines):
        code = line.lstrip().startswith(">>>") or (code and bool(line.strip()))
        if not code:
            parts = re.split(r"(``.*?``)", line)
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[i] = "".join(parts)


def no_constructor(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returned: str
) -> tuple[str, None] | None:
    """Show results without the arguments of their constructor, which nobody calls."""
    if what == "class" and "Parameters\n" not in (obj.__doc__ or ""):
        return "", None
    return None


def shorter_name(
    app: Sphinx, env: BuildEnvironment, node: Any, content: nodes.Node
) -> nodes.Node | None:
    """Find what is called by a part of its name, such as `Solution.flow`.

    An attribute is told with its class.
    """
    if node.get("refdomain") != "py":
        return None
    name, objects = node["reftarget"].removesuffix("()"), env.domains.python_domain.objects
    for target in (name, name.rpartition(".")[0] or name):
        ends = (f".{target}", f".{target.removeprefix('pmpnet.')}")
        found = [o for full, o in objects.items() if full == target or full.endswith(ends)]
        places = {(o.docname, o.node_id) for o in found}
        if len(places) == 1:
            docname, node_id = places.pop()
            return make_refnode(app.builder, node["refdoc"], docname, node_id, content)
    return None


class Help(Directive):
    """What a command of ``python -m pmpnet`` says of itself."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Ask it."""
        command = [sys.executable, "-m", "pmpnet", *self.arguments, "--help"]
        told = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "COLUMNS": "84"}, capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip
        return [nodes.literal_block(told, told, language="text")]


def setup(app: Sphinx) -> None:
    """Tell Sphinx."""
    app.connect("autodoc-process-docstring", plain_bars, priority=100)
    app.connect("autodoc-process-signature", no_constructor)
    app.connect("missing-reference", shorter_name)
    app.add_directive("help-of", Help)
