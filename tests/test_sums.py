"""Sums over images, windows and batches keep their digits, however many terms they have.

Equal terms are the hardest: every addition rounds the same way. All terms are positive, so that the error is measured
against the sum itself.
"""

import math

import numpy as np
import pytest

import fastconv
import reference_grad
from checks import from_layout, to_layout, weight_to_layout
from conftest import skip_unless_available
from fastconv import grad
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.pooling import AdaptiveWindows

# What is promised for float32, as a multiple of eps; for float64 the same multiple.
LIMIT = 1e-6 / np.finfo(np.float32).eps


def terms(kind, shape, dtype):
    if kind == "equal":
        return np.full(shape, 0.1, dtype)
    return np.random.default_rng(shape).random(shape).astype(dtype)


@pytest.fixture(params=["equal", "random"])
def kind(request):
    return request.param


def check(actual, exact, magnitude=None, limit=LIMIT):
    """`magnitude`: the sum of the terms without signs, where they have some."""
    exact = np.asarray(exact, np.longdouble)
    error = np.abs(actual.astype(np.longdouble) - exact) / (np.abs(exact) if magnitude is None else magnitude)
    assert error.max() < limit * np.finfo(actual.dtype).eps


def exact(x):
    return x.astype(np.longdouble)


def window_sums(x, kernel, stride):
    """Exact sums of the windows of (N, C, H, W), by sums of everything above and to the left."""
    area = np.zeros((*x.shape[:2], x.shape[2] + 1, x.shape[3] + 1), np.longdouble)
    area[:, :, 1:, 1:] = exact(x).cumsum(2).cumsum(3)
    first = [np.arange(0, n - k + 1, s) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    (top, left), (bottom, right) = first, [f + k for f, k in zip(first, kernel, strict=True)]

    def corner(rows, columns):
        return area[:, :, rows][:, :, :, columns]

    return corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left)


# ---------------------------------------------------------------------------------------------- pooling


@pytest.mark.parametrize(
    "shape", [(1, 3, 300, 301), (2, 5, 7, 7), (1, 1, 3, 40000), (1, 600, 40, 41)], ids=str
)
def test_mean_of_an_image(backend, layout, dtype, kind, shape):
    x = terms(kind, shape, dtype)
    actual = fastconv.global_avg_pool2d(to_layout(x, layout), layout=layout)
    check(from_layout(actual, layout), exact(x).mean((2, 3), keepdims=True))


def test_mean_of_many_pixels(layout):
    """So many that what the total loses would itself lose digits; the reference backend is slow here."""
    for backend in ("cython", "numba"):
        if backend in fastconv.available_backends():
            x = np.full(to_layout(np.empty((1, 1, 2048, 2048), bool), layout).shape, 0.1, np.float32)
            check(fastconv.global_avg_pool2d(x, layout=layout, backend=backend), np.float32(0.1))


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((1, 2, 3, 9000), (2, 4096), (1, 300)),
        ((1, 2, 9000, 3), (4096, 2), (300, 1)),
        ((1, 3, 120, 130), (100, 90), (1, 1)),
        ((1, 20, 60, 60), (20, 20), (3, 2)),
    ],
    ids=str,
)
def test_mean_of_a_window(backend, layout, dtype, kind, shape, kernel, stride):
    x = terms(kind, shape, dtype)
    actual = fastconv.avg_pool2d(to_layout(x, layout), kernel, stride, layout=layout)
    check(from_layout(actual, layout), window_sums(x, kernel, stride) / math.prod(kernel))


def test_mean_of_uneven_windows(backend, layout, dtype, kind):
    x = terms(kind, (1, 2, 301, 203), dtype)
    rows, columns = AdaptiveWindows(301, 4).tables(), AdaptiveWindows(203, 3).tables()
    expected = [
        [
            exact(x[0, :, a:b, c:d]).mean((1, 2))
            for c, d in zip(columns.start[0], columns.stop[0], strict=True)
        ]
        for a, b in zip(rows.start[0], rows.stop[0], strict=True)
    ]
    actual = fastconv.adaptive_avg_pool2d(to_layout(x, layout), (4, 3), layout=layout)
    check(from_layout(actual, layout)[0], np.moveaxis(expected, 2, 0))


