"""PyTorch as second reference, for the library on every backend and for the oracle's definitions (`reference.py`)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
import reference
import strategies
from checks import from_layout, normal
from conftest import skip_unless_available
from test_pool import integers, sprinkle

torch = pytest.importorskip("torch")
F = torch.nn.functional

FUNCTIONS = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


@pytest.fixture(params=[*fastconv.backends.names(), "reference"])
def implementation(request):
    """The module whose functions are compared: the library on one of its backends, or the reference."""
    if request.param == "reference":
        yield reference
        return
    skip_unless_available(request.param)
    with fastconv.use_backend(request.param):
        yield fastconv


def tensor(x):
    return torch.from_numpy(np.ascontiguousarray(x))


def same(actual, expected, atol=1e-11):
    expected = expected.numpy()
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=atol)


def same_pair(actual, expected):
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())
    assert actual[1].dtype == np.int64


@given(strategies.convolutions(modes=list(FUNCTIONS), beyond=False))
def test_conv2d(implementation, problem):
    options, x, weight = dict(problem.options), normal(problem.x), normal(problem.weights[0])
    bias = normal(weight.shape[:1])
    pads = reference.pads(
        options["padding"], x.shape[2:], weight.shape[2:], options["stride"], options["dilation"]
    )
    if len(x):
        (top, bottom), (left, right) = pads
        padded = F.pad(tensor(x), (left, right, top, bottom), FUNCTIONS[options.get("padding_mode", "zeros")])
        arguments = options["stride"], 0, options["dilation"], options["groups"]
        same(
            implementation.conv2d(x, weight, bias, **options),
            F.conv2d(padded, tensor(weight), tensor(bias), *arguments),
        )


@given(strategies.transposed_convolutions())
def test_conv_transpose2d(implementation, problem):
    options, x, weight = dict(problem.options), normal(problem.x), normal(problem.weights[0])
    if len(x):
        options["padding"] = tuple(min(axis) for axis in options["padding"])
        expected = F.conv_transpose2d(tensor(x), tensor(weight), None, **options)
        same(implementation.conv_transpose2d(x, weight, **options), expected)


@given(
    strategies.poolings(largest_dilation=3),
    st.sampled_from([(), (np.nan,), (-np.inf,)]),
)
def test_max_pool2d(implementation, problem, values):
    shape, options = problem
    if reference.some_window_is_empty(shape, options):
        return  # PyTorch reports an index outside of the image; this library refuses
    x = sprinkle(integers(shape), values)
    options["return_indices"] = True
    same_pair(implementation.max_pool2d(x, **options), F.max_pool2d(tensor(x), **options))


@given(strategies.poolings(), st.booleans(), st.none() | st.sampled_from([1, 3, -1, -4]))
def test_avg_pool2d(implementation, problem, count_include_pad, divisor):
    shape, options = problem
    options |= {"count_include_pad": count_include_pad, "divisor_override": divisor}
    x = normal(shape)
    same(implementation.avg_pool2d(x, **options), F.avg_pool2d(tensor(x), **options))


@given(strategies.poolings(padded=False), st.sampled_from([1, 2, 3, 1.5]))
def test_lp_pool2d(implementation, problem, norm_type):
    shape, options = problem
    x = np.abs(normal(shape))  # where PyTorch, which does not take |x|, agrees with the definition
    same(implementation.lp_pool2d(x, norm_type, **options), F.lp_pool2d(tensor(x), norm_type, **options))


@given(
    st.tuples(*[st.integers(1, n) for n in (2, 4, 12, 12)]),
    st.tuples(*[st.integers(1, 14)] * 2),
    st.booleans(),
)
def test_adaptive_pooling(implementation, shape, size, nans):
    x = sprinkle(integers(shape), (np.nan,) if nans else ())
    same(implementation.adaptive_avg_pool2d(x, size), F.adaptive_avg_pool2d(tensor(x), size))
    same_pair(implementation.adaptive_max_pool2d(x, size, True), F.adaptive_max_pool2d(tensor(x), size, True))


@given(st.data(), st.booleans())
def test_fractional_max_pool2d(implementation, data, nans):
    shape = data.draw(st.tuples(*[st.integers(1, n) for n in (2, 4, 15, 15)]))
    kernel = tuple(data.draw(st.integers(1, min(n, 4))) for n in shape[2:])
    output = tuple(data.draw(st.integers(1, n - k + 1)) for n, k in zip(shape[2:], kernel, strict=True))
    samples = np.random.default_rng(data.draw(st.integers(0, 99))).random((*shape[:2], 2))
    x = sprinkle(integers(shape), (np.nan,) if nans else ())
    ours = implementation.fractional_max_pool2d(
        x, kernel, output, return_indices=True, random_samples=samples
    )
    theirs = F.fractional_max_pool2d(
        tensor(x), kernel, output, return_indices=True, _random_samples=tensor(samples)
    )
    same_pair(ours, theirs)


@pytest.mark.parametrize("size", [None, (9, 11)], ids=str)
def test_max_unpool2d(implementation, size):
    x = tensor(np.random.default_rng(0).permutation(2 * 3 * 8 * 10).reshape(2, 3, 8, 10) * 1.0)
    value, index = F.max_pool2d(x, 2, return_indices=True)
    ours = implementation.max_unpool2d(value.numpy(), index.numpy(), 2, output_size=size)
    same(ours, F.max_unpool2d(value, index, 2, output_size=size))


@given(strategies.convolutions())
def test_unfold_and_fold(implementation, problem):
    options, shape, kernel = dict(problem.options), problem.x, problem.weights[0][2:]
    pads = reference.pads(options["padding"], shape[2:], kernel, options["stride"], options["dilation"])
    padding = tuple(min(axis) for axis in pads)
    fits = (n + 2 * p >= reference.effective(k, d) for n, p, k, d in zip(
        shape[2:], padding, kernel, reference.pair(options["dilation"]), strict=True))  # fmt: skip
    if all(fits) and shape[0]:
        arguments = kernel, options["dilation"], padding, options["stride"]
        x = normal(shape)
        columns = F.unfold(tensor(x), *arguments)
        same(implementation.unfold(x, *arguments), columns)
        same(
            implementation.fold(columns.numpy(), shape[2:], *arguments),
            F.fold(columns, shape[2:], *arguments),
        )


@pytest.mark.parametrize("mode", FUNCTIONS)
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((2, 1), (0, 3)), ((3, 3), (4, 4))], ids=str)
def test_pad2d(implementation, mode, padding):
    (top, bottom), (left, right) = padding
    x = normal((2, 3, 4, 5))
    same(
        implementation.pad2d(x, padding, mode), F.pad(tensor(x), (left, right, top, bottom), FUNCTIONS[mode])
    )


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_local_response_norm(implementation, size, channels):
    x = normal((2, channels, 3, 4))
    theirs = F.local_response_norm(tensor(x), size, 0.3, 0.6, 1.5)
    same(implementation.local_response_norm(x, size, 0.3, 0.6, 1.5), theirs)


@pytest.mark.parametrize(
    "name", ["relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu"]
)
def test_activations(implementation, name):
    x = np.linspace(-30, 30, 2001).reshape(1, 1, 1, -1)
    expected = getattr(F, name, None) or getattr(torch, name)
    if implementation is reference:
        actual = reference.activate(x, name)
    else:
        actual = fastconv.conv2d(x, np.ones((1, 1, 1, 1)), activation=name)
    same(actual, expected(tensor(x)))


def test_nhwc_is_keras_order(backend):
    x, weight = normal((2, 6, 7, 8)), normal((4, 3, 3, 3))
    actual = fastconv.conv2d(x.transpose(0, 2, 3, 1), weight.transpose(2, 3, 1, 0), groups=2, layout="NHWC")
    same(from_layout(actual, "NHWC"), F.conv2d(tensor(x), tensor(weight), groups=2))
