"""Sums of filters of fastconv.ndimage and fastconv.signal where rounding, or what is no number, would show."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from fastconv import ndimage, signal


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
