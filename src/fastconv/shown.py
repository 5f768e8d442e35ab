"""What `dir` shows of a public module, and so what a user's editor offers: the names in its `__all__`."""

from __future__ import annotations

import sys
from collections.abc import Callable


def shows(module: str, *more: str) -> Callable[[], list[str]]:
    """The `__dir__` of a module: what it imports for itself is left out, `more` is shown besides."""

    def names() -> list[str]:
        return sorted({*sys.modules[module].__all__, *more, "__all__", "__doc__"})

    return names
