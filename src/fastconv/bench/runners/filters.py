"""Filters of pictures as fastconv, SciPy, OpenCV, scikit-image and astropy call them. Called by `commands/filters.py`.

A library is asked in its best way: integers in and out where it takes them, all of the threads that it can use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastconv import ndimage, signal
from fastconv.typing import Array

LIBRARIES = {
    "scipy": "scipy.ndimage",
    "opencv": "cv2",
    "skimage": "skimage.filters",
    "astropy": "astropy.convolution",
}
SIZES = {"1 MP": (1000, 1000), "20 MP": (3888, 5184)}
Call = Callable[[], object]
_SPREAD, _REACH = 2.0, 6  # of the Gaussian: 13 pixels, for all libraries
_FILTERS = (
    "gaussian", "sobel", "kernel 3x3", "kernel 5x5", "kernel 11x11", "mean 5x5", "mean 31x31",
    "maximum 3x3", "maximum 15x15", "median 3x3", "median 5x5", "median 15x15", "large 127x127", "large 255x255",
    "NaN 11x11", "template 31x31",
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """What is filtered: a size of `SIZES`, a dtype and grey or RGB."""

    size: str
    dtype: str
    colour: str

    def pixels(self) -> Array:
        shape = SIZES[self.size] + ((3,) if self.colour == "RGB" else ())
        return np.random.default_rng(0).integers(0, 256, shape).astype(self.dtype)


def pictures() -> Iterator[Picture]:
    for size in SIZES:
        for dtype in ("uint8", "float32"):
            for colour in ("grey", "RGB"):
                yield Picture(size, dtype, colour)


def libraries(threads: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Those that are here, ready for so many threads, and why others are not."""
    found, missing = {}, {}
    for name, module in LIBRARIES.items():
        try:
            found[name] = importlib.import_module(module)
        except ImportError as error:
            missing[name] = str(error)
    if "opencv" in found:
        found["opencv"].setNumThreads(threads)
    return found, missing


def filter_names(picture: Picture) -> tuple[str, ...]:
    """Medians of many pixels are of bytes, large kernels and NaN of one plane of floats, templates of one plane."""
    return tuple(
        name
        for name in _FILTERS
        if not (name == "median 15x15" and picture.dtype != "uint8")
        and not (name.startswith(("large", "NaN")) and (picture.dtype, picture.colour) != ("float32", "grey"))
        and not (name.startswith("template") and picture.colour != "grey")
    )


def calls_of(name: str, x: Array, found: Mapping[str, Any], threads: int) -> dict[str, Call]:
    """That filter of the picture in every library that has it."""
    kind, _, size = name.partition(" ")
    count = int(size.partition("x")[0]) if size else 0
    kernel = np.random.default_rng(1).random((count or 1, count or 1))
    kernel /= kernel.sum()
    if kind == "NaN":  # one pixel in a hundred
        x = np.where(np.random.default_rng(2).random(x.shape) < 0.01, x.dtype.type(np.nan), x)
    own = _scipys(ndimage, signal, kind, count, kernel, x)
    assert own is not None
    calls = {"fastconv": own}
    others: dict[str, Callable[..., Call | None]] = {
        "scipy": partial(_scipys, workers=threads), "opencv": _opencvs, "skimage": _skimages, "astropy": _astropys,
    }  # fmt: skip
    for library, module in found.items():
        call = (
            others[library](module, importlib.import_module("scipy.signal"), kind, count, kernel, x)
            if library == "scipy"
            else others[library](module, kind, count, kernel, x)
        )
        if call is not None:
            calls[library] = call
    return calls


