"""The filters that backends have kernels for, against SciPy: sizes that cut into bands, all types, NaN, strides.

Random problems with small arrays are those of test_ndimage.py.
"""

import numpy as np
import pytest
import scipy.ndimage

import fastconv
from fastconv import ndimage
from fastconv.filtering.planes import as_dtype

TYPES = ["uint8", "int16", "uint16", "float32", "float64"]
MODES = ["reflect", "mirror", "nearest", "wrap", "constant"]
SHAPES = {
    "grey": ((70, 83), (0, 1)),
    "one row": ((1, 301), (0, 1)),
    "one column": ((97, 1), (0, 1)),
    "RGB": ((41, 37, 3), (0, 1)),
    "stack": ((3, 33, 29), (1, 2)),
    "wide": ((5, 4001), (0, 1)),
    "first axis": ((37, 130), (0,)),
    "last axis": ((37, 130), (1,)),
    "volume": ((9, 11, 13), (0, 1, 2)),
}


def numbers(shape, dtype, flat=0):
    """Numbers of the whole range, the first columns all alike: there sums lie next to integers."""
    rng = np.random.default_rng(sum(shape))
    if np.dtype(dtype).kind == "f":
        x = (100 * rng.standard_normal(shape)).astype(dtype)
    else:
        x = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    x[:, :flat] = x[0, 0]
    return x


