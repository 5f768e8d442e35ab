"""What a training step does at once, beside the same step by step: batch normalisation and what follows, optimisers."""

import math

import numpy as np
import pytest

import fastconv
import fastconv.nn as nn
from fastconv.nn.operations.norm import TRAIN_BATCH

# Channels that a task takes whole, few channels, planes of one pixel, and channels beyond a cache.
SHAPES = [(3, 9, 5, 7), (4, 2, 3, 3), (6, 8, 1, 1), (2, 17, 1, 3), (2, 8, 258, 257)]


def oracle(x, weight, bias, residual, slope, low, high, eps):
    """In float64, from the definition: output, statistics, and the gradients of x, weight, bias and residual."""
    x, slope = x.astype(np.float64), slope.astype(np.float64)
    wide = (1, -1, 1, 1)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    inverse = 1 / np.sqrt(variance + eps)
    normal = (x - mean.reshape(wide)) * inverse.reshape(wide)
    full = normal * weight.reshape(wide) + bias.reshape(wide) + residual
    back = np.where((full > low) & (full < high), slope, 0)
    count = x.size / len(mean)
    of_weight, of_bias = (back * normal).sum((0, 2, 3)), back.sum((0, 2, 3))
    inner = back - (of_bias.reshape(wide) + normal * of_weight.reshape(wide)) / count
    of_x = inner * (weight * inverse).reshape(wide)
    return np.clip(full, low, high), mean, variance * count / (count - 1), of_x, of_weight, of_bias, back


def as_layout(x, layout):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if layout == "NHWC" else x


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("activation", "low", "high"),
    [(None, -math.inf, math.inf), ("relu", 0.0, math.inf), (("clip", -0.5, 1.0), -0.5, 1.0)],
)
@pytest.mark.parametrize("adds", [True, False])
def test_batch_norm_and_what_follows(backend, shape, layout, dtype, activation, low, high, adds):
    if max(shape) > 200 and (activation is None or backend == "numpy" or dtype == "float64"):
        pytest.skip("once is enough")
    rng = np.random.default_rng(0)
    x, residual, slope = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    x = x * dtype_of(dtype)(2) + dtype_of(dtype)(5)
    weight, bias = (rng.standard_normal(shape[1]).astype(dtype) for _ in range(2))
    if not adds:
        residual[...] = 0
    expected, mean, variance, *gradients = oracle(x, weight, bias, residual, slope, low, high, 1e-3)
    running = np.zeros(shape[1], dtype), np.zeros(shape[1], dtype)
    given = [as_layout(x, layout), weight, bias, as_layout(residual, layout) if adds else None]
    options = {"mean": running[0], "variance": running[1], "momentum": 1.0, "eps": 1e-3, "layout": layout}
    y, pullback = TRAIN_BATCH.record((True, True, True, adds), *given, activation=activation, **options)
    found = pullback(as_layout(slope, layout))
    tolerance = 3e-5 if dtype == "float32" else 1e-11
    # Where rounding decides whether a number is cut off, gradients differ by more than rounding.
    near = (np.abs(expected - low) < 1e-6) & (expected > low) | (np.abs(expected - high) < 1e-6) & (
        expected < high
    )
    assert not near.any() or max(shape) > 200
    np.testing.assert_allclose(y, as_layout(expected, layout), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(running[0], mean, rtol=tolerance)
    np.testing.assert_allclose(running[1], variance, rtol=tolerance)
    if near.any():
        return
    for name, got, wanted in zip(("x", "weight", "bias", "residual"), found, gradients, strict=True):
        if name == "residual" and not adds:
            assert got is None
            continue
        wanted = as_layout(wanted, layout) if wanted.ndim == 4 else wanted
        scale = max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=name)