def _scipys(
    filters: Any, transforms: Any, kind: str, count: int, kernel: Array, x: Array, workers: int | None = None
) -> Call | None:
    options: dict[str, Any] = {"mode": "mirror"}
    own = workers is None
    if own and x.dtype == np.uint8 and kind in ("gaussian", "kernel", "mean"):
        options["saturate"] = True  # as OpenCV
    if kind in ("NaN", "template"):
        if not own:
            return None
        if kind == "NaN":
            return lambda: filters.convolve(x, kernel, mode="constant", nan_policy="interpolate")
        return lambda: filters.match_template(x, _middle(x, count))
    if kind == "large":
        weights = kernel.astype(x.dtype)
        if own:
            return lambda: transforms.fftconvolve(x, weights, "same")
        scipy_fft = importlib.import_module("scipy.fft")

        def convolve() -> Any:
            with scipy_fft.set_workers(workers):
                return transforms.fftconvolve(x, weights, "same")

        return convolve
    if kind == "gaussian":
        return lambda: filters.gaussian_filter(x, _SPREAD, radius=_REACH, axes=(0, 1), **options)
    if kind == "sobel":
        if x.ndim == 2:
            return lambda: filters.sobel(x, 1, np.float32, **options)
        if own:
            weights = np.outer([1, 2, 1], [-1, 0, 1])[..., None]
            return lambda: filters.correlate(x, weights, np.float32, **options)
        line = partial(filters.correlate1d, output=np.float32, **options)
        return lambda: line(line(x, [-1, 0, 1], 1), [1, 2, 1], 0)
    if kind == "kernel":
        weights = kernel[..., None] if x.ndim == 3 else kernel
        return lambda: filters.correlate(x, weights, **options)
    function = {"mean": "uniform_filter", "maximum": "maximum_filter", "median": "median_filter"}[kind]
    return lambda: getattr(filters, function)(x, count, axes=(0, 1), **options)


def _middle(x: Array, count: int) -> Array:
    """A part of a picture that is looked for in it."""
    row, column = ((size - count) // 2 for size in x.shape)
    return x[row : row + count, column : column + count]


def _opencvs(cv2: Any, kind: str, count: int, kernel: Array, x: Array) -> Call | None:
    if kind == "gaussian":
        return lambda: cv2.GaussianBlur(x, (2 * _REACH + 1,) * 2, _SPREAD)
    if kind == "sobel":
        return lambda: cv2.Sobel(x, cv2.CV_32F, 1, 0)
    if kind == "mean":
        return lambda: cv2.blur(x, (count, count))
    if kind == "maximum":
        box = np.ones((count, count), np.uint8)
        return lambda: cv2.dilate(x, box)
    if kind == "median":
        return lambda: cv2.medianBlur(x, count)
    if kind == "template":
        part = np.ascontiguousarray(_middle(x, count))
        return lambda: cv2.matchTemplate(x, part, cv2.TM_CCOEFF_NORMED)
    if kind == "NaN":
        return None
    return lambda: cv2.filter2D(x, -1, kernel)


def _skimages(filters: Any, kind: str, count: int, kernel: Array, x: Array) -> Call | None:
    channels = -1 if x.ndim == 3 else None
    if kind == "gaussian":
        return lambda: filters.gaussian(
            x, _SPREAD, mode="mirror", truncate=_REACH / _SPREAD, preserve_range=True, channel_axis=channels
        )
    if kind == "median" and x.ndim == 2:
        box = np.ones((count, count), bool)
        return lambda: filters.median(x, box)
    if kind == "template":
        feature = importlib.import_module("skimage.feature")
        return lambda: feature.match_template(x, _middle(x, count))
    if kind == "maximum" and x.ndim == 2:
        morphology = importlib.import_module("skimage.morphology")
        box = np.ones((count, count), bool)
        return lambda: morphology.dilation(x, box)
    return None


def _astropys(convolution: Any, kind: str, count: int, kernel: Array, x: Array) -> Call | None:
    if x.ndim == 3 or kind not in ("kernel", "large", "NaN") or count % 2 == 0:
        return None
    function = convolution.convolve_fft if kind == "large" else convolution.convolve
    return lambda: function(x, kernel, normalize_kernel=False)