def same(ours, theirs, largest=1000.0):
    assert ours.dtype == theirs.dtype
    if ours.dtype.kind != "f":
        np.testing.assert_array_equal(ours, theirs)
        return
    unit = 1e-6 if ours.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=unit * largest)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_filters(backend, shape, dtype, mode):
    (sizes, axes), border = SHAPES[shape], {"mode": mode, "cval": 3.0}
    x = numbers(sizes, dtype, flat=20)
    kernel = np.random.default_rng(1).random((4, 3, 2)[: len(axes)])
    kernel /= kernel.sum()
    footprint = kernel > np.median(kernel)
    for module_call in (
        lambda module: module.gaussian_filter(x, 1.7, axes=axes, **border),
        lambda module: module.sobel(x, axes[0], **border),
        lambda module: module.correlate(x, kernel, axes=axes, **border),
        lambda module: module.uniform_filter(x, (4, 7, 2)[: len(axes)], axes=axes, **border),
        lambda module: module.maximum_filter(x, (6, 3, 2)[: len(axes)], axes=axes, **border),
        lambda module: module.minimum_filter(x, footprint=footprint, axes=axes, **border),
        lambda module: module.median_filter(x, 3, axes=axes, **border),
    ):
        same(module_call(ndimage), module_call(scipy.ndimage), 1e5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_medians_of_five(backend, dtype):
    x = numbers((23, 150), dtype)
    same(ndimage.median_filter(x, 5), scipy.ndimage.median_filter(x, 5))


# Sums in 16 bits, loaded or running; the largest boxes whose quotients are exact in float32, and larger ones.
@pytest.mark.parametrize(
    "size", [(16, 15), (31, 31), (2, 40), (4, 16), (128, 128), (129, 128), (257, 16), (300, 3)]
)
@pytest.mark.parametrize("channels", [1, 3, 5, 17])
def test_means_of_bytes_are_exact(backend, size, channels):
    x = numbers((45, 61, channels), "uint8", flat=20) // 16 * 16  # many means lie half-way
    options = {"size": size, "axes": (0, 1), "mode": "reflect"}
    same(ndimage.uniform_filter(x, **options), scipy.ndimage.uniform_filter(x, **options))
    before = [(taps // 2, taps - 1 - taps // 2) for taps in size]
    sums = np.pad(x.astype(np.int64), [*before, (0, 0)], "symmetric")
    for axis, taps in enumerate(size):
        sums = np.lib.stride_tricks.sliding_window_view(sums, taps, axis).sum(-1)
    means, exact = ndimage.uniform_filter(x, **options, saturate=True), sums / np.prod(size)
    if backend != "cython":  # what lies half-way is divided after each axis
        means[exact % 1 == 0.5] = np.rint(exact[exact % 1 == 0.5])
    np.testing.assert_array_equal(means, np.rint(exact).astype(np.uint8))


# Whole columns of tasks, and tasks that need columns of others (`wrap` across a wide picture).
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(150, 160), (40, 1500), (50, 140, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_means_of_boxes_larger_than_a_task(backend, dtype, shape, mode):
    x = numbers(shape, dtype)
    for size in ((129, 130), (7, 201), (201, 3)):
        options = {"axes": (0, 1), "mode": mode, "cval": 3, "output": np.float64}
        expected = scipy.ndimage.uniform_filter(x, size, **options)
        few, many = (with_threads(count, ndimage.uniform_filter, x, size, **options) for count in (1, 2))
        same(many, expected, largest=65536.0)
        np.testing.assert_array_equal(few, many)


def with_threads(count, call, *args, **options):
    before = fastconv.get_num_threads()
    fastconv.set_num_threads(count)
    try:
        return call(*args, **options)
    finally:
        fastconv.set_num_threads(before)


def test_means_are_no_less_precise_in_large_boxes(backend):
    x = (1 + np.random.default_rng(0).random((150, 140))).astype(np.float32)
    for size in ((31, 31), (32, 8), (1, 64), (100, 1), (9, 23)):
        exact = ndimage.uniform_filter(x.astype(np.float64), size)
        error = np.abs(ndimage.uniform_filter(x, size) - exact) / exact
        assert error.max() < 4 * np.finfo(np.float32).eps
        assert np.sqrt((error**2).mean()) < 0.75 * np.finfo(np.float32).eps


@pytest.mark.parametrize("outlier", [np.inf, 1e30, np.nan])
def test_an_outlier_stays_in_its_windows(backend, outlier):
    x = np.ones((90, 80), np.float32)
    x[40, 30] = outlier
    expected = np.zeros(x.shape, bool)
    expected[25:56, 15:46] = True
    means = ndimage.uniform_filter(x, 31)
    np.testing.assert_array_equal(means != 1, expected)
    assert np.isnan(means[expected]).all() == np.isnan(outlier)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("width", [1, 15, 16, 17, 63, 64, 65, 129, 256, 300])
def test_ends_of_vectors(backend, width, dtype):
    for height in (1, 2, 7):
        x = numbers((height, width), dtype)
        for size in ((3, 3), (2, 1), (1, 5), (7, 4)):
            same(ndimage.maximum_filter(x, size), scipy.ndimage.maximum_filter(x, size))
            same(ndimage.minimum_filter(x, size), scipy.ndimage.minimum_filter(x, size))
        for mode in ("mirror", "constant"):
            same(ndimage.median_filter(x, 3, mode=mode), scipy.ndimage.median_filter(x, 3, mode=mode))
        same(ndimage.sobel(x, 1), scipy.ndimage.sobel(x, 1), 1e5)


@pytest.mark.parametrize("size", [(11, 11), (9, 31), (25, 5)])
@pytest.mark.parametrize("mode", ["reflect", "wrap", "constant"])
def test_ranks_of_large_boxes(backend, size, mode):
    for shape, axes in (((40, 61), (0, 1)), ((7, 300), (0, 1)), ((30, 20, 3), (0, 1))):
        x, options = numbers(shape, "uint8"), {"size": size, "axes": axes, "mode": mode, "cval": 9}
        same(ndimage.median_filter(x, **options), scipy.ndimage.median_filter(x, **options))
        same(ndimage.percentile_filter(x, 20, **options), scipy.ndimage.percentile_filter(x, 20, **options))


def test_strides_and_places_in_memory(backend):
    whole = numbers((60, 80), "float32")
    out = np.zeros((60, 80), np.float32)
    for view in (
        whole[5:50, 7:71],
        whole[::-1],
        whole[::3],
        whole[:, ::2],
        whole.T,
        np.asfortranarray(whole),
    ):
        for name, size in (("gaussian_filter", 1.5), ("median_filter", 3), ("uniform_filter", 5)):
            same(getattr(ndimage, name)(view, size), getattr(scipy.ndimage, name)(view, size))
    expected = scipy.ndimage.gaussian_filter(whole[1:41, 2:52], 2)
    ndimage.gaussian_filter(whole[1:41, 2:52], 2, output=out[10:50, 20:70])
    same(out[10:50, 20:70], expected)
    assert not out[:10].any()
    assert not out[:, 70:].any()


def test_a_nan_reaches_its_windows_alone(backend):
    x = np.ones((40, 50), np.float32)
    x[20, 30] = np.nan
    for result, reach in (
        (ndimage.uniform_filter(x, 5), 2),
        (ndimage.maximum_filter(x, 7), 3),
        (ndimage.gaussian_filter(x, 1, radius=3), 3),
        (ndimage.correlate(x, np.ones((5, 5))), 2),
    ):
        expected = np.zeros(x.shape, bool)
        expected[20 - reach : 21 + reach, 30 - reach : 31 + reach] = True
        np.testing.assert_array_equal(np.isnan(result), expected)


def test_results_do_not_depend_on_threads(backend):
    x = numbers((300, 211), "float32")
    calls = (
        lambda: ndimage.gaussian_filter(x, 3),
        lambda: ndimage.uniform_filter(x, 9),
        lambda: ndimage.correlate(x, np.random.default_rng(0).random((9, 9))),
    )
    with fastconv.num_threads(1):
        alone = [call() for call in calls]
    with fastconv.num_threads(3):
        for expected, call in zip(alone, calls, strict=True):
            np.testing.assert_array_equal(call(), expected)


def test_rounding_weights_keeps_their_sum():
    for kernel in (
        ndimage.gaussian.gaussian_weights(1.0, 0, 4),
        np.outer(ndimage.gaussian.gaussian_weights(2.0, 0, 6), ndimage.gaussian.gaussian_weights(2.0, 0, 6)),
        np.random.default_rng(0).standard_normal((9, 9)),
    ):
        rounded = as_dtype(kernel, np.dtype(np.float32))
        sizes = np.abs(kernel).max()
        assert abs(rounded.astype(np.float64).sum() - kernel.sum()) < 5e-9 * np.abs(kernel).sum()
        np.testing.assert_allclose(rounded, kernel, rtol=0, atol=2e-7 * sizes)


def test_brightness_stays(backend):
    x = np.arange(10000, dtype=np.float32).reshape(100, 100)
    mean = ndimage.gaussian_filter(x, 1.0).sum(dtype=np.float64) / x.sum(dtype=np.float64)
    assert abs(mean - 1) < 1.5e-8


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (40, 331), (5, 9, 12)])
def test_scores_of_templates(shape):
    """Those of NumPy, where windows are flat, not finite, or the template itself as well."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, shape).astype(float)
    x[:3] = 5
    x[..., -1] = [np.nan, np.inf][len(shape) % 2]
    for taps in (1, 2, 3):
        size = tuple(min(taps, length) for length in shape)
        template = rng.standard_normal(size)
        template.flat[0] += 1
        for dtype in (np.float32, np.float64):
            ours, plain = (
                ndimage.match_template(x.astype(dtype), template, backend=name)
                for name in ("cython", "numpy")
            )
            np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-12)
