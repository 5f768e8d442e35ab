"""Options by value: however they are written, they are the same entries of caches; and what only equals them is not."""

import enum
import sys

import numpy as np
import pytest

import fastconv
from checks import normal
from conftest import skip_unless_available
from fastconv.grad import convolution_case
from fastconv.problem import case, convolution, pooling


class Integer(int):
    """One that says that it is another."""

    def __int__(self):
        return 77

    __index__ = __eq__ = __ne__ = __hash__ = __int__


class Word(enum.StrEnum):
    NCHW = "NCHW"


SPELLINGS = [
    2,
    [2, 2],
    (2, 2),
    np.int64(2),
    (np.uint8(2), 2),
    [np.int32(2)] * 2,
    np.array([2, 2]),
    Integer(2),
]
X, W = normal((1, 4, 9, 8)), normal((6, 4, 3, 3))
T, D = normal((4, 5, 3, 3)), normal((4, 1, 3, 3))
INDICES = fastconv.max_pool2d(X, 3, 2, 1, return_indices=True)[1]
CALLS = {
    "conv2d": lambda s: fastconv.conv2d(X, W, stride=s, padding=s, layout=Word.NCHW),
    "padding mode": lambda s: fastconv.conv2d(X, W, stride=s, padding=s, padding_mode="reflect"),
    "transposed": lambda s: fastconv.conv_transpose2d(X, T, stride=s, padding=s),
    "plan": lambda s: fastconv.plan_conv2d(W, stride=s)(X),
    "gradient": lambda s: fastconv.grad.conv2d_input(X.shape, W, np.ones((1, 6, 4, 3)), stride=s),
    "max_pool2d": lambda s: fastconv.max_pool2d(X, s, s),
    "avg_pool2d": lambda s: fastconv.avg_pool2d(X, 3, s),
    "of a pooling": lambda s: fastconv.grad.avg_pool2d(np.ones((1, 4, 4, 3)), X.shape, 3, s),
    "unfold": lambda s: fastconv.unfold(X, 3, stride=s),
}
CACHES = [
    convolution._equal, convolution._problem, case.find_case, convolution_case.find_gradients, pooling.sliding,
]  # fmt: skip


def sizes():
    return [cache.cache_info().currsize for cache in CACHES]


@pytest.mark.parametrize("name", CALLS)
def test_all_spellings_share_the_entries_of_caches(backend, name):
    call = CALLS[name]
    expected, before = call(2), sizes()
    for spelling in SPELLINGS:
        for _ in range(2):
            np.testing.assert_array_equal(call(spelling), expected)
    assert sizes() == before


WRONG = [2.0, True, (2, 2.0), [2, np.float64(2)], (True, 1), "2", b"2", None, (2,), 2j, np.array(2.0)]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_equals_an_accepted_value_is_refused_after_it(backend, wrong):
    """A cache that takes 1.0 for 1 would let it pass the second time."""
    for right in (1, 2, (2, 2), (1, 1), (1, 2)):
        for name in ("conv2d", "plan", "max_pool2d"):
            if name != "conv2d" or right != (1, 2):
                CALLS[name](right)
    for name in ("conv2d", "plan", "max_pool2d"):
        with pytest.raises((TypeError, ValueError), match=r"stride|kernel_size"):
            CALLS[name](wrong)


def test_numbers_of_activations(backend):
    """0.0, -0.0 and 0 are one option, and so are all NaN; other numbers differ."""
    before = convolution._equal.cache_info().currsize
    results = [
        fastconv.conv2d(X, W, activation=("leaky_relu", slope))
        for slope in (0.25, np.float32(0.25), 0.0, -0.0, 0, float("nan"), np.float64("nan"), -float("nan"))
    ]
    for group in (results[:2], results[2:5], results[5:]):
        for result in group:
            np.testing.assert_array_equal(result.view(np.int64), group[0].view(np.int64))
    assert convolution._equal.cache_info().currsize <= before + 3
    assert not np.array_equal(results[0], results[2])


