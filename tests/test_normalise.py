"""Normalisation by mean and variance, and its gradients."""

import numpy as np
import pytest

import fastconv
import reference
from checks import assert_close, eps, from_layout, guarded, normal, to_layout
from fastconv import grad
from fastconv.bench.oracle.definitions import FORWARD, GRADIENTS

SHAPES = [(1, 1, 1, 3), (2, 6, 3, 5), (3, 4, 1, 1), (1, 40, 9, 17), (5, 12, 2, 2), (2, 2, 70, 70)]


def vectors(channels, dtype):
    return [guarded(normal((channels,), seed=i, dtype=dtype)) for i in range(2)]


def check(name, x, weight, bias, layout, positional=(), **options):
    """Forward and all gradients against the definitions."""
    image = guarded(to_layout(x, layout))
    words = {"layout": layout} if name != "layer_norm" else {}
    values, bound = FORWARD[name](x, *positional, weight=weight, bias=bias, **options).everywhere()
    y = getattr(fastconv, name)(image, *positional, weight=weight, bias=bias, **options, **words)
    assert_close(from_layout(y, layout), values, 16 * eps(x.dtype) * bound.max(), x.dtype)
    slope = normal(x.shape, seed=9, dtype=x.dtype)
    expected = GRADIENTS[name](x, *positional, weight=weight, bias=bias, grad_output=slope, **options)
    actual = getattr(grad, name)(
        to_layout(slope, layout), image, *positional, weight=weight, **options, **words
    )
    for ours, theirs, image_like in zip(actual, expected, (True, False, False), strict=True):
        values, bound = theirs.everywhere()
        got = from_layout(ours, layout) if image_like else ours
        assert_close(got, values, 32 * eps(x.dtype) * bound.max(), x.dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("offset", [0, 100])
def test_batch_norm(backend, layout, dtype, shape, training, offset):
    x = (normal(shape) + offset).astype(dtype)
    mean, variance = (None, None) if training else (np.full(shape[1], offset + 0.5), np.full(shape[1], 2.0))
    check("batch_norm", x, *vectors(shape[1], dtype), layout, (mean, variance), training=training)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("parts", ["one", "pairs", "each"])
def test_group_and_instance_norm(backend, layout, dtype, shape, parts):
    x = (normal(shape) + 3).astype(dtype)
    channels = shape[1]
    groups = {"one": 1, "pairs": max(1, channels // 2), "each": channels}[parts]
    check("group_norm", x, *vectors(channels, dtype), layout, (groups,), eps=1e-3)
    if parts == "each":
        check("instance_norm", x, None, None, layout, eps=1e-3)


@pytest.mark.parametrize(
    ("shape", "last"),
    [
        ((5,), (5,)),
        ((3, 7), (7,)),
        ((2, 3, 130), (130,)),
        ((4, 3, 5), (3, 5)),
        ((300, 33), (33,)),
        ((2, 9001), (9001,)),
    ],
)
@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm(backend, dtype, shape, last, affine):
    x = normal(shape, dtype=dtype)
    weight, bias = (normal(last, seed=i, dtype=dtype) if affine else None for i in (3, 4))
    check("layer_norm", x, weight, bias, "NCHW", (last,))


def test_definitions_are_those_of_torch():
    torch = pytest.importorskip("torch")
    x, weight, bias = normal((2, 6, 4, 5)), normal((6,)), normal((6,))
    tensors = [torch.from_numpy(a) for a in (x, weight, bias)]
    own = [normal((4, 5), seed=i) for i in (1, 2)]
    functional = torch.nn.functional
    for ours, theirs in (
        (reference.group_norm(x, 3, weight, bias), functional.group_norm(tensors[0], 3, *tensors[1:])),
        (
            reference.instance_norm(x, weight, bias),
            functional.instance_norm(tensors[0], weight=tensors[1], bias=tensors[2]),
        ),
        (
            reference.layer_norm(x, (4, 5), *own),
            functional.layer_norm(tensors[0], (4, 5), *map(torch.from_numpy, own)),
        ),
    ):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-10, atol=1e-12)


def test_running_statistics_are_torchs(backend, layout):
    torch = pytest.importorskip("torch")
    x, ours = normal((3, 4, 5, 6)), [np.arange(4.0), np.arange(1.0, 5.0)]
    theirs = [torch.from_numpy(a.copy()) for a in ours]
    expected = torch.nn.functional.batch_norm(torch.from_numpy(x), *theirs, training=True, momentum=0.3)
    y = fastconv.batch_norm(to_layout(x, layout), *ours, training=True, momentum=0.3, layout=layout)
    np.testing.assert_allclose(from_layout(y, layout), expected.numpy(), rtol=1e-10, atol=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-12)
    before = [a.copy() for a in ours]
    y = fastconv.batch_norm(to_layout(x, layout), *ours, layout=layout)
    for a, b in zip(ours, before, strict=True):
        np.testing.assert_array_equal(a, b)
    expected = torch.nn.functional.batch_norm(torch.from_numpy(x), *theirs)
    np.testing.assert_allclose(from_layout(y, layout), expected.numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(reference.batch_norm(x, *ours), expected.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_torchs(backend, training):
    torch = pytest.importorskip("torch")
    x, weight, bias, slope = normal((3, 4, 5, 6)), normal((4,)), normal((4,)), normal((3, 4, 5, 6), seed=2)
    state = np.arange(4.0), np.arange(1.0, 5.0)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, weight, bias)]
    known = [torch.from_numpy(a.copy()) for a in state]
    y = torch.nn.functional.batch_norm(tensors[0], *known, *tensors[1:], training=training)
    y.backward(torch.from_numpy(slope))
    actual = grad.batch_norm(slope, x, *state, weight, training)
    for ours, tensor in zip(actual, tensors, strict=True):
        np.testing.assert_allclose(ours, tensor.grad.numpy(), rtol=1e-9, atol=1e-11)


def test_threads_change_no_bit(layout):
    x = to_layout(normal((4, 5, 60, 61), dtype=np.float32), layout)
    with fastconv.use_backend("cython"):
        with fastconv.num_threads(1):
            one = fastconv.batch_norm(x, None, None, training=True, layout=layout)
        with fastconv.num_threads(3):
            np.testing.assert_array_equal(
                fastconv.batch_norm(x, None, None, training=True, layout=layout), one
            )


X = np.ones((2, 3, 4, 5))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((X, None, np.ones(3)), {}, ValueError, ["training is False", "running_mean"]),
        ((X, np.ones(4), np.ones(3)), {}, ValueError, ["running_mean", "(4,)", "(3,)"]),
        ((X, np.ones(3), np.ones(3), np.ones(5)), {}, ValueError, ["weight", "(5,)", "(3,)"]),
        ((X, np.ones(3), np.ones(3)), {"eps": -1}, ValueError, ["eps", "-1"]),
        ((X, np.ones(3), np.ones(3)), {"training": 1}, TypeError, ["training", "1"]),
        ((X, [0, 0, 0], None), {"training": True}, TypeError, ["running_mean", "writeable"]),
        ((X[:1, :, :1, :1], None, None), {"training": True}, ValueError, ["x", "(1, 3, 1, 1)", "one value"]),
        ((X[0, 0], None, None), {}, ValueError, ["x", "2 dimensions"]),
    ],
)
def test_errors(arguments, options, error, words):
    with pytest.raises(error, match=r"^batch_norm: ") as caught:
        fastconv.batch_norm(*arguments, **options)
    for word in words:
        assert word in str(caught.value)


