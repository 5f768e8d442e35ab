"""How much each algorithm of the compiled backend errs, how far it spreads a NaN, and that threads change no bit.

Errors are multiples of the direct float32 sum's, on the same data, against the direct float64 sum, which other tests
verify. That is what `precision` promises: at most 8 times for "fast", 3 times for "strict".
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest

import fastconv
from checks import DIRECT, eps, from_layout, normal, to_layout, unless_refused, weight_to_layout
from conftest import COMPILED

pytestmark = pytest.mark.parametrize("backend", COMPILED, indirect=True)

LIMITS = {"fast": 8, "strict": 3}
FILTERS = 16
GROUPED = ("depthwise", "grouped")  # need groups of few channels, and the second NHWC
CHANNELS = (1, 2, 4, 16, 64, 256, 1024)
KERNELS = {
    "3x3": ("conv2d", (3, 3), {"padding": 1}),
    "3x3 stride 2": ("conv2d", (3, 3), {"padding": 1, "stride": 2}),
    "3x3 dilation 2": ("conv2d", (3, 3), {"padding": 2, "dilation": 2}),
    "5x5": ("conv2d", (5, 5), {"padding": 2}),
    "7x7 stride 2": ("conv2d", (7, 7), {"padding": 3, "stride": 2}),
    "1x7": ("conv2d", (1, 7), {"padding": (0, 3)}),
    "1x31": ("conv2d", (1, 31), {"padding": (0, 15)}),
    "11x11": ("conv2d", (11, 11), {"padding": 2}),
    "transposed 4x4 stride 2": ("conv_transpose2d", (4, 4), {"padding": 1, "stride": 2}),
    "depthwise 3x3": ("depthwise_conv2d", (3, 3), {"padding": 1}),
    "depthwise 3x3, NHWC": ("depthwise_conv2d", (3, 3), {"padding": 1, "layout": "NHWC"}),
}


def spread(x):
    return x * 10 ** np.random.default_rng(5).uniform(-2, 2, x.shape)


# Data whose large part cancels, or whose large pixels share a tile with small ones.
DATA = {
    "normal": lambda x: x,
    "offset": lambda x: x + 1e4,
    "range 1e4": spread,
    "constant": lambda x: np.full_like(x, x.flat[0]),
}


def algorithms():
    """All but "direct", and but those that do transposed convolutions only; where the backend cannot be loaded,
    none, for the fixture to say why."""
    if "cython" not in fastconv.available_backends():
        return [None]
    return [name for name in fastconv.algorithms("cython") if name != "direct" and "transposed" not in name]


class Problem(NamedTuple):
    kernel: str
    channels: int
    data: str

    @property
    def seeds(self):
        """The largest error of one run is an accident, up to twice the usual one; with few channels above all."""
        return range(12 if self.channels <= 16 else 3)

    def arguments(self, seed):
        """x and weight, the same numbers in float32 and float64."""
        operation, size, _ = KERNELS[self.kernel]
        pixels = 20 if self.channels < 1024 else 9
        x = DATA[self.data](normal((1, self.channels, pixels, pixels), seed)).astype(np.float32)
        outer, inner = FILTERS, self.channels
        if operation == "depthwise_conv2d":
            outer, inner = max(FILTERS, self.channels), 1
        elif operation == "conv_transpose2d":
            outer, inner = inner, outer
        layout = KERNELS[self.kernel][2].get("layout", "NCHW")
        return to_layout(x, layout), weight_to_layout(normal((outer, inner, *size), seed, np.float32), layout)

    def run(self, seed, dtype, algorithm, precision="fast"):
        operation, _, options = KERNELS[self.kernel]
        arrays = (array.astype(dtype) for array in self.arguments(seed))
        return getattr(fastconv, operation)(*arrays, algorithm=algorithm, precision=precision, **options)


class Error(NamedTuple):
    """Root of the mean square over all seeds, and the mean of the largest errors."""

    rms: float
    most: float

    @classmethod
    def of(cls, differences):
        squares = [np.square(difference).mean() for difference in differences]
        return cls(np.mean(squares) ** 0.5, np.mean([np.abs(difference).max() for difference in differences]))


@functools.cache
def exact(problem, seed):
    return problem.run(seed, np.float64, "direct")


def error_of(problem, algorithm, precision="fast"):
    return Error.of(
        [problem.run(seed, np.float32, algorithm, precision) - exact(problem, seed) for seed in problem.seeds]
    )


@functools.cache
def error_of_direct(problem, instruction_set):
    """On that instruction set, which is the current one. `im2col` cuts long sums, and errs less."""
    depthwise = KERNELS[problem.kernel][0] == "depthwise_conv2d"
    return error_of(problem, "direct" if depthwise else "direct_channels")


def multiples(algorithm, precision, data):
    """(problem, rms, max) for every problem that the algorithm accepts."""
    from fastconv.backends import cython

    for kernel in KERNELS:
        for channels in CHANNELS:
            problem = Problem(kernel, channels, data)
            error = unless_refused(error_of, problem, algorithm, precision)
            if error is not None:
                direct = error_of_direct(problem, cython.INSTRUCTION_SET)
                yield problem, error.rms / direct.rms, error.most / direct.most


def least_accepted(algorithm, precision):
    """How many of the 77 problems are accepted: a precision that refuses everything is kept, and of no use."""
    if algorithm in GROUPED:
        return 5
    if algorithm == "fft":
        return 10
    return 40 if precision == "fast" else 5


@pytest.mark.slow("cython-avx2", "cython-baseline")
@pytest.mark.parametrize(
    "data", ["normal", *(pytest.param(data, marks=pytest.mark.slow) for data in DATA if data != "normal")]
)
@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize("algorithm", [name for name in algorithms() if name != "dot_products"])
def test_errors_stay_within_the_precision(backend, algorithm, precision, data):
    found = list(multiples(algorithm, precision, data))
    assert len(found) >= least_accepted(algorithm, precision)
    limit = LIMITS[precision]
    assert not [(problem, rms) for problem, rms, _ in found if not rms < limit]
    if data == "normal":  # elsewhere a few large pixels, or a few filters, make the largest error
        assert not [(problem, most) for problem, _, most in found if not most < limit]


@pytest.mark.parametrize(
    ("algorithm", "kernel"),
    [
        ("winograd2", "5x5"),
        ("winograd3", "3x3"),
        ("winograd3", "5x5"),
        ("winograd4", "3x3"),
        ("winograd4", "3x3 dilation 2"),
        ("winograd4", "7x7 stride 2"),
    ],
)
def test_errors_where_strict_begins_to_accept(backend, algorithm, kernel):
    """With the fewest channels: more of them err less, relative to the direct sum."""
    if backend != "cython":
        pytest.skip("the other backends have no such algorithm")
    from fastconv.backends import cython

    for channels in range(1, 100):
        problem = Problem(kernel, channels, "normal")
        if unless_refused(problem.run, 0, np.float32, algorithm, "strict") is not None:
            break
    assert 1 < channels < 99
    error, direct = error_of(problem, algorithm), error_of_direct(problem, cython.INSTRUCTION_SET)
    assert error.rms < 3 * direct.rms
    assert error.most < 3 * direct.most


@pytest.mark.parametrize("precision", LIMITS)
def test_kernels_that_cover_the_image(backend, precision):
    """`dot_products` does no others, so none of those above: it errs as the direct sum does."""
    if backend != "cython":
        pytest.skip("the other backends have no such algorithm")
    x, weight = normal((16, 300, 7, 7), 1), normal((40, 300, 7, 7), 2)
    arrays = x.astype(np.float32), weight.astype(np.float32)
    exact_sums = fastconv.conv2d(*(a.astype(np.float64) for a in arrays), algorithm="direct")
    rms = {
        name: np.sqrt(
            np.square(fastconv.conv2d(*arrays, algorithm=name, precision=precision) - exact_sums).mean()
        )
        for name in ("dot_products", "direct_channels")
    }
    assert rms["dot_products"] < 1.2 * rms["direct_channels"]


def test_direct_errs_as_its_arithmetic_says(backend):
    """Else the multiples above would mean nothing: they would be small if "direct" were bad."""
    for kernel, (operation, _, options) in KERNELS.items():
        for channels in CHANNELS:
            problem = Problem(kernel, channels, "normal")
            magnitudes = (np.abs(array).astype(np.float64) for array in problem.arguments(0))
            bound = getattr(fastconv, operation)(*magnitudes, algorithm="direct", **options)
            difference = np.abs(problem.run(0, np.float32, "direct") - exact(problem, 0))
            assert 0 < (difference / bound).max() < DIRECT * eps(np.float32), problem


# ---- NaN and infinity ----


def tile_of(algorithm):
    return int(algorithm.removeprefix("winograd")) if algorithm.startswith("winograd") else 1


def whole_tiles(pixels, tile):
    """Every pixel of the tiles, aligned at multiples of `tile`, in which one is set."""
    height, width = pixels.shape
    padded = np.pad(pixels, ((0, -height % tile), (0, -width % tile)))
    tiles = padded.reshape(padded.shape[0] // tile, tile, -1, tile).any(axis=(1, 3))
    return tiles.repeat(tile, axis=0).repeat(tile, axis=1)[:height, :width]


def outputs_that_see(pixel, size, stride):
    """The outputs of a 3x3 kernel with padding 1 whose window holds the pixel."""
    rows, columns = (abs(np.arange(0, n, stride) - at) <= 1 for at, n in zip(pixel, size, strict=True))
    return rows[:, None] & columns


@pytest.mark.parametrize("channels", [1, 3, 70])  # with few, the segments of stride 2 share their points
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("algorithm", ["direct", *algorithms()])
def test_nan_and_infinity_stay_in_their_tile(backend, algorithm, stride, channels, layout):
    """Every output whose window holds the pixel shows it, and nothing beyond the tiles of these outputs does."""
    size, at, depthwise = (14, 17), channels // 2, algorithm in GROUPED
    x = normal((1, channels, *size), dtype=np.float32)
    weight = normal((channels, 1, 3, 3) if depthwise else (19, channels, 3, 3), dtype=np.float32)
    weight = weight_to_layout(weight, layout)
    options = {"stride": stride, "padding": 1, "groups": channels if depthwise else 1}
    options |= {"layout": layout, "algorithm": algorithm}
    if unless_refused(fastconv.conv2d, to_layout(x, layout), weight, **options) is None:
        refused = {("direct_pixels", "NHWC"), ("grouped", "NCHW"), ("grouped", 1), ("winograd4", 1)}
        refused |= {("dot_products", layout), ("fft", layout)}  # for the second see below
        assert refused & {(algorithm, layout), (algorithm, channels)}
        return
    planes = slice(at, at + 1) if depthwise else slice(None)
    for pixel in np.ndindex(size):
        values = x.copy()
        values[0, at, *pixel] = (np.nan, np.inf, -np.inf)[sum(pixel) % 3]
        with np.errstate(invalid="ignore"):  # infinity - infinity
            actual = fastconv.conv2d(to_layout(values, layout), weight, **options)
        shown = ~np.isfinite(from_layout(actual, layout)[0])
        seen = outputs_that_see(pixel, size, stride)
        assert shown[planes, seen].all(), f"the value of pixel {pixel} is lost"
        shown[planes, whole_tiles(seen, tile_of(algorithm))] = False
        assert not shown.any(), (
            f"the value of pixel {pixel} reaches outputs {np.argwhere(shown.any(0)).tolist()}"
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_with_fft_nan_and_infinity_reach_what_sees_them_and_no_other_image_or_group(backend, layout, value):
    x = normal((3, 4, 90, 150), dtype=np.float32)
    x[1, 2, 40, 70] = value
    weight = weight_to_layout(normal((6, 2, 9, 7), dtype=np.float32), layout)
    with np.errstate(invalid="ignore"):
        actual = fastconv.conv2d(to_layout(x, layout), weight, groups=2, layout=layout, algorithm="fft")
    shown = ~np.isfinite(from_layout(actual, layout))
    assert shown[1, 3:, 32:41, 64:71].all()
    shown[1, 3:] = False
    assert not shown.any()


# ---- threads ----

LAYERS = {
    "many pixels": ((3, 48, 40, 37), (80, 48, 3, 3), 1, 1),
    "many weights": ((1, 256, 7, 7), (256, 256, 3, 3), 1, 1),
    "all of an image": ((29, 60, 3, 5), (130, 60, 3, 5), 1, 0),
    "all of an image, groups": ((70, 20, 1, 1), (92, 5, 1, 1), 4, 0),
    "small planes": ((5, 70, 6, 5), (70, 1, 3, 3), 70, 1),
    "depthwise": ((3, 96, 40, 37), (96, 1, 3, 3), 96, 1),
    "large kernel": ((3, 3, 60, 130), (5, 3, 13, 9), 1, 1),
    "small images, long sums": ((37, 130, 1, 2), (900, 130, 3, 3), 1, 1),
    "few rows of several filters": ((1, 5, 11, 3000), (10, 1, 5, 5), 5, 1),
}


@pytest.mark.parametrize("algorithm", algorithms())
def test_bits_of_every_algorithm_do_not_depend_on_the_number_of_threads(backend, algorithm, layout, dtype):
    accepted = 0
    for shape, weight, groups, padding in LAYERS.values():
        arrays = (
            to_layout(normal(shape, dtype=dtype), layout),
            weight_to_layout(normal(weight, dtype=dtype), layout),
        )
        options = {"padding": padding, "groups": groups, "layout": layout, "algorithm": algorithm}
        with fastconv.num_threads(1):
            expected = unless_refused(fastconv.conv2d, *arrays, **options)
        if expected is None:
            continue
        accepted += 1
        for count in (2, 3, 5, 8):
            with fastconv.num_threads(count):
                np.testing.assert_array_equal(fastconv.conv2d(*arrays, **options), expected)
    refused = {("direct_pixels", "NHWC"), ("dot_products", "NHWC"), ("grouped", "NCHW")}
    if (algorithm, layout) not in refused:
        assert accepted >= (1 if algorithm in (*GROUPED, "fft") else 2)
