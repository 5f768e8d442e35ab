"""Augmentation: functions that change batches at random, for `augment=` of `Module.fit`.

Each is made with its options, and takes ``(x, y, rng)``; it gives a new batch of images, or, where labels change as
well, that and the labels. Images are of the layout of the network that is trained; outside of `fit`, with channels
first. `chain` puts several together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.nn.scope import SCOPE
from fastconv.problem.layout import channel_axis, spatial_axes
from fastconv.shown import shows
from fastconv.typing import Array

__all__ = [
    "chain",
    "colour_jitter",
    "crop",
    "cutout",
    "flip",
    "mixup",
    "noise",
    "rotate",
    "scale",
    "shift",
]
__dir__ = shows(__name__)

Generator = np.random.Generator
Change = Callable[[Array, Any, Generator], Any]


def chain(*changes: Change) -> Change:
    """One change after the other.

    Parameters
    ----------
    changes : callable

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> change = augment.chain(augment.flip(), augment.shift(2))
    >>> change(np.ones((4, 1, 8, 8)), np.arange(4), np.random.default_rng(0)).shape
    (4, 1, 8, 8)
    """

    def change(x: Array, y: Any, rng: Generator) -> Any:
        labels_too = False
        for one in changes:
            found = one(x, y, rng)
            if isinstance(found, tuple):
                (x, y), labels_too = found, True
            else:
                x = found
        return (x, y) if labels_too else x

    return change


def _size(x: Array) -> tuple[int, int]:
    rows, columns = spatial_axes(SCOPE.layout)
    return x.shape[rows], x.shape[columns]


def _for_each(values: Array, x: Array) -> Array:
    """A number for each image, as it meets the batch."""
    return values.reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype)


def flip(probability: float = 0.5, *, vertical: bool = False) -> Change:
    """Mirror images, left to right.

    Parameters
    ----------
    probability : float
        Of each image.
    vertical : bool
        Whether top to bottom in place of it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> augment.flip(1.0)(np.array([[[[1.0, 2.0]]]]), None, np.random.default_rng(0)).ravel()
    array([2., 1.])
    """

    def change(x: Array, y: Any, rng: Generator) -> Array:
        result = x.copy()
        chosen = rng.random(len(x)) < probability
        result[chosen] = np.flip(x[chosen], spatial_axes(SCOPE.layout)[0 if vertical else 1])
        return result

    return change


def _sampled(x: Array, rows: Array, columns: Array, fill: float) -> Array:
    """Images at places between pixels, ``(N, H, W)`` each, by linear interpolation; outside is `fill`."""
    last = channel_axis(SCOPE.layout) == -1
    height, width = _size(x)
    images = np.moveaxis(x, -1, 1) if last else x
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=fill)
    rows, columns = np.clip(rows + 1, 0, height + 1), np.clip(columns + 1, 0, width + 1)
    top, left = np.minimum(rows, height).astype(np.intp), np.minimum(columns, width).astype(np.intp)
    down, right = ((a - b)[:, np.newaxis].astype(x.dtype) for a, b in ((rows, top), (columns, left)))
    image, channel = np.arange(len(x))[:, None, None, None], np.arange(images.shape[1])[None, :, None, None]
    top, left = top[:, np.newaxis], left[:, np.newaxis]

    def at(row: Any, column: Any) -> Array:
        found: Array = padded[image, channel, row, column]
        return found

    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    result = upper * (1 - down) + lower * down
    return np.ascontiguousarray(np.moveaxis(result, 1, -1)) if last else result


def _grid(x: Array) -> tuple[Array, Array]:
    """Rows and columns of an image's pixels, from its middle."""
    height, width = _size(x)
    return np.meshgrid(
        np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij"
    )


def _mapped(x: Array, matrices: Array, fill: float) -> Array:
    """Images of which each pixel comes from its place times a 2x2 matrix."""
    height, width = _size(x)
    rows, columns = _grid(x)
    places = np.einsum("nij,jhw->nihw", matrices, np.stack([rows, columns]))
    return _sampled(x, places[:, 0] + (height - 1) / 2, places[:, 1] + (width - 1) / 2, fill)


def shift(pixels: int = 2, *, fill: float = 0.0) -> Change:
    """Move images by whole pixels.

    Parameters
    ----------
    pixels : int
        At most so many in each direction.
    fill : float
        What comes in.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> augment.shift(1)(np.ones((1, 1, 3, 3)), None, np.random.default_rng(3)).sum() <= 9
    np.True_
    """

    def change(x: Array, y: Any, rng: Generator) -> Array:
        return _windows(x, pixels, rng, fill)

    return change


def _windows(x: Array, pixels: int, rng: Generator, fill: float) -> Array:
    """Windows of the images' size at random places of the padded images."""
    rows, columns = spatial_axes(SCOPE.layout)
    height, width = _size(x)
    padding = [(0, 0)] * x.ndim
    padding[rows] = padding[columns] = (pixels, pixels)
    padded = np.pad(x, padding, constant_values=fill)
    return _cut(padded, (height, width), rng)


def _cut(x: Array, size: tuple[int, int], rng: Generator) -> Array:
    rows, columns = spatial_axes(SCOPE.layout)
    height, width = _size(x)
    down, right = (
        rng.integers(height - size[0] + 1, size=len(x)),
        rng.integers(width - size[1] + 1, size=len(x)),
    )
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(rows, columns))
    index: list[Any] = [slice(None)] * x.ndim
    index[0], index[rows], index[columns] = np.arange(len(x)), down, right
    # Indices that are apart come first in the result, with the axes that stay behind them.
    return np.ascontiguousarray(
        windows[tuple(index)] if rows == -2 else np.moveaxis(windows[tuple(index)], 1, -1)
    )


