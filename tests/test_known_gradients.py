"""Gradients that were asked for before, on plain arrays, go a short way: the results are the same, and nothing else is
taken for the same call."""

import numpy as np
import pytest

import fastconv
from fastconv import grad
from fastconv.backends import cython

NEEDS = [
    (True, True, True),
    (True, False, False),
    (False, True, False),
    (False, False, True),
    (False, True, True),
]


def operands(op, layout, dtype, batch=2):
    """x, weight and grad_output of a call with stride 2 and padding 1."""
    rng = np.random.default_rng(0)
    shapes = {
        "conv2d": (6, (4, 3, 3, 3)),
        "depthwise_conv2d": (6, (6, 1, 3, 3)),
        "conv_transpose2d": (6, (6, 2, 3, 3)),
    }
    channels, kernel = shapes[op]
    x = rng.standard_normal((batch, channels, 7, 8)).astype(dtype)
    weight = rng.standard_normal(kernel).astype(dtype)
    if layout == "NHWC":
        x, weight = (np.ascontiguousarray(a) for a in (x.transpose(0, 2, 3, 1), weight.transpose(2, 3, 1, 0)))
    options = {"stride": 2, "padding": 1, "layout": layout}
    if op != "depthwise_conv2d":
        options["groups"] = 2
    y = getattr(fastconv, op)(x, weight, **options)
    return x, weight, rng.standard_normal(y.shape).astype(dtype), options


@pytest.fixture
def made(monkeypatch):
    """The shortcuts that are made."""
    fastconv.clear_cache()
    shortcuts, make = [], type(cython.BACKEND).gradient_shortcut

    def note(*arguments):
        shortcuts.append(make(*arguments))
        return shortcuts[-1]

    monkeypatch.setattr(type(cython.BACKEND), "gradient_shortcut", note)
    return shortcuts


@pytest.mark.parametrize("op", ["conv2d", "depthwise_conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batched", [True, False])
def test_a_call_that_is_known_gives_the_same(made, op, layout, dtype, batched):
    x, weight, g, options = operands(op, layout, dtype)
    if not batched:
        x, g = x[0].copy(), g[0].copy()
    for needs in NEEDS:
        results = [
            getattr(grad, op)(x, weight, g, needs=needs, backend="cython", **options) for _ in range(3)
        ]
        expected = getattr(grad, op)(x, weight, g, needs=needs, backend="numpy", **options)
        for result in results:
            for got, first, want in zip(result, results[0], expected, strict=True):
                assert (got is None) == (want is None)
                if got is not None:
                    assert got.shape == want.shape
                    assert got.dtype == want.dtype
                    assert got.flags.c_contiguous
                    np.testing.assert_array_equal(got, first)
                    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    assert len(made) == len(NEEDS)


def test_results_are_new_arrays(made):
    x, weight, g, options = operands("conv2d", "NCHW", np.float32)
    first, second = (grad.conv2d(x, weight, g, backend="cython", **options) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert not np.shares_memory(a, b)


@pytest.mark.parametrize("what", ["x", "weight", "grad_output"])
def test_other_arrays_are_other_calls(made, what):
    """Other dtypes, orders and shapes of one operand, after the plain call was remembered."""
    x, weight, g, options = operands("conv2d", "NCHW", np.float32)
    arrays = {"x": x, "weight": weight, "grad_output": g}
    for _ in range(2):
        grad.conv2d(**arrays, backend="cython", **options)
    expected = grad.conv2d(**arrays, backend="numpy", **options)
    array = arrays[what]
    others = [
        array.astype(np.float64),
        np.asfortranarray(array),
        array.astype(array.dtype.newbyteorder()),
        np.ma.masked_array(array) if what != "weight" else array.tolist(),
    ]
    for other in others:
        if isinstance(other, np.ma.MaskedArray):
            with pytest.raises(TypeError):
                grad.conv2d(**{**arrays, what: other}, backend="cython", **options)
            continue
        for got, want in zip(
            grad.conv2d(**{**arrays, what: other}, backend="cython", **options), expected, strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"grad\.conv2d: "):
        grad.conv2d(
            **{**arrays, what: np.ascontiguousarray(array[..., :-1, :-1, 1:])}, backend="cython", **options
        )


def test_needs_are_part_of_the_call(made):
    x, weight, g, options = operands("conv2d", "NCHW", np.float32)
    for _ in range(2):
        grad.conv2d(x, weight, g, needs=(True, False, False), backend="cython", **options)
    assert all(a is not None for a in grad.conv2d(x, weight, g, backend="cython", **options))
    with pytest.raises(TypeError, match="needs"):
        grad.conv2d(x, weight, g, needs=(1, 0, 0), backend="cython", **options)


def test_activations_and_other_paddings_go_the_long_way(made):
    x, weight, g, options = operands("conv2d", "NCHW", np.float32)
    for _ in range(2):
        grad.conv2d(x, weight, g, activation="relu", output=g, backend="cython", **options)
        grad.conv2d(x, weight, g, padding_mode="reflect", backend="cython", **options)
    assert not made
    empty = grad.conv2d(x[:0], weight, g[:0], backend="cython", **options)
    assert not made
    assert not empty[1].any()
    assert not empty[2].any()


def test_an_algorithm_is_not_refused_for_a_gradient_that_is_not_needed(made):
    x, weight, g, options = operands("conv2d", "NHWC", np.float32)
    for _ in range(2):
        _, result, _ = grad.conv2d(
            x, weight, g, needs=(False, True, False), algorithm="direct_pixels", backend="cython", **options
        )
        np.testing.assert_array_equal(result, grad.conv2d(x, weight, g, backend="cython", **options)[1])
    with pytest.raises(ValueError, match="direct_pixels"):  # of NCHW only
        grad.conv2d(x, weight, g, algorithm="direct_pixels", backend="cython", **options)
