"""Arrays without pixels, halves and bytes: what SciPy takes of them and what it refuses, and how bytes are rounded."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from fastconv import ndimage, signal

pytestmark = pytest.mark.one_instruction_set

FILTERS = {
    "rank_filter": (1, 3), "median_filter": (3,), "percentile_filter": (50, 3), "maximum_filter": (3,),
    "maximum_filter1d": (3,), "minimum_filter": (3,), "grey_erosion": (3,), "grey_dilation": (3,), "grey_opening": (3,),
    "white_tophat": (3,), "morphological_gradient": (3,), "uniform_filter": (3,), "uniform_filter1d": (3,),
    "gaussian_filter": (1,), "sobel": (), "laplace": (), "correlate1d": (np.ones(3),),
}  # fmt: skip
WINDOWS = {
    "correlate": "weights",
    "maximum_filter": "footprint",
    "median_filter": "footprint",
    "grey_dilation": "structure",
}


def outcome(function, *args, **options):
    try:
        return function(*args, **options)
    except (RuntimeError, ValueError, TypeError) as error:
        return type(error)


def agree(result, expected):
    assert isinstance(result, type) == isinstance(expected, type), (result, expected)
    if isinstance(expected, type):
        assert result is expected
    else:
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "float32", "int8"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_filters_of_no_pixels(backend, shape, dtype):
    x = np.zeros(shape, dtype)
    for name, args in FILTERS.items():
        agree(
            outcome(getattr(ndimage, name), x, *args, backend=backend),
            outcome(getattr(scipy.ndimage, name), x, *args),
        )
    for name, argument in WINDOWS.items():
        for size in (3, 5):  # the larger one is a product of lines
            given = {argument: np.ones((size,) * x.ndim)}
            agree(
                outcome(getattr(ndimage, name), x, backend=backend, **given),
                outcome(getattr(scipy.ndimage, name), x, **given),
            )


@pytest.mark.parametrize("output", [None, "float32", "float16", "int16"])
def test_ranks_of_halves_along_one_axis(backend, output):
    random = np.random.default_rng(0)
    for count in (1, 7, 40):
        x = (100 * random.random(count)).astype(np.float16)
        for name, args in (("median_filter", (5,)), ("percentile_filter", (50, 6)), ("rank_filter", (2, 4))):
            if args[-1] // 2 < count:
                agree(
                    getattr(ndimage, name)(x, *args, output=output, backend=backend),
                    getattr(scipy.ndimage, name)(x, *args, output=output),
                )
    for name, x in (("median_filter", np.ones((3, 3), "f2")), ("maximum_filter", np.ones(3, "f2"))):
        with pytest.raises(RuntimeError, match="float16"):
            getattr(ndimage, name)(x, 3, backend=backend)


def test_bytes_are_rounded_to_either_side_of_a_tie_alone(backend):
    """What lies between two axes is float32 where both images are of bytes."""
    random, differ, count = np.random.default_rng(0), 0, 0
    for sigma in (0.8, 1.3, 4):
        for _ in range(10):
            x = random.integers(0, 256, (60, 70), np.uint8)
            exact = scipy.ndimage.gaussian_filter(x.astype(np.float64), sigma)
            result = ndimage.gaussian_filter(x, sigma, saturate=True, backend=backend)
            assert (abs(result - exact) <= 0.5 + 1e-4).all()
            differ, count = differ + np.count_nonzero(result != np.rint(exact)), count + x.size
    assert differ <= count / 10_000


SHAPES = [
    ((0,), (3,)), ((3,), (0,)), ((0,), (0,)), ((0, 3), (2, 2)), ((2, 2), (0, 3)), ((3, 3), (0, 2)), ((3, 3), (2, 0)),
    ((3, 0), (2, 2)), ((2, 2), (0, 0)), ((0, 0), (2, 2)), ((0, 3), (0, 3)), ((0, 3), (0, 2)),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.filterwarnings("ignore:invalid value encountered in log")  # SciPy's choice of a method
def test_convolutions_of_nothing(backend, name, mode):
    for shapes in SHAPES:
        for dtype in ("int32", "float64", "complex128"):
            a, b = (np.ones(shape, dtype) for shape in shapes)
            for method in ("direct", "auto"):
                if method == "auto" and dtype == "int32":
                    continue  # SciPy looks for the largest number, of none
                result = outcome(getattr(signal, name), a, b, mode, method, backend=backend)
                agree(result, outcome(getattr(scipy.signal, name), a, b, mode, method))
    with pytest.raises(
        ValueError, match=rf"^{name}: the shapes are \(0,\) and \(3,\), but neither may be empty"
    ):
        getattr(signal, name)(np.ones(0), np.ones(3), backend=backend)


@pytest.mark.parametrize("x", [np.arange(-60, 60, dtype=np.int8), np.arange(120, dtype=np.uint8)])
def test_means_below_zero_wrap_in_a_result_without_sign(backend, x):
    """To numbers near 2^32, which lie between two axes, too, and which no float32 holds."""
    x = np.repeat(x.reshape(12, 10), 13, 1)
    for cval in (0, -200):
        for output in (np.uint8, np.uint16, np.uint32):
            for size in (1, 3), (3, 1), (5, 4):
                options = {"mode": "constant", "cval": cval, "output": output}
                expected = scipy.ndimage.uniform_filter(x, size, **options)
                result = ndimage.uniform_filter(x, size, backend=backend, **options)
                np.testing.assert_array_equal(result, expected, strict=True)


@pytest.mark.parametrize("name", ["maximum_filter", "minimum_filter", "grey_closing"])
def test_a_constant_in_a_wider_result(backend, name):
    """It is not rounded to the dtype of the array before."""
    x = np.random.default_rng(0).random((6, 7)).astype(np.float32)
    for cval in (0.3, -3.7):
        for output in (np.float32, np.float64):
            options = {"mode": "constant", "cval": cval, "output": output}
            expected = getattr(scipy.ndimage, name)(x, (3, 4), **options)
            result = getattr(ndimage, name)(x, (3, 4), backend=backend, **options)
            np.testing.assert_array_equal(result, expected, strict=True)


@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
def test_an_empty_picture_within_a_kernel(backend, name):
    """What lies beyond the picture is seen by none of its windows."""
    for shape in (0, 0), (0, 2), (3, 0):
        for fillvalue in (0, 3):
            args = np.ones(shape), np.ones((4, 5)), "valid", "fill", fillvalue
            result = getattr(signal, name)(*args, backend=backend)
            np.testing.assert_array_equal(result, getattr(scipy.signal, name)(*args), strict=True)
