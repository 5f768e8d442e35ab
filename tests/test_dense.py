"""The fully connected layer: `dense` and its gradients."""

import numpy as np
import pytest

import fastconv
import reference
from checks import FAST, assert_close, eps, guarded, normal
from fastconv import grad
from fastconv.bench.oracle.definitions import FORWARD, GRADIENTS
from grad_checks import check_directions


@pytest.mark.parametrize("lead", [(), (1,), (7,), (2, 3, 2), (33,)], ids=str)
@pytest.mark.parametrize("features", [(1, 1), (5, 3), (40, 17), (3, 130), (517, 26)])
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_against_the_definition(backend, dtype, lead, features, activation):
    inner, outer = features
    arrays = [guarded(normal(shape, dtype=dtype)) for shape in ((*lead, inner), (outer, inner), (outer,))]
    values, bound = FORWARD["dense"](*arrays, activation=activation).everywhere()
    assert_close(
        fastconv.dense(*arrays, activation=activation), values, FAST * eps(dtype) * bound.max(), dtype
    )
    slope = normal(values.shape, seed=5, dtype=dtype)
    before = fastconv.dense(*arrays)
    actual = grad.dense(*arrays[:2], slope, activation=activation, preactivation=before)
    x, weight, bias = arrays
    expected = GRADIENTS["dense"](x, weight, slope, bias=bias, activation=activation)
    for ours, theirs in zip(actual, expected, strict=True):
        values, bound = theirs.everywhere()
        assert_close(ours, values, 4 * FAST * eps(dtype) * bound.max(), dtype)


def test_the_definition_is_that_of_torch():
    torch = pytest.importorskip("torch")
    arrays = [normal(shape) for shape in ((2, 3, 5), (4, 5), (4,))]
    tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
    theirs = torch.nn.functional.linear(*tensors)
    np.testing.assert_allclose(reference.dense(*arrays), theirs.detach().numpy(), rtol=1e-13)
    slope = normal((2, 3, 4), seed=3)
    theirs.backward(torch.from_numpy(slope))
    ours = GRADIENTS["dense"](arrays[0], arrays[1], slope)
    for gradient, tensor in zip(ours, tensors, strict=True):
        np.testing.assert_allclose(gradient.everywhere()[0], tensor.grad.numpy(), rtol=1e-12)


def test_gradients_are_derivatives():
    arrays = [normal(shape) for shape in ((3, 4), (5, 4), (5,))]
    slope = normal((3, 5), seed=3)
    y = fastconv.dense(*arrays, activation="tanh")
    gradients = grad.dense(*arrays[:2], slope, activation="tanh", output=y)
    check_directions(lambda *given: fastconv.dense(*given, activation="tanh"), arrays, gradients, slope)


def test_out_of_half_precision(backend):
    x, weight = (normal(shape, dtype=np.float16) for shape in ((3, 4), (5, 4)))
    out = np.full((5, 3), np.nan, np.float16).T
    assert fastconv.dense(x, weight, out=out) is out
    np.testing.assert_array_equal(out, fastconv.dense(x, weight))
    assert out.dtype == np.float16


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((np.ones((2, 3)), np.ones((4, 5))), {}, ValueError, ["x", "(2, 3)", "(..., 5)"]),
        ((np.float64(1), np.ones((4, 5))), {}, ValueError, ["x", "()"]),
        ((np.ones(3), np.ones(3)), {}, ValueError, ["weight", "(3,)"]),
        ((np.ones((2, 0)), np.ones((4, 0))), {}, ValueError, ["weight", "(4, 0)"]),
        ((np.ones(3), np.ones((4, 3)), np.ones(3)), {}, ValueError, ["bias", "(3,)", "(4,)"]),
        ((np.ones(3), np.ones((4, 3))), {"activation": "rely"}, ValueError, ["activation", "'rely'"]),
        ((np.ones(3), np.ones((4, 3))), {"out": np.ones(3)}, ValueError, ["out", "(3,)", "(4,)"]),
        ((None, np.ones((4, 3))), {}, TypeError, ["x", "None"]),
    ],
)
def test_errors(arguments, options, error, words):
    with pytest.raises(error, match=r"^dense: ") as caught:
        fastconv.dense(*arguments, **options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grad_output": np.ones((2, 3))}, ["grad_output", "(2, 3)", "(2, 4)"]),
        ({"activation": "tanh", "output": np.ones((4, 2))}, ["output", "(4, 2)"]),
        ({"activation": "gelu", "output": np.ones((2, 4))}, ["preactivation"]),
        ({"needs": (True, True)}, ["needs"]),
    ],
)
def test_errors_of_gradients(options, words):
    given = {"grad_output": np.ones((2, 4))} | options
    with pytest.raises(ValueError, match=r"^grad\.dense: ") as caught:
        grad.dense(np.ones((2, 5)), np.ones((4, 5)), **given)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("rows", "filters"), [(1, 1), (3, 5)])
def test_millions_of_features_keep_their_digits(backend, rows, filters):
    """Added one after the other, they would err by some per cent."""
    features = 2_000_000
    x, weight = np.full((rows, features), 0.1, np.float32), np.ones((filters, features), np.float32)
    y = fastconv.dense(x, weight, backend=backend)
    np.testing.assert_allclose(y, features * float(np.float32(0.1)), rtol=1e-3)
