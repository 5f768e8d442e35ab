"""`fastconv.autograd` in use: loss functions, dtypes, what is computed, what is refused."""

import re

import numpy as np
import pytest

import fastconv
from checks import normal, run_python, to_layout

autograd = pytest.importorskip("autograd")
anp = pytest.importorskip("autograd.numpy")
fa = pytest.importorskip("fastconv.autograd")
from autograd.test_util import check_grads  # noqa: E402

pytestmark = pytest.mark.one_instruction_set


@pytest.fixture(autouse=True)
def directions():
    """`check_grads` draws its directions from NumPy's global generator."""
    np.random.seed(0)  # noqa: NPY002


def test_indices_are_plain(backend, layout):
    def loss(x):
        values, indices = fa.max_pool2d(x, 2, return_indices=True, layout=layout)
        assert type(indices) is np.ndarray
        larger = fa.max_unpool2d(values, indices, 2, layout=layout)
        return anp.sum(larger**2)

    x = to_layout(normal((2, 3, 4, 6)), layout)
    gradient = autograd.grad(loss)(x)
    np.testing.assert_allclose(gradient, np.where(gradient == 0, 0, 2 * x))
    assert np.count_nonzero(gradient) == x.size // 4


def test_overlapping_windows_add(backend):
    x = np.zeros((1, 3, 3))
    x[0, 1, 1] = 1
    gradient = autograd.grad(lambda x: anp.sum(fa.max_pool2d(x, 2, 1)))(x)
    np.testing.assert_array_equal(gradient, 4 * x)


def test_one_array_in_two_places(backend):
    x, weight = normal((1, 2, 4, 4)), normal((2, 2, 3, 3))
    check_grads(lambda x: fa.conv2d(x, weight, residual=x, padding=1, activation="tanh"))(x)


@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_residual_alone(backend, activation):
    x, weight, residual = normal((2, 4, 4)), normal((2, 2, 3, 3)), normal((2, 2, 2))
    check_grads(lambda r: fa.conv2d(x, weight, residual=r, activation=activation))(residual)


def test_lists_beside_what_is_differentiated(backend):
    gradient = autograd.grad(lambda w: anp.sum(fa.conv1d([[1, 2, 4]], w, bias=[1.0])))(np.ones((1, 1, 2)))
    np.testing.assert_array_equal(gradient, [[[3, 6]]])
    check_grads(lambda w: fa.conv1d([[1, 2, 4]], w, bias=[1.0], activation="tanh"))(np.ones((1, 1, 2)))


@pytest.mark.parametrize("loss_dtype", [np.float32, np.float64])
def test_gradients_have_the_dtype_of_their_arrays(backend, loss_dtype):
    x, weight, bias = (normal(s, dtype=np.float32) for s in ((1, 2, 5, 5), (3, 2, 3, 3), (3,)))

    def loss(arrays):
        x, weight, bias = arrays
        y = fa.max_pool2d(fa.conv2d(x, weight, bias, activation="silu"), 2)
        return anp.sum(y * np.full(y.shape, 0.5, loss_dtype))

    for gradient, array in zip(autograd.grad(loss)([x, weight, bias]), (x, weight, bias), strict=True):
        assert gradient.dtype == np.float32
        assert gradient.shape == array.shape


def test_mixed_dtypes(backend):
    image, weight = np.arange(16, dtype=np.uint8).reshape(1, 4, 4), normal((1, 1, 2, 2), dtype=np.float32)
    gradient = autograd.grad(lambda w: anp.sum(fa.conv2d(image, w)))(weight)
    np.testing.assert_array_equal(gradient, np.array([[[[45, 54], [81, 90]]]], np.float32))
    assert gradient.dtype == np.float32
    gradient = autograd.grad(lambda x: anp.sum(fa.conv2d(x, weight.astype(np.float64))))(
        image.astype(np.float32)
    )
    assert gradient.dtype == np.float32


def test_only_what_is_needed_is_computed(backend, monkeypatch):
    seen = []
    function = fastconv.grad.conv2d
    monkeypatch.setattr(
        fastconv.grad, "conv2d", lambda *a, needs, **k: seen.append(needs) or function(*a, needs=needs, **k)
    )
    x, weight, bias = normal((1, 2, 4, 4)), normal((3, 2, 3, 3)), normal((3,))
    autograd.grad(lambda w, b: anp.sum(fa.conv2d(x, w, b)), (0, 1))(weight, bias)
    autograd.grad(lambda x: anp.sum(fa.conv2d(x, weight, bias, activation="relu")))(x)
    assert seen == [(False, True, True), (True, False, False)]


