"""Calls of filters that are like earlier ones: quick, and of what they are given, not of what those were given."""

import sys
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from functools import partial

import numpy as np
import pytest

import fastconv
from checks import normal
from fastconv import caches, ndimage
from fastconv.filtering import known

X = np.asarray(normal((12, 16)) * 50)
BYTES = np.abs(X).astype(np.uint8)


def outcome(call):
    """The bits of a result, or what is wrong."""
    try:
        result = call()
    except Exception as error:
        return type(error), str(error)
    return result.dtype, result.shape, result.tobytes()


def check_like_new(calls):
    """Calls after each other, and again, give what each gives where nothing is known."""
    alone = []
    for call in calls:
        fastconv.clear_cache()
        alone.append(outcome(call))
    fastconv.clear_cache()
    for _ in range(3):
        assert [outcome(call) for call in calls] == alone
    return alone


class Three(IntEnum):
    THREE = 3


ALIKE = {
    "size": (
        partial(ndimage.median_filter, BYTES),
        [
            *(
                3,
                3.0,
                np.int64(3),
                Three.THREE,
                [3, 3],
                [3, 3.0],
                [3, True],
                [3, 1],
                (3, 1),
                1,
                True,
                1.0,
                [[3, 3]],
            ),
            np.array([3, 3]),
        ],
    ),
    "size of a box": (partial(ndimage.uniform_filter, BYTES), [3, 3.0, [3, 3], "3", 3j, True, 2, 2.5]),
    "size along an axis": (partial(ndimage.uniform_filter1d, X), [3, 3.0, True, 1, np.uint8(3)]),
    "origin": (
        lambda origin: ndimage.uniform_filter(X, 3, origin=origin),
        [0, 0.0, False, 1, True, -1, [0, 1], (1, 0)],
    ),
    "axis": (partial(ndimage.sobel, X), [0, 0.0, False, 1, True, -1, -2]),
    "axes": (lambda axes: ndimage.laplace(X, axes=axes), [None, 0, 0.0, (0,), (1,), 1, True, (0, 1), (0, 0)]),
    "mode": (
        lambda mode: ndimage.gaussian_filter(X, 2, mode=mode),
        ["wrap", "reflect", ["wrap", "reflect"], ("reflect", "wrap"), "grid-wrap", "no", None],
    ),
    "cval": (
        lambda cval: ndimage.correlate1d(X, [1, 2, 1], mode="constant", cval=cval),
        [1, 1.0, True, np.float32(1), 1 + 0j, 0, 0.1, np.float32(0.1), float("nan"), np.nan, "1", None],
    ),
    "sign of zero": (
        lambda cval: ndimage.maximum_filter1d(-np.ones(5), 3, mode="constant", cval=cval),
        [0.0, -0.0, 0, np.float64(-0.0), np.float32(0.0), False, -0.0, 0.0],
    ),
    "saturate": (
        lambda saturate: ndimage.prewitt(BYTES, saturate=saturate),
        [False, True, 1, 0, np.True_, np.False_, "x"],
    ),
    "nan_policy": (
        lambda policy: ndimage.uniform_filter(np.where(X > 60, np.nan, X), 3, nan_policy=policy),
        ["propagate", "omit", "interpolate", "no"],
    ),
    "separable": (
        lambda wanted: ndimage.convolve(X, np.ones((5, 5)) / 7, separable=wanted),
        ["auto", True, 1, False, 0],
    ),
    "sigma": (
        partial(ndimage.gaussian_filter, X),
        [1, 1.0, True, 1.1, np.float32(1.1), [1, 2], (2, 1), -0.0, 0.0],
    ),
    "radius": (
        lambda radius: ndimage.gaussian_laplace(X, 1.5, radius=radius),
        [None, 2, 2.0, True, 1, [1, 2], (2, 1)],
    ),
    "weights": (
        partial(ndimage.convolve1d, BYTES),
        [
            *([1, 2], [1.0, 2.5], np.array([1.0, 2.5]), np.array([1, 2], "u1"), np.array([1, 2], ">f4")),
            *(np.array([1, 2], "f4"), np.array([1, 2], "f4").view("i4"), [[1, 2]], [1j, 2], [True, True], 3),
        ],
    ),
    "rank": (lambda rank: ndimage.rank_filter(BYTES, rank, 3), [4, 4.0, -5, 0, 8, -1, 9, True, 1]),
    "percentile": (
        lambda part: ndimage.percentile_filter(BYTES, part, 3),
        [50, 50.0, 0, 100, -50, np.float32(50), True, 1, 101],
    ),
    "footprint": (
        lambda footprint: ndimage.minimum_filter(X, footprint=footprint),
        [
            *(np.eye(3), np.eye(3, dtype=bool), np.eye(3).tolist(), np.tri(3), np.asfortranarray(np.tri(3))),
            *(np.tri(3).T, np.zeros((3, 3))),
        ],
    ),
    "output": (
        lambda output: ndimage.gaussian_filter(X, 1, output=output),
        [None, np.float32, "f4", np.float64, np.uint8, np.dtype("i4"), "no", bool],
    ),
    "x": (
        lambda x: ndimage.uniform_filter(x, 3),
        [
            *(X, X.astype(np.float32), BYTES, BYTES > 9, X.astype(np.int8), X.astype(">f8"), X.T, X[::-1]),
            *(np.asfortranarray(X), X[:, ::-1], X[::2], X[:, 1:9], X[:9], X.reshape(4, 6, 8), X.ravel()),
            *(X + 0j, X.tolist(), X[:0], X[0, 0]),
        ],
    ),
}
LAYOUTS = [lambda a: a[:12, :16], lambda a: a[::2, :16], lambda a: a[:12, :32:2], lambda a: a[11::-1, :16]]