@pytest.mark.parametrize("power", [1, 2, 3])
def test_norm_of_a_window(backend, layout, dtype, kind, power):
    x = terms(kind, (1, 2, 200, 201), dtype)
    actual = fastconv.lp_pool2d(to_layout(x, layout), power, (200, 201), layout=layout)
    expected = (exact(x) ** power).sum((2, 3), keepdims=True) ** (1 / np.longdouble(power))
    check(from_layout(actual, layout), expected)


@pytest.mark.parametrize("value", [3e38, 1e30, 1e-30, 2e-38])
@pytest.mark.parametrize("power", [1, 2, 3, 7])
def test_norm_and_its_gradient_have_the_range_of_float64(backend, layout, value, power):
    x = to_layout(np.full((1, 1, 2, 2), value, np.float32), layout)
    x.flat[1:] = 0
    actual = fastconv.lp_pool2d(x, power, 2, layout=layout)
    np.testing.assert_allclose(actual.ravel(), np.float32(value), rtol=1e-6)
    actual = grad.lp_pool2d(np.ones_like(actual), x, power, 2, layout=layout)
    np.testing.assert_allclose(actual.ravel(), [1, 0, 0, 0], rtol=1e-6)


def test_mean_weighted_by_itself(backend, layout, dtype, kind):
    x = terms(kind, (1, 2, 200, 201), dtype)
    actual = fastconv.stochastic_pool2d(to_layout(x, layout), (200, 201), training=False, layout=layout)
    expected = np.square(exact(x)).sum((2, 3), keepdims=True) / exact(x).sum((2, 3), keepdims=True)
    check(from_layout(actual, layout), expected)


