"""How much rounding error the compiled kernels may trade for speed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from fastconv.options import choice
from fastconv.settings import Setting

__all__ = ["get_precision", "set_precision", "use_precision"]

PRECISIONS = ("fast", "strict")


def check_precision(value: Any, source: str) -> str:
    return choice(source, "precision", value, PRECISIONS)


_precision = Setting(("FASTCONV_PRECISION",), check_precision, lambda: "fast")


def get_precision() -> str:
    """The precision that the next call in this context uses.

    Returns
    -------
    str
        ``"fast"``: any algorithm whose error stays within about 8 times that of the direct method.
        ``"strict"``: only those within about 3 times.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_precision()
    'fast'
    """
    return _precision.get()


def set_precision(precision: str) -> None:
    """Set the precision for the whole process.

    Parameters
    ----------
    precision : {"fast", "strict"}

    Raises
    ------
    ValueError
        If `precision` is neither.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.set_precision("fast")
    """
    _precision.set(precision, "set_precision")


def use_precision(precision: str) -> AbstractContextManager[None]:
    """Use a precision within a ``with`` block, in this thread or task only.

    Parameters
    ----------
    precision : {"fast", "strict"}

    Examples
    --------
    >>> import fastconv
    >>> with fastconv.use_precision("strict"):
    ...     fastconv.get_precision()
    'strict'
    """
    return _precision.using(precision, "use_precision")