@pytest.mark.parametrize("name", ALIKE)
def test_arguments_that_are_almost_the_same(backend, name):
    function, values = ALIKE[name]
    results = check_like_new([lambda value=value: function(value) for value in values])
    assert len(set(results)) > 1


def test_integers_of_all_kinds_are_sizes(backend):
    expected = ndimage.median_filter(BYTES, 3)
    for size in (Three.THREE, np.uint8(3), np.array(3), (Three.THREE, np.int64(3))):
        for _ in range(2):
            np.testing.assert_array_equal(ndimage.median_filter(BYTES, size), expected)
    np.testing.assert_array_equal(
        ndimage.grey_opening(BYTES, np.uint8(3), origin=1), ndimage.grey_opening(BYTES, 3, origin=1)
    )


def test_a_result_has_the_layout_of_its_own_array(backend):
    def into(out):
        ndimage.uniform_filter(BYTES, 3, output=out)
        return out

    def room(dtype):
        return np.zeros((24, 40), dtype)

    calls = [
        lambda layout=layout, dtype=dtype: into(layout(room(dtype)))
        for layout in LAYOUTS
        for dtype in (np.uint8, np.int8, np.float32, np.bool_)
    ]
    check_like_new(calls)


def test_a_result_that_lies_where_the_array_does(backend):
    def shifted(rows):
        memory = np.zeros((14, 16), np.uint8)
        memory[:12] = BYTES
        return ndimage.maximum_filter(memory[:12], 3, output=memory[rows : rows + 12])

    def apart():
        return ndimage.maximum_filter(BYTES, 3, output=np.zeros_like(BYTES))

    results = check_like_new([apart, *(lambda rows=rows: shifted(rows) for rows in (0, 1, 2)), apart])
    assert len(set(results)) == 1


def test_integers_that_no_sum_of_float64_holds():
    """Which kernel sums integers of 64 bits depends on how large they are."""
    small, large = np.arange(192).reshape(12, 16), np.arange(192).reshape(12, 16) << 54
    for function, argument in ((ndimage.uniform_filter, 3), (ndimage.convolve, np.eye(3))):
        calls = [partial(function, x, argument) for x in (small, large, small[::-1].copy(), -large)]
        assert len(set(check_like_new(calls))) == len(calls)


@pytest.mark.parametrize(
    ("function", "name", "first"),
    [
        (ndimage.correlate, "weights", np.tri(3)),
        (ndimage.correlate1d, "weights", np.array([0.5, 2.0])),
        (ndimage.minimum_filter, "footprint", np.tri(3)),
        (ndimage.gaussian_filter, "sigma", np.array([1.0, 2.0])),
    ],
)
def test_arguments_may_be_changed_afterwards(backend, function, name, first):
    """Both ways: an earlier filter keeps what it was made of, and another array of the same numbers is the same."""
    fastconv.clear_cache()
    given = first.copy()
    before = function(X, **{name: given})
    given[...] = given[::-1].copy()
    changed = function(X, **{name: given})
    others = function(X[1:], **{name: first})
    fastconv.clear_cache()
    np.testing.assert_array_equal(before, function(X, **{name: first}))
    np.testing.assert_array_equal(others, function(X[1:], **{name: first}))
    np.testing.assert_array_equal(changed, function(X, **{name: given}))
    assert not np.array_equal(before, changed)


def test_lists_may_be_changed_afterwards(backend):
    sizes, modes = [3, 5], ["reflect", "wrap"]
    before = ndimage.uniform_filter(X, sizes, mode=modes)
    sizes.reverse(), modes.reverse()
    changed = ndimage.uniform_filter(X, sizes, mode=modes)
    fastconv.clear_cache()
    np.testing.assert_array_equal(changed, ndimage.uniform_filter(X, [5, 3], mode=["wrap", "reflect"]))
    np.testing.assert_array_equal(before, ndimage.uniform_filter(X, [3, 5], mode=["reflect", "wrap"]))


