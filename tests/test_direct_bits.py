"""`algorithm="direct"`: a pixel's bits depend on neither the image's size, the batch, nor the kernel that is taken.

Kernels differ in the order in which they add up (`in_turn` in csrc/conv/kernel.h). Which ones may be taken follows from
what a tile and the whole image share.
"""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from conftest import COMPILED
from strategies import dtypes, either, layouts
from test_tiles import tile_by_tile

pytestmark = pytest.mark.parametrize("backend", COMPILED, indirect=True)

FAR = (
    24  # channels and pixels: several vectors, tiles of outputs and blocks of filters of any instruction set
)


@st.composite
def problems(draw):
    """(function, x's shape, arguments): of many kinds, as kernels for special ones add up otherwise."""
    kind = draw(st.sampled_from(["plain", "grouped", "depthwise"]))
    transposed, layout, dtype = draw(st.booleans()), draw(layouts), draw(dtypes)
    square = draw(st.integers(1, 7))
    kernel = draw(st.just((square, square)) | st.tuples(st.integers(1, 5), st.integers(1, 5)))
    groups = 1 if kind == "plain" else draw(st.integers(2, FAR))
    channels = 1 if kind == "depthwise" else draw(st.integers(1, FAR if kind == "plain" else 9))
    filters = draw(st.sampled_from([1, 1, 2])) if kind == "depthwise" else draw(st.integers(1, 9))
    stride, dilation = draw(either(st.integers(1, 3))), draw(st.sampled_from([1, 1, 2, 3]))
    reach = [dilation * (k - 1) + 1 for k in kernel]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    options = {
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "layout": layout,
        "algorithm": "direct",
    }
    if transposed:
        most = [r + draw(st.sampled_from([-1, -1, 1])) for r in reach]
        padding = tuple(draw(st.integers(0, n)) for n in most)
        sides = stride if isinstance(stride, tuple) else (stride, stride)
        least = [max(1, -(-(2 * p + 1 - r) // s) + 1) for p, r, s in zip(padding, reach, sides, strict=True)]
        weight = rng.normal(size=(groups * channels, filters, *kernel))
    else:
        padding = tuple(draw(st.integers(0, r)) for r in reach)
        least = [max(1, r - 2 * p) for p, r in zip(padding, reach, strict=True)]
        weight = rng.normal(size=(groups * filters, channels, *kernel))
    size = [n + draw(st.integers(0, 2 * FAR)) for n in least]
    x = rng.normal(size=(draw(st.integers(1, 5)), groups * channels, *size)).astype(dtype)
    options["bias"] = rng.normal(size=groups * filters).astype(dtype) if draw(st.booleans()) else None
    options["activation"] = draw(st.sampled_from([None, "relu", "silu"]))
    weight = weight.astype(dtype)
    if layout == "NHWC":
        x, weight = (
            np.ascontiguousarray(np.moveaxis(x, 1, -1)),
            np.ascontiguousarray(weight.transpose(2, 3, 1, 0)),
        )
    options |= {"weight": weight, "padding": padding}
    return fastconv.conv_transpose2d if transposed else fastconv.conv2d, x, options


def bits(array):
    return array.view(f"i{array.itemsize}")


def candidates(function, x, options):
    plan = getattr(fastconv, f"plan_{function.__name__}")(**options)
    return fastconv.backends.load("cython").candidates(plan._problem(x.shape))


@given(problem=problems())
def test_kernels_agree(backend, problem):
    function, x, options = problem
    whole = function(x, **options)
    for name in candidates(function, x, options):
        np.testing.assert_array_equal(bits(function(x, **options | {"algorithm": name})), bits(whole), name)


@given(problem=problems(), tile=either(st.sampled_from([1, 2, 5, 17, 31])))
def test_tiles_agree_with_the_whole(backend, problem, tile):
    function, x, options = problem
    op = functools.partial(function, **options)
    np.testing.assert_array_equal(bits(tile_by_tile(op, x, tile)), bits(op(x)))


@given(problem=problems(), share=st.floats(0, 1))
def test_parts_agree_with_the_whole(backend, problem, share):
    """For whoever cuts a batch, or an image that has its padding already, without tiles; and for plans."""
    function, x, options = problem
    whole, plan = function(x, **options), getattr(fastconv, f"plan_{function.__name__}")(**options)
    np.testing.assert_array_equal(bits(plan(x)), bits(whole))
    np.testing.assert_array_equal(bits(function(x[:1], **options)), bits(whole[:1]))
    rows, columns = (1, 2) if options["layout"] == "NHWC" else (2, 3)
    beside = [(p, p) for p in options["padding"]]
    if function is fastconv.conv_transpose2d:
        return
    x = np.pad(x, [beside.pop(0) if axis in (rows, columns) else (0, 0) for axis in range(4)])
    kernel = options["weight"].shape[:2] if options["layout"] == "NHWC" else options["weight"].shape[2:]
    least = options["dilation"] * (kernel[0] - 1) + 1
    x = x.take(range(least + round(share * (x.shape[rows] - least))), rows)
    part = function(x, **options | {"padding": 0})
    np.testing.assert_array_equal(bits(part), bits(whole.take(range(part.shape[rows]), rows)))


WIDE = [
    ("conv2d", (2, 300, 9, 9), (8, 300, 3, 3), {"padding": 1}),  # more products than im2col adds up at once
    ("conv2d", (9, 6, 7, 7), (5, 6, 7, 7), {}),  # dot products
    ("conv2d", (3, 40, 1, 1), (70, 40, 1, 1), {}),
    ("conv2d", (2, 64, 30, 30), (64, 2, 3, 3), {"padding": 1, "groups": 32}),
    ("conv2d", (1, 1, 5, 900), (1, 1, 3, 3), {"dilation": (1, 200), "padding": (1, 200)}),
    ("conv2d", (1, 24, 20, 30), (24, 1, 3, 3), {"dilation": (1, 70), "padding": (1, 70), "groups": 24}),
    ("conv2d", (1, 8, 20, 30), (8, 2, 3, 3), {"dilation": (1, 70), "padding": (1, 70), "groups": 4}),
    ("conv_transpose2d", (1, 24, 9, 9), (24, 1, 3, 3), {"padding": 5, "groups": 24}),
    ("conv_transpose2d", (1, 8, 9, 9), (8, 2, 3, 3), {"padding": 4, "groups": 4}),
    ("conv_transpose2d", (1, 16, 9, 9), (16, 3, 8, 8), {"stride": 8}),
]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("case", WIDE, ids=str)
def test_where_kernels_are_most_tempted(backend, case, layout):
    name, shape, weights, options = case
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=shape).astype(np.float32), rng.normal(size=weights).astype(np.float32)
    if layout == "NHWC":
        x, weight = (
            np.ascontiguousarray(np.moveaxis(x, 1, -1)),
            np.ascontiguousarray(weight.transpose(2, 3, 1, 0)),
        )
    function, options = (
        getattr(fastconv, name),
        {**options, "weight": weight, "layout": layout, "algorithm": "direct"},
    )
    op = functools.partial(function, **options)
    whole = op(x)
    for one in candidates(function, x, options):
        np.testing.assert_array_equal(bits(function(x, **options | {"algorithm": one})), bits(whole), one)
    for tile in (3, 13):
        np.testing.assert_array_equal(bits(tile_by_tile(op, x, tile)), bits(whole))
