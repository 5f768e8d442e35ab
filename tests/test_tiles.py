"""Operations tile by tile against the whole image: at every border, in every mode, whatever the tile."""

import functools
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from fastconv import ndimage, tiles
from fastconv.tiles.axes import Stretch, Transposed, stretches_of
from fastconv.tiles.blocks import Mosaic, Piece
from strategies import chunked, convolutions, either, layouts

RNG = np.random.default_rng(0)
MODES = ["zeros", "reflect", "replicate", "circular", "symmetric", "constant"]
sides = either(st.integers(1, 9))


def normal(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def tile_by_tile(op, x, tile):
    """The tiles put together; every output pixel is written exactly once, and nothing but what a tile reads is read."""
    made = tiles.tiling(op, x.shape, tile, dtype=x.dtype)
    result, writes = np.empty(made.output_shape, made.dtype), np.zeros(made.output_shape, int)
    for one in made:
        seen = x.copy() if x.dtype.kind != "f" else np.full_like(x, np.nan)
        for place in np.ndindex(*map(len, one.read)):
            part = tuple(along[number] for along, number in zip(one.read, place, strict=True))
            seen[part] = x[part]
        result[one.write] = made.compute(one, seen)
        writes[one.write] += 1
    assert (writes == 1).all()
    return result


def same(op, x, tile, exact=True):
    whole = op(x)
    result = tile_by_tile(op, x, tile)
    assert (result.shape, result.dtype) == (whole.shape, whole.dtype)
    if exact:
        np.testing.assert_array_equal(result, whole)
    else:
        np.testing.assert_allclose(result, whole, rtol=1e-5, atol=1e-5 * max(np.abs(whole).max(initial=0), 1))


@given(convolutions(MODES), layouts, sides)
def test_convolutions_have_the_bits_of_the_whole_image(case, layout, tile):
    x, weight = normal(*case.x), normal(*case.weights[0])
    if layout == "NHWC":
        x, weight = np.moveaxis(x, 1, -1), weight.transpose(2, 3, 1, 0)
    options = {"weight": weight, "layout": layout, **dict(case.options)}
    same(functools.partial(fastconv.conv2d, **options, algorithm="direct"), x, tile)


@pytest.mark.slow("numba")
@given(convolutions(MODES), sides)
def test_convolutions_of_any_algorithm(backend, case, tile):
    x, weight = normal(*case.x, dtype=np.float64), normal(*case.weights[0], dtype=np.float64)
    same(functools.partial(fastconv.conv2d, weight=weight, **dict(case.options)), x, tile, exact=False)


@given(st.data(), layouts, sides)
def test_transposed_convolutions_have_the_bits_of_the_whole_image(data, layout, tile):
    stride, dilation = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    extra = data.draw(st.integers(0, max(stride, dilation) - 1))
    full = [(n - 1) * stride + dilation * (k - 1) + 1 for n, k in zip(size, kernel, strict=True)]
    most = (min(full) - 1) // 2
    padding = data.draw(st.integers(0, min(most, 4)))
    x, weight = normal(2, 3, *size), normal(3, 2, *kernel)
    if layout == "NHWC":
        x, weight = np.moveaxis(x, 1, -1), weight.transpose(2, 3, 1, 0)
    op = functools.partial(
        fastconv.conv_transpose2d, weight=weight, bias=normal(2), stride=stride, padding=padding,
        output_padding=extra, dilation=dilation, layout=layout, activation="relu", algorithm="direct",
    )  # fmt: skip
    same(op, x, tile)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2), st.integers(1, 9))
