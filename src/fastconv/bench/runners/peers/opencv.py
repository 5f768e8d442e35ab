"""OpenCV: ``cv2.filter2D``, for the filters of one image; ``cv2.dilate`` and ``cv2.boxFilter`` for its windows.

Called by `peers`. Modes ``"plan"`` and ``"call"`` are the same. By its documentation, kernels from about
11x11 on are applied by Fourier transforms; in version 5.0 these start no threads, while smaller kernels do.
Images are ``(H, W)`` or ``(H, W, C)``, as OpenCV has them; where the channels have different filters, there is a call
for each, on images of one channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import cv2
import numpy as np

from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.peers import reading
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array

VERSION: str = cv2.__version__
_KEEP_DTYPE = -1


def set_threads(n: int) -> None:
    """Of the process; takes effect at once."""
    cv2.setNumThreads(n)


class OpenCV:
    name = "opencv"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        if settings.mode == "gradient" or arrays["x"].dtype.name not in ("float32", "float64"):
            return None
        window = reading.image_window(layer, arrays)
        if window is not None:
            image = np.ascontiguousarray(np.moveaxis(window.planes, 0, -1))
            return PreparedLayer(partial(_window, image, *window[1:]), _interleaved)
        found = reading.image_filter(layer, arrays)
        if found is None:
            return None
        if found.same:
            image = np.ascontiguousarray(np.moveaxis(found.planes, 0, -1))
            return PreparedLayer(partial(_filter, image, found.kernels[0]), _interleaved)
        pairs = list(zip(found.planes, found.kernels, strict=True))
        return PreparedLayer(lambda: [_filter(*pair) for pair in pairs], _planes, "a call for each channel")


def _filter(image: Array, kernel: Array) -> Array:
    result: Array = cv2.filter2D(image, _KEEP_DTYPE, kernel, borderType=cv2.BORDER_CONSTANT)
    return result


def _window(image: Array, size: tuple[int, int], largest: bool) -> Array:
    result: Array = (
        cv2.dilate(
            image, np.ones(size, np.uint8), borderType=cv2.BORDER_CONSTANT
        )  # by default as low as can be
        if largest
        else cv2.boxFilter(image, _KEEP_DTYPE, size[::-1], borderType=cv2.BORDER_CONSTANT)
    )
    return result


def _interleaved(result: Array) -> tuple[Array, ...]:
    image = result if result.ndim == 3 else result[..., None]
    return (np.moveaxis(image, -1, 0)[None],)


def _planes(result: list[Array]) -> tuple[Array, ...]:
    return (np.stack(result)[None],)


RUNNERS = (OpenCV(),)
