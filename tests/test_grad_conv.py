"""Gradients of convolution against loops read backwards, central differences and PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings

import cases
import fastconv
import reference
import reference_grad
import strategies
from cases import case
from checks import FAST, assert_close, eps, normal, to_layout, weight_to_layout
from fastconv import grad
from grad_checks import check_directions, solved_gradient

MODES = ["zeros", "reflect", "replicate", "circular", "constant", "symmetric"]


@pytest.mark.parametrize("name", cases.CONV)
def test_conv(backend, layout, dtype, name):
    problem = solved_gradient("conv2d", cases.CONV[name])
    problem.check(layout, dtype)
    problem.check_one_by_one(layout, dtype)


@pytest.mark.parametrize("name", cases.DEPTHWISE)
def test_depthwise(backend, layout, dtype, name):
    solved_gradient("depthwise_conv2d", cases.DEPTHWISE[name]).check(layout, dtype)


@pytest.mark.parametrize("name", cases.TRANSPOSE)
def test_transpose(backend, layout, dtype, name):
    problem = solved_gradient("conv_transpose2d", cases.TRANSPOSE[name])
    problem.check(layout, dtype)
    problem.check_one_by_one(layout, dtype)


@pytest.mark.parametrize("name", cases.SEPARABLE)
def test_separable(backend, layout, dtype, name):
    solved_gradient("separable_conv2d", cases.SEPARABLE[name]).check(layout, dtype)


SLOW = {
    "kernel in pieces",
    "wide dilation of little",
}  # in the loops of the NumPy backend and of the reference


@pytest.mark.parametrize("name", [name for name in cases.LARGE if name not in SLOW])
def test_large(backend, layout, dtype, name):
    solved_gradient(*cases.LARGE[name]).check(layout, dtype)


@pytest.mark.parametrize("kernel", [1, 3])
def test_channels_around_vector_multiples(backend, layout, dtype, kernel):
    for c_in in cases.CHANNELS:
        for c_out in (1, 16, 33):
            weight = (c_out, c_in, kernel, kernel)
            problem = case((2, c_in, 4, 6), weight, padding=kernel // 2)
            solved_gradient("conv2d", problem).check(layout, dtype)


def test_every_number_of_output_channels(backend, layout, dtype):
    for channels in range(1, 71):
        solved_gradient("conv2d", case((1, 5, 4, 7), (channels, 5, 3, 3), padding=1)).check(layout, dtype)


@pytest.mark.parametrize("stride", [1, 2])
def test_every_width(backend, layout, dtype, stride):
    for width in range(1, 34):
        for problem in (
            case((1, 3, 3, width), (17, 3, 3, 3), padding=1, stride=stride),
            case((1, 3, 3, width), (4, 3, 2, 1), stride=stride),
        ):
            solved_gradient("conv2d", problem).check(layout, dtype)
        depthwise = case((2, 5, 4, width), (5, 1, 3, 3), padding=1, stride=stride)
        solved_gradient("depthwise_conv2d", depthwise).check(layout, dtype)


@given(strategies.convolutions(modes=MODES), strategies.layouts, strategies.dtypes)
def test_random(backend, problem, layout, dtype):
    solved_gradient("conv2d", problem).check(layout, np.dtype(dtype))


@given(strategies.transposed_convolutions(), strategies.layouts, strategies.dtypes)
def test_transpose_random(backend, problem, layout, dtype):
    solved_gradient("conv_transpose2d", problem).check(layout, np.dtype(dtype))


@pytest.mark.parametrize("pixels", [(1, 1), (2, 3)])
@pytest.mark.parametrize("padding", [0, 1])
def test_transpose_of_one_tap_with_output_padding(backend, layout, dtype, pixels, padding):
    """The kernel's only tap does not meet all of the result, which is larger than `x` or shifted against it."""
    for c_in, c_out, groups in [(1, 2, 1), (2, 1, 1), (1, 40, 1), (40, 1, 1), (6, 3, 3), (3, 6, 3)]:
        for dilation, output_padding in [(2, 1), (3, 2), (3, (0, 2)), ((1, 4), (0, 3))]:
            options = {"dilation": dilation, "output_padding": output_padding, "groups": groups}
            grown = output_padding if isinstance(output_padding, tuple) else (output_padding,) * 2
            if min(n + more for n, more in zip(pixels, grown, strict=True)) <= 2 * padding:
                continue
            problem = case((2, c_in, *pixels), (c_in, c_out // groups, 1, 1), padding=padding, **options)
            solved_gradient("conv_transpose2d", problem).check(layout, dtype)


# ------------------------------------------------------------------------------------------ one dimension


@pytest.mark.parametrize("padding", [2, (1, 3), ((0, 2),), "same", "valid", "full"], ids=str)
@pytest.mark.parametrize("mode", ["zeros", "reflect", "constant"])
def test_conv1d(backend, layout, dtype, padding, mode):
    x, weight = normal((2, 6, 19)), normal((8, 3, 4))
    options = {"stride": 2, "dilation": 3, "groups": 2, "padding_mode": mode}
    options["padding_value"] = 2.5 if mode == "constant" else 0
    along = padding[0] if padding == ((0, 2),) else padding
    if not isinstance(along, str):
        along = ((0, 0), along if isinstance(along, tuple) else (along, along))
    flat = options | {"stride": (1, 2), "dilation": (1, 3), "padding": along}
    _check_signals("conv1d", "conv2d", (x, weight), options | {"padding": padding}, flat, layout, dtype)


@pytest.mark.parametrize(
    ("options", "flat"),
    [
        (
            {"stride": 2, "output_padding": 1, "groups": 2, "padding": 1},
            {"stride": (1, 2), "output_padding": (0, 1), "groups": 2, "padding": (0, 1)},
        ),
        ({"dilation": 3, "padding": (2, 0)}, {"dilation": (1, 3), "padding": ((0, 0), (2, 0))}),
        ({"stride": 3, "padding": "same"}, {"stride": (1, 3), "padding": "same"}),
    ],
)
def test_conv_transpose1d(backend, layout, dtype, options, flat):
    arrays = normal((2, 4, 9)), normal((4, 6 // options.get("groups", 1), 5))
    _check_signals("conv_transpose1d", "conv_transpose2d", arrays, options, flat, layout, dtype)


def _check_signals(operation, twin, arrays, options, flat, layout, dtype):
    """The image with one row that stands for a signal."""
    shape = getattr(reference, twin)(*(a[:, :, None] for a in arrays), **flat).shape
    arrays = *arrays, normal((*shape[:2], shape[3]), seed=5)
    function = getattr(reference_grad, twin)
    expected = function(*(a[:, :, None] for a in arrays), **flat)
    bounds = function(*(abs(a)[:, :, None] for a in arrays), **flat)
    if layout == "NHWC":
        arrays = arrays[0].mT, arrays[1].transpose(2, 1, 0), arrays[2].mT
    actual = getattr(grad, operation)(*(a.astype(dtype) for a in arrays), layout=layout, **options)
    for position, (ours, exact, bound) in enumerate(zip(actual, expected, bounds, strict=True)):
        tolerance = FAST * eps(dtype) * bound.max()
        if position < 2:
            exact = exact[:, :, 0]
            exact = exact if layout == "NCHW" else exact.mT if position == 0 else exact.transpose(2, 1, 0)
        assert_close(np.ascontiguousarray(ours), exact, tolerance, dtype)


def test_conv1d_unbatched_and_activated(backend):
    x, weight = normal((3, 9)), normal((4, 3, 3))
    y = fastconv.conv1d(x, weight, padding=1, activation="relu")
    slope = normal(y.shape, seed=2)
    actual = grad.conv1d(x, weight, slope, padding=1, activation="relu", output=y)
    expected = grad.conv1d(x[None], weight, (slope * (y > 0))[None], padding=1)
    np.testing.assert_array_equal(actual[0], expected[0][0])
    for ours, theirs in zip(actual[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


# ------------------------------------------------------------------------- differences, PyTorch, adjoints

DIFFERENCES = {
    "conv2d": case((2, 4, 6, 7), (6, 2, 3, 2), stride=(2, 1), padding=((1, 2), (0, 1)), dilation=2, groups=2),
    "conv2d reflect": case((1, 3, 5, 6), (2, 3, 3, 3), padding=2, padding_mode="reflect"),
    "conv2d reflect, there and back": case(
        (1, 3, 2, 3), (2, 3, 3, 3), padding=(4, 5), padding_mode="reflect"
    ),
    "depthwise_conv2d": case((1, 3, 6, 7), (6, 1, 3, 3), padding="same", stride=2),
    "separable_conv2d": case((2, 3, 6, 5), (3, 1, 3, 3), (4, 3, 1, 1), padding=1, padding_mode="circular"),
    "separable_conv2d constant": case(
        (2, 3, 6, 5), (3, 1, 3, 3), (4, 3, 1, 1), padding=1, padding_mode="constant", padding_value=-2.5
    ),
    "conv_transpose2d": case((2, 4, 3, 4), (4, 3, 3, 3), stride=2, padding=1, output_padding=1, groups=2),
}
ACTIVATIONS = [
    None, "relu", "relu6", "leaky_relu", ("leaky_relu", -0.5), ("clip", -1, 2), "sigmoid", "tanh", "silu",
    "hardswish", "gelu",
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("name", DIFFERENCES)
def test_central_differences(backend, layout, name, activation):
    """Differences of the library's own forward function, through bias and activation; float64."""
    operation, problem = name.split()[0], DIFFERENCES[name]
    options = {"layout": layout} | dict(problem.options)
    function = getattr(fastconv, operation)
    x, *weights = normal(problem.x), *(normal(s, seed=i) for i, s in enumerate(problem.weights))
    weights = [weight_to_layout(weight, layout) for weight in weights]
    arrays = to_layout(x, layout), *weights
    channels = function(*arrays, **options).shape[1 if layout == "NCHW" else 3]
    arrays = *arrays, normal((channels,), seed=9)
    preactivation = function(*arrays, **options)
    y = function(*arrays, **options, activation=activation)
    slope = normal(y.shape, seed=3)
    compute = getattr(grad, operation)
    operands = *arrays[:-1], slope
    actual = compute(*operands, **options, activation=activation, preactivation=preactivation, output=y)
    check_directions(
        lambda *inputs: function(*inputs, **options, activation=activation), arrays, actual, slope
    )
    if activation in (None, "relu", "relu6", "leaky_relu", ("clip", -1, 2), "sigmoid", "tanh"):
        by_output = compute(*operands, **options, activation=activation, output=y)
        for ours, theirs in zip(by_output, actual, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * (1 + np.abs(theirs).max()))


@given(strategies.convolutions(modes=MODES[:-1], beyond=False))  # PyTorch has no symmetric padding
def test_torch(backend, problem):
    torch = pytest.importorskip("torch")
    kinds = {name: name for name in MODES} | {"zeros": "constant"}
    options, x, weight = dict(problem.options), normal(problem.x), normal(problem.weights[0])
    if not len(x):
        return
    rest = options["stride"], options["dilation"]
    (top, bottom), (left, right) = reference.pads(options["padding"], x.shape[2:], weight.shape[2:], *rest)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, weight, normal(weight.shape[:1]))]
    functional = torch.nn.functional
    padded = functional.pad(
        tensors[0],
        (left, right, top, bottom),
        kinds[options.get("padding_mode", "zeros")],
        options.get("padding_value"),
    )
    y = functional.conv2d(padded, *tensors[1:], rest[0], 0, rest[1], options["groups"])
    slope = normal(tuple(y.shape), seed=4)
    expected = torch.autograd.grad(y, tensors, torch.from_numpy(slope))
    for ours, theirs in zip(grad.conv2d(x, weight, slope, **options), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-11, atol=1e-11)


@given(strategies.transposed_convolutions())
def test_transpose_torch(backend, problem):
    torch = pytest.importorskip("torch")
    options, x, weight = dict(problem.options), normal(problem.x), normal(problem.weights[0])
    if not len(x):
        return
    options["padding"] = tuple(min(axis) for axis in options["padding"])
    channels = weight.shape[1] * options["groups"]
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, weight, normal((channels,)))]
    y = torch.nn.functional.conv_transpose2d(*tensors, **options)
    slope = normal(tuple(y.shape), seed=4)
    expected = torch.autograd.grad(y, tensors, torch.from_numpy(slope))
    for ours, theirs in zip(grad.conv_transpose2d(x, weight, slope, **options), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "activation", ["relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu"]
)
def test_activation_torch(backend, dtype, activation):
    """Kinks, tails and NaN as PyTorch; but whether hardswish of NaN has a slope of 1 or NaN is left open."""
    torch = pytest.importorskip("torch")
    x = np.concatenate([np.linspace(-40, 40, 321), [-3, 3, 6, 1e-30, -1e-30]]).astype(dtype)
    if activation != "hardswish":
        x = np.append(x, dtype.type(np.nan))
    t = torch.tensor(x, requires_grad=True)
    y = (getattr(torch.nn.functional, activation, None) or getattr(torch, activation))(t)
    slope = normal(x.shape, dtype=dtype)
    expected = torch.autograd.grad(y, t, torch.from_numpy(slope))[0].numpy()
    # Rounding sigmoid(x) to 1 costs silu's slope, y * (1 + x * (1 - y)), x units.
    tolerance = 4 * eps(dtype) * (4 + np.abs(np.nan_to_num(x))) * np.abs(slope)
    assert_close(grad.activation(slope, None, activation, preactivation=x), expected, tolerance, dtype)
    if activation not in ("silu", "hardswish", "gelu"):
        actual = grad.activation(slope, y.detach().numpy(), activation)
        assert_close(actual, expected, tolerance, dtype)


@given(strategies.convolutions(modes=[m for m in MODES if m != "constant"]), strategies.layouts)
@settings(max_examples=20)
def test_adjoint(backend, problem, layout):
    """<conv(x), g> = <x, grad_x> = <weight, grad_weight>."""
    options = dict(problem.options) | {"layout": layout}
    x, weight = to_layout(normal(problem.x), layout), weight_to_layout(normal(problem.weights[0]), layout)
    y = fastconv.conv2d(x, weight, **options)
    slope = normal(y.shape, seed=3)
    grad_x, grad_weight, grad_bias = grad.conv2d(x, weight, slope, **options)
    product = (y * slope).sum()
    np.testing.assert_allclose([(x * grad_x).sum(), (weight * grad_weight).sum()], product, rtol=0, atol=1e-9)
    axes = (0, 2, 3) if layout == "NCHW" else (0, 1, 2)
    np.testing.assert_allclose(grad_bias, slope.sum(axes), rtol=0, atol=1e-10)


def test_reference_by_differences():
    """The reference itself, against the reference's forward functions."""
    x, weight = normal((1, 2, 5, 6)), normal((4, 1, 3, 2))
    options = {
        "stride": 2,
        "padding": ((1, 0), (2, 1)),
        "dilation": 2,
        "groups": 2,
        "padding_mode": "circular",
    }
    slope = normal(reference.conv2d(x, weight, **options).shape)
    grad_x, grad_weight, _ = reference_grad.conv2d(x, weight, slope, **options)
    for array, gradient, forward in (
        (x, grad_x, lambda a: reference.conv2d(a, weight, **options)),
        (weight, grad_weight, lambda a: reference.conv2d(x, a, **options)),
    ):
        for where in np.ndindex(array.shape):
            unit = np.zeros(array.shape)
            unit[where] = 1
            np.testing.assert_allclose((forward(unit) * slope).sum(), gradient[where], atol=1e-12)
