"""Channels as pixels and back: pixel_shuffle, pixel_unshuffle, channel_shuffle and their gradients."""

import numpy as np
import pytest

import fastconv
import reference
from checks import from_layout, normal, to_layout
from fastconv import grad
from fastconv.bench.oracle.definitions import GRADIENTS

CASES = {
    "pixel_shuffle": [((2, 4, 3, 5), 2), ((1, 18, 2, 3), 3), ((1, 3, 2, 2), 1)],
    "pixel_unshuffle": [((2, 3, 4, 6), 2), ((1, 2, 6, 3), 3)],
    "channel_shuffle": [((2, 6, 3, 4), 2), ((1, 12, 1, 2), 4), ((1, 5, 2, 2), 1)],
}
every_case = pytest.mark.parametrize(
    ("name", "shape", "factor"), [(name, *case) for name, cases in CASES.items() for case in cases]
)


@every_case
@pytest.mark.parametrize("kind", ["uint8", "float16", "float64"])
def test_elements_move(name, shape, factor, kind, layout):
    x = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    expected = getattr(reference, name)(x, factor)
    actual = getattr(fastconv, name)(to_layout(x, layout), factor, layout=layout)
    assert actual.dtype == kind
    np.testing.assert_array_equal(from_layout(actual, layout), expected)
    single = getattr(fastconv, name)(to_layout(x[0], layout), factor, layout=layout)
    np.testing.assert_array_equal(from_layout(single, layout), expected[0])


@every_case
def test_gradients_move_back(name, shape, factor, layout):
    x = normal(shape)
    slope = normal(getattr(reference, name)(x, factor).shape, seed=1)
    actual = getattr(grad, name)(to_layout(slope, layout), factor, layout=layout)
    words = {
        "pixel_shuffle": "upscale_factor",
        "pixel_unshuffle": "downscale_factor",
        "channel_shuffle": "groups",
    }
    expected, _ = GRADIENTS[name](grad_output=slope, x=x, **{words[name]: factor})[0].everywhere()
    np.testing.assert_array_equal(from_layout(actual, layout), expected)
    y = getattr(fastconv, name)(to_layout(x, layout), factor, layout=layout)
    back = getattr(grad, name)(y, factor, layout=layout)
    np.testing.assert_array_equal(from_layout(back, layout), x)


@every_case
def test_the_definition_is_that_of_torch(name, shape, factor):
    torch = pytest.importorskip("torch")
    x = normal(shape)
    theirs = getattr(torch, name)(torch.from_numpy(x), factor)
    np.testing.assert_array_equal(getattr(reference, name)(x, factor), theirs.numpy())


@pytest.mark.parametrize(
    ("name", "shape", "factor", "words"),
    [
        ("pixel_shuffle", (1, 6, 2, 2), 2, ["6 channels", "upscale_factor=2"]),
        ("pixel_shuffle", (1, 4, 2, 2), 0, ["upscale_factor", "0"]),
        ("pixel_shuffle", (4, 2), 2, ["x", "2 dimensions"]),
        ("pixel_unshuffle", (1, 1, 4, 5), 2, ["4x5 pixels", "downscale_factor=2"]),
        ("channel_shuffle", (1, 5, 2, 2), 2, ["5 channels", "groups=2"]),
    ],
)
def test_errors(name, shape, factor, words):
    with pytest.raises(ValueError, match=rf"^{name}: ") as caught:
        getattr(fastconv, name)(np.ones(shape), factor)
    for word in words:
        assert word in str(caught.value)
    with pytest.raises(ValueError, match=rf"^{name}: backend"):
        getattr(fastconv, name)(np.ones((1, 4, 4, 4)), 2, backend="torch")
