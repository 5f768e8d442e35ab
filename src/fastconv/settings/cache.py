"""How much memory of freed results is kept for the next ones. Read by `execution/memory.py` and the cython backend."""

from __future__ import annotations

import os
from typing import SupportsIndex

from fastconv.arguments import integer

_DEFAULT = 256 << 20
_VARIABLE = "FASTCONV_CACHE_SIZE"
_size: int | None = None


def get_cache_size() -> int:
    """How many bytes of freed results may be kept for the next ones.

    Returns
    -------
    int
        What `set_cache_size` or the environment variable ``FASTCONV_CACHE_SIZE`` said, else 256 MiB.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_cache_size() >= 0
    True
    """
    if _size is not None:
        return _size
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return _DEFAULT
    if not text.isdecimal():
        raise ValueError(f"the environment variable {_VARIABLE} is {text!r}, but needs a number of bytes")
    return int(text)


def choose_cache_size(size: SupportsIndex, caller: str) -> int:
    """Set it for the whole process; returns the number of bytes."""
    global _size
    _size = integer(caller, "size", size, 0, most=2**62)
    return _size