def python_calls(call):
    """How many functions of the package written in Python run."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event == "call" and frame.f_globals.get("__name__", "").startswith("fastconv")

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


FAST = {
    "conv2d": lambda s, a: fastconv.conv2d(X, W, stride=s, padding=s, activation=a),
    "depthwise": lambda s, a: fastconv.depthwise_conv2d(X, D, stride=s, activation=a),
    "transposed": lambda s, a: fastconv.conv_transpose2d(X, T, stride=s, activation=a),
    "max_pool2d": lambda s, a: fastconv.max_pool2d(X, s, s),
    "avg_pool2d": lambda s, a: fastconv.avg_pool2d(X, s, s),
}


@pytest.mark.parametrize("activation", [["clip", 0, 6.0], ("clip", np.int64(0), 6.0)], ids=["list", "NumPy"])
@pytest.mark.parametrize("stride", [[2, 2], (np.int64(2), 2), np.uint8(2)], ids=repr)
@pytest.mark.parametrize("name", FAST)
def test_known_calls_are_known_in_every_spelling(name, stride, activation):
    skip_unless_available("cython")
    with fastconv.use_backend("cython"):
        FAST[name](2, "relu")
        shortest = python_calls(lambda: FAST[name](2, "relu"))
        FAST[name](stride, activation)
        assert python_calls(lambda: FAST[name](stride, activation)) == shortest


FLAGS = {
    "max_pool2d: ceil_mode": lambda f: fastconv.max_pool2d(X, 3, 2, ceil_mode=f),
    "max_pool2d: return_indices": lambda f: fastconv.max_pool2d(X, 3, 2, return_indices=f),
    "avg_pool2d: ceil_mode": lambda f: fastconv.avg_pool2d(X, 3, 2, ceil_mode=f),
    "avg_pool2d: count_include_pad": lambda f: fastconv.avg_pool2d(X, 3, 2, 1, count_include_pad=f),
    "lp_pool2d: ceil_mode": lambda f: fastconv.lp_pool2d(X, 2, 3, 2, ceil_mode=f),
    "adaptive_max_pool2d: return_indices": lambda f: fastconv.adaptive_max_pool2d(X, 2, return_indices=f),
    "global_avg_pool2d: keepdims": lambda f: fastconv.global_avg_pool2d(X, keepdims=f),
    "global_max_pool2d: keepdims": lambda f: fastconv.global_max_pool2d(X, keepdims=f),
    "stochastic_pool2d: training": lambda f: fastconv.stochastic_pool2d(abs(X), 2, training=f),
    "fold_batch_norm: transposed": lambda f: fastconv.fold_batch_norm(
        np.ones((2, 2, 1, 1)), None, np.zeros(2), np.ones(2), transposed=f
    ),
    "grad.avg_pool2d: ceil_mode": lambda f: fastconv.grad.avg_pool2d(
        np.ones((1, 4, 4, 4 if f is not False else 3)), X.shape, 3, 2, ceil_mode=f
    ),
    "grad.global_avg_pool2d: keepdims": lambda f: fastconv.grad.global_avg_pool2d(
        np.ones((1, 4)) if f is False else np.ones((1, 4, 1, 1)), X.shape, keepdims=f
    ),
    "plan_conv2d: tune": lambda f: fastconv.plan_conv2d(W, tune=f),
}


@pytest.mark.parametrize("name", FLAGS)
def test_a_word_is_neither_true_nor_false(backend, name):
    """Also where the same call with the flag's value is known."""
    FLAGS[name](False)
    if not name.endswith("tune"):
        FLAGS[name](np.True_)
        FLAGS[name](True)
    for word in ("no", np.ones(1)):
        with pytest.raises(TypeError, match=f"{name} is .*needs True or False"):
            FLAGS[name](word)


NUMBERS = {
    "group_norm: eps": lambda value: fastconv.group_norm(X, 2, eps=value),
    "batch_norm: momentum": lambda value: fastconv.batch_norm(X, None, None, training=True, momentum=value),
    "resize2d: scale_factor": lambda value: fastconv.resize2d(X, scale_factor=value),
    "lp_pool2d: norm_type": lambda value: fastconv.lp_pool2d(X, value, 2),
    "local_response_norm: beta": lambda value: fastconv.local_response_norm(X, 3, beta=value),
    "dense: activation": lambda value: fastconv.dense(X, np.ones((2, 8)), activation=("leaky_relu", value)),
    "fold_batch_norm: eps": lambda value: fastconv.fold_batch_norm(
        W, None, np.zeros(6), np.ones(6), eps=value
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_float_would_not_take_as_they_are(name):
    """An integer that float() cannot hold, a masked number (a warning and NaN) and a complex one (its real part)."""
    for value, error in ((10**400, ValueError), (np.ma.masked, TypeError), (np.complex64(1), TypeError)):
        with pytest.raises(error, match=f"^{name}") as caught:
            NUMBERS[name](value)
        assert caught.type is error


@pytest.mark.parametrize("value", [10**5000, -(10**5000)], ids=["positive", "negative"])
def test_integers_too_long_to_be_written_out(value):
    with pytest.raises(ValueError, match=r"^conv2d: stride is an integer of 16610 bits, but needs"):
        fastconv.conv2d(X, W, stride=value)


FILLS_THE_SCREEN = {
    "array": np.zeros((30, 40)),
    "list": list(range(10**5)),
    "word": "x" * 10**5,
    "long integer in a pair": (10**3000, 1, 1),
}
TAKERS = {
    "stride": lambda value: fastconv.conv2d(X, W, stride=value),
    "padding": lambda value: fastconv.max_pool2d(X, 2, padding=value),
    "precision": lambda value: fastconv.conv2d(X, W, precision=value),
    "algorithm": lambda value: fastconv.conv2d(X, W, algorithm=value),
    "activation": lambda value: fastconv.conv2d(X, W, activation=value),
    "size": lambda value: fastconv.resize2d(X, value),
    "scale_factor": lambda value: fastconv.resize2d(X, scale_factor=value),
    "norm_type": lambda value: fastconv.lp_pool2d(X, value, 2),
    "output_size": lambda value: fastconv.adaptive_avg_pool2d(X, value),
    "output_ratio": lambda value: fastconv.fractional_max_pool2d(X, 2, output_ratio=value),
    "input_size": lambda value: fastconv.grad.conv2d_input(value, X, W),
    "needs": lambda value: fastconv.grad.conv2d(X, W, X, needs=value),
    "ceil_mode": lambda value: fastconv.max_pool2d(X, 2, ceil_mode=value),
    "input_shape": lambda value: fastconv.plan_conv2d(W, input_shape=value),
}


@pytest.mark.parametrize("kind", FILLS_THE_SCREEN)
@pytest.mark.parametrize("name", TAKERS)
def test_errors_do_not_fill_the_screen(name, kind):
    with pytest.raises((TypeError, ValueError, OverflowError)) as caught:
        TAKERS[name](FILLS_THE_SCREEN[kind])
    assert name in str(caught.value)
    assert len(str(caught.value)) < 400
