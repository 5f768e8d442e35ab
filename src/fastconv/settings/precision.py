"""How much rounding error the compiled kernels may trade for speed."""

from __future__ import annotations

from contextlib import AbstractContextManager

from fastconv.arguments import precision as check_precision
from fastconv.settings.setting import Setting
from fastconv.typing import Precision

__all__ = ["get_precision", "set_precision", "use_precision"]

_precision: Setting[Precision] = Setting(
    ("FASTCONV_PRECISION",), lambda value, source: check_precision(source, value), lambda: "fast"
)


def get_precision() -> Precision:
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


def set_precision(precision: Precision) -> None:
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


def use_precision(precision: Precision) -> AbstractContextManager[None]:
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