def crop(size: int | tuple[int, int]) -> Change:
    """Cut out a part at random.

    Parameters
    ----------
    size : int or pair of int
        Of the part, at most that of the images.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> augment.crop(5)(np.ones((2, 3, 8, 8)), None, np.random.default_rng(0)).shape
    (2, 3, 5, 5)
    """
    wanted = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    def change(x: Array, y: Any, rng: Generator) -> Array:
        height, width = _size(x)
        if wanted[0] > height or wanted[1] > width or min(wanted) < 1:
            raise ValueError(f"crop: size is {wanted}, but the images have {height}x{width} pixels")
        return _cut(x, wanted, rng)

    return change


def rotate(degrees: float = 15.0, *, fill: float = 0.0) -> Change:
    """Turn images about their middle.

    Parameters
    ----------
    degrees : float
        At most so many, either way.
    fill : float
        What comes in at the corners.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> augment.rotate(10)(np.ones((2, 3, 8, 8)), None, np.random.default_rng(0)).shape
    (2, 3, 8, 8)
    """

    def change(x: Array, y: Any, rng: Generator) -> Array:
        angles = np.deg2rad(rng.uniform(-degrees, degrees, len(x)))
        cos, sin = np.cos(angles), np.sin(angles)
        return _mapped(x, np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0), fill)

    return change


def scale(most: float = 1.2, *, fill: float = 0.0) -> Change:
    """Make images larger or smaller, about their middle.

    Parameters
    ----------
    most : float
        Between ``1 / most`` and `most` times.
    fill : float
        What comes in around smaller ones.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> augment.scale(1.3)(np.ones((2, 3, 8, 8)), None, np.random.default_rng(0)).shape
    (2, 3, 8, 8)
    """
    if most < 1:
        raise ValueError(f"scale: most is {most}, but needs to be 1 or more")

    def change(x: Array, y: Any, rng: Generator) -> Array:
        factors = np.exp(rng.uniform(-math.log(most), math.log(most), len(x)))
        return _mapped(x, np.eye(2) / factors[:, np.newaxis, np.newaxis], fill)

    return change


def colour_jitter(brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2) -> Change:
    """Change brightness, contrast and saturation.

    Parameters
    ----------
    brightness : float
        At most this is added, either way.
    contrast : float
        The difference from the image's mean is multiplied by at most 1 plus or minus this.
    saturation : float
        As `contrast`, of the difference from the mean of the pixel's channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> augment.colour_jitter()(np.ones((2, 3, 8, 8)), None, np.random.default_rng(0)).shape
    (2, 3, 8, 8)
    """

    def change(x: Array, y: Any, rng: Generator) -> Array:
        more, sharper, purer = (
            _for_each(rng.uniform(-limit, limit, len(x)), x) for limit in (brightness, contrast, saturation)
        )
        grey = x.mean(axis=channel_axis(SCOPE.layout), keepdims=True)
        coloured = grey + (x - grey) * (1 + purer)
        middle = coloured.mean(axis=tuple(range(1, x.ndim)), keepdims=True)
        result: Array = middle + (coloured - middle) * (1 + sharper) + more
        return result

    return change


def cutout(size: int = 8, *, fill: float = 0.0) -> Change:
    """Fill a square at a random place: DeVries and Taylor, 2017.

    Parameters
    ----------
    size : int
        Of its sides; the middle is anywhere in the image, so that parts may lie outside.
    fill : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> augment.cutout(4)(np.ones((1, 1, 8, 8)), None, np.random.default_rng(0)).sum() >= 48
    np.True_
    """

    def change(x: Array, y: Any, rng: Generator) -> Array:
        height, width = _size(x)
        rows, columns = rng.integers(height, size=len(x)), rng.integers(width, size=len(x))
        down, right = (
            np.arange(height) - rows[:, None] + size // 2,
            np.arange(width) - columns[:, None] + size // 2,
        )
        hole = ((down >= 0) & (down < size))[:, :, None] & ((right >= 0) & (right < size))[:, None, :]
        return np.where(np.expand_dims(hole, channel_axis(SCOPE.layout)), x.dtype.type(fill), x)

    return change


def noise(deviation: float = 0.05) -> Change:
    """Add normal numbers.

    Parameters
    ----------
    deviation : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> augment.noise(0.1)(np.zeros((1, 1, 64, 64)), None, np.random.default_rng(0)).std().round(2)
    np.float64(0.1)
    """

    def change(x: Array, y: Any, rng: Generator) -> Array:
        return (x + deviation * rng.standard_normal(x.shape)).astype(x.dtype)

    return change


def mixup(alpha: float = 0.2, *, classes: int | None = None) -> Change:
    """Mix each image with another one, and their targets likewise: Zhang et al., 2018.

    Parameters
    ----------
    alpha : float
        Both parameters of the Beta distribution of the shares.
    classes : int, optional
        How many there are, where targets are labels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment
    >>> x, y = augment.mixup(classes=3)(np.ones((4, 1, 8, 8)), np.arange(4) % 3, np.random.default_rng(0))
    >>> y.shape, y.sum(axis=1)
    ((4, 3), array([1., 1., 1., 1.]))
    """

    def change(x: Array, y: Any, rng: Generator) -> tuple[Array, Array]:
        shares, order = rng.beta(alpha, alpha, len(x)), rng.permutation(len(x))
        target = np.asarray(y)
        if target.dtype.kind in "iu" and target.ndim == 1:
            if classes is None:
                raise ValueError("mixup: y has labels, which needs classes=, their number")
            target = np.eye(classes)[target]
        mine = _for_each(shares, x)
        of_target = shares.reshape(-1, *(1,) * (target.ndim - 1))
        return x * mine + x[order] * (1 - mine), target * of_target + target[order] * (1 - of_target)

    return change
