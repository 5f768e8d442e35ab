"""The pieces that the numpy backend cuts its work into: they change no result, and none is long or large."""

import tracemalloc

import numpy as np
import pytest

import fastconv
from fastconv import grad
from fastconv.backends.numpy import geometry
from fastconv.problem.pooling import AdaptiveWindows, SlidingWindows

pytestmark = pytest.mark.one_instruction_set

RNG = np.random.default_rng(0)


def normal(*shape, layout="NCHW"):
    values = RNG.standard_normal(shape).astype(np.float32)
    return values if layout == "NCHW" else np.ascontiguousarray(values.transpose(0, 2, 3, 1))


X, WEIGHT, OFFSET, MASK = (
    normal(2, 4, 16, 18),
    normal(6, 2, 3, 2),
    normal(2, 24, 14, 17),
    normal(2, 12, 14, 17),
)
DEFORMED = normal(2, 6, 14, 17)
PADDED = (20, 21)


def calls(layout):
    """Every primitive, on several images, planes, rows and columns."""
    x, options = normal(2, 4, 16, 18, layout=layout), {"layout": layout, "backend": "numpy"}
    weight = WEIGHT if layout == "NCHW" else WEIGHT.transpose(2, 3, 1, 0)
    bias = normal(6)
    y = fastconv.conv2d(x, weight, groups=2, stride=(2, 1), padding=2, **options)
    pooled, at = fastconv.max_pool2d(x, 3, 2, 1, return_indices=True, **options)
    convolution = {"groups": 2, "stride": (2, 1), "padding": 2, **options}
    padded = fastconv.pad2d(x, PADDED, mode="circular", **options)
    yield lambda: fastconv.conv2d(x, weight, bias, activation="silu", residual=y, **convolution)
    yield lambda: fastconv.conv_transpose2d(y, weight, groups=2, stride=(2, 1), padding=2, **options)
    yield lambda: grad.conv2d(x, weight, y, **convolution)
    yield lambda: fastconv.local_response_norm(x, 3, **options)
    yield lambda: grad.local_response_norm(x, x, 3, **options)
    yield lambda: fastconv.max_pool2d(x, 3, 2, 1, return_indices=True, **options)
    yield lambda: fastconv.max_unpool2d(pooled, at, 3, 2, 1, output_size=(16, 18), **options)
    yield lambda: fastconv.avg_pool2d(x, (5, 3), 1, 1, **options)
    yield lambda: grad.avg_pool2d(pooled, x.shape, 3, 2, 1, **options)
    yield lambda: grad.max_pool2d(pooled, at, x.shape, **options)
    yield lambda: grad.max_unpool2d(x, at, **options)
    yield lambda: fastconv.adaptive_avg_pool2d(x, (100, 3), **options)
    yield lambda: fastconv.lp_pool2d(x, 3, 2, **options)
    yield lambda: fastconv.stochastic_pool2d(abs(x), 2, rng=1, **options)
    yield lambda: fastconv.stochastic_pool2d(abs(x), 2, training=False, **options)
    yield lambda: fastconv.fractional_max_pool2d(
        x, 2, output_size=(9, 7), rng=1, return_indices=True, **options
    )
    for mode in ("zeros", "reflect"):
        yield lambda mode=mode: fastconv.pad2d(x, (9, 8), mode=mode, **options)
    yield lambda: grad.pad2d(padded, PADDED, mode="circular", **options)
    if layout == "NCHW":
        columns = fastconv.unfold(x, 3, padding=1, backend="numpy")
        yield lambda: fastconv.unfold(x, 3, padding=1, backend="numpy")
        yield lambda: fastconv.fold(columns, (16, 18), 3, padding=1, backend="numpy")
        yield lambda: fastconv.deform_conv2d(X, OFFSET, WEIGHT, bias, mask=MASK, backend="numpy")
        yield lambda: grad.deform_conv2d(X, OFFSET, WEIGHT, DEFORMED, mask=MASK, backend="numpy")