def test_transposed_convolutions_read_no_more_than_they_need(stride, kernel, padding, tile):
    rule = Transposed(9, 9 * stride + kernel - stride - 2 * padding, kernel, stride, padding)
    for start in range(0, rule.count, tile):
        stop = min(start + tile, rule.count)
        needed = [
            i for i in range(9) if i * stride - padding < stop and i * stride - padding + kernel > start
        ]
        cut = rule.cut(start, stop)
        assert cut.skip >= 0
        if kernel < stride:  # an output that no input reaches is counted from the one before it
            needed = sorted({*needed, min((start + padding) // stride, 8)})
        assert (cut.start, cut.stop) == (needed[0], needed[-1] + 1)


POOLINGS = [
    (fastconv.max_pool2d, {}),
    (fastconv.max_pool2d, {"dilation": 2}),
    (fastconv.avg_pool2d, {}),
    (fastconv.avg_pool2d, {"count_include_pad": False}),
    (fastconv.lp_pool2d, {"norm_type": 2}),
]


@given(st.sampled_from(POOLINGS), st.data(), layouts, sides)
def test_poolings(pooling, data, layout, tile):
    function, more = pooling
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(data.draw(st.tuples(st.integers(0, k // 2), st.integers(0, k // 2))) for k in kernel)
    size = tuple(
        data.draw(st.integers(2 * (k - 1) + 1, 20)) for k in kernel
    )  # a dilated window fits without padding
    options = {"kernel_size": kernel, "padding": padding, "stride": data.draw(st.integers(1, 4))}
    options |= {"ceil_mode": data.draw(st.booleans()), "layout": layout}
    shape = (2, 3, *size) if layout == "NCHW" else (2, *size, 3)
    same(
        functools.partial(function, **options, **more), normal(*shape), tile, function is fastconv.max_pool2d
    )


@given(st.lists(st.integers(-1, 6), min_size=1, max_size=30))
def test_stretches_are_all_pixels_in_their_order(places):
    found = []
    for count, first, step in stretches_of(np.array(places)):
        found += [-1 if first is None else first + step * number for number in range(count)]
    assert found == places


@given(chunked(9), chunked(8), st.lists(st.integers(-1, 8), min_size=1, max_size=20))
def test_blocks_are_put_together_of_any_arrays(rows, columns, places):
    x = normal(2, 9, 8)
    ends = [[0, *itertools.accumulate(sizes)] for sizes in (rows, columns)]
    pieces = [
        [Piece(a, b, number, 0) for number, (a, b) in enumerate(itertools.pairwise(along))] for along in ends
    ]
    arrays = {
        (p.number, q.number): x[:, p.start : p.stop, q.start : q.stop].copy()
        for p, q in itertools.product(*pieces)
    }
    mosaic = Mosaic((-2, -1), arrays, pieces)
    np.testing.assert_array_equal(mosaic.whole(), x)
    block = mosaic.block([stretches_of(np.array(places)), (Stretch(3, 4, -1), Stretch(2))], 7)
    expected = np.full((2, len(places), 5), 7, np.float32)
    real = np.array(places) >= 0
    expected[:, real, :3] = x[:, np.array(places)[real], 4:1:-1]
    np.testing.assert_array_equal(block, expected)


def test_windows_beyond_the_padding_do_not_count_it():
    op = functools.partial(fastconv.avg_pool2d, kernel_size=3, stride=2, ceil_mode=True)
    same(op, normal(1, 1, 8, 8), 3, exact=False)
    same(functools.partial(op, padding=1), normal(1, 1, 9, 8), 3, exact=False)


RESAMPLINGS = [
    functools.partial(fastconv.resize2d, scale_factor=2, mode="linear"),
    functools.partial(fastconv.resize2d, scale_factor=(3, 1), mode="cubic"),
    functools.partial(fastconv.resize2d, scale_factor=(3, 2)),
    functools.partial(fastconv.resize2d, scale_factor=2, coordinates="asymmetric", mode="linear"),
    functools.partial(fastconv.resize2d, size=(8, 6), mode="linear", antialias=True),
    functools.partial(fastconv.resize2d, size=(4, 36), mode="cubic", antialias=True),
    functools.partial(fastconv.resize2d, size=(12, 9)),
    functools.partial(fastconv.pixel_shuffle, upscale_factor=2),
    functools.partial(fastconv.pixel_unshuffle, downscale_factor=3),
]


@pytest.mark.parametrize("op", RESAMPLINGS, ids=lambda op: op.func.__name__)
@pytest.mark.parametrize("tile", [1, (5, 4), 40])
def test_what_changes_the_size(op, tile):
    same(op, normal(1, 4, 24, 18), tile, exact=False)


POINTWISE = [
    functools.partial(fastconv.softmax, dim=-3),
    functools.partial(fastconv.local_response_norm, size=3),
    functools.partial(fastconv.channel_shuffle, groups=2),
    functools.partial(fastconv.batch_norm, running_mean=np.arange(4.0), running_var=np.ones(4)),
    *(functools.partial(fastconv.pad2d, padding=((3, 1), (30, 0)), mode=m) for m in MODES),
    functools.partial(fastconv.pad2d, padding=2, value=7.5),
    functools.partial(
        fastconv.separable_conv2d, depthwise_weight=normal(8, 1, 3, 3), pointwise_weight=normal(5, 8, 1, 1),
        padding="same", padding_mode="reflect", activation="relu",
    ),
]  # fmt: skip


@pytest.mark.parametrize("op", POINTWISE, ids=lambda op: op.func.__name__)
def test_the_other_operations(op):
    same(op, normal(2, 4, 9, 11), (4, 5), exact=False)


@pytest.mark.parametrize("function", [fastconv.conv1d, fastconv.conv_transpose1d])
def test_signals(function):
    weight = normal(3, 3, 4)
    same(functools.partial(function, weight=weight, stride=2, padding=(1,)), normal(2, 3, 25), 4, exact=False)


def test_plans_half_precision_integers_and_single_images():
    weight = normal(3, 2, 3, 3)
    same(
        fastconv.plan_conv2d(weight, padding=1, padding_mode="circular", algorithm="direct"),
        normal(2, 2, 9, 8),
        4,
    )
    same(fastconv.plan_depthwise_conv2d(weight[:2, :1], algorithm="direct"), normal(2, 9, 8), 4)
    same(fastconv.plan_conv_transpose2d(weight, stride=2, algorithm="direct"), normal(3, 9, 8), 4)
    op = functools.partial(fastconv.conv2d, weight=weight, padding=2)
    same(op, normal(1, 2, 9, 8, dtype=np.float16), 4, exact=False)
    same(op, RNG.integers(0, 255, (1, 2, 9, 8)).astype(np.uint8), 4, exact=False)
    same(functools.partial(fastconv.max_pool2d, kernel_size=3), RNG.integers(0, 255, (2, 9, 8)), 2)


@pytest.mark.parametrize("value", [0.1, 1e5, 0.5, -3.0, np.nan])
@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_a_padding_value_that_the_image_does_not_hold(dtype, value):
    """It is not rounded to the image's dtype, on tiles as on the whole."""
    x, weight = RNG.integers(0, 9, (1, 2, 9, 8)).astype(dtype), np.full((3, 2, 3, 3), 0.25, np.float16)
    ops = [
        functools.partial(
            fastconv.conv2d, weight=each, padding=2, padding_mode="constant", padding_value=value
        )
        for each in (weight, weight.astype(np.float32))
    ]
    if dtype != "uint8" and (dtype, value) != ("float16", 1e5):
        ops.append(functools.partial(fastconv.pad2d, padding=2, mode="constant", value=value))
    for op in ops:
        with np.errstate(over="ignore"):
            whole, result = op(x), tile_by_tile(op, x, 4)
        assert result.dtype == whole.dtype
        unit = np.finfo(whole.dtype).eps if op.func is fastconv.conv2d else 0
        np.testing.assert_allclose(result, whole, rtol=2 * unit)


def test_a_tile_says_what_it_reads_and_writes():
    op = functools.partial(fastconv.conv2d, weight=normal(1, 1, 5, 3), padding=(2, 1))
    made = tiles.tiling(op, (3, 1, 100, 90), (40, 30))
    assert len(made) == len(list(made)) == 3 * 3 * 3
    assert made.halo == ((2, 2), (1, 1))
    middle = made[9 + 4]
    assert middle.read == ((slice(1, 2),), (slice(0, 1),), (slice(38, 82),), (slice(29, 61),))
    assert middle.border[2:] == ((False, False), (False, False))
    assert middle.write == (slice(1, 2), slice(0, 1), slice(40, 80), slice(30, 60))
    assert made[0].border[2:] == ((True, False), (True, False))
    assert made[8].border[2:] == ((False, True), (False, True))
    circular = functools.partial(op, padding_mode="circular")
    assert tiles.tiling(circular, (1, 1, 100, 90), 50)[0].read[2] == (slice(0, 52), slice(98, 100))
    with pytest.raises(IndexError):
        made[27]


def test_halo_and_alignment_follow_strides():
    pool = functools.partial(fastconv.max_pool2d, kernel_size=3, stride=2, padding=1)
    assert (tiles.tiling(pool, (1, 1, 99, 99)).halo[0], tiles.tiling(pool, (1, 1, 99, 99)).alignment) == (
        (1, 0),
        (1, 1),
    )
    up = functools.partial(fastconv.conv_transpose2d, weight=normal(1, 1, 4, 4), stride=4)
    assert tiles.tiling(up, (1, 1, 99, 99)).alignment == (4, 4)
    assert tiles.tiling(up, (1, 1, 999, 999)).tile == (512, 512)


def test_a_usual_tile_has_so_many_pixels_however_many_axes():
    pixels = 512 * 512
    pool = functools.partial(fastconv.max_pool2d, kernel_size=1)
    assert tiles.tiling(pool, (1, 1, 10**5, 10**5)).tile == (512, 512)
    assert tiles.tiling(pool, (1, 1, 16, 10**5)).tile == (16, pixels // 16)
    assert tiles.tiling(pool, (1, 1, 7, 5)).tile == (7, 5)
    line = functools.partial(fastconv.conv1d, weight=normal(1, 1, 3))
    assert tiles.tiling(line, (1, 1, 10**6)).tile == (pixels,)
    assert tiles.tiling(ndimage.laplace, (900, 900, 900)).tile == (64, 64, 64)


def test_a_tiling_can_be_pickled():
    op = functools.partial(fastconv.conv2d, weight=normal(2, 1, 3, 3), padding=1)
    made, x = tiles.tiling(op, (1, 1, 20, 20), 8), normal(1, 1, 20, 20)
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.compute(again[4], x), made.compute(made[4], x))


REFUSED = [
    (fastconv.global_avg_pool2d, tiles.TilingError, "global_avg_pool2d .*every pixel"),
    (fastconv.instance_norm, tiles.TilingError, "instance_norm .*mean and variance"),
    (functools.partial(fastconv.adaptive_avg_pool2d, output_size=3), tiles.TilingError, "adaptive_avg_pool2d"),
    (functools.partial(fastconv.max_pool2d, kernel_size=2, return_indices=True), tiles.TilingError, "return_indices"),
    (functools.partial(fastconv.softmax, dim=-1), tiles.TilingError, "dim=-1"),
    (functools.partial(fastconv.resize2d, scale_factor=2, align_corners=True), tiles.TilingError, "align_corners"),
    (functools.partial(fastconv.resize2d, size=(7, 8)), tiles.TilingError, "8 pixels become 7"),
    (functools.partial(fastconv.resize2d, scale_factor=1.3), tiles.TilingError, "no whole number"),
    (fastconv.conv2d, TypeError, "conv2d needs weight"),
    (functools.partial(fastconv.conv2d, weight=normal(1, 3, 3, 3)), ValueError, "3 input channels"),
    (functools.partial(fastconv.conv2d, weights=0), TypeError, "no argument 'weights'"),
    (np.sin, TypeError, "no operation"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "error", "words"), REFUSED)
def test_what_cannot_be_tiled_is_refused_by_name(op, error, words):
    with pytest.raises(error, match=words):
        tiles.tiling(op, (1, 2, 8, 8))


@pytest.mark.parametrize("tile", [0, (1, 2, 3), "a"])
def test_tiles_that_make_no_sense(tile):
    with pytest.raises((ValueError, TypeError), match="tile"):
        tiles.tiling(functools.partial(fastconv.max_pool2d, kernel_size=2), (1, 1, 8, 8), tile)


def test_tiles_are_smaller_where_memory_is_short(monkeypatch):
    from fastconv.tiles import tiled

    op = functools.partial(fastconv.conv_transpose2d, weight=np.ones((1, 64, 3, 3), np.float32), stride=3)
    shape = (1, 1, 999, 999)
    usual = tiles.tiling(op, shape)
    for most in (usual.memory, usual.memory // 2, usual.memory // 10):
        monkeypatch.setattr(tiled, "total_memory", lambda most=most: 16 * most)
        made = tiles.tiling(op, shape)
        assert made.memory <= most
        assert 4.5 * made.memory > most or made.tile == usual.tile
        assert all(t % 3 == 0 for t in made.tile)
        assert tiles.tiling(op, shape, 512).tile == (512, 512)
    monkeypatch.setattr(tiled, "total_memory", lambda: 0)
    assert min(tiles.tiling(op, shape).tile) >= 63
