"""bias, residual and activation, on every operation that takes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
import reference
from cases import case
from checks import (
    FAST,
    assert_close,
    eps,
    from_layout,
    normal,
    plane_maximum,
    solved,
    to_layout,
    weight_to_layout,
)
from strategies import convolutions, dtypes, layouts

ACTIVATIONS = [
    None,
    "relu",
    "relu6",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "silu",
    "hardswish",
    "gelu",
    ("leaky_relu", 0.25),
    ("clip", -0.5, 1.25),
]
PROBLEMS = {
    "3x3": ("conv2d", case((2, 5, 7, 9), (17, 5, 3, 3), padding=1)),
    "1x1": ("conv2d", case((1, 33, 5, 6), (16, 33, 1, 1))),
    "Winograd's favourite": ("conv2d", case((1, 32, 12, 13), (32, 32, 3, 3), padding=1)),
    "strided, grouped": ("conv2d", case((1, 6, 9, 8), (8, 3, 5, 5), padding=2, stride=2, groups=2)),
    "depthwise": ("depthwise_conv2d", case((1, 18, 7, 6), (18, 1, 3, 3), padding=1)),
    "depthwise, small": ("depthwise_conv2d", case((2, 35, 4, 5), (35, 1, 3, 3), padding=1)),
    "whole image": ("conv2d", case((9, 10, 4, 3), (21, 10, 4, 3))),
    "separable": ("separable_conv2d", case((1, 5, 7, 6), (5, 1, 3, 3), (19, 5, 1, 1))),
    "transposed": ("conv_transpose2d", case((1, 5, 4, 6), (5, 17, 4, 4), stride=2, padding=1)),
}


def check(problem, layout, dtype, activation, with_residual, **options):
    residual = (
        3 * normal(problem.expected.shape, seed=4) if with_residual else np.zeros(problem.expected.shape)
    )
    sums = problem.expected + residual
    expected = reference.activate(sums, activation)
    before = FAST * eps(dtype) * plane_maximum(problem.bound + np.abs(residual))
    tolerance = 1.5 * before + 8 * eps(dtype) * np.abs(sums)
    residual = to_layout(residual, layout).astype(dtype) if with_residual else None
    actual = problem.run(layout, dtype, activation=activation, residual=residual, **options)
    assert_close(actual, expected, tolerance, dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
def test_activations(backend, layout, dtype, name, activation):
    problem = solved(*PROBLEMS[name])
    check(problem, layout, dtype, activation, with_residual=True)
    check(problem, layout, dtype, activation, with_residual=False)


@given(convolutions(), layouts, dtypes, st.sampled_from(ACTIVATIONS), st.booleans())
def test_random(backend, problem, layout, dtype, activation, with_residual):
    check(solved("conv2d", problem), layout, np.dtype(dtype), activation, with_residual)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_extreme_values(backend, layout, dtype, activation):
    """The whole range of the exponential, without a warning; NaN stays NaN."""
    values = np.concatenate([np.linspace(-120, 120, 481), [-1e30, -1e4, 1e4, 1e30, 0.0, -1e-30, np.nan]])
    values = values.astype(dtype).astype(np.float64)
    x = to_layout(values.reshape(1, 2, 4, -1), layout).astype(dtype)
    weight = weight_to_layout(np.ones((2, 1, 1, 1), dtype=dtype), layout)
    actual = fastconv.depthwise_conv2d(x, weight, layout=layout, activation=activation, algorithm="direct")
    expected = reference.activate(values.reshape(1, 2, 4, -1), activation)
    with np.errstate(invalid="ignore"):
        tolerance = 8 * eps(dtype) * np.abs(expected) + 8 * eps(dtype) * np.clip(
            np.abs(values), 0, 8
        ).reshape(expected.shape)
    assert_close(from_layout(actual, layout), expected, tolerance, dtype)


def test_activation_does_not_leak_into_the_next_call(backend, dtype):
    x, weight = normal((1, 3, 6, 6), dtype=dtype), normal((4, 3, 3, 3), dtype=dtype)
    plain = fastconv.conv2d(x, weight)
    assert (fastconv.conv2d(x, weight, activation="relu") >= 0).all()
    np.testing.assert_array_equal(fastconv.conv2d(x, weight), plain)
    assert (plain < 0).any()


def test_residual_of_another_dtype_and_order(backend, layout, dtype):
    problem = solved(*PROBLEMS["3x3"])
    residual = np.arange(problem.expected.size).reshape(problem.expected.shape) % 5
    for view in (residual.astype(np.uint8), residual.astype(">f8"), np.asfortranarray(residual)):
        actual = problem.run(layout, dtype, residual=to_layout(view, layout))
        tolerance = problem.tolerance(dtype) + 8 * eps(dtype) * 5
        assert_close(actual, problem.expected + residual, tolerance, dtype)