def arrays(result):
    return [a for a in (result if isinstance(result, tuple) else (result,)) if a is not None]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("piece", [pytest.param(1, marks=pytest.mark.slow), 7, 100, 1000])
def test_pieces_change_no_result(monkeypatch, layout, piece):
    for call in calls(layout):
        whole = arrays(call())
        with monkeypatch.context() as changed:
            changed.setattr(geometry, "PIECE", piece)
            changed.setattr("fastconv.pieces.PIECE", piece)
            for a, b in zip(arrays(call()), whole, strict=True):
                np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def beyond(call):
    """The bytes that a call holds at most, beyond its results."""
    call()
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1] - sum(a.nbytes for a in arrays(result))
    finally:
        tracemalloc.stop()


LARGE, PADDED_LARGE = normal(1, 16, 64, 64), normal(1, 16, 80, 80)
LARGE_OFFSET, LARGE_WEIGHT = normal(1, 18, 64, 64), normal(16, 16, 3, 3)
POOLED, AT = fastconv.max_pool2d(LARGE, 2, 1, return_indices=True)
TALL = normal(1, 1, 4096, 32)
ONE_IMAGE = {
    "pad": lambda: fastconv.pad2d(LARGE, 8, mode="reflect", backend="numpy"),
    "pad, gradient": lambda: grad.pad2d(PADDED_LARGE, 8, mode="reflect", backend="numpy"),
    "deform": lambda: fastconv.deform_conv2d(LARGE, LARGE_OFFSET, LARGE_WEIGHT, padding=1, backend="numpy"),
    "deform, gradient": lambda: grad.deform_conv2d(
        LARGE, LARGE_OFFSET, LARGE_WEIGHT, LARGE, padding=1, backend="numpy"
    ),
    "means": lambda: fastconv.avg_pool2d(LARGE, 3, 1, backend="numpy"),
    "means, gradient": lambda: grad.avg_pool2d(LARGE, (1, 16, 66, 66), 3, 1, backend="numpy"),
    "maxima": lambda: fastconv.max_pool2d(LARGE, 3, 1, return_indices=True, backend="numpy"),
    "maxima of one plane": lambda: fastconv.max_pool2d(TALL, 2, backend="numpy"),
    "norm": lambda: fastconv.local_response_norm(LARGE, 5, backend="numpy"),
    "norm, gradient": lambda: grad.local_response_norm(LARGE, LARGE, 5, backend="numpy"),
    "unpool": lambda: fastconv.max_unpool2d(POOLED, AT, 2, 1, output_size=(64, 64), backend="numpy"),
    "maxima, gradient": lambda: grad.max_pool2d(POOLED, AT, LARGE.shape, backend="numpy"),
    "activation": lambda: grad.activation(LARGE, LARGE, "gelu", preactivation=LARGE, backend="numpy"),
}


@pytest.mark.parametrize("name", ONE_IMAGE)
def test_one_image_is_cut(monkeypatch, name):
    """What NumPy makes in one call is an array of a piece's size."""
    monkeypatch.setattr(geometry, "PIECE", 2**11)
    monkeypatch.setattr("fastconv.pieces.PIECE", 2**11)
    # The gradients of the image and of the weights are held in double.
    images = 4 if name == "deform, gradient" else 1
    assert beyond(ONE_IMAGE[name]) < images * LARGE.nbytes


MANY = 3 * 10**6
WINDOWS = [AdaptiveWindows(256, MANY), SlidingWindows(MANY, MANY, 3, 1, -1, 1, (-1, MANY))]


@pytest.mark.parametrize("windows", WINDOWS)
def test_tables_are_made_in_pieces(windows):
    """Each number of the windows is an int64 or float64."""
    tracemalloc.start()
    try:
        windows.tables()
        assert tracemalloc.get_traced_memory()[1] < 3 * 8 * windows.count * 1.25
    finally:
        tracemalloc.stop()
        fastconv.clear_cache()