def test_errors_of_gradients():
    with pytest.raises(ValueError, match=r"grad\.batch_norm: grad_output has shape \(2, 3\)"):
        grad.batch_norm(np.ones((2, 3)), X, None, None, training=True)
    with pytest.raises(ValueError, match=r"grad\.batch_norm: training is False"):
        grad.batch_norm(X, X, None, None)
    with pytest.raises(TypeError, match=r"grad\.group_norm: num_groups is None"):
        grad.group_norm(X, X, None)
    with pytest.raises(TypeError, match=r"grad\.group_norm: needs is array\(True\)"):
        grad.group_norm(X, X, 3, needs=np.array(True))


@pytest.mark.parametrize(
    ("name", "arguments", "error", "words"),
    [
        ("group_norm", (X, None), TypeError, ["num_groups is None"]),
        ("group_norm", (X, 2), ValueError, ["num_groups is 2", "3 channels"]),
        ("group_norm", (X, 3, np.ones(2)), ValueError, ["weight", "(2,)", "(3,)"]),
        ("instance_norm", (X, None, np.ones(2)), ValueError, ["bias", "(2,)"]),
        ("layer_norm", (X, 4), ValueError, ["x has shape (2, 3, 4, 5)", "(4,)"]),
        ("layer_norm", (X, 5.0), TypeError, ["normalized_shape", "5.0"]),
        ("layer_norm", (X, (4, 5), np.ones(5)), ValueError, ["weight", "(5,)", "(4, 5)"]),
    ],
)
def test_errors_of_the_others(name, arguments, error, words):
    with pytest.raises(error, match=rf"^{name}: ") as caught:
        getattr(fastconv, name)(*arguments)
    for word in words:
        assert word in str(caught.value)


def test_a_channel_of_one_value_has_no_direction(backend):
    """Without `eps`, 0 / 0; with it, 0: never a warning."""
    x = np.full((2, 1, 2, 2), 5.0)
    assert np.isnan(fastconv.batch_norm(x, None, None, training=True, eps=0)).all()
    np.testing.assert_array_equal(fastconv.batch_norm(x, None, None, training=True), 0 * x)
    np.testing.assert_array_equal(grad.batch_norm(x, x, None, None, training=True)[0], 0 * x)


def test_what_is_not_finite_stays_in_its_segment(backend, layout):
    x = normal((2, 4, 3, 3), dtype=np.float32)
    x[0, 1, 1, 1], x[1, 2, 0, 0], x[1, 3] = np.nan, np.inf, 3e38
    y = from_layout(fastconv.instance_norm(to_layout(x, layout), layout=layout), layout)
    spoilt = np.isnan(y).any((2, 3))
    assert spoilt[0].tolist() == [False, True, False, False]
    assert spoilt[1, :3].tolist() == [False, False, True]
    back = grad.instance_norm(to_layout(x, layout), to_layout(x, layout), layout=layout)[0]
    np.testing.assert_array_equal(
        np.isnan(from_layout(back, layout)).any((2, 3))[:, :3], [[False, True, False], [False, False, True]]
    )
