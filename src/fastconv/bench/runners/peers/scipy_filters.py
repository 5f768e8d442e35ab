"""SciPy: ``scipy.ndimage`` and ``scipy.signal``, for the filters of one image or signal, and for its windows.

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
    """The sum itself, in float64, on one thread; a call for each channel. And poolings with stride 1."""

    name = "scipy.ndimage"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        window = _allowed(arrays, settings) and reading.image_window(layer, arrays)
        if window:
            size = (1, *window.size)
            if window.largest:
                run = partial(
                    scipy.ndimage.maximum_filter, window.planes, size, mode="constant", cval=-np.inf
                )
            else:
                run = partial(scipy.ndimage.uniform_filter, window.planes, size, mode="constant")
            return PreparedLayer(run, _image, "one thread")
        found = _filter(layer, arrays, settings)
        if found is None:
            return None
        pairs = list(zip(found.planes, found.kernels, strict=True))

        def correlate() -> list[Array]:
            return [scipy.ndimage.correlate(plane, kernel, mode="constant") for plane, kernel in pairs]

        return PreparedLayer(correlate, _planes, "one thread")


class Signal:
    """By Fourier transforms of the image's dtype: of signals by parts, which on images of 2**20 pixels is slower."""

    name = "scipy.signal"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        found = _filter(layer, arrays, settings)
        if found is None:
            return None
        kernels = np.ascontiguousarray(found.kernels[:, ::-1, ::-1])
        if found.planes.shape[1] == 1 == kernels.shape[1]:
            convolve = partial(scipy.signal.oaconvolve, found.planes, kernels, mode="same", axes=2)
        else:
            convolve = partial(scipy.signal.fftconvolve, found.planes, kernels, mode="same", axes=(1, 2))

        def run() -> Array:
            with scipy.fft.set_workers(settings.threads):
                result: Array = convolve()
            return result

        return PreparedLayer(run, _image, "FFT")


def _filter(layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> reading.Filter | None:
    return reading.image_filter(layer, arrays) if _allowed(arrays, settings) else None


def _allowed(arrays: Mapping[str, Array], settings: Settings) -> bool:
    return settings.mode != "gradient" and arrays["x"].dtype.name in ("float32", "float64")


def _planes(result: list[Array]) -> tuple[Array, ...]:
    return (np.stack(result)[None],)


def _image(result: Array) -> tuple[Array, ...]:
    return (result[None],)


RUNNERS = (NdImage(), Signal())
