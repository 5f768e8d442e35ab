"""Opens picture files of any common kind as RGB. Called by the demo and by `model_pictures.py`; needs Pillow."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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


def open_picture(path: Path) -> Image.Image:
    """Read a picture file as RGB.

    Parameters
    ----------
    path : Path
        Anything Pillow reads: grey, palette, 16-bit and CMYK pictures become RGB, transparent pixels white,
        and the camera's orientation tag is obeyed.

    Raises
    ------
    CommandError
        If the file is missing, is not a picture, or is damaged.
    """
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
