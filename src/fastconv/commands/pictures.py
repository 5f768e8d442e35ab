"""Opens picture files for the programs, whose errors are lines. Called by the demo and by `model_pictures.py`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from fastconv import pictures
from fastconv.commands.error import CommandError


def open_picture(path: Path) -> Image.Image:
    """Read a picture file as RGB, as `fastconv.pictures.open_picture` does.

    Raises
    ------
    CommandError
        If the file is missing, is not a picture, or is damaged.
    """
    try:
        return pictures.open_picture(path)
    except pictures.PictureError as error:
        raise CommandError(str(error)) from None
