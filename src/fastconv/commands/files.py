"""Files that a command is to write: what is wrong with one is said before the work rather than after it. Called by the
commands, here and in the benchmarks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from fastconv.commands.error import CommandError


def check_target(option: str, path: Path, is_folder: bool = False) -> None:
    """Refuse what cannot be written.

    Parameters
    ----------
    option : str
        The option that names it.
    path : Path
    is_folder : bool
        Whether files go into it.

    Raises
    ------
    CommandError
        If there is something else in its place, no folder for it, or no permission.
    """
    folder = path.resolve().parent
    if is_folder and path.exists() and not path.is_dir():
        raise CommandError(f"{option} needs a folder, but {path} is a file")
    if not is_folder and path.is_dir():
        raise CommandError(f"{option} needs a file name, but {path} is a folder")
    if not folder.is_dir():
        raise CommandError(f"{option} cannot be written: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise CommandError(f"{option} cannot be written: no permission to write {path}")


def writing(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file; what cannot be foreseen, such as a full disk, is the user's to mend, too.

    Raises
    ------
    CommandError
        If it cannot be written.
    """
    try:
        write(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from None