def dtype_of(name):
    return np.dtype(name).type


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equal_bits_for_any_number_of_threads(shape, threads_restored):
    if "cython" not in fastconv.available_backends():
        pytest.skip("needs the cython backend")
    rng = np.random.default_rng(0)
    x, slope = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    weight = bias = np.ones(shape[1], np.float32)
    options = {"mean": None, "variance": None, "momentum": 0.1, "eps": 1e-5, "layout": "NCHW"}
    results = []
    for threads in (1, 2, 5):
        with fastconv.use_backend("cython"), fastconv.num_threads(threads):
            y, pullback = TRAIN_BATCH.record(
                (True,) * 4, x, weight, bias, slope, activation="relu", **options
            )
            results.append((y, *pullback(slope)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_an_infinite_output_of_relu_has_its_slope(backend):
    y, pullback = TRAIN_BATCH.record(
        (True,) * 4, np.arange(32.0).reshape(2, 8, 1, 2), None, None, np.full((2, 8, 1, 2), np.inf),
        mean=None, variance=None, momentum=0.1, eps=1e-5, activation="relu", layout="NCHW",
    )  # fmt: skip
    assert np.isinf(y).all()
    np.testing.assert_array_equal(pullback(np.ones(y.shape))[3], 1.0)


class Alone(nn.Module):
    """A part that nothing is handed to."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return self.part(x)


@pytest.mark.parametrize("activation", ["relu", "relu6", "silu", "tanh"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", [True, False])
def test_parts_in_turn_are_the_same_one_by_one(backend, activation, training, shortcut):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 8, 4, 4))

    def loss(net, x):
        return (net(x) ** 2).sum()

    found = []
    for apart in (False, True):
        wrap = Alone if apart else lambda part: part
        parts = [nn.Conv2D(8, 3, padding=1), wrap(nn.BatchNorm2D()), wrap(nn.Activation(activation))]
        parts += [nn.Conv2D(8, 1), wrap(nn.BatchNorm2D())]
        net = nn.Residual(*parts, activation=activation) if shortcut else nn.Sequential(*parts)
        net.astype("float64").build(x.shape, rng=0)
        with nn.training(training):
            value, gradients = nn.value_and_grad(loss)(net, x)
            found.append((value, [*gradients.values()], [*net.state_dict().values()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    for one, two in zip(found[0][1] + found[0][2], found[1][1] + found[1][2], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-11)


def test_a_part_that_is_replaced_is_called():
    """Only the classes themselves are handed what follows."""

    class Doubled(nn.BatchNorm2D):
        def forward(self, x):
            return super().forward(x) * 2.0

    x = np.random.default_rng(0).standard_normal((4, 8, 3, 3))
    net = nn.Sequential(Doubled(), nn.Activation("relu"))
    other = nn.Sequential(nn.BatchNorm2D(), nn.Activation("relu"))
    with nn.training():
        np.testing.assert_allclose(net(x), 2 * other(x), rtol=1e-6)
    block = nn.blocks.Residual(8)
    block.bn1 = nn.GroupNorm(2)
    assert block(x.astype(np.float32)).shape == x.shape


RULES = {
    "sgd": lambda **o: nn.SGD(0.1, **o),
    "momentum": lambda **o: nn.SGD(0.1, 0.9, **o),
    "nesterov": lambda **o: nn.SGD(0.1, 0.9, True, **o),
    "rmsprop": lambda **o: nn.RMSprop(0.01, **o),
    "rmsprop momentum": lambda **o: nn.RMSprop(0.01, momentum=0.5, **o),
    "adam": lambda **o: nn.Adam(0.01, **o),
    "adamw": lambda **o: nn.AdamW(0.01, **o),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("more", [{}, {"weight_decay": 0.1, "clip_norm": 2.0}, {"clip_value": 0.5}], ids=str)
def test_optimisers_at_once(backend, rule, dtype, more):
    """The same as the arithmetic on arrays, which a class of one's own that changes nothing has."""
    rng = np.random.default_rng(0)
    # Channels last as NHWC stores them, a vector, one of more than a part, and one whose gradient lies otherwise.
    start = {
        "last": rng.standard_normal((3, 3, 2, 5)).astype(dtype).transpose(3, 2, 0, 1),
        "depthwise, last": rng.standard_normal((3, 3, 1, 5)).astype(dtype).transpose(3, 2, 0, 1),
        "bias": rng.standard_normal(5).astype(dtype),
        "large": rng.standard_normal(9000).astype(dtype),
        "other": rng.standard_normal((4, 6)).astype(dtype),
    }
    ends = []
    for at_once in (True, False):
        optimizer = RULES[rule](**more)
        if not at_once:
            kind = type(optimizer)
            optimizer.__class__ = type(
                "Own", (kind,), {"update": lambda self, *a: super(type(self), self).update(*a)}
            )
        weights = {path: array.copy(order="K") for path, array in start.items()}
        steps = np.random.default_rng(1)
        for _ in range(3):
            slopes = {
                path: steps.standard_normal(array.shape).astype(dtype) for path, array in weights.items()
            }
            slopes["other"] = np.asfortranarray(slopes["other"])
            optimizer.step(weights, slopes)
        ends.append((weights, optimizer.state_dict()))
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    for one, two in zip(*ends, strict=True):
        assert one.keys() == two.keys()
        for path, array in one.items():
            np.testing.assert_allclose(array, two[path], rtol=tolerance, atol=tolerance, err_msg=path)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_kernels_of_one_channel_take_their_step_with_all_others(backend, layout):
    """Axes of one element may have any stride."""
    net = nn.Sequential(
        nn.Conv2D(4, 3), nn.DepthwiseConv2D(3), nn.Conv2D(1, 1), nn.Flatten(), nn.Dense(2), layout=layout
    )
    net.build((2, 1, 8, 8) if layout == "NCHW" else (2, 8, 8, 1), 0)
    weights = dict(net.named_parameters())
    slopes = {path: weight.copy(order="K") for path, weight in weights.items()}
    assert nn.SGD()._at_once(weights, slopes, 0.1, 1.0) == (backend == "cython")


def test_a_class_of_ones_own_has_its_rule():
    class Still(nn.Adam):
        def update(self, weight, gradient, slots, rate):
            pass

    weights = {"w": np.ones(3, np.float32)}
    Still(0.1).step(weights, {"w": np.ones(3, np.float32)})
    np.testing.assert_array_equal(weights["w"], 1.0)


def test_mixed_dtypes_and_views_take_their_steps():
    whole = np.ones((4, 6), np.float32)
    weights = {"a": whole[:, ::2], "b": np.ones(2)}
    nn.SGD(0.5).step(weights, {"a": np.ones((4, 3), np.float32), "b": np.ones(2)})
    np.testing.assert_array_equal(whole[:, ::2], 0.5)
    np.testing.assert_array_equal(whole[:, 1::2], 1.0)
    nn.SGD(0.5).step({"a": whole[:, ::2]}, {"a": np.ones((4, 3), np.float32)})
    np.testing.assert_array_equal(whole[:, ::2], 0.0)
