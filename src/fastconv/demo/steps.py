"""The operations of the demo: which filter, on which picture, and how its result is shown.

Called by :func:`fastconv.demo.run_demo`; to add an operation, add one :class:`Step` to :func:`chain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv.typing import Array, BackendName

PHOTO = "photograph"
LUMA = np.array(
    [0.299, 0.587, 0.114], np.float32
)  # ITU-R BT.601: how bright the eye finds red, green and blue
SHRINK = 4
EDGES = {
    "padding": "same",
    "padding_mode": "replicate",
}  # keeps the size, works down to one pixel, draws no frame


def plain(result: Array) -> Array:
    """Show the result as it is, for filters that keep the brightness."""
    return result


def signed(result: Array) -> Array:
    """Show zero as grey and three standard deviations as black and white, for filters with both signs."""
    shown: Array = np.float32(0.5) + result / (6 * result.std() + np.float32(1e-6))
    return shown


def tiled(result: Array) -> Array:
    """Show the filter bank's maps side by side as one grey picture, in rows of three."""
    maps = [picture_of(kernel)(plane) for kernel, plane in zip(FILTERS.values(), result, strict=True)]
    rows = [np.concatenate(maps[start : start + 3], axis=1) for start in range(0, len(maps), 3)]
    return np.concatenate(rows, axis=0)[np.newaxis]


def picture_of(kernel: Array) -> Callable[[Array], Array]:
    """Choose how to show a filter's result: weights with sum 1 keep the brightness, with sum 0 find edges."""
    return plain if kernel.sum() > 0.5 else signed


@dataclass(frozen=True)
class Step:
    """One operation of the demo.

    ``source`` is the title of the step whose result it takes. ``terms`` is how many products one output sums
    up: 0 where nothing is rounded and all backends must give the same bits. ``picture`` turns the result's
    ``(C, H, W)`` into a picture from 0 to 1.
    """

    title: str
    operation: Callable[..., Array]
    weight: Array | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    terms: int = 0
    source: str = PHOTO
    picture: Callable[[Array], Array] = plain

    def run(self, x: Array, backend: BackendName) -> Array:
        """Compute the operation on one backend."""
        arrays = (x,) if self.weight is None else (x, self.weight)
        result: Array = self.operation(*arrays, **self.options, backend=backend)
        return result

    def magnitude(self, x: Array, backend: BackendName) -> float:
        """Give the largest sum of ``|w| |x|`` over all outputs, which rounding errors are proportional to."""
        arrays = (np.abs(x),) if self.weight is None else (np.abs(x), np.abs(self.weight))
        return float(self.operation(*arrays, **self.options, backend=backend).max())

    def show(self, result: Array) -> Array:
        """Turn the result ``(1, C, H, W)`` into a picture ``(C, H, W)`` of 1 or 3 channels."""
        return self.picture(result[0])


def gaussian(size: int, sigma: float) -> NDArray[np.float32]:
    """Sample a Gaussian on ``size x size`` points and scale it to a sum of 1."""
    line = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
    line /= line.sum()
    return np.outer(line, line).astype(np.float32)


def bilinear(factor: int) -> NDArray[np.float32]:
    """Give the kernel of linear interpolation for an even ``factor``: ``2 factor`` taps a side."""
    line = 1 - np.abs((np.arange(2 * factor) - factor + 0.5) / factor)
    return np.outer(line, line).astype(np.float32)


FILTERS: dict[str, NDArray[np.float32]] = {
    "Gaussian blur": gaussian(9, 2.0),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32),
    "Sobel x": np.array([[-0.25, 0, 0.25], [-0.5, 0, 0.5], [-0.25, 0, 0.25]], np.float32),
    "Sobel y": np.array([[-0.25, -0.5, -0.25], [0, 0, 0], [0.25, 0.5, 0.25]], np.float32),
    "Laplacian": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32),
    "emboss": np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32),
}


def chain(height: int, width: int) -> list[Step]:
    """List the demo's steps for a photograph of ``height x width`` pixels."""
    window = (min(8, height), min(8, width))
    grid = tuple(max(1, round(32 * side / max(height, width))) for side in (height, width))
    area = window[0] * window[1]
    cell = (height // grid[0] + 2) * (width // grid[1] + 2)
    bank = filter_bank()
    smooth = np.zeros((3, 3, 9, 9), np.float32)
    smooth[range(3), range(3)] = FILTERS["Gaussian blur"]
    relief = LUMA[:, None, None] * FILTERS["emboss"]
    thumbnail = f"conv blur, stride {SHRINK}"
    return [
        *(depthwise(name, kernel) for name, kernel in FILTERS.items()),
        Step(f"conv RGB to {len(bank)} filters", fastconv.conv2d, bank, EDGES, bank[0].size, picture=tiled),
        Step("conv emboss, dilation 4", fastconv.conv2d, relief[None], {**EDGES, "dilation": 4}, relief.size),
        Step(thumbnail, fastconv.conv2d, smooth, {**EDGES, "stride": SHRINK}, smooth[0].size),
        Step(f"max pool {window[0]}x{window[1]}", fastconv.max_pool2d, None, {"kernel_size": window}),
        Step(
            f"average pool {window[0]}x{window[1]}", fastconv.avg_pool2d, None, {"kernel_size": window}, area
        ),
        Step(
            f"adaptive average {grid[0]}x{grid[1]}",
            fastconv.adaptive_avg_pool2d,
            None,
            {"output_size": grid},
            cell,
        ),
        Step(f"adaptive max {grid[0]}x{grid[1]}", fastconv.adaptive_max_pool2d, None, {"output_size": grid}),
        Step(
            f"transposed conv, {SHRINK}x up",
            enlarge,
            np.tile(bilinear(SHRINK), (3, 1, 1, 1)),
            terms=4,  # linear interpolation: every pixel lies between four
            source=thumbnail,
        ),
    ]


def depthwise(name: str, kernel: NDArray[np.float32]) -> Step:
    """Apply one filter to red, green and blue alike."""
    weight = np.tile(kernel, (3, 1, 1, 1))
    return Step(
        f"depthwise {name}",
        fastconv.depthwise_conv2d,
        weight,
        EDGES,
        kernel.size,
        picture=picture_of(kernel),
    )


def filter_bank() -> NDArray[np.float32]:
    """Stack all filters as one full convolution ``(6, 3, 9, 9)``, each on the photograph's brightness."""
    side = max(len(kernel) for kernel in FILTERS.values())
    bank = [np.pad(kernel, (side - len(kernel)) // 2) for kernel in FILTERS.values()]
    return np.stack(bank)[:, np.newaxis] * LUMA[:, None, None]


def enlarge(x: Array, weight: Array, backend: BackendName) -> Array:
    """Upsample by ``SHRINK`` with linear interpolation; a replicated pixel keeps the border bright."""
    padded = fastconv.pad2d(x, 1, mode="replicate")
    crop = SHRINK + SHRINK // 2
    return fastconv.conv_transpose2d(padded, weight, stride=SHRINK, padding=crop, groups=3, backend=backend)
