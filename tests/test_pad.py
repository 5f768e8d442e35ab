"""pad2d: every mode, form and dtype against the reference and numpy.pad."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
import reference
from checks import from_layout, normal, to_layout
from fastconv.problem import padding as borders
from strategies import layouts, paddings

MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
    "symmetric": "symmetric",
    "constant": "constant",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sides", [(0, 0), (3, 2), (1, 40), (40, 1)])
def test_only_the_pixels_beyond_an_axis_are_looked_up(mode, sides, monkeypatch):
    """Signals are long, and a remainder for each of their pixels takes as long as a filter."""
    looked_up = []
    copied = borders._copied
    monkeypatch.setattr(borders, "_copied", lambda i, *how: looked_up.append(len(i)) or copied(i, *how))
    actual = borders.sources(borders.Border(17, *sides), mode)
    options = {"constant_values": -1} if MODES[mode] == "constant" else {}
    np.testing.assert_array_equal(actual, np.pad(np.arange(17), sides, MODES[mode], **options))
    assert sum(looked_up) == sum(sides)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [0, 2, (1, 3), ((2, 0), (1, 3)), ((9, 31), (14, 0))], ids=str)
def test_modes(backend, layout, dtype, mode, padding):
    x = normal((2, 17, 4, 5), dtype=dtype)
    actual = from_layout(fastconv.pad2d(to_layout(x, layout), padding, mode, layout=layout), layout)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual, reference.pad2d(x, padding, mode))
    np.testing.assert_array_equal(
        actual, np.pad(x, ((0, 0), (0, 0), *reference.pads(padding, (4, 5), 1)), MODES[mode])
    )
    unbatched = fastconv.pad2d(to_layout(x[1], layout), padding, mode, layout=layout)
    np.testing.assert_array_equal(from_layout(unbatched, layout), actual[1])


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (2, 5)], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_sides_longer_than_the_image_as_numpy(backend, layout, mode, size):
    """The pattern goes on, however often; of a single pixel there is only that."""
    x = np.arange(1, 1 + 2 * np.prod(size)).reshape(1, 2, *size)
    for sides in [((0, 17), (11, 0)), ((13, 4), (5, 23))]:
        actual = fastconv.pad2d(to_layout(x, layout), sides, mode, layout=layout)
        expected = np.pad(x, ((0, 0), (0, 0), *sides), MODES[mode])
        np.testing.assert_array_equal(from_layout(actual, layout), expected)


@given(st.data(), st.sampled_from(list(MODES)), paddings(20), layouts)
def test_random(backend, data, mode, padding, layout):
    shape = data.draw(st.tuples(st.integers(0, 2), *[st.integers(1, n) for n in (5, 9, 9)]))
    x = np.random.default_rng(0).integers(0, 1 << 62, shape)
    actual = fastconv.pad2d(to_layout(x, layout), padding, mode, layout=layout)
    np.testing.assert_array_equal(from_layout(actual, layout), reference.pad2d(x, padding, mode))


@pytest.mark.parametrize("value", [0.0, -2.5, np.inf, np.nan])
def test_value(backend, layout, dtype, value):
    x = normal((1, 3, 2, 3), dtype=dtype)
    actual = fastconv.pad2d(to_layout(x, layout), ((0, 1), (2, 0)), value=value, layout=layout)
    np.testing.assert_array_equal(
        from_layout(actual, layout), reference.pad2d(x, ((0, 1), (2, 0)), value=value)
    )


@pytest.mark.parametrize(
    "kind", ["bool", "int8", "uint8", "int64", "uint64", "float16", "bfloat16", "float32"]
)
def test_a_value_that_the_dtype_cannot_hold(backend, kind):
    dtype = np.dtype(ml_dtypes.bfloat16 if kind == "bfloat16" else kind)
    x = np.ones((1, 2, 2), dtype)
    whole = dtype.kind in "biu"
    values = [2.5, np.nan, -(2**63) - 1, 2**64, 1e30] if whole else [1e40]
    if kind == "float16":
        values.append(1e6)
    for value in values:
        with pytest.raises(ValueError, match=r"^pad2d: value is .* cannot hold"):
            fastconv.pad2d(x, 1, value=value)


@pytest.mark.parametrize("value", [2**62 + 1, np.int64(-(2**62) - 1), np.array(7)])
def test_an_integer_is_not_rounded(backend, value):
    padded = fastconv.pad2d(np.zeros((1, 1, 1), np.int64), 1, value=value)
    assert padded[0, 0, 0] == int(value)


@pytest.mark.parametrize(
    "kind", ["bool", "int8", "uint16", "int64", "uint64", "float16", "bfloat16", ">f4", ">i2"]
)
def test_keeps_every_dtype(backend, layout, kind):
    dtype = np.dtype(ml_dtypes.bfloat16 if kind == "bfloat16" else kind)
    x = (np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5) % 7).astype(dtype)
    actual = fastconv.pad2d(to_layout(x, layout), 2, value=1, layout=layout)
    assert actual.dtype == dtype.newbyteorder("=")
    np.testing.assert_array_equal(from_layout(actual, layout), reference.pad2d(x, 2, value=1))
    assert fastconv.pad2d(x, 2, "reflect").dtype == dtype.newbyteorder("=")


def test_without_padding_is_a_copy(backend):
    x = normal((1, 1, 3, 3))
    assert not np.shares_memory(fastconv.pad2d(x, 0), x)
