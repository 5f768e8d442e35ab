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
from checks import DIRECT, FAST, assert_close, eps, normal, to_layout, weight_to_layout
from fastconv import grad
from grad_checks import check_directions, solved_gradient

MODES = ["zeros", "reflect", "replicate", "circular"]


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


# ------------------------------------------------------------------------------------------ one dimension


@pytest.mark.parametrize("padding", [2, (1, 3), ((0, 2),), "same", "valid", "full"], ids=str)
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_conv1d(backend, layout, dtype, padding, mode):
    x, weight = normal((2, 6, 19)), normal((8, 3, 4))
    options = {"stride": 2, "dilation": 3, "groups": 2, "padding_mode": mode}
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
    """The same with one row."""
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
    "depthwise_conv2d": case((1, 3, 6, 7), (6, 1, 3, 3), padding="same", stride=2),
    "separable_conv2d": case((2, 3, 6, 5), (3, 1, 3, 3), (4, 3, 1, 1), padding=1, padding_mode="circular"),
    "conv_transpose2d": case((2, 4, 3, 4), (4, 3, 3, 3), stride=2, padding=1, output_padding=1, groups=2),
}
ACTIVATIONS = [
    None, "relu", "relu6", "leaky_relu", ("leaky_relu", -0.5), ("clip", -1, 2), "sigmoid", "tanh", "silu",
    "hardswish", "gelu",
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("name", DIFFERENCES)
def test_central_differences(backend, layout, name, activation):
    """Of the library's own forward function, through bias and activation; float64."""
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


@given(strategies.convolutions(modes=MODES))
def test_torch(backend, problem):
    torch = pytest.importorskip("torch")
    kinds = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
    options, x, weight = dict(problem.options), normal(problem.x), normal(problem.weights[0])
    if not len(x):
        return
    rest = options["stride"], options["dilation"]
    (top, bottom), (left, right) = reference.pads(options["padding"], x.shape[2:], weight.shape[2:], *rest)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, weight, normal(weight.shape[:1]))]
    functional = torch.nn.functional
    padded = functional.pad(
        tensors[0], (left, right, top, bottom), kinds[options.get("padding_mode", "zeros")]
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
    """Kinks, tails, infinities and NaN as PyTorch, which gives NaN where it multiplies infinity by 0."""
    torch = pytest.importorskip("torch")
    x = np.concatenate([np.linspace(-40, 40, 321), [-3, 3, 6, 1e-30, -1e-30, np.nan]]).astype(dtype)
    t = torch.tensor(x, requires_grad=True)
    y = (getattr(torch.nn.functional, activation, None) or getattr(torch, activation))(t)
    slope = normal(x.shape, dtype=dtype)
    expected = torch.autograd.grad(y, t, torch.from_numpy(slope))[0].numpy()
    tolerance = 16 * eps(dtype) * np.abs(slope)
    assert_close(grad.activation(slope, None, activation, preactivation=x), expected, tolerance, dtype)
    if activation not in ("silu", "hardswish", "gelu"):
        actual = grad.activation(slope, y.detach().numpy(), activation)
        assert_close(actual, expected, tolerance, dtype)


@given(strategies.convolutions(modes=MODES), strategies.layouts)
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


# -------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("operation", ["conv2d", "conv_transpose2d", "separable_conv2d"])
def test_needs(backend, layout, operation):
    problem = solved_gradient(operation, {
        "conv2d": cases.CONV["reflect, grouped and strided"],
        "conv_transpose2d": cases.TRANSPOSE["groups"],
        "separable_conv2d": cases.SEPARABLE["circular"],
    }[operation])  # fmt: skip
    everything = problem.run(layout, np.float64)
    count = len(everything)
    for number in range(2**count):
        needs = tuple(bool(number >> i & 1) for i in range(count))
        some = problem.run(layout, np.float64, needs=needs)
        assert [part is not None for part in some] == list(needs)
        for part, full in zip(some, everything, strict=True):
            if part is not None:
                np.testing.assert_allclose(part, full, rtol=0, atol=1e-12 * (1 + np.abs(full).max()))


@pytest.mark.parametrize("name", ["3x3 stride 2", "groups", "same, stride and dilation", "circular"])
def test_unbatched(backend, layout, name):
    problem = cases.CONV[name]
    problem = solved_gradient("conv2d", case((1, *problem.x[1:]), *problem.weights, **dict(problem.options)))
    x, weight, slope = problem.arguments(layout, np.float64)
    options = problem.options | {"layout": layout}
    batched, single = grad.conv2d(x, weight, slope, **options), grad.conv2d(x[0], weight, slope[0], **options)
    for ours, theirs in zip(single, (batched[0][0], *batched[1:]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    of_input = grad.conv2d_input(x.shape[1:], weight, slope[0], **options)
    np.testing.assert_array_equal(of_input, single[0])
    of_weight = grad.conv2d_weight(x[0], weight.shape, slope[0], **options)
    np.testing.assert_allclose(of_weight, single[1], rtol=0, atol=1e-12 * np.abs(of_weight).max())


def test_strided_images_of_several_sizes(backend, layout):
    """The size of the image is the caller's to say; pixels that no window sees get 0."""
    weight, slope = normal((4, 3, 3, 3)), normal((1, 4, 3, 3))
    for size in (7, 8):
        x = normal((1, 3, size, size))
        expected = reference_grad.conv2d(x, weight, slope, 2)[0]
        arrays = weight_to_layout(weight, layout), to_layout(slope, layout)
        actual = grad.conv2d_input(to_layout(x, layout).shape, *arrays, 2, layout=layout)
        assert_close(actual, to_layout(expected, layout), 1e-13, np.float64)
    assert (actual[:, -1] == 0).all() if layout == "NHWC" else (actual[:, :, -1] == 0).all()


def test_overlapping_windows_accumulate(backend):
    ones = np.ones((1, 1, 3, 3))
    actual = grad.conv2d_input((1, 1, 5, 5), ones, np.ones((1, 1, 3, 3)))
    per_axis = np.array([1.0, 2, 3, 2, 1])
    np.testing.assert_array_equal(actual[0, 0], np.outer(per_axis, per_axis))


@pytest.mark.parametrize("name", ["3x3 stride 2", "1x1", "groups", "depthwise", "5x5"])
def test_nan_stays_with_its_channel(backend, layout, dtype, name):
    """Whatever the algorithm: other channels' weights and other images know nothing of a NaN."""
    problem = solved_gradient("conv2d", cases.CONV[name])
    x, weight, slope = problem.arguments(layout, dtype)
    options = problem.options | {"layout": layout}
    groups = problem.options.get("groups", 1)
    clean = grad.conv2d(x, weight, slope, **options)
    last = (..., -1) if layout == "NHWC" else (slice(None), -1)
    middle = (0, 2, 2) if layout == "NHWC" else (0, slice(None), 2, 2)

    broken = x.copy()
    broken[middle][-1] = np.nan
    grad_x, grad_weight, grad_bias = grad.conv2d(broken, weight, slope, **options)
    first = weight_to_nchw(grad_weight, layout), weight_to_nchw(clean[1], layout)
    per_group = len(first[0]) // groups
    wrong = np.isnan(first[0])
    assert wrong[-per_group:, -1].any()
    wrong[-per_group:, -1] = False
    assert not wrong.any()
    keep = np.ones(first[0].shape, bool)
    keep[-per_group:, -1] = False
    np.testing.assert_array_equal(first[0][keep], first[1][keep])
    np.testing.assert_array_equal(grad_x, clean[0])
    np.testing.assert_array_equal(grad_bias, clean[2])

    broken = slope.copy()
    broken[last][0, 1, 1] = np.nan
    grad_x, grad_weight, grad_bias = grad.conv2d(x, weight, broken, **options)
    grad_weight = weight_to_nchw(grad_weight, layout)
    assert np.isnan(grad_weight[-1]).any()
    np.testing.assert_array_equal(grad_weight[:-1], first[1][:-1])
    assert np.isnan(grad_bias[-1])
    np.testing.assert_array_equal(grad_bias[:-1], clean[2][:-1])
    np.testing.assert_array_equal(grad_x[1:], clean[0][1:])
    assert np.isnan(grad_x[0]).any()


def weight_to_nchw(weight, layout):
    return weight if layout == "NCHW" else weight.transpose(3, 2, 0, 1)


@pytest.mark.parametrize("name", ["several panels", "3x3 stride 2", "groups"])
def test_direct_confines_nan_to_the_windows(backend, layout, dtype, name):
    problem = solved_gradient("conv2d", cases.CONV[name])
    slope = problem.grad_output.copy()
    slope[0, -1, 1, 2] = np.nan
    arrays = (
        weight_to_layout(problem.weights[0], layout).astype(dtype),
        to_layout(slope, layout).astype(dtype),
    )
    expected = reference_grad.conv2d(problem.x, problem.weights[0], slope, **problem.options)[0]
    assert np.isfinite(expected[0]).any()
    assert np.isnan(expected).any()
    shape = to_layout(problem.x, layout).shape
    actual = grad.conv2d_input(shape, *arrays, layout=layout, algorithm="direct", **problem.options)
    tolerance = DIRECT * eps(dtype) * problem.bounds[0].max()
    assert_close(actual, to_layout(expected, layout), tolerance, dtype)


@pytest.mark.parametrize("name", ["batch", "3x3 stride 2", "dilation", "groups", "circular"])
def test_every_algorithm_is_right_or_refuses(backend, layout, dtype, name):
    problem, accepted = solved_gradient("conv2d", cases.CONV[name]), 0
    for algorithm in fastconv.algorithms():
        try:
            gradients = problem.run(layout, dtype, algorithm=algorithm)
        except ValueError as refusal:
            assert str(refusal).startswith(f"grad.conv2d: algorithm is {algorithm!r}")  # noqa: PT017
        else:
            accepted += 1
            problem.compare(gradients, layout, dtype)
    assert accepted


def test_precision(backend, layout, dtype):
    """Within the strict bound, and one that a sum of that length can keep."""
    problem = solved_gradient("conv2d", cases.CONV["several panels"])
    problem.check(layout, dtype, factor=DIRECT, precision="strict")


@pytest.mark.parametrize("operation", ["conv2d", "depthwise_conv2d", "conv_transpose2d", "separable_conv2d"])
def test_repeated_calls_give_the_same_bits(backend, layout, operation):
    tables = {"conv2d": cases.CONV["several panels"], "depthwise_conv2d": cases.DEPTHWISE["large"],
              "conv_transpose2d": cases.TRANSPOSE["deep"], "separable_conv2d": cases.SEPARABLE["stride 2"]}  # fmt: skip
    problem = solved_gradient(operation, tables[operation])
    for ours, theirs in zip(problem.run(layout, np.float32), problem.run(layout, np.float32), strict=True):
        np.testing.assert_array_equal(ours, theirs)


THREADED = {
    "3x3": case((3, 24, 30, 29), (40, 24, 3, 3), padding=1),
    "1x1": case((2, 64, 20, 21), (96, 64, 1, 1)),
    "stem": case((2, 3, 61, 60), (32, 3, 7, 7), padding=3, stride=2),
    "grouped": case((3, 32, 16, 17), (32, 4, 3, 3), groups=8, padding=1),
    "depthwise": case((2, 48, 30, 31), (48, 1, 3, 3), groups=48, padding=1),
    "strided": case((2, 20, 33, 32), (36, 20, 3, 3), stride=2, padding=1),
    "dilated": case((2, 20, 33, 32), (36, 20, 3, 3), dilation=3, padding=3),
    "few pixels": case((1, 128, 4, 4), (160, 128, 3, 3), padding=1),
    "reflect": case((2, 20, 21, 22), (36, 20, 3, 3), padding=1, padding_mode="reflect"),
}


@pytest.mark.parametrize("name", THREADED)
def test_bits_do_not_depend_on_the_number_of_threads(backend, layout, dtype, name):
    problem = THREADED[name]
    options = dict(problem.options) | {"layout": layout}
    x = to_layout(normal(problem.x, dtype=dtype), layout)
    weight = weight_to_layout(normal(problem.weights[0], dtype=dtype), layout)
    y = fastconv.conv2d(x, weight, **options)
    slope = normal(y.shape, seed=3, dtype=dtype)

    def run():
        plain = grad.conv2d(x, weight, slope, **options)
        return *plain, *grad.conv2d(x, weight, slope, activation="silu", preactivation=y, **options)

    with fastconv.num_threads(1):
        expected = run()
    for count in (2, 3, 4):
        with fastconv.num_threads(count):
            for ours, theirs in zip(run(), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_empty_batch_gives_zeros(backend, layout):
    problem = solved_gradient("conv2d", cases.CONV["empty batch"])
    grad_x, grad_weight, grad_bias = problem.run(layout, np.float32)
    assert grad_x.size == 0
    assert (grad_weight == 0).all()
    assert (grad_bias == 0).all()
