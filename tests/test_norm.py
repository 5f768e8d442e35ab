"""local_response_norm and fold_batch_norm."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
import reference
from checks import (
    FAST,
    assert_close,
    eps,
    from_layout,
    guarded,
    normal,
    rounding,
    to_layout,
    weight_to_layout,
)
from strategies import dtypes, layouts


def check(x, layout, *arguments, **options):
    actual = fastconv.local_response_norm(guarded(to_layout(x, layout)), *arguments, layout=layout, **options)
    expected = reference.local_response_norm(x, *arguments, **options)
    assert_close(from_layout(actual, layout), expected, 16 * eps(x.dtype) * np.abs(expected), x.dtype)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 40])
@pytest.mark.parametrize("channels", [1, 2, 5, 17, 32])
def test_sizes_and_channels(backend, layout, dtype, size, channels):
    x = normal((2, channels, 3, 5), dtype=dtype)
    check(x, layout, size)
    check(x, layout, size, alpha=0.5, beta=0.6, k=2.0)


@given(
    st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(1, 5), st.integers(1, 20)),
    st.integers(1, 9),
    st.floats(1e-5, 1),
    st.floats(0.1, 2),
    st.floats(0.5, 3),
    layouts,
    dtypes,
)
def test_random(backend, shape, size, alpha, beta, k, layout, dtype):
    check(normal(shape, dtype=dtype), layout, size, alpha, beta, k)


def test_unbatched_and_half(backend, layout):
    x = normal((6, 4, 5))
    expected = reference.local_response_norm(x[None], 3, 0.1)[0]
    actual = from_layout(fastconv.local_response_norm(to_layout(x, layout), 3, 0.1, layout=layout), layout)
    assert_close(actual, expected, 1e-14, np.float64)
    for half in (np.float16, ml_dtypes.bfloat16):
        rounded = x.astype(half)
        expected = reference.local_response_norm(rounded[None], 3, 0.1)[0]
        actual = from_layout(
            fastconv.local_response_norm(to_layout(rounded, layout), 3, 0.1, layout=layout), layout
        )
        assert_close(actual, expected, rounding(expected, half) + 1e-6, half)


@pytest.mark.parametrize("given_arrays", ["all", "no bias", "no gamma", "no beta", "none"])
def test_fold_batch_norm(layout, dtype, given_arrays):
    """Convolution then normalisation equals the folded convolution."""
    x, weight = normal((2, 6, 7, 8)), normal((8, 3, 3, 3))
    bias, mean, gamma, beta = (normal((8,), seed=seed) for seed in range(4))
    variance = np.abs(normal((8,), seed=5)) + 0.1
    bias = None if given_arrays in ("no bias", "none") else bias
    gamma = None if given_arrays in ("no gamma", "none") else gamma
    beta = None if given_arrays in ("no beta", "none") else beta
    arrays = [None if array is None else array.astype(dtype) for array in (bias, mean, variance, gamma, beta)]
    folded = fastconv.fold_batch_norm(
        weight_to_layout(weight, layout).astype(dtype), *arrays, eps=1e-3, layout=layout
    )
    expected = reference.fold_batch_norm(weight, bias, mean, variance, gamma, beta, eps=1e-3)
    assert_close(
        folded[0], weight_to_layout(expected[0], layout), 8 * eps(dtype) * np.abs(expected[0]).max(), dtype
    )
    assert_close(folded[1], expected[1], 16 * eps(dtype) * (1 + np.abs(expected[1]).max()), dtype)
    convolved = (reference.conv2d(x, weight, bias, groups=2) - mean[:, None, None]) / np.sqrt(
        variance + 1e-3
    )[:, None, None]
    normalised = convolved * (1 if gamma is None else gamma[:, None, None]) + (
        0 if beta is None else beta[:, None, None]
    )
    actual = fastconv.conv2d(to_layout(x, layout).astype(dtype), *folded, groups=2, layout=layout)
    assert_close(from_layout(actual, layout), normalised, FAST * eps(dtype) * 200, dtype)
