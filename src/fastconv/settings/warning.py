"""Warnings that come once in the life of a process, and point at the user's own line."""

from __future__ import annotations

import sys
import warnings

_told: set[str] = set()


def warn_once(message: str, category: type[Warning]) -> None:
    if message in _told:
        return
    _told.add(message)  # first: where warnings are errors, the next call is to work
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "fastconv":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
