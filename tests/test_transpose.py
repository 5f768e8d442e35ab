"""conv_transpose2d and conv_transpose1d against scattering, and as the adjoint of convolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import fastconv
import reference
import strategies
from cases import case
from checks import DIRECT, assert_close, eps, from_layout, normal, solved


@pytest.mark.parametrize("name", cases.TRANSPOSE)
def test_hand_picked(backend, layout, dtype, name):
    solved("conv_transpose2d", cases.TRANSPOSE[name]).check(layout, dtype)


def test_channels_around_vector_multiples(backend, layout, dtype):
    for channels in cases.CHANNELS:
        solved("conv_transpose2d", case((1, channels, 3, 4), (channels, 3, 3, 3), stride=2)).check(
            layout, dtype
        )
        solved("conv_transpose2d", case((1, 3, 3, 4), (3, channels, 4, 4), stride=2, padding=1)).check(
            layout, dtype
        )


def test_every_width(backend, layout, dtype):
    for width in range(1, 34):
        solved("conv_transpose2d", case((1, 3, 2, width), (3, 5, 3, 3), padding=1)).check(layout, dtype)
        solved("conv_transpose2d", case((1, 3, 2, width), (3, 4, 2, 2), stride=2)).check(layout, dtype)


@given(strategies.transposed_convolutions(), strategies.layouts, strategies.dtypes, st.booleans())
def test_random(backend, problem, layout, dtype, unbatched):
    problem, dtype = solved("conv_transpose2d", problem), np.dtype(dtype)
    if not unbatched or not len(problem.x):
        return problem.check(layout, dtype)
    x, weight, bias = problem.arguments(layout, dtype)
    actual = from_layout(
        fastconv.conv_transpose2d(x[0], weight, bias, layout=layout, **problem.options), layout
    )
    assert_close(actual, problem.expected[0], problem.tolerance(dtype)[0], dtype)


@pytest.mark.parametrize(
    ("options", "padding"),
    [
        ({"stride": 2, "output_padding": 1, "groups": 2}, 1),
        ({"dilation": 3}, (2, 0)),
        ({"stride": 3}, "same"),
        ({"stride": 2}, "full"),
    ],
)
def test_conv_transpose1d(backend, layout, dtype, options, padding):
    channels = 6 // options.get("groups", 1)
    arrays = x, weight, bias = normal((2, 4, 9)), normal((4, channels, 5)), normal((6,))
    flat = {
        name: (0 if name == "output_padding" else 1, value)
        for name, value in options.items()
        if name != "groups"
    }
    flat["groups"] = options.get("groups", 1)
    pads = (
        padding
        if isinstance(padding, str)
        else ((0, 0), padding if isinstance(padding, tuple) else (padding,) * 2)
    )
    expected = _one_row(x, weight, bias, padding=pads, **flat)
    tolerance = DIRECT * eps(dtype) * _one_row(*map(abs, arrays), padding=pads, **flat).max()
    if layout == "NHWC":
        x, weight, expected = x.mT, weight.transpose(2, 1, 0), expected.mT
    actual = fastconv.conv_transpose1d(
        *(array.astype(dtype) for array in (x, weight, bias)), padding=padding, layout=layout, **options
    )
    assert_close(actual, expected, tolerance, dtype)


def _one_row(x, weight, bias, **options):
    return reference.conv_transpose2d(x[:, :, None], weight[:, :, None], bias, **options)[:, :, 0]


@given(strategies.convolutions(), strategies.layouts)
def test_is_the_adjoint_of_convolution(backend, problem, layout):
    """<conv(x), y> == <x, conv_transpose(y)> ; a stride's remainder is output padding."""
    problem = solved("conv2d", problem)
    options = dict(problem.options)
    if options["padding"] == "same":  # the size of the image before a strided one is not determined
        options["padding"] = "full"
    kernel = problem.weights[0].shape[2:]
    strides_and_dilations = [reference.pair(options[name]) for name in ("stride", "dilation")]
    x, weight, _ = problem.arguments(layout, np.float64)
    forward = fastconv.conv2d(x, weight, layout=layout, **options)
    y = normal(forward.shape, seed=3)
    pads = reference.pads(options["padding"], problem.x.shape[2:], kernel, *strides_and_dilations)
    axes = zip(problem.x.shape[2:], kernel, *strides_and_dilations, pads, strict=True)
    remainder = tuple((n + sum(p) - reference.effective(k, d)) % s for n, k, s, d, p in axes)
    back = fastconv.conv_transpose2d(y, weight, output_padding=remainder, layout=layout, **options)
    np.testing.assert_allclose((forward * y).sum(), (x * back).sum(), rtol=0, atol=1e-9)
