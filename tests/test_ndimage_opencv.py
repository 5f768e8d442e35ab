"""fastconv.ndimage against OpenCV, where it defines the behaviour: borders, rounding of bytes, windows of even size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv import ndimage

cv2 = pytest.importorskip("cv2")
BORDERS = {
    "reflect": cv2.BORDER_REFLECT,
    "mirror": cv2.BORDER_REFLECT_101,
    "nearest": cv2.BORDER_REPLICATE,
    "constant": cv2.BORDER_CONSTANT,
}

pytestmark = pytest.mark.one_instruction_set


@st.composite
def pictures(draw, dtypes=("uint8", "uint16", "float32"), channels=(1, 3)):
    """Of at least 8 pixels each way: OpenCV mirrors once only."""
    shape = [draw(st.sampled_from([8, 9, 13, 30, 67])) for _ in range(2)]
    if (count := draw(st.sampled_from(channels))) > 1:
        shape.append(count)
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    x = np.random.default_rng(draw(st.integers(0, 99))).random(shape)
    return x.astype(dtype) if dtype.kind == "f" else (x * np.iinfo(dtype).max).astype(dtype)


sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))
borders = st.sampled_from(list(BORDERS))
plane = {"axes": (0, 1)}


def same(ours, theirs, exact=None):
    """Bytes as rounded of `exact`, but for what lies half-way; floats to the rounding of float32."""
    if ours.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-6 * max(1.0, float(np.abs(theirs).max())))
        return
    differences = np.abs(ours.astype(int) - theirs.astype(int))
    assert differences.max() <= 1
    if exact is not None:
        half = np.abs(exact % 1 - 0.5) < 1e-3 * max(1.0, float(np.abs(exact).max()) / 1000)
        assert not (differences[~half]).any()


@given(pictures(), sizes, borders)
def test_filter2d(backend, x, size, border):
    kernel = np.random.default_rng(sum(size)).standard_normal(size).astype(np.float32)
    theirs = cv2.filter2D(x, -1, kernel, borderType=BORDERS[border])
    weights = kernel[..., None] if x.ndim == 3 else kernel
    ours = ndimage.correlate(x, weights, mode=border, saturate=True)
    exact = ndimage.correlate(x, weights, np.float64, mode=border)
    same(ours, theirs, exact)


@given(pictures(), st.integers(1, 7), st.integers(1, 7), borders)
def test_sep_filter2d(backend, x, rows, columns, border):
    rng = np.random.default_rng(rows * columns)
    down, across = rng.random(rows).astype("f4"), rng.random(columns).astype("f4")
    theirs = cv2.sepFilter2D(x.astype("f4"), -1, across, down, borderType=BORDERS[border])
    weights = np.outer(down.astype(float), across)
    weights = weights[..., None] if x.ndim == 3 else weights
    same(ndimage.correlate(x, weights, np.float32, mode=border, separable=True), theirs)


@given(pictures(("float32",)), st.floats(0.5, 3), st.integers(0, 3), borders)
def test_gaussian_blur(backend, x, spread, radius, border):
    theirs = cv2.GaussianBlur(x, (2 * radius + 1,) * 2, spread, borderType=BORDERS[border])
    same(ndimage.gaussian_filter(x, spread, mode=border, radius=radius, **plane), theirs)


@given(pictures(), st.tuples(st.integers(1, 8), st.integers(1, 8)), borders)
def test_blur(backend, x, size, border):
    theirs = cv2.blur(x, size[::-1], borderType=BORDERS[border])
    same(ndimage.uniform_filter(x, size, mode=border, saturate=True, **plane), theirs)


@given(pictures(("uint8",)), st.sampled_from([3, 5, 7, 11]))
def test_median_blur(backend, x, size):
    theirs = cv2.medianBlur(x, size)
    np.testing.assert_array_equal(ndimage.median_filter(x, size, mode="nearest", **plane), theirs)


@given(pictures(), sizes, st.sampled_from(["reflect", "nearest", "mirror"]), st.booleans(), st.booleans())
def test_dilate_and_erode(backend, x, size, border, largest, box):
    footprint = np.random.default_rng(sum(size)).random(size) < (2 if box else 0.6)
    footprint[size[0] // 2, size[1] // 2] = True
    function = cv2.dilate if largest else cv2.erode
    theirs = function(x, footprint.astype(np.uint8), borderType=BORDERS[border])
    ours = ndimage.maximum_filter if largest else ndimage.minimum_filter
    np.testing.assert_array_equal(ours(x, footprint=footprint, mode=border, **plane), theirs)


@given(pictures(("uint8", "float32")), borders, st.sampled_from([0, 1]))
def test_derivatives(x, border, axis):
    wide = np.float32
    theirs = cv2.Sobel(x, cv2.CV_32F, int(axis == 1), int(axis == 0), borderType=BORDERS[border])
    if x.ndim == 2:
        same(ndimage.sobel(x, axis, wide, border), theirs)
    theirs = cv2.Laplacian(x, cv2.CV_32F, ksize=1, borderType=BORDERS[border])
    same(ndimage.laplace(x, wide, border, **plane), theirs)


@given(pictures(("uint8", "float32"), channels=(1,)), st.tuples(st.integers(2, 8), st.integers(2, 8)))
def test_match_template(x, size):
    part = np.ascontiguousarray(x[: size[0], -size[1] :])
    theirs = cv2.matchTemplate(x, part, cv2.TM_CCOEFF_NORMED)
    np.testing.assert_allclose(ndimage.match_template(x, part), theirs, atol=2e-3)
