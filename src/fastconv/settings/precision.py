"""How much rounding error the compiled kernels may trade for speed."""

from __future__ import annotations

from fastconv.arguments import precision as check_precision
from fastconv.settings.setting import Setting, Using, Variable
from fastconv.typing import Precision

__all__ = ["get_precision", "set_precision", "use_precision"]


def _check(value: object, source: str) -> Precision:
    return check_precision(source, value)


PRECISION: Setting[Precision] = Setting((Variable("FASTCONV_PRECISION", _check),), _check, lambda: "fast")


def get_precision() -> Precision:
    """The precision that the next call in this context uses.

    Returns
    -------
    str
        ``"fast"``: any algorithm whose error stays within about 8 times that of the direct method.
        ``"strict"``: only those within about 3 times; and a NaN or an infinity reaches no result but those of windows
        that hold it, nor do outliers, numbers that are far larger than the others there, alone or in clusters
        (docs/performance.md says how far). With ``"fast"`` they may, unless ``algorithm="direct"``.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_precision()
    'fast'
    """
    return PRECISION.get()


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
    PRECISION.set(precision, "set_precision")


def use_precision(precision: Precision) -> Using[Precision]:
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
    return PRECISION.using(precision, "use_precision")
