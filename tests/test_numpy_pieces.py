"""The reference backend makes pieces of its outputs and of taps: whole numbers show that nothing is lost between."""

import numpy as np
import pytest

import fastconv
from fastconv import grad
from fastconv.backends.numpy import convolution, geometry

pytestmark = pytest.mark.one_instruction_set

CASES = [
    ((3, 4, 7, 5), (6, 2, 3, 3), {"padding": 1, "groups": 2}),
    ((2, 3, 9, 8), (4, 3, 1, 1), {}),
    ((2, 3, 9, 8), (4, 3, 1, 1), {"stride": 2, "padding": 1}),
    ((2, 2, 6, 11), (2, 1, 5, 7), {"padding": ((4, 1), (3, 6)), "groups": 2, "stride": (1, 3)}),
    # Of these taps some see nothing, and not the first or last ones only.
    ((1, 2, 3, 4), (3, 2, 4, 5), {"padding": 9, "stride": 7, "dilation": 5}),
]


def whole_numbers(*shape):
    return np.random.default_rng(0).integers(-3, 4, shape).astype(np.float32)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("shape", "kernel", "options"), CASES)
@pytest.mark.parametrize(("seen", "taps"), [(1, 1), (50, 2), (200, 16), (2**20, 3)])
def test_pieces_make_up_the_whole(monkeypatch, layout, shape, kernel, options, seen, taps):
    x, weight = whole_numbers(*shape), whole_numbers(*kernel)
    if layout == "NHWC":
        x, weight = x.transpose(0, 2, 3, 1).copy(), weight.transpose(2, 3, 1, 0).copy()
    options = {**options, "layout": layout, "backend": "numpy"}

    def results():
        y = fastconv.conv2d(x, weight, **options)
        return y, *grad.conv2d(x, weight, y, needs=(True, True, False), **options)[:2]

    expected = results()
    monkeypatch.setattr(geometry, "PIECE", 1)
    monkeypatch.setattr("fastconv.pieces.PIECE", 1)
    monkeypatch.setattr(convolution, "_SEEN", seen)
    monkeypatch.setattr(convolution, "_TAPS", taps)
    for result, value in zip(results(), expected, strict=True):
        np.testing.assert_array_equal(result, value)
