"""Opens picture files of any common kind as RGB, and makes arrays of them. Called by `nn/data` and the programs; needs
Pillow.
"""

from __future__ import annotations

import struct
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fastconv.first_use import forks_wait_for

# What Pillow raises on damaged files: each format has its own way to fail.
DAMAGE = (
    Image.DecompressionBombError,
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    struct.error,
)
# Pixels. Pillow's own limit is for strangers' files and refuses large photographs; this one, damaged headers.
LARGEST = 2**29


class PictureError(ValueError):
    """A picture file that cannot be read; the message names it."""


class _Limit:
    """Pillow's limit, which is the process's, is ours while any thread reads a picture."""

    def __init__(self) -> None:
        self._lock, self._readers, self._before = RLock(), 0, Image.MAX_IMAGE_PIXELS
        forks_wait_for(self._lock)

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, LARGEST
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                Image.MAX_IMAGE_PIXELS = self._before


_LIMIT = _Limit()


def open_picture(path: Path) -> Image.Image:
    """Read a picture file as RGB.

    Parameters
    ----------
    path : Path
        Anything Pillow reads: grey, palette, 16-bit and CMYK pictures become RGB, transparent pixels white,
        and the camera's orientation tag is obeyed.

    Raises
    ------
    PictureError
        If the file is missing, is not a picture, or is damaged.
    """
    try:
        with _LIMIT, Image.open(path) as picture:
            return _as_rgb(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise PictureError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise PictureError(f"{path} is a folder, not a picture") from None
    except PermissionError:
        raise PictureError(f"no permission to read {path}") from None
    except UnidentifiedImageError:
        raise PictureError(f"{path} is not a picture that can be read; PNG and JPEG files can") from None
    except DAMAGE as error:
        raise PictureError(f"{path} cannot be read, it seems damaged ({error})") from None


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):  # 16-bit grey, which Pillow would clip at 255 instead of scaling
        values = np.asarray(picture, dtype=np.float32)
        top = (
            max(65535.0, float(values.max())) if picture.mode.startswith("I") else float(values.max()) or 1.0
        )
        picture = Image.fromarray(np.clip(np.rint(values * (255 / top)), 0, 255).astype(np.uint8))
    elif picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("RGB")


def as_pixels(picture: Image.Image, channels: int, size: tuple[int, int] | None, crop: bool) -> Any:
    """A picture as bytes, ``(height, width, channels)``.

    Parameters
    ----------
    picture : Image
        RGB.
    channels : int
        3, or 1: grey.
    size : (int, int), optional
        Height and width; by default its own.
    crop : bool
        Whether a picture of another shape loses its margins; it is stretched else.
    """
    if channels == 1:
        picture = picture.convert("L")
    if size is not None:
        height, width = size
        resample = Image.Resampling.BILINEAR
        if crop:
            picture = ImageOps.fit(picture, (width, height), resample)
        else:
            picture = picture.resize((width, height), resample)
    return np.asarray(picture).reshape(picture.height, picture.width, channels)
