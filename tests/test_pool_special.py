"""Adaptive, global, fractional and stochastic pooling, and max unpooling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
import reference
from checks import assert_close, eps, from_layout, normal, to_layout
from strategies import dtypes, layouts
from test_pool import NON_FINITE, check_max, check_sum, integers, run, sprinkle

shapes = st.tuples(*[st.integers(0, 2), st.integers(1, 5), st.integers(1, 12), st.integers(1, 12)])


@pytest.mark.parametrize("output_size", [1, 3, (2, 5), (7, 1), (9, 20), (None, 3), (4, None)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 7, 10), (1, 17, 9, 8), (1, 2, 1, 1)], ids=str)
def test_adaptive(backend, layout, dtype, shape, output_size):
    check_sum("adaptive_avg_pool2d", normal(shape, dtype=dtype), output_size, layout=layout)
    for values in NON_FINITE.values():
        x = sprinkle(integers(shape), values).astype(dtype)
        check_max("adaptive_max_pool2d", x, output_size, layout=layout)


@given(shapes, st.tuples(*[st.integers(1, 14)] * 2), layouts, dtypes)
def test_adaptive_random(backend, shape, output_size, layout, dtype):
    check_sum("adaptive_avg_pool2d", normal(shape, dtype=dtype), output_size, layout=layout)
    check_max("adaptive_max_pool2d", integers(shape).astype(dtype), output_size, layout=layout)


@pytest.mark.parametrize(
    "shape",
    [
        *((2, 3, 7, 7), (1, 65, 5, 6), (3, 1, 1, 1), (1, 2, 40, 33), (0, 3, 4, 4)),
        *((2, 3, 150, 149), (1, 1, 201, 331), (2, 7, 97, 101), (1, 15, 53, 47)),  # in several shares
    ],
    ids=str,
)
def test_global(backend, layout, dtype, shape):
    x = integers(shape).astype(dtype)
    check_sum("global_avg_pool2d", normal(shape, dtype=dtype), layout=layout)
    check_max("global_max_pool2d", x, layout=layout)
    value, index = fastconv.global_max_pool2d(to_layout(x, layout), True, keepdims=False, layout=layout)
    expected = reference.global_max_pool2d(x, True, keepdims=False)
    assert_close(value, expected[0], 0, dtype)
    assert_close(index, expected[1], 0, np.int64)
    mean = fastconv.global_avg_pool2d(to_layout(x, layout), keepdims=False, layout=layout)
    assert_close(mean, reference.global_avg_pool2d(x, keepdims=False), 16 * eps(dtype), dtype)


def test_global_unbatched(backend, layout, dtype):
    x = normal((3, 4, 5), dtype=dtype)
    assert fastconv.global_avg_pool2d(to_layout(x, layout), layout=layout).shape == (
        (3, 1, 1) if layout == "NCHW" else (1, 1, 3)
    )
    value = fastconv.global_max_pool2d(to_layout(x, layout), keepdims=False, layout=layout)
    assert_close(value, x.max(axis=(1, 2)), 0, dtype)


@given(st.data(), layouts, dtypes, st.sampled_from(list(NON_FINITE)))
def test_fractional(backend, data, layout, dtype, values):
    shape = data.draw(shapes.filter(lambda s: s[0] > 0))
    kernel = tuple(data.draw(st.integers(1, min(n, 4))) for n in shape[2:])
    output = tuple(data.draw(st.integers(1, n - k + 1)) for n, k in zip(shape[2:], kernel, strict=True))
    samples = np.random.default_rng(data.draw(st.integers(0, 99))).random((*shape[:2], 2))
    x = sprinkle(integers(shape), NON_FINITE[values]).astype(dtype)
    check_max("fractional_max_pool2d", x, kernel, output, random_samples=samples, layout=layout)


def test_fractional_output_ratio_and_rng(backend, layout, dtype):
    x = to_layout(normal((2, 3, 11, 9), dtype=dtype), layout)
    samples = np.random.default_rng(5).random((2, 3, 2))
    expected = fastconv.fractional_max_pool2d(x, 2, (5, 6), random_samples=samples, layout=layout)
    ratio = {"output_ratio": (0.5, 0.7), "layout": layout}
    np.testing.assert_array_equal(
        fastconv.fractional_max_pool2d(x, 2, random_samples=samples, **ratio), expected
    )
    drawn = fastconv.fractional_max_pool2d(x, 2, rng=np.random.default_rng(5), **ratio)
    np.testing.assert_array_equal(drawn, expected)
    assert fastconv.fractional_max_pool2d(x, 2, **ratio).shape == expected.shape


STOCHASTIC = {
    "2x2": ((2, 3, 6, 8), {"kernel_size": 2}),
    "3x3 stride 2": ((1, 17, 7, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "overlapping, asymmetric": (
        (1, 3, 5, 6),
        {"kernel_size": (2, 3), "stride": 1, "padding": ((1, 0), (0, 2))},
    ),
    "one pixel": ((1, 2, 1, 1), {"kernel_size": 1}),
}


@pytest.mark.parametrize("planes", [(8, 79), (3, 37), (1, 5)])
@pytest.mark.parametrize("size", [(13, 16), (1, 7), (40, 41)])
def test_bits_of_whole_planes_do_not_depend_on_threads_or_on_other_planes(backend, dtype, planes, size):
    x = np.random.default_rng(0).normal(size=(*planes, *size)).astype(dtype)
    with fastconv.num_threads(1):
        single = fastconv.global_avg_pool2d(x)
    for count in (2, 3):
        with fastconv.num_threads(count):
            assert fastconv.global_avg_pool2d(x).tobytes() == single.tobytes()
    for start in (1, 2, 4):
        part = np.ascontiguousarray(x[:, start:])
        assert fastconv.global_avg_pool2d(part).tobytes() == single[:, start:].tobytes()


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_sampling(backend, layout, dtype, name):
    shape, options = STOCHASTIC[name]
    x = np.maximum(normal(shape, dtype=dtype), 0)
    x[0, 0, :3, :3] = 0
    drawn = to_layout(reference.max_pool2d(x, **options), layout).shape
    uniforms = from_layout(np.random.default_rng(3).random(drawn), layout)
    value, index = reference.stochastic_pool2d(x, **options, uniforms=uniforms)
    rng = {"layout": layout, "return_indices": True}
    actual = run("stochastic_pool2d", x, **options, **rng, rng=np.random.default_rng(3))
    assert_close(actual[0], value, 0, dtype)
    assert_close(actual[1], index, 0, np.int64)
    alone = run("stochastic_pool2d", x, **options, layout=layout, rng=np.random.default_rng(3))
    assert_close(alone, value, 0, dtype)


class Largest(np.random.Generator):
    """Draws the largest uniform below 1, always."""

    def random(self, size=None, **options):
        return np.full(size, 1 - 2**-53)


def test_stochastic_with_the_largest_uniform(backend, layout):
    """The total has the rounding of the running sum: the last element is chosen, never nothing."""
    x = np.random.default_rng(0).random((1, 2, 60, 60))
    value, index = reference.stochastic_pool2d(x, 4, uniforms=np.full((1, 2, 15, 15), 1 - 2**-53))
    options = {"rng": Largest(np.random.PCG64(0)), "return_indices": True, "layout": layout}
    actual = run("stochastic_pool2d", x, 4, **options)
    assert_close(actual[0], value, 0, np.float64)
    assert_close(actual[1], index, 0, np.int64)


def test_stochastic_follows_the_probabilities(backend, layout):
    x = np.broadcast_to(np.array([[0.0, 1], [2, 5]], dtype=np.float32), (4000, 1, 2, 2))
    value = fastconv.stochastic_pool2d(to_layout(x, layout), 2, layout=layout, rng=np.random.default_rng(0))
    counts = [(value == sample).sum() for sample in (0, 1, 2, 5)]
    np.testing.assert_allclose(counts, [0, 500, 1000, 2500], atol=120)
    unseeded = fastconv.stochastic_pool2d(to_layout(x, layout), 2, layout=layout)
    assert set(np.unique(unseeded)) == {1, 2, 5}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_weighted_mean(backend, layout, dtype, name):
    shape, options = STOCHASTIC[name]
    x = np.maximum(normal(shape, dtype=dtype), 0)
    x[0, 0, :3, :3] = 0
    expected = reference.stochastic_pool2d(x, **options)
    actual = run("stochastic_pool2d", x, **options, training=False, layout=layout)
    assert_close(actual, expected, 16 * eps(dtype) * expected, dtype)


@pytest.mark.parametrize("size", ["default", "larger"])
@pytest.mark.parametrize(
    ("shape", "options", "larger"),
    [
        ((2, 3, 8, 10), {"kernel_size": 2}, (9, 11)),
        ((1, 17, 7, 7), {"kernel_size": 3, "stride": 3, "padding": 1}, (8, 9)),
    ],
    ids=["2x2", "padded"],
)
def test_max_unpool(backend, layout, dtype, shape, options, size, larger):
    """The values go back to where max_pool2d took them from, whatever the plane they are put into."""
    x = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(dtype)
    size = None if size == "default" else larger
    value, index = reference.max_pool2d(x, **options, return_indices=True)
    expected = reference.max_unpool2d(value, index, **options, output_size=size)
    arrays = to_layout(value, layout), to_layout(index, layout)
    actual = from_layout(fastconv.max_unpool2d(*arrays, **options, output_size=size, layout=layout), layout)
    assert_close(actual, expected, 0, dtype)
    for other in (np.int32, ">i8", np.uint8):
        again = fastconv.max_unpool2d(
            arrays[0], arrays[1].astype(other), **options, output_size=size, layout=layout
        )
        np.testing.assert_array_equal(from_layout(again, layout), expected)


def test_max_unpool_unbatched(backend, dtype):
    value, index = np.array([[[4.0, 3.0]]], dtype=dtype), np.array([[[5, 2]]])
    actual = fastconv.max_unpool2d(value, index, 2)
    np.testing.assert_array_equal(actual, [[[0, 0, 3, 0], [0, 4, 0, 0]]])
    assert actual.dtype == dtype


@pytest.mark.parametrize("name", ["global_avg_pool2d", "global_max_pool2d"])
def test_global_out_without_the_kept_axes(backend, layout, name):
    x = to_layout(normal((2, 3, 4, 5), dtype=np.float32), layout)
    function, out = getattr(fastconv, name), np.empty((2, 3), np.float32)
    assert function(x, keepdims=False, layout=layout, out=out) is out
    np.testing.assert_array_equal(out, function(x, keepdims=False, layout=layout))
    for shape in [(), (3,), (2, 4), (2, 3, 1, 1)]:
        with pytest.raises(ValueError, match=f"{name}: out has shape"):
            function(x, keepdims=False, layout=layout, out=np.empty(shape, np.float32))
