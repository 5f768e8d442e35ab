"""Text of other hands, such as names of files and words of other libraries, made safe to print. Called by `cli.py`."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text on one line, with an escape in place of what a terminal might obey.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        Letters that `str.isprintable` does not know, such as control characters, marks that change the direction of
        writing, and lone surrogates, are written as in Python: ``\\\\x1b``. White space is one space.

    Examples
    --------
    >>> from fastconv.commands.printable import printable
    >>> print(printable("two\\nlines of \\x1b[31mred"))
    two lines of \\x1b[31mred
    """
    line = " ".join(text.split())
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in line
    )