@pytest.mark.parametrize("where", [0, 5000, 39999])
def test_infinity_and_nan_stay_what_they_are(backend, layout, dtype, where):
    x = np.ones((1, 3, 200, 200), dtype)
    planes = x.reshape(3, -1)
    planes[0, where], planes[1, where], planes[2, where] = np.inf, -np.inf, np.nan
    expected = [np.inf, -np.inf, np.nan]
    image = to_layout(x, layout)
    np.testing.assert_array_equal(fastconv.global_avg_pool2d(image, layout=layout).ravel(), expected)
    np.testing.assert_array_equal(grad.conv2d_bias(image, layout=layout), expected)
    half = fastconv.avg_pool2d(image, (100, 200), layout=layout)
    np.testing.assert_array_equal(from_layout(half, layout)[0, :, where // 20000, 0], expected)
    np.testing.assert_array_equal(from_layout(half, layout)[0, :, 1 - where // 20000, 0], 1)


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [pytest.param((90, 80), (1, 1), marks=pytest.mark.slow), ((31, 70), (2, 3)), ((40, 33), (1, 2))],
    ids=str,
)
def test_gradient_of_overlapping_windows(backend, layout, dtype, kind, kernel, stride):
    shape = (1, 2, 150, 160)
    counts = [(n - k) // s + 1 for n, k, s in zip(shape[2:], kernel, stride, strict=True)]
    slope = terms(kind, (1, 2, *counts), dtype)
    share, expected = exact(slope) / math.prod(kernel), np.zeros(shape, np.longdouble)
    for i, j in np.ndindex(*counts):
        y, x = i * stride[0], j * stride[1]
        expected[:, :, y : y + kernel[0], x : x + kernel[1]] += share[:, :, i : i + 1, j : j + 1]
    size = to_layout(np.empty(shape, bool), layout).shape
    actual = grad.avg_pool2d(to_layout(slope, layout), size, kernel, stride, layout=layout)
    actual = from_layout(actual, layout)
    reached = expected != 0
    check(actual[reached], expected[reached])
    assert not actual[~reached].any()


def test_gradient_of_one_pixel_in_many_windows(backend, layout, dtype, kind):
    """Of windows that all pick the same pixel, and of adaptive ones that all hold it."""
    slope = terms(kind, (2, 20, 60, 70), dtype)
    expected = exact(slope).sum((2, 3))
    indices, given = np.full(slope.shape, 5), to_layout(slope, layout)
    size = to_layout(np.empty((2, 20, 61, 71), bool), layout).shape
    actual = grad.max_pool2d(given, to_layout(indices, layout), size, layout=layout)
    planes = from_layout(actual, layout).reshape(2, 20, -1)
    check(planes[..., 5], expected)
    assert np.count_nonzero(planes) == 40
    size = to_layout(np.empty((2, 20, 1, 1), bool), layout).shape
    actual = grad.adaptive_avg_pool2d(given, size, layout=layout)
    check(from_layout(actual, layout)[..., 0, 0], expected)


# ------------------------------------------------------------------------------- gradients of convolution


def test_gradient_of_a_bias(backend, layout, dtype, kind):
    for shape in [(3, 3, 200, 210), (300, 7, 3, 3), (1, 70, 100, 90)]:
        slope = terms(kind, shape, dtype)
        check(grad.conv2d_bias(to_layout(slope, layout), layout=layout), exact(slope).sum((0, 2, 3)))


WEIGHTS = {
    "1x1": ((2, 16, 100, 130), (16, 16, 1, 1), {}),
    "3x3": ((2, 5, 120, 160), (16, 5, 3, 3), {}),
    "3x3, stride 2": ((2, 3, 200, 200), (32, 3, 3, 3), {"stride": 2}),
    "depthwise": ((2, 17, 120, 160), (17, 1, 3, 3), {"groups": 17}),
    "groups": ((2, 8, 120, 160), (8, 4, 3, 3), {"groups": 2}),
    "long rows": ((1, 3, 4, 30000), (8, 3, 3, 3), {}),
    "long rows, depthwise": ((1, 3, 4, 30000), (3, 1, 3, 3), {"groups": 3}),
    "many images": ((600, 2, 5, 5), (3, 2, 3, 3), {}),
    "one filter": ((1, 1, 300, 320), (1, 1, 5, 5), {}),
}


def weight_case(name, kind, dtype):
    """x, grad_output and the exact gradients of weights and bias, in NCHW."""
    shape, weight, options = WEIGHTS[name]
    stride, groups = options.get("stride", 1), options.get("groups", 1)
    size = [(n - k) // stride + 1 for n, k in zip(shape[2:], weight[2:], strict=True)]
    x, slope = terms(kind, shape, dtype), terms(kind, (shape[0], weight[0], *size), dtype)
    expected = np.zeros(weight, np.longdouble)
    by_group = slope.reshape(shape[0], groups, -1, *size)
    for r, s in np.ndindex(weight[2:]):
        seen = x[:, :, r::stride, s::stride][:, :, : size[0], : size[1]].reshape(shape[0], groups, -1, *size)
        # Every row of an image by itself, in float64, and their sums in long doubles.
        rows = np.einsum("ngkyx,ngcyx->gkcny", by_group, seen, dtype=np.float64)
        expected[:, :, r, s] = exact(rows).sum((3, 4)).reshape(weight[:2])
    return x, slope, expected, exact(slope).sum((0, 2, 3))


@pytest.mark.parametrize("name", WEIGHTS)
def test_gradient_of_weights(backend, layout, kind, name):
    x, slope, expected, bias = weight_case(name, kind, np.float32)
    weight = weight_to_layout(np.empty(expected.shape, np.float32), layout)
    options = WEIGHTS[name][2] | {"layout": layout, "needs": (False, True, True), "precision": "strict"}
    _, actual, actual_bias = grad.conv2d(to_layout(x, layout), weight, to_layout(slope, layout), **options)
    check(actual, weight_to_layout(expected, layout))
    check(actual_bias, bias)


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_kernel_for_the_gradient_of_weights(layout, kind, name):
    """Those that compute the textbook sum as well as all others; with more strips and tiles than are summed plainly."""
    skip_unless_available("cython")
    from fastconv.backends import cython
    from fastconv.backends.cython import _engine

    x, slope, expected, bias = weight_case(name, kind, np.float32)
    weight = weight_to_layout(np.empty(expected.shape, np.float32), layout)
    options = {"stride": 1, "groups": 1} | WEIGHTS[name][2]
    problem = ConvOptions.read("test", options["stride"], 0, 1, options["groups"], layout=layout).problem(
        to_layout(x, layout).shape, weight.shape, np.dtype(np.float32), "fast"
    )
    conv = cython._conv(problem)
    for kernel, kernel_name in enumerate(_engine.gradients()):
        if conv.gradient_accepts(kernel):
            actual_bias = np.empty(problem.filters, np.float32)
            conv.gradient(kernel, to_layout(x, layout), to_layout(slope, layout), weight, actual_bias, 1)
            check(actual_bias, bias)
            if "winograd" not in kernel_name:
                check(weight, weight_to_layout(expected, layout))
            else:  # its error is a multiple, as elsewhere
                assert (np.abs(exact(weight) / weight_to_layout(expected, layout) - 1) < 1e-5).all(), (
                    kernel_name
                )


# ------------------------------------------------------------------------------------------- everything else


def test_gradient_of_padding(backend, layout, dtype, kind):
    slope = terms(kind, (1, 3, 130, 150), dtype)
    given = to_layout(slope, layout)
    rows = np.concatenate([[exact(slope[:, :, :51]).sum(2)], np.moveaxis(exact(slope[:, :, 51:-51]), 2, 0),
                           [exact(slope[:, :, -51:]).sum(2)]])  # fmt: skip
    rows = np.moveaxis(rows, 0, 2)
    expected = np.concatenate([rows[..., :61].sum(3, keepdims=True), rows[..., 61:-61],
                               rows[..., -61:].sum(3, keepdims=True)], axis=3)  # fmt: skip
    actual = grad.pad2d(given, ((50, 50), (60, 60)), "replicate", layout=layout)
    check(from_layout(actual, layout), expected)
    actual = grad.pad2d(given, ((60, 69), (70, 79)), "replicate", layout=layout)
    check(from_layout(actual, layout)[..., 0, 0], exact(slope).sum((2, 3)))


@pytest.mark.parametrize(("down", "across"), [(1, 6000), (6000, 1), (6000, 37), (300, 200)])
def test_gradient_of_enlarging(backend, layout, dtype, kind, down, across):
    slope = terms(kind, (2, 3, down, across), dtype)
    actual = grad.resize2d(
        to_layout(slope, layout),
        to_layout(np.empty((2, 3, 1, 1)), layout).shape,
        (down, across),
        layout=layout,
    )
    check(from_layout(actual, layout), exact(slope).sum((2, 3), keepdims=True))


def test_one_pixel_of_a_large_image(backend, layout, dtype, kind):
    """All of an image has a share in it, linearly less from the middle on."""
    x = terms(kind, (1, 3, 6001, 2), dtype)
    share = 1 - np.abs(np.arange(6001, dtype=np.longdouble) - 3000) / 6001
    expected = (exact(x) * (share / share.sum())[:, np.newaxis]).sum(2, keepdims=True)
    actual = fastconv.resize2d(to_layout(x, layout), (1, 2), mode="linear", antialias=True, layout=layout)
    check(from_layout(actual, layout), expected)


def test_fold(backend, dtype, kind):
    kernel, windows = (20, 18), (30, 40)
    columns = terms(kind, (1, 2 * math.prod(kernel), math.prod(windows)), dtype)
    expected = np.zeros((1, 2, windows[0] + kernel[0] - 1, windows[1] + kernel[1] - 1), np.longdouble)
    by_tap = exact(columns).reshape(1, 2, *kernel, *windows)
    for a, b in np.ndindex(kernel):
        expected[:, :, a : a + windows[0], b : b + windows[1]] += by_tap[:, :, a, b]
    check(fastconv.fold(columns, expected.shape[2:], kernel), expected)


def test_normalisation_over_many_channels(backend, layout, dtype, kind):
    channels, half = 700, 500
    x, slope = terms(kind, (1, channels, 2, 3), dtype), terms(kind, (1, channels, 2, 3), dtype)[:, ::-1]
    arguments = 2 * half + 1, 2.0 * half + 1, 0.75, 0.5

    def neighbours(values):
        return np.stack([values[:, max(0, c - half) : c + half + 1].sum(1) for c in range(channels)], axis=1)

    energy = np.longdouble(0.5) + neighbours(np.square(exact(x)))
    actual = fastconv.local_response_norm(to_layout(x, layout), *arguments, layout=layout)
    check(from_layout(actual, layout), exact(x) / energy**0.75)
    shares = neighbours(exact(slope) * exact(x) / energy**1.75)
    first, second = exact(slope) / energy**0.75, 1.5 * exact(x) * shares
    given = to_layout(np.ascontiguousarray(slope), layout)
    actual = grad.local_response_norm(given, to_layout(x, layout), *arguments, layout=layout)
    check(from_layout(actual, layout), first - second, first + second)


def test_gradient_of_deformable_convolution(backend, dtype, kind):
    size = 80
    x, slope = terms(kind, (1, 2, size, size), dtype), terms(kind, (1, 1, size, size), dtype)
    place, offset = np.indices((size, size)), np.zeros((1, 2, size, size), dtype)
    weight = np.ones((1, 2, 1, 1), dtype)
    of_weight = grad.deform_conv2d(x, offset, weight, slope)[2]
    # The reference backend's matrix products are in float64 at most, and sum plainly.
    limit = 1000 if (backend, dtype) == ("numpy", np.float64) else LIMIT
    check(of_weight.ravel(), (exact(x) * slope).sum((0, 2, 3)), limit=limit)
    offset[0] = 40 - place  # every tap reads the same pixel
    of_x, _, of_weight, of_bias, _ = grad.deform_conv2d(x, offset, weight, slope)
    total = exact(slope).sum()
    check(of_x[0, :, 40, 40], np.full(2, total))
    assert np.count_nonzero(of_x) == 2
    check(of_weight.ravel(), exact(x[0, :, 40, 40]) * total, limit=limit)
    check(of_bias, [total])


def test_gradients_of_offsets_and_mask_over_many_channels(backend, dtype, kind):
    x, mask = terms(kind, (1, 1500, 3, 4), dtype), np.ones((1, 1, 3, 4), dtype)
    x *= np.arange(1, 4, dtype=dtype)[:, np.newaxis]
    offset, weight = np.full((1, 2, 3, 4), 0.25, dtype), np.ones((1, 1500, 1, 1), dtype)
    result = grad.deform_conv2d(x, offset, weight, np.ones((1, 1, 3, 4), dtype), mask=mask)
    top, bottom = exact(x[0, :, :2]), exact(x[0, :, 1:])
    above = 0.75 * top[..., :-1] + 0.25 * top[..., 1:]
    below = 0.75 * bottom[..., :-1] + 0.25 * bottom[..., 1:]
    check(result[4][0, 0, :2, :3], (0.75 * above + 0.25 * below).sum(0))
    check(result[1][0, 0, :2, :3], (below - above).sum(0), (below + above).sum(0))


@pytest.mark.slow("numpy")
def test_threads_change_no_bit(backend, layout, dtype):
    """Of sums that are taken in parts."""
    rng = np.random.default_rng(0)
    x, small = (
        to_layout(rng.normal(size=s).astype(dtype), layout) for s in ((2, 5, 150, 160), (2, 5, 61, 81))
    )
    channels = rng.normal(size=(1, 300, 6, 7)).astype(dtype)
    indices = to_layout(rng.integers(0, 30, (2, 5, 61, 81)), layout)
    offset = rng.normal(size=(1, 2, 80, 80)).astype(dtype)
    offset[0] += 40 - np.indices((80, 80)).astype(dtype)
    image, slope = (rng.normal(size=(1, c, 80, 80)).astype(dtype) for c in (6, 2))

    def results():
        return [
            fastconv.global_avg_pool2d(x, layout=layout),
            fastconv.avg_pool2d(x, (70, 40), (20, 1), layout=layout),
            fastconv.adaptive_avg_pool2d(x, (4, 3), layout=layout),
            fastconv.lp_pool2d(x, 3, (70, 40), (20, 30), layout=layout),
            grad.avg_pool2d(small, x.shape, (90, 80), 1, layout=layout),
            grad.max_pool2d(small, indices, x.shape, layout=layout),
            grad.conv2d_bias(x, layout=layout),
            grad.pad2d(x, ((50, 50), (60, 60)), "replicate", layout=layout),
            fastconv.local_response_norm(to_layout(channels, layout), 101, layout=layout),
            *grad.deform_conv2d(image, offset, np.ones((2, 6, 1, 1), dtype), slope)[:4],
        ]

    with fastconv.num_threads(1):
        expected = results()
    for count in (2, 3):
        with fastconv.num_threads(count):
            for ours, theirs in zip(results(), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_long_sums_in_passes(layout, monkeypatch):
    """Between which signals are handled: the numba backend does so where a sum takes long."""
    skip_unless_available("numba")
    monkeypatch.setattr("fastconv.backends.numba.grad_weight._LONG", 1)
    monkeypatch.setattr("fastconv.backends.numba.norm._LONG", 1)
    x, slope = terms("random", (3, 4, 60, 40), np.float32), terms("random", (3, 8, 60, 40), np.float32)
    for groups, shape in ((1, (8, 4, 3, 3)), (4, (8, 1, 3, 3))):
        options = {"padding": 1, "groups": groups, "layout": layout, "backend": "numba"}
        grad_weight = grad.conv2d_weight(
            to_layout(x, layout),
            weight_to_layout(np.zeros(shape), layout).shape,
            to_layout(slope, layout),
            **options,
        )
        expected = reference_grad.conv2d(x, np.zeros(shape), slope, padding=1, groups=groups)[1]
        check(grad_weight, weight_to_layout(expected, layout))
    norm = fastconv.local_response_norm(to_layout(x, layout), 3, layout=layout, backend="numba")
    expected = fastconv.local_response_norm(x.astype(np.float64), 3, backend="numpy")
    np.testing.assert_allclose(from_layout(norm, layout), expected, rtol=1e-5)


def test_long_sums_of_deformable_convolution_in_passes(monkeypatch):
    skip_unless_available("numba")
    monkeypatch.setattr("fastconv.backends.numba.grad_weight._LONG", 1)
    monkeypatch.setattr("fastconv.backends.numba.grad_deform._LONG", 1)
    x, weight = terms("random", (2, 4, 30, 20), np.float32), terms("random", (6, 4, 3, 3), np.float32)
    offset, slope = terms("random", (2, 18, 28, 18), np.float32), terms("random", (2, 6, 28, 18), np.float32)
    results = grad.deform_conv2d(x, offset, weight, slope, backend="numba")
    for result, expected in zip(
        results, reference_grad.deform_conv2d(x, offset, weight, slope), strict=False
    ):
        if result is not None:
            np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)
