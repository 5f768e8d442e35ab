"""The filters of `fastconv.ndimage` tile by tile, and on dask arrays, against the whole array."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv import ndimage, tiles
from strategies import chunked

RNG = np.random.default_rng(0)
SMALL = np.array([[0, 1, 1], [1, 1, 0]])
CALLS = [
    (ndimage.convolve, {"weights": RNG.normal(size=(4, 3)), "origin": [-1, 0]}),
    (ndimage.correlate, {"weights": RNG.normal(size=(1, 9)), "mode": "mirror", "output": np.float64}),
    (ndimage.correlate, {"weights": RNG.normal(size=5), "axes": 1, "mode": "nearest"}),
    (ndimage.convolve1d, {"weights": RNG.normal(size=4), "axis": 0, "origin": 1}),
    (ndimage.gaussian_filter, {"sigma": (1.5, 0.4), "order": (0, 1), "mode": ("constant", "reflect"), "cval": 3}),
    (ndimage.gaussian_filter, {"sigma": 2, "radius": 3, "axes": (0,)}),
    (ndimage.gaussian_laplace, {"sigma": 1, "truncate": 2}),
    (ndimage.gaussian_gradient_magnitude, {"sigma": 1}),
    (ndimage.uniform_filter, {"size": (4, 3), "origin": (1, 0)}),
    (ndimage.uniform_filter1d, {"size": 7, "mode": "constant"}),
    (ndimage.maximum_filter, {"footprint": SMALL}),
    (ndimage.minimum_filter1d, {"size": 6, "origin": 2}),
    (ndimage.median_filter, {"size": 5, "mode": "nearest"}),
    (ndimage.percentile_filter, {"percentile": 30, "footprint": SMALL}),
    (ndimage.laplace, {}),
    (ndimage.sobel, {"axis": 0}),
    (ndimage.grey_opening, {"size": (4, 3)}),
    (ndimage.grey_dilation, {"structure": SMALL * 2.5}),
    (ndimage.black_tophat, {"structure": np.ones((2, 5)), "origin": (0, 1)}),
    (ndimage.white_tophat, {"footprint": SMALL, "mode": "constant"}),
    (ndimage.morphological_gradient, {"size": 3}),
    (ndimage.morphological_laplace, {"size": (3, 4)}),
]  # fmt: skip


def in_tiles(op, x, tile):
    made = tiles.tiling(op, x.shape, tile, dtype=x.dtype)
    result = np.empty(made.output_shape, made.dtype)
    for one in made:
        seen = np.full_like(x, 1e6)
        (part,) = [tuple(along[0] for along in one.read)]
        seen[part] = x[part]
        result[one.write] = made.compute(one, seen)
    return result


@pytest.mark.parametrize(("function", "named"), CALLS, ids=lambda part: getattr(part, "__name__", ""))
@given(shape=st.tuples(*[st.integers(1, 14)] * 2), tile=st.tuples(*[st.integers(1, 9)] * 2))
def test_filters_have_the_values_of_the_whole_array(function, named, shape, tile):
    op, x = functools.partial(function, **named), RNG.normal(size=shape).astype(np.float32)
    result, whole = in_tiles(op, x, tile), op(x)
    assert result.dtype == whole.dtype
    np.testing.assert_allclose(result, whole, rtol=1e-4, atol=1e-5)


def test_every_filter_has_a_case_or_is_refused():
    """Or its way of saying how far it reaches is that of another one."""
    tried = {function.__name__ for function, _ in CALLS}
    alike = {
        "correlate1d",
        "gaussian_filter1d",
        "maximum_filter1d",
        "minimum_filter",
        "rank_filter",
        "prewitt",
    }
    alike |= {"grey_closing", "grey_erosion"}
    refused = {"generic_gradient_magnitude", "generic_laplace", "match_template"}
    assert tried | alike | refused == set(ndimage.__all__)
    for name in refused:
        with pytest.raises(tiles.TilingError, match=f"{name} cannot be computed tile by tile"):
            tiles.tiling(getattr(ndimage, name), (9, 9))


def test_signals_cubes_and_integers():
    x = RNG.integers(0, 255, (9, 8, 7)).astype(np.uint8)
    for op in (ndimage.laplace, functools.partial(ndimage.uniform_filter, axes=(0, 2))):
        np.testing.assert_array_equal(in_tiles(op, x, (4, 3, 5)), op(x))
    op = functools.partial(ndimage.gaussian_filter1d, sigma=1)
    np.testing.assert_array_equal(in_tiles(op, x[0, 0], 3), op(x[0, 0]))
    half = tiles.tiling(functools.partial(ndimage.median_filter, size=5), (90, 90), 30)
    assert (half.halo, half[4].read[0], half[4].write[0]) == (
        ((2, 2), (2, 2)),
        (slice(28, 62),),
        slice(30, 60),
    )


def test_what_cannot_be_tiled_or_does_not_fit():
    for named, error, message in (
        ({"mode": "wrap"}, tiles.TilingError, "mode='wrap'"),
        ({"mode": ("nearest", "grid-wrap")}, tiles.TilingError, "mode='wrap'"),
        ({"output": np.empty((9, 9))}, tiles.TilingError, "output="),
        ({"sizes": 3}, TypeError, "sizes"),
        ({"size": (3, 3, 3)}, RuntimeError, "size has 3, needs 2"),
        ({"mode": "zeros"}, RuntimeError, "boundary mode"),
    ):
        with pytest.raises(error, match=message):
            tiles.tiling(functools.partial(ndimage.uniform_filter, **named), (9, 9))
    with pytest.raises(tiles.TilingError, match="needs pixels"):
        tiles.tiling(ndimage.laplace, (0, 4))
    with pytest.raises(TypeError, match="sigma"):
        tiles.tiling(ndimage.gaussian_filter, (9, 9))


@given(st.sampled_from(CALLS), chunked(13), chunked(11))
def test_on_dask_arrays(call, rows, columns):
    da = pytest.importorskip("dask.array")
    fd = pytest.importorskip("fastconv.dask")
    function, named = call
    op, x = functools.partial(function, **named), RNG.normal(size=(13, 11)).astype(np.float32)
    lazy = fd.apply(op, da.from_array(x, chunks=(rows, columns)))
    assert lazy.chunks == (rows, columns)
    np.testing.assert_allclose(lazy.compute(scheduler="synchronous"), op(x), rtol=1e-4, atol=1e-5)
