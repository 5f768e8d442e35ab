"""How Sphinx builds the documentation: ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import os
import sys
import warnings
from pathlib import Path

import fastconv

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "fastconv"
author = "The fastconv developers"
project_copyright = author
version = release = fastconv.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "pictures",
    "measured",
    "models",
]
exclude_patterns = ["_build", "examples", "pictures", "gallery/**/*.ipynb", "gallery/**/*.py"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # the functions in sphinx_gallery_conf cannot be pickled

myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3

# Single backquotes in docstrings are names: a link where there is such an object, else plain code.
default_role = "py:obj"
autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"
autodoc_class_signature = "separated"  # plans are made by functions, not by their classes
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"fastconv {version}"
html_static_path = ["_static"]
html_css_files = ["fastconv.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f6f8b", "color-brand-content": "#1f6f8b"},
    "dark_css_variables": {"color-brand-primary": "#6cc0dc", "color-brand-content": "#6cc0dc"},
}


def gallery_style(_configuration, _file):
    """Figures that are at home on a light and on a dark page: no background, grey letters."""
    import matplotlib as mpl

    mpl.rcdefaults()
    mpl.use("agg")
    mpl.rcParams.update({
        "savefig.transparent": True,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "figure.dpi": 110,
        "savefig.dpi": 110,
        "figure.constrained_layout.use": True,
        "font.size": 11,
        "axes.titlesize": 11,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), "#808080"),
    })  # fmt: skip


sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/",
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": (gallery_style,),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 10,
    "remove_config_comments": True,
    "write_computation_times": False,
}

# The pages show what the fastest backend does; a developer's settings would change pictures and figures.
for variable in ("FASTCONV_BACKEND", "FASTCONV_PRECISION", "FASTCONV_ISA"):
    if os.environ.get(variable):
        warnings.warn(f"{variable} is set: the pages describe the default", stacklevel=1)
