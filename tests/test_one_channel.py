"""Images of one channel are the same memory in both layouts: what makes one channel of one channel is the same work."""

import numpy as np
import pytest

import fastconv
from fastconv import grad
from fastconv.tuning.entries import in_words

SIZE = 37, 45
ODD = {"stride": (2, 1), "padding": ((1, 0), (2, 3)), "dilation": (1, 2)}
REFLECTED = {"padding": 3, "padding_mode": "reflect"}
CONVOLUTIONS = [
    (fastconv.conv2d, {"padding": 1}),
    (fastconv.conv2d, {"padding": 1, "algorithm": "direct"}),
    (fastconv.conv2d, ODD),
    (fastconv.conv2d, REFLECTED),
    (fastconv.depthwise_conv2d, {"padding": "same"}),
    (fastconv.conv_transpose2d, {"padding": 1}),
    (fastconv.conv_transpose2d, {"stride": 2, "padding": 1, "output_padding": 1}),
]
GRADIENTS = [
    (grad.conv2d, {"padding": 1}),
    (grad.conv2d, ODD),
    (grad.conv2d, REFLECTED),
    (grad.depthwise_conv2d, {"padding": 1}),
    (grad.conv_transpose2d, {"stride": 2}),
]
PLANS = [fastconv.plan_conv2d, fastconv.plan_depthwise_conv2d, fastconv.plan_conv_transpose2d]


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def planes(rng, dtype, batch=2, size=SIZE):
    return rng.standard_normal((batch, 1, *size)).astype(dtype)


def pixels(array):
    """The same memory as NHWC."""
    return array.reshape(array.shape[0], *array.shape[2:], 1)


def taps(rng, dtype, kernel=(3, 3)):
    weight = rng.standard_normal((1, 1, *kernel)).astype(dtype)
    return weight, weight.reshape(*kernel, 1, 1)


@pytest.mark.parametrize(("operation", "options"), CONVOLUTIONS)
def test_convolutions_have_the_same_bits(backend, rng, dtype, operation, options):
    x, (weight, last) = planes(rng, dtype), taps(rng, dtype)
    bias = rng.standard_normal(1).astype(dtype)
    expected = operation(x, weight, bias, activation="relu", **options)
    residual = planes(rng, dtype, size=expected.shape[2:])
    out = np.empty_like(pixels(expected))
    for _ in range(2):  # a call that is new, and one that is known
        actual = operation(pixels(x), last, bias, activation="relu", layout="NHWC", **options)
        np.testing.assert_array_equal(actual, pixels(expected))
        operation(pixels(x), last, bias, activation="relu", layout="NHWC", out=out, **options)
        np.testing.assert_array_equal(out, actual)
    added = operation(x, weight, residual=residual, **options)
    actual = operation(pixels(x), last, residual=pixels(residual), layout="NHWC", **options)
    np.testing.assert_array_equal(actual, pixels(added))
    unbatched = operation(pixels(x)[1], last, bias, activation="relu", layout="NHWC", **options)
    assert unbatched.shape == pixels(expected).shape[1:]
    np.testing.assert_allclose(unbatched, pixels(expected)[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("operation", "options"), GRADIENTS)
def test_gradients_have_the_same_bits(backend, rng, dtype, operation, options):
    x, (weight, last) = planes(rng, dtype), taps(rng, dtype)
    forward = getattr(fastconv, operation.__name__)
    slopes = planes(rng, dtype, size=forward(x, weight, **options).shape[2:])
    expected = operation(x, weight, slopes, **options)
    for _ in range(2):
        actual = operation(pixels(x), last, pixels(slopes), layout="NHWC", **options)
        assert [a.shape for a in actual] == [pixels(x).shape, last.shape, (1,)]
        for a, e in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(a.ravel(), e.ravel())


@pytest.mark.parametrize("make", PLANS)
def test_plans_are_the_same(backend, rng, make):
    x, (weight, last) = planes(rng, np.float32), taps(rng, np.float32)
    plan, other = make(weight, padding=1), make(last, padding=1, layout="NHWC")
    assert other.explain(pixels(x).shape) == plan.explain(x.shape)
    assert other.algorithm(pixels(x).shape) == plan.algorithm(x.shape)
    problems = plan._problem(x.shape), other._problem(pixels(x).shape)
    assert in_words(problems[0]) == in_words(problems[1])
    for _ in range(2):
        np.testing.assert_array_equal(other(pixels(x)), pixels(plan(x)))


def test_algorithms_are_refused_as_before(rng):
    x, (_, last) = planes(rng, np.float32), taps(rng, np.float32)
    with pytest.raises(ValueError, match="algorithm is 'no such'"):
        fastconv.conv2d(pixels(x), last, layout="NHWC", algorithm="no such")
    if "cython" in fastconv.available_backends():
        # It takes kernels that cover the image, in NCHW.
        with pytest.raises(ValueError, match="algorithm is 'dot_products', which cannot do"):
            fastconv.conv2d(pixels(x), last, layout="NHWC", algorithm="dot_products", backend="cython")


@pytest.mark.parametrize("filters", [2, 5])
def test_more_filters_are_no_planes(backend, rng, dtype, filters):
    x, weight = planes(rng, dtype), rng.standard_normal((filters, 1, 3, 3)).astype(dtype)
    expected = fastconv.conv2d(x, weight, padding=1).transpose(0, 2, 3, 1)
    actual = fastconv.conv2d(pixels(x), weight.transpose(2, 3, 1, 0), padding=1, layout="NHWC")
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_normalisation_is_that_of_planes(backend, rng, dtype):
    x, one = planes(rng, dtype), np.ones(1, dtype)
    cases = [
        lambda a, layout: fastconv.local_response_norm(a, 3, layout=layout),
        lambda a, layout: grad.local_response_norm(a, a, 3, layout=layout),
        lambda a, layout: fastconv.batch_norm(a, None, None, one, one, training=True, layout=layout),
        lambda a, layout: grad.batch_norm(a, a, None, None, one, training=True, layout=layout)[0],
        lambda a, layout: fastconv.instance_norm(a, one, layout=layout),
        lambda a, layout: grad.instance_norm(a, a, one, layout=layout)[0],
    ]
    for run in cases:
        np.testing.assert_array_equal(run(pixels(x), "NHWC"), pixels(run(x, "NCHW")))
