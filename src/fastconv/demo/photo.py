"""Reads a photograph of any common kind into a float32 array. Called by :func:`fastconv.demo.run_demo`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from fastconv.commands.pictures import open_picture

DEFAULT_NAME = "astronaut (scikit-image)"


@dataclass(frozen=True)
class Photo:
    """A photograph: its pixels as ``(1, 3, H, W)`` from 0 to 1, its name, and one line about it."""

    pixels: NDArray[np.float32]
    name: str
    description: str


def load_photo(path: Path | None, size: int | None = None) -> Photo:
    """Read a picture file, or the default photograph, as RGB.

    Parameters
    ----------
    path : Path or None
        Anything Pillow reads: grey, palette, 16-bit and CMYK pictures become RGB, transparent pixels white,
        and the camera's orientation tag is obeyed.
    size : int, optional
        Length in pixels that the longer side is scaled to.

    Returns
    -------
    Photo

    Raises
    ------
    CommandError
        If the file is missing, is not a picture, or is damaged.
    """
    if path is None:
        default: Callable[[], NDArray[np.uint8]] = data.astronaut
        name, picture = DEFAULT_NAME, Image.fromarray(default())
    else:
        name, picture = path.name.encode(errors="replace").decode(), open_picture(path)
    width, height = picture.size
    description = f"{name}, {width} x {height} pixels"
    if size is not None:
        scale = size / max(width, height)
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = picture.resize(target, Image.Resampling.LANCZOS)
        description += f" scaled to {target[0]} x {target[1]}"
    pixels = np.empty((1, 3, picture.height, picture.width), np.float32)
    np.divide(np.asarray(picture).transpose(2, 0, 1), 255, out=pixels[0], dtype=np.float32)
    return Photo(pixels, name, description)
