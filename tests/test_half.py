"""float16 arrays: our conversions to float32 and back give NumPy's bits, in all operations that use them."""

import warnings

import numpy as np
import pytest

import fastconv
from calls import CALLS
from checks import normal
from conftest import COMPILED
from fastconv import grad
from fastconv.execution.arrays import Result, native

ALL = np.arange(2**16, dtype=np.uint16).view(np.float16)
on_every_instruction_set = pytest.mark.parametrize("backend", COMPILED, indirect=True)


def rounded(floats, out=None):
    result = Result("test", floats.shape, np.dtype(np.float16), out)
    result.buffer[...] = floats
    return result.value()


def by_numpy(floats):
    with np.errstate(over="ignore"):
        return floats.astype(np.float16)


def assert_same_bits(actual, expected):
    """But of what is not a number, which has its sign only."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    unsigned = f"u{expected.itemsize}"
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(actual), nan)
    np.testing.assert_array_equal(np.signbit(actual), np.signbit(expected))
    np.testing.assert_array_equal(actual[~nan].view(unsigned), expected[~nan].view(unsigned))


def neighbours(floats):
    """And the floats before and after each."""
    return np.concatenate([np.nextafter(floats, np.float32(side)) for side in (-np.inf, np.inf)] + [floats])


def hard_floats():
    """All halves, what lies halfway between two, the floats beside both; limits; floats of random bits."""
    finite = np.sort(ALL[np.isfinite(ALL)].astype(np.float32))
    info = np.finfo(np.float32)
    limits = [0, info.max, info.tiny, info.smallest_subnormal, 65504, 65520, 65536, 2**-14, 2**-24, 2**-25]
    limits = np.array([*limits, np.inf], np.float32)
    bits = np.random.default_rng(1).integers(0, 2**32, 50_000, np.uint32)
    with np.errstate(over="ignore", under="ignore"):
        beside = neighbours(np.concatenate([finite, (finite[1:] + finite[:-1]) / 2, limits, -limits]))
    return np.concatenate([beside, bits.view(np.float32), np.float32([np.nan, -np.nan])])


@on_every_instruction_set
@pytest.mark.parametrize("threads", [1, 2])
def test_every_half_becomes_numpys_float_and_comes_back(backend, threads):
    with fastconv.num_threads(threads):
        floats = native(ALL, np.float32)
        assert_same_bits(floats, ALL.astype(np.float32))
        assert_same_bits(rounded(floats), ALL)


@on_every_instruction_set
@pytest.mark.parametrize("threads", [1, 2])
def test_floats_are_rounded_as_numpy_does(backend, threads):
    floats = hard_floats()
    with fastconv.num_threads(threads), np.errstate(over="ignore"):
        assert_same_bits(rounded(floats), by_numpy(floats))


@on_every_instruction_set
def test_all_lengths(backend):
    """The last elements are as the others, and nothing is written behind them."""
    floats = np.random.default_rng(2).permutation(hard_floats())
    for n in (*range(70), 8191, 8192, 8193, 16387):
        behind = np.full(n + 20, 7, np.float16)
        with np.errstate(over="ignore"):
            assert rounded(floats[:n], behind[:n]).base is behind
        assert_same_bits(behind[:n], by_numpy(floats[:n]))
        assert (behind[n:] == 7).all()
        assert_same_bits(native(behind[:n], np.float32), behind[:n].astype(np.float32))


@on_every_instruction_set
def test_shapes_and_strides(backend):
    for array in (
        np.float16(0.1)[...],
        np.zeros((2, 0, 3), np.float16),
        normal((6, 7, 8)).astype(np.float16)[::2, ::-1, 1:],
        np.asfortranarray(normal((6, 7)).astype(np.float16)),
        normal((6, 7)).astype(">f2"),
        np.broadcast_to(np.float16(0.1), (5, 6)),
        np.frombuffer(b"." + normal((9,)).astype(np.float16).tobytes(), np.float16, offset=1),
    ):
        floats = native(array, np.float32)
        assert floats.flags.c_contiguous
        assert floats.flags.aligned
        assert floats.flags.owndata
        assert_same_bits(floats, np.asarray(array, np.float32))
        outs = [np.empty_like(array, array.dtype.newbyteorder(order)) for order in "=S"]
        outs.append(np.empty((*array.shape, 2), np.float16)[..., 1])
        for out in outs:
            assert rounded(floats, out) is out
            np.testing.assert_array_equal(out, array)


def test_an_overflow_is_told_as_numpy_tells_it(backend):
    """Once per call, in whatever part; infinity and what is not a number are none."""
    x = np.zeros((1, 1, 300, 300), np.float16)
    weight = np.full((1, 1, 1, 1), 2, np.float16)
    x[0, 0, :2, 0] = np.inf, np.nan
    for place in (None, (0, 0, 3, 5), (0, 0, 150, 150), (0, 0, 299, 299)):
        if place is not None:
            x[place] = 65504
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            out = fastconv.conv2d(x, weight, precision="strict")
        told = [str(w.message) for w in caught if "overflow" in str(w.message)]
        assert told == ["overflow encountered in cast"] * (place is not None)
        if place is not None:
            assert out[place] == np.inf
    with np.errstate(over="ignore"):
        fastconv.conv2d(x, weight, precision="strict")
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        fastconv.conv2d(x, weight, precision="strict")


@pytest.mark.parametrize("name", CALLS)
def test_operations_give_what_they_gave_with_numpys_conversions(backend, name, monkeypatch):
    call = CALLS[name]
    arrays = [array.astype(np.float16) for array in call.arrays(np.float32)]
    actual = call.function(*arrays)
    outs = [np.empty_like(actual), np.empty((*actual.shape, 2), np.float16)[..., 1]]
    for out in outs if call.takes_out else []:
        call.function(*arrays, out=out)
        assert_same_bits(out, actual)
    monkeypatch.setattr("fastconv.execution.half.extension", lambda: None)
    assert_same_bits(actual, call.function(*arrays))


def test_gradients_give_what_they_gave_with_numpys_conversions(backend, monkeypatch):
    x, weight = normal((2, 3, 9, 8)).astype(np.float16), normal((4, 3, 3, 3)).astype(np.float16)
    g = normal((2, 4, 7, 6)).astype(np.float16)
    actual = grad.conv2d(x, weight, g)
    monkeypatch.setattr("fastconv.execution.half.extension", lambda: None)
    for ours, numpys in zip(actual, grad.conv2d(x, weight, g), strict=True):
        assert_same_bits(ours, numpys)
