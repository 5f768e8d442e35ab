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


@pytest.mark.parametrize("channels", [(6, 8), (6, 6), (4, 12)])
@pytest.mark.parametrize("groups", [1, 2])
def test_fold_batch_norm_of_transposed_weights(channels, groups, layout, dtype, backend):
    """Also where there are as many input as output channels, and nothing but the argument tells the axes apart."""
    before, after = channels
    x, weight = normal((2, before, 5, 4)), normal((before, after // groups, 3, 2), seed=1)
    bias, mean, gamma, beta = (normal((after,), seed=seed) for seed in range(4))
    variance = np.abs(normal((after,), seed=5)) + 0.1
    options = {"stride": 2, "groups": groups, "layout": layout}
    image = to_layout(x, layout).astype(dtype)
    arrays = [array.astype(dtype) for array in (weight_to_layout(weight, layout), bias)]
    plain = from_layout(fastconv.conv_transpose2d(image, *arrays, **options), layout)
    scale = (gamma / np.sqrt(variance + 1e-3))[:, None, None]
    normalised = (np.float64(plain) - mean[:, None, None]) * scale + beta[:, None, None]
    folded = fastconv.fold_batch_norm(
        *arrays, mean, variance, gamma, beta, eps=1e-3, transposed=True, groups=groups, layout=layout
    )
    assert folded[0].shape == arrays[0].shape
    assert folded[0].dtype == folded[1].dtype == dtype
    actual = from_layout(fastconv.conv_transpose2d(image, *folded, **options), layout)
    assert_close(actual, normalised, FAST * eps(dtype) * 500, dtype)


def test_fold_batch_norm_refuses_what_cannot_be(layout):
    weight, ones = weight_to_layout(normal((6, 4, 3, 3)), layout), np.ones

    def fold(channels, **options):
        return fastconv.fold_batch_norm(
            weight, None, ones(channels), ones(channels), layout=layout, **options
        )

    fold(6), fold(6, groups=3), fold(4, transposed=True), fold(8, transposed=True, groups=2)
    for channels, options, words in (
        (4, {}, ["mean has shape (4,)", "(6,)", "plain"]),
        (6, {"transposed": True}, ["mean has shape (6,)", "(4,)", "transposed"]),
        (4, {"transposed": True, "groups": 2}, ["mean", "(8,)", "groups=2"]),
        (16, {"transposed": True, "groups": 4}, ["6 input channels", "groups=4"]),
        (6, {"groups": 4}, ["6 output channels", "groups=4"]),
        (6, {"groups": 0}, ["groups"]),
    ):
        with pytest.raises(ValueError, match=r"^fold_batch_norm: ") as caught:
            fold(channels, **options)
        for word in words:
            assert word in str(caught.value)
