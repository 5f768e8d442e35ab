"""HTML pages from templates (Jinja2). Called by `network_page.py` and by the report of the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def rendered(package: str, template: str, content: Mapping[str, Any]) -> str:
    """A page of a template in the package's folder ``templates``.

    Parameters
    ----------
    package, template : str
    content : dict
        By the names that the template has; it may have no others.

    Returns
    -------
    str
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(content)
