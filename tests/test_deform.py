"""deform_conv2d against the reference: offsets inside, across and far outside the image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
import reference
from checks import DIRECT, assert_close, eps, guarded, normal
from fastconv import grad
from strategies import dtypes, either, paddings, sizes


def problem(x, weight, offset_groups=1, *, scale=1.5, **options):
    """(x, offset, weight, bias), mask and options, for shapes and the width of the offsets."""
    kernel = weight[2:]
    output = reference.conv2d(np.zeros(x), np.zeros(weight), **options).shape[2:]
    offset = scale * normal((x[0], 2 * offset_groups * kernel[0] * kernel[1], *output))
    mask = np.abs(normal((x[0], offset_groups * kernel[0] * kernel[1], *output), seed=1))
    return (
        [normal(x), offset.astype(np.float32).astype(np.float64), normal(weight), normal(weight[:1])],
        mask,
        options,
    )


def check(arrays, mask, options, dtype):
    mask = {} if mask is None else {"mask": mask}
    expected = reference.deform_conv2d(*arrays, **options, **mask)
    x, offset, weight, bias = arrays
    bound = reference.deform_conv2d(abs(x), offset, abs(weight), abs(bias), **options, **mask).max(initial=0)
    reach = 1 + max(abs(offset).max(initial=0), *x.shape[2:])  # the position itself is rounded
    arrays = [guarded(array.astype(dtype)) for array in arrays]
    mask = {name: guarded(array.astype(dtype)) for name, array in mask.items()}
    actual = fastconv.deform_conv2d(*arrays, **options, **mask)
    assert_close(actual, expected, eps(dtype) * (DIRECT * bound + 4 * reach * bound), dtype)


CASES = {
    "3x3": problem((2, 3, 6, 7), (4, 3, 3, 3), padding=1),
    "one pixel": problem((1, 2, 1, 1), (3, 2, 1, 1)),
    "strides, dilations": problem(
        (1, 3, 9, 11), (4, 3, 2, 3), stride=(2, 3), padding=(1, 2), dilation=(3, 2)
    ),
    "offset groups": problem((1, 6, 5, 6), (4, 6, 3, 3), 3, padding=1),
    "weight groups": problem((1, 6, 5, 6), (4, 3, 3, 3), 1, padding=1, groups=2),
    "both groups": problem((2, 12, 5, 6), (9, 4, 3, 2), 2, padding=1, groups=3),
    "far offsets": problem((1, 3, 4, 5), (17, 3, 3, 3), padding=1, scale=6),
    "asymmetric": problem((1, 3, 5, 6), (4, 3, 3, 3), padding=((2, 0), (1, 3))),
    "empty batch": problem((0, 3, 5, 6), (4, 3, 3, 3)),
}


@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
@pytest.mark.parametrize("name", CASES)
def test_hand_picked(backend, dtype, name, masked):
    arrays, mask, options = CASES[name]
    options = {key: value for key, value in options.items() if key != "groups"}
    check(arrays, mask if masked else None, options, dtype)


@pytest.mark.parametrize(
    "shift", [(0, 0), (1, -2), (0.5, 0.25), (-1, 0), (6, 0), (5.5, 0), (-1.5, 0), (1e9, 0), (0, -1e30)]
)
def test_constant_offsets(backend, dtype, shift):
    """Whole positions, halves, and the border where -1 < y < H still sees a part of a pixel."""
    arrays, mask, _ = problem((1, 2, 6, 6), (3, 2, 1, 1))
    arrays[1][:, 0], arrays[1][:, 1] = shift
    expected = reference.deform_conv2d(*arrays, mask=mask)
    actual = fastconv.deform_conv2d(*(array.astype(dtype) for array in arrays), mask=mask.astype(dtype))
    assert_close(actual, expected, 100 * eps(dtype), dtype)


def test_zero_offsets_are_a_convolution(backend, dtype):
    x, weight = normal((2, 4, 7, 8), dtype=dtype), normal((6, 2, 3, 3), dtype=dtype)
    actual = fastconv.deform_conv2d(x, np.zeros((2, 18, 4, 4), dtype=dtype), weight, stride=2, padding=1)
    np.testing.assert_allclose(
        actual, reference.conv2d(x, weight, None, 2, 1, groups=2), atol=100 * eps(dtype)
    )


def test_nan_offset_is_nan_in_its_own_output_alone(backend, dtype):
    arrays, mask, options = problem((1, 3, 5, 5), (4, 3, 3, 3), padding=1)
    expected = reference.deform_conv2d(*arrays, **options, mask=mask)
    arrays[1][0, 4, 2, 3] = np.nan
    actual = fastconv.deform_conv2d(
        *(array.astype(dtype) for array in arrays), **options, mask=mask.astype(dtype)
    )
    keep = np.ones((5, 5), dtype=bool)
    keep[2, 3] = False
    np.testing.assert_allclose(actual[..., keep], expected[..., keep], atol=1e4 * eps(dtype))
    assert np.isnan(actual[..., 2, 3]).all()


def test_gradient_of_a_nan_offset(backend, dtype):
    (x, offset, weight, _), mask, options = problem((1, 3, 5, 5), (4, 3, 3, 3), padding=1)
    offset[0, 4, 2, 3] = np.nan  # down, of the third tap
    arrays = [array.astype(dtype) for array in (x, offset, weight, normal((1, 4, 5, 5)))]
    _, of_offset, of_weight, _, of_mask = grad.deform_conv2d(*arrays, **options, mask=mask.astype(dtype))
    assert sorted(map(tuple, np.argwhere(np.isnan(of_offset)))) == [(0, 4, 2, 3), (0, 5, 2, 3)]
    assert list(map(tuple, np.argwhere(np.isnan(of_mask)))) == [(0, 2, 2, 3)]
    assert np.isnan(of_weight[:, :, 0, 2]).all()


SHIFTS = [(0, 0), (1, -2), (0, 0.5), (0.25, 0), (0.5, 0.25), (-1, 0), (0, 2)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
def test_a_pixel_of_share_0_does_not_count(backend, dtype, value, shift, masked):
    """NaN and infinity reach what reads a part of their pixel, and nothing beside it."""
    (x, offset, weight, _), mask, options = problem((1, 2, 5, 6), (3, 2, 3, 3), padding=1)
    offset[0, ::2], offset[0, 1::2] = shift
    x[0, 1, 2, 3] = value
    weight = np.abs(weight)
    mask = {"mask": mask} if masked else {}
    expected = reference.deform_conv2d(x, offset, weight, **options, **mask)
    arrays = [array.astype(dtype) for array in (x, offset, weight)]
    mask = {name: array.astype(dtype) for name, array in mask.items()}
    actual = fastconv.deform_conv2d(*arrays, **options, **mask)
    assert not np.isfinite(expected).all()
    assert_close(actual, expected, 400 * eps(dtype), dtype)


@st.composite
def deformable(draw):
    groups, offset_groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    per_group, kernel = draw(st.integers(1, 3)) * offset_groups, draw(st.tuples(*[st.integers(1, 3)] * 2))
    options = {name: draw(either(st.integers(1, 3))) for name in ("stride", "dilation")} | {
        "padding": draw(paddings(2))
    }
    size = draw(sizes(kernel, options["stride"], options["dilation"], options["padding"]))
    weight = (groups * draw(st.integers(1, 4)), per_group, *kernel)
    scale = draw(st.sampled_from([0, 0.3, 2, 20]))
    return problem(
        (draw(st.integers(1, 2)), groups * per_group, *size),
        weight,
        offset_groups,
        scale=scale,
        groups=groups,
        **options,
    )


@given(deformable(), dtypes, st.booleans())
def test_random(backend, arguments, dtype, masked):
    arrays, mask, options = arguments
    options = {key: value for key, value in options.items() if key != "groups"}
    check(arrays, mask if masked else None, options, np.dtype(dtype))
