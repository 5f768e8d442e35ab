"""Softmax, its logarithm, and their gradients."""

import numpy as np
import pytest

import fastconv
import reference
from checks import assert_close, eps, guarded, normal
from fastconv import grad
from fastconv.bench.oracle.definitions import FORWARD, GRADIENTS

NAMES = ["softmax", "log_softmax"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1, 30])
@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        ((1,), 0),
        ((5, 7), 1),
        ((3, 40), -1),
        ((2, 1000), 1),
        ((3, 5, 2), 1),
        ((67, 2), 1),
        ((131, 7), -1),
        ((9, 8), 1),
        ((2, 33, 5, 17), 1),
        ((19, 150), 0),
    ],
    ids=str,
)
def test_against_the_definition(backend, dtype, name, shape, dim, scale):
    x = guarded((scale * normal(shape)).astype(dtype))
    values, bound = FORWARD[name](x, dim).everywhere()
    y = getattr(fastconv, name)(x, dim)
    assert_close(y, values, 8 * eps(dtype) * bound + 1e-37, dtype)
    slope = guarded(normal(shape, seed=1, dtype=dtype))
    values, bound = GRADIENTS[name](grad_output=slope, x=x, dim=dim)[0].everywhere()
    assert_close(getattr(grad, name)(slope, y, dim), values, 16 * eps(dtype) * bound + 1e-37, dtype)


@pytest.mark.parametrize("name", NAMES)
def test_the_definition_is_that_of_torch(name):
    torch = pytest.importorskip("torch")
    x = normal((2, 5, 3, 4))
    for dim in (0, 1, -1):
        theirs = getattr(torch.nn.functional, name)(torch.from_numpy(x), dim).numpy()
        np.testing.assert_allclose(getattr(reference, name)(x, dim), theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dim", [0, 1])
def test_what_is_not_finite(backend, dtype, dim):
    """A NaN and a positive infinity spoil their row, and no other; a negative infinity has no share."""
    inf, nan = np.inf, np.nan
    rows = np.array(
        [[0, 0, -inf], [nan, 1, 2], [inf, 0, 1], [-inf, -inf, -inf], [1, 1, nan], [800, 800, -800]]
    )
    x = np.ascontiguousarray(rows.T if dim == 0 else rows).astype(dtype)
    expected = np.full(rows.shape, nan)
    expected[0], expected[5] = [0.5, 0.5, 0], [0.5, 0.5, 0]
    y = fastconv.softmax(x, dim)
    np.testing.assert_allclose(y.T if dim == 0 else y, expected, rtol=4 * eps(dtype), atol=1e-37)
    expected[0], expected[5] = np.log([0.5, 0.5, 1]), [-np.log(2), -np.log(2), -1600 - np.log(2)]
    expected[0, 2] = -inf
    y = fastconv.log_softmax(x, dim)
    np.testing.assert_allclose(y.T if dim == 0 else y, expected, rtol=8 * eps(dtype))


def test_threads_change_no_bit():
    x = normal((3, 70, 9, 50), dtype=np.float32)
    with fastconv.use_backend("cython"):
        for dim in (1, 3):
            with fastconv.num_threads(1):
                one = fastconv.softmax(x, dim)
            with fastconv.num_threads(3):
                np.testing.assert_array_equal(fastconv.softmax(x, dim), one)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.ones((2, 3)), 2), ValueError, ["dim is 2", "-2 to 1"]),
        ((np.ones((2, 3)), 0.0), TypeError, ["dim is 0.0"]),
        ((np.float64(1), 0), ValueError, ["dim", "no axes"]),
        ((np.ones((2, 3), np.complex64), 0), TypeError, ["x", "complex64"]),
    ],
)
def test_errors(name, arguments, error, words):
    with pytest.raises(error, match=rf"^{name}: ") as caught:
        getattr(fastconv, name)(*arguments)
    for word in words:
        assert word in str(caught.value)


def test_errors_of_gradients():
    with pytest.raises(
        ValueError, match=r"grad\.softmax: grad_output has shape \(2,\), but output has shape \(3,\)"
    ):
        grad.softmax(np.ones(2), np.ones(3), 0)