def test_empty_batch(backend):
    x, weight = np.zeros((0, 2, 4, 4)), normal((3, 2, 3, 3))

    def loss(x, weight):
        return anp.sum(fa.max_pool2d(fa.conv2d(x, weight, padding=1), 2))

    grad_x, grad_weight = autograd.grad(loss, (0, 1))(x, weight)
    assert grad_x.shape == x.shape
    np.testing.assert_array_equal(grad_weight, np.zeros_like(weight))


def test_zeros_in_a_norm(backend):
    x = np.zeros((1, 4, 4))
    x[0, 0, 0] = 2.0

    def loss(x):
        return anp.sum(fa.lp_pool2d(x, 1.5, 2))

    np.testing.assert_allclose(autograd.grad(loss)(x), np.where(x > 0, 1.0, 0.0))
    hessian = autograd.hessian(loss)(x).reshape(16, 16)
    assert np.isfinite(hessian).all()


def test_second_derivative_that_is_zero_gives_no_warning(backend):
    x, weight = normal((1, 1, 4, 4)), normal((1, 1, 3, 3))

    def loss(x):
        return anp.sum(x**3) + anp.sum(fa.conv2d(x, weight, activation="relu"))

    def directional(x):
        return anp.sum(autograd.grad(loss)(x))

    np.testing.assert_allclose(autograd.grad(directional)(x), 6 * x)


def test_constants_are_computed_as_ever(backend):
    x = np.arange(16, dtype=np.int64).reshape(1, 4, 4)
    out = np.empty((1, 2, 2), np.int64)
    assert fa.max_pool2d(x, 2, out=out) is out
    np.testing.assert_array_equal(out, [[[5, 7], [13, 15]]])


def test_activation_of_any_shape(backend):
    for shape in ((), (3,), (2, 0), (2, 1, 3, 1, 2)):
        x = normal(shape)
        np.testing.assert_allclose(fa.activation(x, "tanh"), np.tanh(x), rtol=1e-14)
    np.testing.assert_array_equal(fa.activation([-1, 2], "relu"), np.array([0, 2], np.float32))
    np.testing.assert_array_equal(fa.activation(np.array([-1.0]), None), [-1.0])


def gradient_of(function, *arrays):
    return autograd.grad(lambda *values: anp.sum(function(*values)))(*arrays)


def test_errors(backend):
    x, weight = normal((1, 2, 4, 4)), normal((3, 2, 3, 3))
    with pytest.raises(ValueError, match=re.escape("conv2d: out is given, but needs None")):
        gradient_of(lambda x: fa.conv2d(x, weight, out=np.empty((1, 3, 2, 2))), x)
    with pytest.raises(TypeError, match="local_response_norm: cannot be differentiated by alpha, only by x"):
        gradient_of(lambda alpha: fa.local_response_norm(x, 3, alpha), 1e-4)
    with pytest.raises(ValueError, match="conv2d: weight has 2 input channels per group"):
        gradient_of(lambda x: fa.conv2d(x, weight), normal((1, 3, 4, 4)))
    with pytest.raises(ValueError, match="separable_conv2d: pointwise_weight has a kernel of 3x3"):
        gradient_of(lambda x: fa.separable_conv2d(x, normal((2, 1, 3, 3)), weight), x)
    with pytest.raises(ValueError, match="activation: activation is 'swish'"):
        gradient_of(lambda x: fa.activation(x, "swish"), x)
    with pytest.raises(ValueError, match="conv2d: activation is 'swish'"):
        gradient_of(lambda x: fa.conv2d(x, weight, activation="swish"), x)
    with pytest.raises(ValueError, match="stochastic_pool2d: x has negative values"):
        gradient_of(lambda x: fa.stochastic_pool2d(x, 2, training=False), x)


def test_fastconv_alone_does_not_import_autograd():
    code = "import sys, fastconv; print([name for name in sys.modules if 'autograd' in name])"
    assert run_python(code) == "[]"


def test_without_autograd_the_error_says_what_to_install():
    code = """
import sys
sys.modules["autograd"] = None
try:
    import fastconv.autograd
except ImportError as error:
    print(error)
"""
    assert 'pip install ".[autograd]"' in run_python(code)
