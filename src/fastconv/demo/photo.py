"""Reads a photograph of any common kind into a float32 array. Called by :func:`fastconv.demo.run_demo`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from skimage import data

from fastconv.commands.error import CommandError

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
        name, picture = path.name.encode(errors="replace").decode(), _open(path)
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


def _open(path: Path) -> Image.Image:
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = LARGEST
    try:
        with Image.open(path) as picture:
            return _as_rgb(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise CommandError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise CommandError(f"{path} is a folder, not a picture") from None
    except PermissionError:
        raise CommandError(f"no permission to read {path}") from None
    except UnidentifiedImageError:
        raise CommandError(f"{path} is not a picture that can be read; PNG and JPEG files can") from None
    except DAMAGE as error:
        raise CommandError(f"{path} cannot be read, it seems damaged ({error})") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


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
