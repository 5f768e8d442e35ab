"""Softmax and normalisations that were asked for before, on plain arrays, go a short way: the results are the same, and
nothing else is taken for the same call."""

import numpy as np
import pytest

import fastconv
from fastconv.backends import cython

CALLS = {
    "softmax": lambda x, **named: fastconv.softmax(x, -1, **named),
    "softmax of channels": lambda x, **named: fastconv.softmax(x, 1, **named),
    "log_softmax": lambda x, **named: fastconv.log_softmax(x, -1, **named),
    "layer_norm": lambda x, **named: fastconv.layer_norm(x, x.shape[-1:], **vectors(x, -1), **named),
    "layer_norm of planes": lambda x, **named: fastconv.layer_norm(x, x.shape[-2:], **named),
    "group_norm": lambda x, **named: fastconv.group_norm(x, 2, **vectors(x, 1), **named),
    "instance_norm": lambda x, **named: fastconv.instance_norm(x, **named),
}


def image(dtype=np.float32):
    return np.random.default_rng(0).standard_normal((2, 6, 5, 7)).astype(dtype)


def vectors(x, axis):
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal(x.shape[axis]).astype(x.dtype) for name in ("weight", "bias")}


@pytest.fixture
def made(monkeypatch):
    """The shortcuts that are made."""
    fastconv.clear_cache()
    shortcuts, make = [], type(cython.BACKEND).rows_shortcut

    def note(*arguments):
        shortcuts.append(make(*arguments))
        return shortcuts[-1]

    monkeypatch.setattr(type(cython.BACKEND), "rows_shortcut", note)
    return shortcuts


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_call_that_is_known_gives_the_same(made, name, dtype):
    x, call = image(dtype), CALLS[name]
    expected = call(x)
    for result in (call(x), call(x, out=np.full_like(x, np.nan))):
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, expected)
    assert len(made) == 1
    np.testing.assert_array_equal(call(2 * x), call((2 * x)[::1].copy()))
    assert len(made) == 1


@pytest.mark.parametrize("name", CALLS)
def test_the_result_is_of_the_values_of_now(made, name):
    x, call = image(), CALLS[name]
    call(x)
    x[...] = image()[::-1]
    known = call(x)
    fastconv.clear_cache()
    np.testing.assert_array_equal(known, call(x))


def test_another_number_is_another_call(made):
    x = image()
    results = [fastconv.layer_norm(x, 7, eps=eps) for eps in (1e-5, 0.5, 1e-5, 0.5)]
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])
    assert not np.array_equal(results[0], results[1])
    assert np.array_equal(fastconv.group_norm(x, 6), fastconv.instance_norm(x))
    assert not np.array_equal(fastconv.group_norm(x, 3), fastconv.group_norm(x, 6))
    assert not np.array_equal(fastconv.softmax(x, -1), fastconv.log_softmax(x, -1))
    assert not np.array_equal(fastconv.softmax(x, -1), fastconv.softmax(x, 1))


@pytest.mark.parametrize("name", ["softmax", "layer_norm", "instance_norm"])
def test_a_known_call_refuses_what_it_must(made, name):
    x, call = image(), CALLS[name]
    call(x)
    with pytest.raises(ValueError, match=f"{name}: out overlaps"):
        call(x, out=x)
    with pytest.raises(ValueError, match=f"{name}: out has shape"):
        call(x, out=np.empty((2, 6, 5, 8), np.float32))
    read_only = np.empty_like(x)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match=f"{name}: out is read-only"):
        call(x, out=read_only)


def test_a_known_call_checks_weight_and_bias(made):
    x = image()
    ones = np.ones(7, np.float32)
    expected = fastconv.layer_norm(x, 7, ones, ones)
    for wrong in (np.ones(6, np.float32), np.ones((1, 7), np.float32)):
        with pytest.raises(ValueError, match="layer_norm: bias has shape"):
            fastconv.layer_norm(x, 7, ones, wrong)
    room = np.zeros(x.size + 7, np.float32)
    with pytest.raises(ValueError, match="layer_norm: out overlaps"):
        fastconv.layer_norm(x, 7, room[-8:-1], ones, out=room[: x.size].reshape(x.shape))
    np.testing.assert_array_equal(fastconv.layer_norm(x, 7, np.ones(7), ones), expected)
    np.testing.assert_allclose(fastconv.layer_norm(x, 7, ones, 2 * ones), expected + 1, atol=1e-5)


def test_arrays_of_many_axes_go_the_long_way(made):
    x = np.ones((1,) * 9 + (4,), np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(fastconv.softmax(x, -1), np.full_like(x, 0.25))
