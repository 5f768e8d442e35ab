"""Sums of filters of fastconv.ndimage and fastconv.signal where rounding, or what is no number, would show."""

import tracemalloc

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from fastconv import ndimage, num_threads, signal


@pytest.mark.parametrize("taps", [33, 45, 64, 99, 100, 121])
def test_sums_of_integers_are_whole(backend, taps):
    """The engine may take transforms for float64 images: what these add would be cut off."""
    x = np.arange(12_000, dtype=np.int32) % 1000
    np.testing.assert_array_equal(
        ndimage.correlate(x, np.ones(taps, int)), scipy.ndimage.correlate(x, np.ones(taps, int))
    )
    picture = np.random.default_rng(0).integers(0, 200, (190, 210))
    weights = np.ones((round(taps**0.5), taps // round(taps**0.5)), int)
    for array in (picture.astype(np.uint8).T, picture.astype(np.int32), picture[::-1].astype(np.uint32)):
        expected = scipy.ndimage.correlate(array, weights)
        np.testing.assert_array_equal(ndimage.correlate(array, weights), expected)


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(1, 40), (3, 200), (40, 40)])
def test_a_weight_that_is_no_number(backend, number, shape):
    """Of a kernel for which transforms are taken, and of pictures lower than it."""
    x, weights = np.random.default_rng(0).random(shape) + 1, np.ones((25, 25))
    weights[2, 3] = number
    np.testing.assert_allclose(signal.convolve2d(x, weights), scipy.signal.convolve2d(x, weights))
    # SciPy's filters leave a weight out that is NaN, but count it; and do not reflect as often as a low picture needs.
    if np.isinf(number) and min(shape) > 25:
        np.testing.assert_allclose(ndimage.correlate(x, weights), scipy.ndimage.correlate(x, weights))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16"])
def test_a_border_that_float32_does_not_hold(backend, dtype):
    x, weights = np.full((4, 4), 9, dtype), np.array([[0, -1, 1], [2, 2, -1], [1, -2, 0]]) / 3
    options = {"mode": "constant", "cval": 2.126655132186393}
    expected = scipy.ndimage.correlate(x, weights, **options)
    np.testing.assert_array_equal(ndimage.correlate(x, weights, **options), expected)


def test_templates_beyond_a_ramp():
    """By scikit-image: the ramp is as long as the template."""
    x = np.arange(30.0).reshape(5, 6) ** 2 % 17
    found = ndimage.match_template(x, x[1:3, 1:4], pad_input=True, mode="linear_ramp")
    assert found[0, 0] == pytest.approx(-0.751, abs=1e-3)


INTEGERS = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def _pixels(dtype, most):
    """Numbers of all sizes, up to that one, and flat areas of the least and the largest."""
    random = np.random.default_rng(0)
    if dtype == "bool":
        return random.random((41, 70)) < 0.5
    info = np.iinfo(dtype)
    x = random.integers(max(info.min, -most), min(info.max, most), (41, 70), dtype, endpoint=True)
    x[5:15, 20:40], x[20:30, 30:60] = x.max(), x.min()
    return x >> random.integers(0, 8 * x.itemsize, x.shape).astype(dtype)


@pytest.mark.parametrize("most", [100, 2**40, 2**46])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_of_every_size(backend, dtype, most):
    x, weights = _pixels(dtype, most), np.random.default_rng(1).random((3, 4)) - 0.3
    for name, *given in (
        ("sobel",), ("laplace",), ("uniform_filter", 4), ("uniform_filter1d", 3, 0), ("correlate", weights),
        ("gaussian_filter", 1.3), ("gaussian_filter1d", 2, 0), ("gaussian_filter", 1, 1),
    ):  # fmt: skip
        if dtype == "bool" and name in ("sobel", "gaussian_filter") and given != [1.3]:
            continue  # SciPy lets other bytes than 0 and 1 through
        for mode in ("reflect", "constant"):
            expected = getattr(scipy.ndimage, name)(x, *given, mode=mode, cval=2.5)
            found = getattr(ndimage, name)(x, *given, mode=mode, cval=2.5, backend=backend)
            np.testing.assert_array_equal(found, expected, f"{name}{given}, {mode}")


@pytest.mark.parametrize("output", INTEGERS[1:])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32", "int64"])
def test_integers_of_every_size_are_kept_in_range(backend, dtype, output):
    x, weights = _pixels(dtype, 2**40), np.array([[1, -3, 0.5], [2, 1, -1]])
    sums = np.rint(scipy.ndimage.correlate(x.astype(float), weights))
    info = np.iinfo(output)
    expected = [min(max(int(each), info.min), info.max) for each in sums.flat]
    found = ndimage.correlate(x, weights, output=np.dtype(output), saturate=True, backend=backend)
    assert found.ravel().tolist() == expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32", "bool"])
def test_rows_in_pieces_and_other_bytes(backend, dtype):
    x = (np.random.default_rng(0).random((60, 90, 3)) * 900 - 300).astype(dtype)
    other = x.dtype.newbyteorder()
    for view in (
        x[::2, ::3, 1],
        x[:, ::-1, 0],
        x[..., 2].T,
        x[..., 0].astype(other),
        x[:, ::2],
        x.astype(other),
    ):
        plain = view.astype(dtype, order="C")
        for name, *given in (
            ("sobel",),
            ("gaussian_filter", 2),
            ("uniform_filter", 5),
            ("maximum_filter", 3),
        ):
            expected = getattr(ndimage, name)(plain, *given, backend=backend)
            np.testing.assert_array_equal(getattr(ndimage, name)(view, *given, backend=backend), expected)


def test_rows_in_pieces_are_copied_in_slabs():
    x = np.zeros((3000, 2000), np.float64)[:, ::2]
    x[1500, 500] = 8
    out = np.empty(x.shape)
    with num_threads(1):
        ndimage.sobel(x[:9], output=out[:9])
        tracemalloc.start()
        ndimage.sobel(x, output=out)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 6 << 20
    assert np.argwhere(out).tolist() == [[row, column] for row in (1499, 1500, 1501) for column in (499, 501)]


def test_what_lies_between_two_kernels_may_be_larger_than_the_result(backend):
    x = np.random.default_rng(0).integers(-(2**40), 2**40, (600, 600))
    options = {"sigma": (0.01, 20), "order": (2, 2), "radius": 1}
    expected = scipy.ndimage.gaussian_filter(x, **options)
    np.testing.assert_array_equal(ndimage.gaussian_filter(x, backend=backend, **options), expected)


@pytest.mark.parametrize("shift", [1, -1])
def test_results_that_lie_some_rows_beside_the_array(shift):
    memory = np.random.default_rng(0).random((3001, 1000))[:, ::2]
    x, out = (memory[:-1], memory[1:])[::shift]
    expected = ndimage.gaussian_filter1d(x.copy(), 1, axis=1)
    with num_threads(1):
        ndimage.gaussian_filter1d(x, 1, axis=1, output=out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
def test_derivatives_of_large_integers(backend, order):
    x = np.random.default_rng(order).integers(-(2**48), 2**48, (90, 90))
    for axis, sigma in ((0, 1.5), (1, 3)):
        expected = scipy.ndimage.gaussian_filter1d(x, sigma, axis, order)
        np.testing.assert_array_equal(
            ndimage.gaussian_filter1d(x, sigma, axis, order, backend=backend), expected
        )
