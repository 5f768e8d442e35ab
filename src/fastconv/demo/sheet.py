"""The contact sheet: the demo's pictures and titles on one PNG. Called by :func:`fastconv.demo.run_demo`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from fastconv.commands.error import CommandError
from fastconv.demo.table import shape_text
from fastconv.typing import Array

COLUMNS = 5
CELL = 3.2  # inches, the longer side of a picture
DPI = 125


@dataclass(frozen=True)
class SheetPicture:
    """A picture of the contact sheet, with the shape ``(1, C, H, W)`` of the array that it shows."""

    title: str
    shape: tuple[int, ...]
    pixels: NDArray[np.uint8]


def thumbnail(picture: Array) -> NDArray[np.uint8]:
    """Turn ``(C, H, W)`` from 0 to 1 into 8-bit ``(H, W, 3)`` no larger than the contact sheet can show."""
    levels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(
        np.ascontiguousarray(np.broadcast_to(levels, (3, *levels.shape[1:])).transpose(1, 2, 0))
    )
    side = round(CELL * DPI)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def save_sheet(pictures: Sequence[SheetPicture], path: Path, title: str) -> None:
    """Write the pictures as a PNG at ``path``.

    Raises
    ------
    CommandError
        If the file cannot be written.
    """
    figure = contact_sheet(pictures, title)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a file name may hold letters that the font has not
            figure.savefig(path, format="png")
    except OSError as error:
        raise CommandError(f"cannot write the contact sheet to {path}: {error.strerror or error}") from None


def contact_sheet(pictures: Sequence[SheetPicture], title: str) -> Figure:
    """Lay out the pictures in rows, below their titles; those of a row begin at the same height."""
    height, width = pictures[0].pixels.shape[:2]
    # A cell takes the photograph's shape, within limits that leave room for the titles of very narrow ones.
    cell_width = CELL * min(1.0, max(0.7, width / height))
    cell_height = CELL * min(1.0, max(0.4, height / width))
    rows = math.ceil(len(pictures) / COLUMNS)
    # The object interface of matplotlib, not pyplot: it needs no display and leaves no global state.
    size = (COLUMNS * (cell_width + 0.15), rows * (cell_height + 0.5) + 0.6)
    figure = Figure(figsize=size, dpi=DPI, layout=ConstrainedLayoutEngine(rect=(0.005, 0.005, 0.99, 0.98)))
    figure.set_facecolor("0.95")  # not white, which some of the pictures are
    figure.suptitle(title, fontsize=13, parse_math=False)
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, picture in zip(axes.flat, pictures, strict=False):
        axis.imshow(picture.pixels)
        axis.set_anchor("N")  # what is flatter than the photograph would lie lower than its neighbours
        axis.set_title(f"{picture.title}\n{shape_text(picture.shape)}", fontsize=9, parse_math=False)
    return figure
