"""depthwise_conv2d and separable_conv2d against the reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import fastconv
from cases import case
from checks import FAST, assert_close, eps, normal, plane_maximum, solved, to_layout, weight_to_layout
from strategies import dtypes, either, layouts, paddings, sizes


@pytest.mark.parametrize("name", cases.DEPTHWISE)
def test_depthwise(backend, layout, dtype, name):
    solved("depthwise_conv2d", cases.DEPTHWISE[name]).check(layout, dtype)


def test_depthwise_channels_around_vector_multiples(backend, layout, dtype):
    for channels in cases.CHANNELS:
        problem = case((1, channels, 4, 6), (channels, 1, 3, 3), padding=1)
        solved("depthwise_conv2d", problem).check(layout, dtype)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_every_width(backend, layout, dtype, stride):
    for width in range(1, 34):
        problem = case((1, 3, 4, width), (3, 1, 3, 3), padding=1, stride=stride)
        solved("depthwise_conv2d", problem).check(layout, dtype)


@st.composite
def depthwise_problems(draw):
    channels, kernel = draw(st.integers(1, 20)), draw(st.tuples(*[st.integers(1, 7)] * 2))
    options = {
        "stride": draw(either(st.integers(1, 3))),
        "padding": draw(paddings(3) | st.sampled_from(["same", "valid", "full"])),
        "dilation": draw(either(st.integers(1, 2))),
    }
    size = draw(sizes(kernel, options["stride"], options["dilation"], options["padding"]))
    weight = (channels * draw(st.integers(1, 3)), 1, *kernel)
    return case((draw(st.integers(0, 2)), channels, *size), weight, **options)


@given(depthwise_problems(), layouts, dtypes)
def test_depthwise_random(backend, problem, layout, dtype):
    solved("depthwise_conv2d", problem).check(layout, np.dtype(dtype))


def test_depthwise_is_a_grouped_convolution(backend, layout, dtype):
    x = to_layout(normal((1, 6, 7, 8), dtype=dtype), layout)
    weight = weight_to_layout(normal((12, 1, 3, 3), dtype=dtype), layout)
    grouped = fastconv.conv2d(x, weight, groups=6, padding=1, layout=layout)
    np.testing.assert_array_equal(fastconv.depthwise_conv2d(x, weight, padding=1, layout=layout), grouped)


@pytest.mark.parametrize("name", cases.SEPARABLE)
def test_separable(backend, layout, dtype, name):
    solved("separable_conv2d", cases.SEPARABLE[name]).check(layout, dtype)


def test_separable_unbatched_with_epilogue(backend, layout, dtype):
    problem = solved("separable_conv2d", case((1, 4, 6, 7), (4, 1, 3, 3), (5, 4, 1, 1), padding=1))
    x, *weights = problem.arguments(layout, dtype)
    residual = normal((5, 6, 7), dtype=dtype)
    actual = fastconv.separable_conv2d(
        x[0], *weights, padding=1, layout=layout, residual=to_layout(residual, layout), activation="relu"
    )
    expected = to_layout(np.maximum(problem.expected[0] + residual, 0), layout)
    tolerance = FAST * eps(dtype) * (plane_maximum(problem.bound).max() + np.abs(residual).max())
    assert_close(actual, expected, tolerance, dtype)