def test_arguments_that_can_be_read_once(backend):
    for _ in range(2):
        result = ndimage.uniform_filter(X, iter([3, 5]), mode=iter(["wrap", "reflect"]))
        np.testing.assert_array_equal(result, ndimage.uniform_filter(X, (3, 5), mode=("wrap", "reflect")))


class Watched:
    """The compiled module, and with how many threads its kernels are called."""

    def __init__(self, engine):
        self.engine, self.threads = engine, []

    def __getattr__(self, name):
        def call(*args):
            self.threads.append(args[-1])
            return getattr(self.engine, name)(*args)

        return call


@pytest.fixture
def kernels(monkeypatch):
    filters = fastconv.backends.load("cython").filters
    watched = Watched(filters._engine)
    monkeypatch.setattr(filters, "_engine", watched)
    return watched.threads


CALLS = {
    "means": lambda: ndimage.uniform_filter(BYTES, 3),
    "sums": lambda: ndimage.sobel(X),
    "extrema": lambda: ndimage.maximum_filter(X, 3),
    "network": lambda: ndimage.median_filter(X, 3),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_settings_are_those_of_the_call(call, kernels):
    with fastconv.num_threads(1):
        call(), call()
    with fastconv.num_threads(2):
        call()
    assert kernels == [1, 1, 2]
    with fastconv.use_backend("numpy"):
        expected = call()
    assert len(kernels) == 3
    np.testing.assert_allclose(call(), expected, rtol=1e-12)
    assert len(kernels) == 4


def python_calls(call):
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


KERNEL, BOX, TURNED = np.tri(3), np.ones((5, 5)), np.array([1.0, 2.0])
ONE_KERNEL = {
    **CALLS,
    "along an axis": lambda: ndimage.uniform_filter1d(X, 3),
    "prewitt": lambda: ndimage.prewitt(BYTES),
    "gaussian": lambda: ndimage.gaussian_filter(X, 1.5),
    "gaussian along an axis": lambda: ndimage.gaussian_filter1d(X, 1.5),
    "kernel": lambda: ndimage.convolve(X, KERNEL),
    "lines": lambda: ndimage.correlate(X, BOX),
    "line": lambda: ndimage.correlate1d(X, [1, 2, 1]),
    "turned": lambda: ndimage.convolve1d(BYTES, TURNED, output=np.float32),
    "smallest along an axis": lambda: ndimage.minimum_filter1d(BYTES, 3),
    "footprint": lambda: ndimage.minimum_filter(X, footprint=KERNEL),
    "rank": lambda: ndimage.rank_filter(BYTES, 0, (3, 5), axes=(0, 1), mode="constant", cval=1.0),
    "percentile": lambda: ndimage.percentile_filter(BYTES, 30.0, 5, origin=[1, -1]),
    "erosion": lambda: ndimage.grey_erosion(BYTES, (3, 3)),
    "booleans": lambda: ndimage.uniform_filter1d(BYTES > 9, 3),
    "output": lambda: ndimage.uniform_filter(BYTES, 3, output=np.empty(BYTES.shape, np.uint8)),
}


@pytest.mark.parametrize("call", ONE_KERNEL.values(), ids=ONE_KERNEL)
def test_a_call_like_another_takes_few_steps(call, kernels):
    """Python calls, which a small picture has to wait for: it took 100 to 300 of them to read arguments."""
    call()
    count = len(kernels)
    assert python_calls(call) <= 60
    assert len(kernels) == count + 1


def test_what_is_known_is_bounded_and_forgotten(backend):
    fastconv.clear_cache()
    own = [cache for cache in caches.CACHES if cache.name.startswith(known.__name__)]
    assert len(own) == 2
    ndimage.uniform_filter(X, 3)
    assert own[0].held()
    for i in range(700):
        ndimage.correlate(X[:3], np.full((3, 3), i + 0.5))
        ndimage.maximum_filter1d(np.ones(i % 300), 3, mode="constant", cval=i / 7)
    for i in range(12):
        ndimage.gaussian_filter1d(np.ones(3), 10_000.0 + i)
    for cache in own:
        assert cache.held() <= 1 << 22
    fastconv.clear_cache()
    assert not any(cache.held() for cache in own)


def test_threads_that_call_alike(backend):
    sizes = [3, 5, 7, (3, 5), 2, 4] * 8
    expected = [ndimage.uniform_filter(X, size, mode="wrap").tobytes() for size in sizes]
    fastconv.clear_cache()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda size: ndimage.uniform_filter(X, size, mode="wrap").tobytes(), sizes))
    assert found == expected
