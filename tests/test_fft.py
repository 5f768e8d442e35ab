"""The `fft` algorithm beyond what every algorithm is tested for: long rows, whose tiles follow the kernel, also with
strides and dilations; its choice; its memory. The reference is NumPy's sum in float64."""

import numpy as np
import pytest

import fastconv
from checks import eps, normal
from conftest import COMPILED
from fastconv import grad

pytestmark = pytest.mark.parametrize("backend", COMPILED, indirect=True)


def correlation(x, weight, stride=1, dilation=1, padding=0):
    """The definition, for (N, C, W) and (F, C, K) in float64."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    spread = np.zeros((*weight.shape[:2], (weight.shape[2] - 1) * dilation + 1))
    spread[..., ::dilation] = weight
    planes = [
        sum(np.correlate(plane, row, "valid") for plane, row in zip(image, rows, strict=True))[::stride]
        for image in x
        for rows in spread
    ]
    return np.reshape(planes, (len(x), len(weight), -1))


def assert_near(actual, expected, dtype):
    """An FFT's error follows the root of the mean square, and hardly grows with the number of terms."""
    assert actual.dtype == dtype
    error = np.abs(actual - expected).max()
    assert error < 40 * eps(dtype) * np.sqrt(np.square(expected).mean())


# (batch, channels, length), (filters, channels, taps), options
ROWS = {
    "one tile": ((1, 1, 100), (1, 1, 31), {}),
    "many tiles": ((1, 1, 30_000), (1, 1, 40), {}),
    "long kernel": ((1, 1, 9000), (1, 1, 4096), {}),
    "kernel as long as the row": ((1, 2, 3000), (2, 2, 3000), {}),
    "kernel longer than the row": ((1, 1, 500), (1, 1, 1200), {"padding": 400}),
    "channels and filters": ((2, 3, 2500), (5, 3, 129), {"padding": 64}),
    "many channels": ((1, 150, 700), (3, 150, 65), {"padding": 3}),
    "stride": ((2, 2, 4000), (3, 2, 101), {"stride": 3, "padding": 7}),
    "stride above the kernel": ((1, 1, 400), (2, 1, 5), {"stride": 7}),
    "dilation": ((1, 2, 5000), (3, 2, 60), {"dilation": 11, "padding": 100}),
    "dilation above the row": ((1, 1, 90), (1, 1, 5), {"dilation": 70, "padding": 200}),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(backend, layout, dtype, name):
    shape, kernel, options = ROWS[name]
    x, weight = normal(shape), normal(kernel)
    expected = correlation(x, weight, **options)
    arrays = (x, weight) if layout == "NCHW" else (x.mT, weight.transpose(2, 1, 0))
    arrays = [np.ascontiguousarray(array, dtype) for array in arrays]
    actual = fastconv.conv1d(*arrays, layout=layout, algorithm="fft", **options)
    assert_near(actual if layout == "NCHW" else actual.mT, expected, dtype)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_transposed_rows_spread_every_value(backend, layout, dtype, stride):
    x, weight = normal((2, 3, 700)), normal((3, 2, 211))
    spread = np.zeros((2, 3, 699 * stride + 1))
    spread[..., ::stride] = x
    expected = correlation(spread, weight.transpose(1, 0, 2)[..., ::-1], padding=210)
    arrays = (x, weight) if layout == "NCHW" else (x.mT, weight.transpose(2, 1, 0))
    arrays = [np.ascontiguousarray(array, dtype) for array in arrays]
    actual = fastconv.conv_transpose1d(*arrays, stride=stride, layout=layout, algorithm="fft")
    assert_near(actual if layout == "NCHW" else actual.mT, expected, dtype)


# Along each axis: pixels, taps, stride, padding, dilation. Phases may have one output or one tap fewer than others.
TRANSPOSED = {
    "the first outputs are not of the first tap": ((45, 15, 2, 1, 1), (45, 15, 2, 1, 1)),
    "phases end apart": ((51, 11, 3, 4, 1), (20, 8, 5, 3, 1)),
    "some phases have one tap": ((64, 3, 2, 0, 3), (64, 31, 2, 0, 1)),
    "some phases have one tap, of a wide stride": ((150, 9, 5, 6, 7), (50, 30, 4, 0, 3)),
    "dilated": ((70, 13, 3, 5, 4), (90, 40, 2, 9, 5)),
    "fewer outputs than subimages": ((2, 60, 2, 145, 5), (60, 35, 3, 4, 4)),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_every_phase_of_a_transposed_convolution(backend, layout, dtype, name):
    pixels, taps, stride, padding, dilation = zip(*TRANSPOSED[name], strict=True)
    x, weight = normal((2, 1, *pixels)), normal((1, 2, *taps))
    last = [(n - 1) * s for n, s in zip(pixels, stride, strict=True)]
    sums = np.zeros((2, 2, *(a + (t - 1) * d + 1 for a, t, d in zip(last, taps, dilation, strict=True))))
    for at in np.ndindex(*taps):
        windows = (
            slice(i * d, i * d + a + 1, s) for i, d, a, s in zip(at, dilation, last, stride, strict=True)
        )
        sums[:, :, *windows] += x * weight[0, :, *at, None, None]
    expected = sums[:, :, *(slice(p, n - p) for p, n in zip(padding, sums.shape[2:], strict=True))]
    if layout == "NHWC":
        x, weight, expected = (
            x.transpose(0, 2, 3, 1),
            weight.transpose(2, 3, 1, 0),
            expected.transpose(0, 2, 3, 1),
        )
    x, weight = np.ascontiguousarray(x, dtype), np.ascontiguousarray(weight, dtype)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "layout": layout}
    for algorithm in (None, "fft"):
        actual = np.full(expected.shape, np.nan, dtype)  # what is not written shows
        fastconv.conv_transpose2d(x, weight, algorithm=algorithm, out=actual, **options)
        assert_near(actual, expected, dtype)


def test_a_plan_takes_images_of_any_size(backend, dtype):
    """The tiles follow the image, and with them the form of the weights."""
    weight = normal((2, 1, 1, 50))
    plan = fastconv.plan_conv2d(weight.astype(dtype), algorithm="fft")
    for width in (51, 100, 3000, 200, 40_000, 51):
        x = normal((1, 1, 3, width))
        expected = np.stack([correlation(row[None, None], weight[:, 0])[0] for row in x[0, 0]], 1)
        assert_near(plan(x.astype(dtype))[0], expected, dtype)


def test_a_long_kernel_gets_its_input_gradient_by_fft(backend):
    x, weight = normal((1, 1, 6000), dtype=np.float32), normal((1, 1, 3000), dtype=np.float32)
    upstream = normal((1, 1, 3001), dtype=np.float32)
    actual = grad.conv1d(x, weight, upstream)[0]
    expected = correlation(upstream.astype(np.float64), weight.astype(np.float64)[..., ::-1], padding=2999)
    assert_near(actual, expected, np.float32)


@pytest.mark.parametrize(("width", "taps", "expected"), [
    (100_000, 3, "direct"),
    (100_000, 1001, "fft"),
    (100_000, 20_000, "fft"),
    (1_000_000, 5, "direct"),
    (1_000_000, 4096, "fft"),
])  # fmt: skip
def test_the_choice_follows_the_kernel(backend, width, taps, expected):
    plan = fastconv.plan_conv2d(np.ones((1, 1, 1, taps), np.float32))
    assert (plan.algorithm((1, 1, 1, width)) == "fft") == (expected == "fft")


def test_the_workspace_follows_the_kernel_and_not_the_signal(backend):
    plan = fastconv.plan_conv2d(np.ones((1, 1, 1, 1001), np.float32), algorithm="fft")
    for width in (10**5, 10**6, 10**7, 10**9):
        lines = plan.explain((1, 1, 1, width)).splitlines()
        size = next(line for line in lines if line.startswith("workspace"))
        assert int(size.split()[1].replace(",", "")) < 2**20


# (height, width), (taps down, taps across), padding
PLANES = {
    "a tile of 3s and 5s": ((88, 230), (9, 31), (4, 15)),
    "several tiles": ((300, 700), (31, 17), (15, 8)),
    "more rows than columns": ((900, 40), (301, 9), (150, 4)),
    "more columns than rows": ((3, 5000), (3, 1201), (1, 600)),
    "one row of pixels, two of taps": ((1, 3000), (2, 501), (1, 0)),
    "kernel as large as the image": ((200, 210), (200, 210), (199, 209)),
    "kernel larger than the image": ((60, 50), (130, 120), (100, 90)),
    "a tile that threads share": ((1040, 1100), (533, 500), (266, 250)),
}


@pytest.mark.parametrize("name", PLANES)
def test_planes(backend, dtype, name):
    """Against NumPy's transforms in float64."""
    shape, taps, (down, across) = PLANES[name]
    x, weight = normal(shape), normal(taps, seed=1)
    sizes = [size + 2 * pad + tap for size, pad, tap in zip(shape, (down, across), taps, strict=True)]
    padded = np.pad(x, ((down, down), (across, across)))
    product = np.fft.rfft2(padded, sizes) * np.fft.rfft2(weight, sizes).conj()
    counts = [size + 2 * pad - tap + 1 for size, pad, tap in zip(shape, (down, across), taps, strict=True)]
    expected = np.fft.irfft2(product, sizes)[: counts[0], : counts[1]]
    actual = fastconv.conv2d(
        x[None].astype(dtype), weight[None, None].astype(dtype), padding=(down, across), algorithm="fft"
    )
    assert_near(actual[0], expected, dtype)


@pytest.mark.usefixtures("threads_restored")
def test_a_shared_tile_has_the_bits_of_one_thread(backend):
    x, weight = normal((1, 1100, 1030), dtype=np.float32), normal((1, 1, 500, 533), dtype=np.float32)
    results = []
    for count in (1, 2):
        fastconv.set_num_threads(count)
        results.append(fastconv.conv2d(x, weight, padding="same", algorithm="fft"))
    np.testing.assert_array_equal(*results)
