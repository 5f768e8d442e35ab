"""SciPy: ``scipy.ndimage.correlate`` and ``scipy.signal.fftconvolve``, for the filters of one image.

Called by `peers`. Modes ``"plan"`` and ``"call"`` are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import scipy
import scipy.fft
import scipy.ndimage
import scipy.signal

from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.peers import reading
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array

VERSION: str = scipy.__version__


def set_threads(n: int) -> None:
    """Nothing to set for the process: transforms are told at each call, and ndimage has one thread."""


class NdImage:
    """The sum itself, in float64, on one thread; a call for each channel."""

    name = "scipy.ndimage"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        found = _filter(layer, arrays, settings)
        if found is None:
            return None
        pairs = list(zip(found.planes, found.kernels, strict=True))

        def run() -> list[Array]:
            return [scipy.ndimage.correlate(plane, kernel, mode="constant") for plane, kernel in pairs]

        return PreparedLayer(run, _planes, "one thread")


class Signal:
    """By Fourier transforms of the image's dtype; on images of 2**20 pixels faster than by parts (``oaconvolve``)."""

    name = "scipy.signal"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        found = _filter(layer, arrays, settings)
        if found is None:
            return None
        kernels = np.ascontiguousarray(found.kernels[:, ::-1, ::-1])
        convolve = partial(scipy.signal.fftconvolve, found.planes, kernels, mode="same", axes=(1, 2))

        def run() -> Array:
            with scipy.fft.set_workers(settings.threads):
                result: Array = convolve()
            return result

        return PreparedLayer(run, _image, "FFT")


def _filter(layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> reading.Filter | None:
    if settings.mode == "gradient" or arrays["x"].dtype.name not in ("float32", "float64"):
        return None
    return reading.image_filter(layer, arrays)


def _planes(result: list[Array]) -> tuple[Array, ...]:
    return (np.stack(result)[None],)


def _image(result: Array) -> tuple[Array, ...]:
    return (result[None],)


RUNNERS = (NdImage(), Signal())
