"""Sphinx: how the site is built from docs/, the docstrings and examples/gallery.

    python -m sphinx -W --keep-going -b html docs docs/_build/html

needs ``pip install -e '.[docs]'`` and no network. A public name without a page, a broken link
or an example that fails are warnings, and warnings are errors.
"""

import importlib
import sys
import warnings
from pathlib import Path

import matplotlib
from sphinx.application import Sphinx
from sphinx.util import logging

import mixexp

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))


def format_warning(message: Warning | str, category: type[Warning], *_: object) -> str:
    """Return a warning as the gallery shows it: without the path of who built the site."""
    return f"{category.__name__}: {message}\n"


warnings.formatwarning = format_warning

project = "mixexp"
author = "The mixexp developers"
project_copyright = author
version = release = mixexp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "thumbnails",
]
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "sg_execution_times.rst",
    "auto_examples/*.py.md5",
    "stories/*.py.md5",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
nitpicky = True
# Docstrings inherited from scikit-learn point into its manual, which only a network could tell;
# the gates of `mixexp.gates` are aliases, which name where their classes are from.
nitpick_ignore_regex = [(r"py:.*", r"sklearn\..*"), (r"py:class", r"mixexp\.submodels\..*")]

# Docstrings mark names of parameters, methods and foreign classes alike by single backticks.
default_role = "literal"

autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"  # long names of methods run out of the sidebar
autodoc_default_options = {
    "exclude-members": ", ".join(
        [
            "get_metadata_routing",
            "set_fit_request",
            "set_partial_fit_request",
            "set_predict_request",
            "set_predict_proba_request",
            "set_score_request",
            "set_callbacks",
            "count",
            "index",
        ]
    )
}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "mixexp"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"index": []}
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/gallery", "../examples/stories"],
    "gallery_dirs": ["auto_examples", "stories"],
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("mixexp",),
    "backreferences_dir": "api/backreferences",
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": 20,
    "plot_gallery": True,
}

PUBLIC_MODULES = [
    "mixexp",
    "mixexp.constraints",
    "mixexp.displays",
    "mixexp.experts",
    "mixexp.distribution",
    "mixexp.inference",
    "mixexp.metrics",
    "mixexp.datasets",
    "mixexp.exceptions",
    "mixexp.selection",
]


def warn_of_names_without_page(app: Sphinx, _environment: object) -> None:
    """Warn of every public name that docs/api/index.rst does not list."""
    listed = set((Path(app.srcdir) / "api" / "index.rst").read_text().split())
    for module in PUBLIC_MODULES:
        for name in importlib.import_module(module).__all__:
            if not name.startswith("__") and not listed & {f"{module}.{name}", f"mixexp.{name}"}:
                logging.getLogger(__name__).warning(
                    "docs/api/index.rst has no page for %s.%s", module, name
                )


def setup(app: Sphinx) -> None:
    app.connect("env-updated", warn_of_names_without_page)
