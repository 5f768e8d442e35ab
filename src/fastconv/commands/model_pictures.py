"""Pictures as networks take them: order of axes, size, and numbers. Called by `run_model.py`; needs Pillow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.commands.error import CommandError
from fastconv.commands.pictures import open_picture
from fastconv.onnx import Tensor
from fastconv.pictures import as_pixels
from fastconv.text import shape_text

# Of red, green and blue, from 0 to 1, in the pictures of ImageNet: what most networks trained with PyTorch expect.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a network's input."""

    dtype: np.dtype[Any]
    channels_last: bool
    channels: int
    size: tuple[int, int] | None  # height and width; None: the picture's own
    crop: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        kind = "RGB" if self.channels == 3 else "grey"
        fit = "cropped to the middle" if self.crop else "stretched"
        size = "of their own size" if self.size is None else f"{fit}, {self.size[1]} x {self.size[0]}"
        if self.dtype == np.uint8:
            return f"{kind}, {size}, values 0 to 255"
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{kind}, {size}, (value / 255 - mean {mean}) / std {std}"

    def array(self, path: Path) -> Any:
        """A picture file as an array of one image.

        Raises
        ------
        CommandError
            If it cannot be read.
        """
        pixels = as_pixels(open_picture(path), self.channels, self.size, self.crop)
        if self.dtype != np.uint8:
            pixels = ((pixels / 255 - np.array(self.mean)) / np.array(self.std)).astype(self.dtype)
        return np.ascontiguousarray(pixels if self.channels_last else pixels.transpose(2, 0, 1))[None]


def preprocessing(
    tensors: tuple[Tensor, ...],
    shape: tuple[int, ...] | None,
    crop: bool,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
) -> Preprocessing:
    """That of a network by its input.

    Parameters
    ----------
    tensors : tuple of Tensor
        The network's inputs.
    shape : tuple of int, optional
        Its input's, where it was said.
    crop : bool
        Whether a picture of another shape loses its margins; it is stretched else.
    mean, std : tuple of float, optional
        Of each channel or of all, on a scale from 0 to 1; by default those of ImageNet for colours, and 0 and 1 for
        grey.

    Raises
    ------
    CommandError
        If the network does not take single pictures.
    """
    if len(tensors) != 1:
        names = ", ".join(tensor.name for tensor in tensors)
        raise CommandError(f"pictures are for models of one input, but this one has {len(tensors)}: {names}")
    tensor = tensors[0]
    sizes = shape or tensor.shape
    told = f"its input {tensor.name} is {tensor.dtype} {shape_text(sizes)}"
    if tensor.dtype is None or (tensor.dtype.kind != "f" and tensor.dtype != np.uint8):
        raise CommandError(f"pictures need an input of floats or uint8, but {told}")
    if sizes is None or len(sizes) != 4:
        raise CommandError(f"pictures need an input of 4 axes, but {told}")
    if isinstance(sizes[0], int) and sizes[0] != 1:
        raise CommandError(f"run sends one picture at a time, but {told}")
    channels_last = sizes[1] not in (1, 3) and sizes[3] in (1, 3)
    channels = sizes[3] if channels_last else sizes[1]
    if not isinstance(channels, int):
        channels = 3
    if channels not in (1, 3):
        raise CommandError(f"pictures have 1 or 3 channels, but {told}")
    height, width = sizes[1:3] if channels_last else sizes[2:]
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    if size is None and (isinstance(height, int) or isinstance(width, int)):
        raise CommandError(f"one of the sizes of pictures is open: say it with --shape; {told}")
    if size is not None and min(size) < 1:
        raise CommandError(f"pictures need at least 1 pixel, but {told}")
    default = (MEAN, STD) if channels == 3 else ((0.0,), (1.0,))
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) not in (1, channels):
            raise CommandError(f"--{name} has {len(values)} numbers, but needs 1 or {channels}")
    return Preprocessing(
        tensor.dtype, channels_last, channels, size, crop, mean or default[0], std or default[1]
    )
