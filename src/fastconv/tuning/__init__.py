"""Kernels that were chosen by measuring them: the file that remembers them, to share and to forget.

Filled by plans with ``tune=True`` and by ``fastconv tune``. The file is the one that the environment variable
``FASTCONV_TUNING`` names, or else ``tuning.json`` in the folder that ``FASTCONV_CACHE_DIR`` names, or else in
``fastconv`` in ``XDG_CACHE_HOME`` or ``~/.cache``. One that is read-only is used as it is: what it does not hold is not
measured, and gets the kernel of the least predicted cost.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastconv.settings.folder import write_whole
from fastconv.shown import shows
from fastconv.tuning.choice import this_machine
from fastconv.tuning.entries import Entry, as_text
from fastconv.tuning.store import NotKept, location, read, warn_of, writing
from fastconv.tuning.store import load as _load

__all__ = ["Entry", "clear", "entries", "load", "location", "save"]
__dir__ = shows(__name__)


def entries() -> tuple[Entry, ...]:
    """What was measured on this processor, for the instruction set and the version of fastconv in use.

    Returns
    -------
    tuple of Entry
        In the order of their problems.

    Warns
    -----
    RuntimeWarning
        Once, if entries of the file are ignored.

    Examples
    --------
    >>> from fastconv import tuning
    >>> all(entry.kernel in entry.microseconds for entry in tuning.entries())
    True
    """
    here = this_machine()
    found = read(location(), here)
    return tuple(entry for key, entry in sorted(found.items()) if entry.machine == here)


def save(path: str | os.PathLike[str]) -> None:
    """Write all that is remembered, of other machines too, into a file: to be kept, or loaded elsewhere.

    Parameters
    ----------
    path : path_like
        In place of what is there.

    Raises
    ------
    OSError
        If it cannot be written.

    Warns
    -----
    RuntimeWarning
        Once, if the tuning file cannot be read, or some of its entries are malformed.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastconv import tuning
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tuning.save(os.path.join(folder, "kernels.json"))
    ...     os.listdir(folder)
    ['kernels.json']
    """
    write_whole(Path(os.path.realpath(path)), as_text(read(location())))


def load(path: str | os.PathLike[str]) -> int:
    """Add the entries of a file to those that are remembered; where both have one for a problem, the file's counts.

    Parameters
    ----------
    path : path_like
        What `save` wrote, here or on another machine.

    Returns
    -------
    int
        How many of them count here.

    Raises
    ------
    ValueError
        If it is no tuning file.
    OSError
        If it cannot be read, or the tuning file cannot be written.

    Warns
    -----
    RuntimeWarning
        If entries are ignored: malformed ones, which are left out, and those of other processors, instruction sets and
        versions of fastconv, which are kept for these.

    Examples
    --------
    >>> from fastconv import tuning
    >>> tuning.load("kernels.json")  # doctest: +SKIP
    12
    """
    given, here = Path(os.path.realpath(path)), this_machine()
    if not given.exists():
        raise FileNotFoundError(f"load: there is no file {path}")
    try:
        content = _load(given)
    except ValueError as error:
        raise ValueError(f"load: {path} is no tuning file: {error}") from None
    warn_of(given, content, here)
    try:
        with writing(location()) as known:
            known.update(content.entries)
    except NotKept as error:
        raise OSError(f"load: {error}") from None
    return sum(entry.machine == here for entry in content.entries.values())


def clear() -> None:
    """Forget all that was measured, of other machines too. Plans that were made keep their kernels.

    Raises
    ------
    OSError
        If the tuning file cannot be written.

    Examples
    --------
    >>> from fastconv import tuning
    >>> tuning.clear()  # doctest: +SKIP
    """
    try:
        with writing(location()) as known:
            known.clear()
    except NotKept as error:
        raise OSError(f"clear: {error}") from None
