"""Gradients of padding, unfold, normalisation, activations and deformable convolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
import reference
import reference_grad
import strategies
from checks import assert_close, eps, from_layout, guarded, normal, to_layout
from fastconv import grad
from grad_checks import check_directions
from test_deform import CASES, SHIFTS, deformable, problem
from test_pad import MODES
from test_unfold import CASES as WINDOWS

# ---------------------------------------------------------------------------------------------- padding


def check_pad(shape, padding, mode, layout, dtype):
    (top, bottom), (left, right) = reference.pads(padding, shape[2:], 1)
    slope = normal((*shape[:2], shape[2] + top + bottom, shape[3] + left + right))
    expected, bound = (reference_grad.pad2d(s, padding, mode) for s in (slope, abs(slope)))
    given_slope = guarded(to_layout(slope, layout).astype(dtype))
    actual = from_layout(grad.pad2d(given_slope, padding, mode, layout=layout), layout)
    assert_close(actual, expected, 32 * eps(dtype) * bound, dtype)
    if len(slope):
        single = grad.pad2d(given_slope[0], padding, mode, layout=layout)
        np.testing.assert_array_equal(from_layout(single, layout), actual[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "padding", [0, 2, (1, 3), ((2, 0), (1, 3)), ((0, 0), (0, 1)), ((9, 14), (17, 0))], ids=str
)
def test_pad(backend, layout, dtype, mode, padding):
    check_pad((2, 17, 4, 5), padding, mode, layout, dtype)
    check_pad((1, 3, 33, 40), padding, mode, layout, dtype)


@given(st.data(), st.sampled_from(list(MODES)), strategies.paddings(6), strategies.layouts, strategies.dtypes)
def test_pad_random(backend, data, mode, padding, layout, dtype):
    shape = data.draw(st.tuples(st.integers(0, 2), *[st.integers(1, n) for n in (5, 9, 9)]))
    check_pad(shape, padding, mode, layout, np.dtype(dtype))


@pytest.mark.parametrize("mode", MODES)
def test_nan_in_the_padding(backend, layout, mode):
    """It reaches the pixel that was copied there, and nothing where there is none."""
    slope = np.ones((1, 2, 7, 8))
    slope[0, 0, 0, 0] = np.nan
    expected = reference_grad.pad2d(slope, 2, mode)
    assert np.isnan(expected).sum() == (mode not in ("zeros", "constant"))
    actual = grad.pad2d(to_layout(slope, layout), 2, mode, layout=layout)
    assert_close(from_layout(actual, layout), expected, 0, np.float64)


# --------------------------------------------------------------------------------------- unfold and fold


@pytest.mark.parametrize("name", WINDOWS)
def test_unfold(backend, dtype, name):
    shape, options = WINDOWS[name]
    slope = normal(reference.unfold(np.zeros(shape), **options).shape, seed=1)
    expected, bound = (reference_grad.unfold(s, shape, **options) for s in (slope, abs(slope)))
    actual = grad.unfold(guarded(slope.astype(dtype)), shape, **options)
    assert_close(actual, expected, 4 * eps(dtype) * bound, dtype)
    if shape[0]:
        np.testing.assert_array_equal(grad.unfold(slope[0].astype(dtype), shape[1:], **options), actual[0])


@pytest.mark.parametrize("name", WINDOWS)
def test_fold(backend, dtype, name):
    """Column elements that fell on padding get 0."""
    shape, options = WINDOWS[name]
    slope = normal(shape, seed=1, dtype=dtype)
    columns = normal(reference.unfold(np.zeros(shape), **options).shape)
    actual = grad.fold(guarded(slope), shape[2:], **options)
    assert_close(actual, reference.unfold(slope, **options), 0, dtype)
    if shape[0]:
        np.testing.assert_array_equal(grad.fold(slope[0], shape[2:], **options), actual[0])
        exact = grad.fold(slope.astype(np.float64), shape[2:], **options)
        check_directions(lambda c: fastconv.fold(c, shape[2:], **options), [columns], [exact], slope)


# --------------------------------------------------------------------------------------------- norm


def check_norm(shape, layout, dtype, *arguments):
    x, slope = normal(shape), normal(shape, seed=1)
    expected = reference_grad.local_response_norm(slope, x, *arguments)
    arrays = (guarded(to_layout(a, layout).astype(dtype)) for a in (slope, x))
    actual = grad.local_response_norm(*arrays, *arguments, layout=layout)
    bound = 1 + np.abs(expected).max(initial=0)
    assert_close(from_layout(actual, layout), expected, 32 * eps(dtype) * bound, dtype)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 40])
@pytest.mark.parametrize("channels", [1, 2, 5, 17, 32])
def test_norm(backend, layout, dtype, size, channels):
    check_norm((2, channels, 3, 5), layout, dtype, size)
    check_norm((2, channels, 3, 5), layout, dtype, size, 0.5, 0.6, 2.0)


def test_norm_of_no_and_one_image(backend, layout, dtype):
    check_norm((0, 5, 3, 4), layout, dtype, 3)
    x, slope = normal((6, 4, 5), dtype=dtype), normal((6, 4, 5), seed=1, dtype=dtype)
    single = grad.local_response_norm(slope, x, 3, 0.1, layout=layout)
    batch = grad.local_response_norm(slope[None], x[None], 3, 0.1, layout=layout)
    np.testing.assert_array_equal(single, batch[0])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_norm_central_differences(backend, layout, size):
    x, slope = to_layout(normal((2, 5, 3, 4)), layout), to_layout(normal((2, 5, 3, 4), seed=1), layout)
    arguments = size, 0.5, 0.6, 1.5
    actual = grad.local_response_norm(slope, x, *arguments, layout=layout)
    check_directions(
        lambda x: fastconv.local_response_norm(x, *arguments, layout=layout), [x], [actual], slope
    )


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_norm_torch(backend, size, channels):
    torch = pytest.importorskip("torch")
    x, slope = normal((2, channels, 3, 4)), normal((2, channels, 3, 4), seed=1)
    t = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.local_response_norm(t, size, 0.3, 0.6, 1.5)
    expected = torch.autograd.grad(y, t, torch.from_numpy(slope))[0]
    actual = grad.local_response_norm(slope, x, size, 0.3, 0.6, 1.5)
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-11, atol=1e-11)


# ------------------------------------------------------------------------------------------ activations

ACTIVATIONS = [*(name for name in reference_grad.SLOPES if name != "clip"), ("leaky_relu", 0.3),
               ("leaky_relu", -0.5), ("leaky_relu", 0.0), ("clip", -1.5, 2.0), ("clip", 0.0, 0.0)]  # fmt: skip
BY_OUTPUT = ["relu", "relu6", "leaky_relu", ("leaky_relu", 0.3), ("clip", -1.5, 2.0), "sigmoid", "tanh"]
KINKS = [-6.0, -3.0, -1.5, -0.0, 0.0, 2.0, 3.0, 6.0]


@pytest.mark.parametrize("name", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("size", [1, 7, 64, 1001])
def test_activation(backend, dtype, name, size):
    """The slopes at a kink, too."""
    x = (4 * normal((size,))).astype(dtype)
    x[: len(KINKS)] = KINKS[:size]
    slope = normal((size,), seed=1, dtype=dtype)
    exact = x.astype(np.float64)
    expected = reference_grad.activation(slope.astype(np.float64), exact, name)
    tolerance = 16 * eps(dtype) * (1 + abs(exact)) * np.abs(slope)
    actual = grad.activation(guarded(slope), None, name, preactivation=guarded(x))
    assert_close(actual, expected, tolerance, dtype)
    if name in BY_OUTPUT:
        output = reference.activate(exact, name).astype(dtype)
        assert_close(grad.activation(slope, guarded(output), name), expected, tolerance, dtype)


def test_activation_of_any_shape(backend):
    for shape in [(), (0,), (3, 0, 2), (2, 3, 4, 5, 6)]:
        slope, x = normal(shape, seed=1), normal(shape)
        actual = grad.activation(slope, None, "silu", preactivation=x)
        assert actual.shape == shape
        np.testing.assert_allclose(actual, reference_grad.activation(slope, x, "silu"), rtol=1e-13)


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu"])
def test_a_slope_of_zero_stops_infinity(backend, dtype, name):
    """What the activation cut off stays cut off, whatever comes back."""
    x = np.array([-1.0, -2.0, 1.0], dtype)
    slope = np.array([np.inf, 3.0, np.inf], dtype)
    actual = grad.activation(slope, np.maximum(x, 0) if name != "leaky_relu" else x, name)
    np.testing.assert_array_equal(actual[2], np.inf)
    assert actual[0] == (np.inf if name == "leaky_relu" else 0)


def test_activations_that_saturate(backend, dtype):
    """No overflow, no NaN far from 0."""
    x = np.array([-1e30, -100, 100, 1e30], dtype)
    for name, expected in (("sigmoid", [0, 0, 0, 0]), ("tanh", [0, 0, 0, 0]), ("silu", [0, 0, 1, 1]),
                           ("gelu", [0, 0, 1, 1]), ("hardswish", [0, 0, 1, 1])):  # fmt: skip
        actual = grad.activation(np.ones_like(x), None, name, preactivation=x)
        assert_close(actual, np.array(expected, np.float64), 4 * eps(dtype), dtype)


# --------------------------------------------------------------------------------- deformable convolution


def check_deform(arrays, mask, options, dtype):
    """Offsets as `dtype` rounds them, because a slope jumps where a place meets a pixel."""
    x, offset, weight, _ = arrays
    mask = {} if mask is None else {"mask": mask}
    slope = normal(reference.deform_conv2d(x, offset, weight, **options, **mask).shape, seed=8)
    expected = reference_grad.deform_conv2d(x, offset, weight, slope, **options, **mask)
    magnitudes = abs(x), offset, abs(weight), abs(slope)
    bounds = reference_grad.deform_conv2d(*magnitudes, **options, **mask)
    reach = 1 + max(abs(offset).max(initial=0), *x.shape[2:])  # the position itself is rounded
    arrays = [guarded(array.astype(dtype)) for array in (x, offset, weight, slope)]
    actual = grad.deform_conv2d(
        *arrays, **options, **{name: guarded(array.astype(dtype)) for name, array in mask.items()}
    )
    assert (actual[4] is None) == (not mask)
    # |slope of a share| <= 1, so that the offsets' bound is that of a sum without signs.
    scale = sum(np.abs(bound).max(initial=0) for bound in bounds if bound is not None)
    for ours, theirs in zip(actual, expected, strict=True):
        if theirs is not None:
            assert_close(ours, theirs, eps(dtype) * (16 + 4 * reach) * scale, dtype)


@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
@pytest.mark.parametrize("name", CASES)
def test_deform(backend, dtype, name, masked):
    arrays, mask, options = CASES[name]
    options = {key: value for key, value in options.items() if key != "groups"}
    check_deform(arrays, mask if masked else None, options, dtype)


@pytest.mark.parametrize(
    "shift",
    [(0, 0), (1, -2), (0.5, 0.25), (-1, 0), (0, -1), (6, 0), (5.5, 0), (-1.5, 0), (1e9, 0), (0, -1e30)],
)
def test_deform_with_constant_offsets(backend, dtype, shift):
    """On a pixel the slope is that to the right and below, at the border too."""
    arrays, mask, _ = problem((1, 2, 6, 6), (3, 2, 1, 1))
    arrays[1][:, 0], arrays[1][:, 1] = shift
    x, offset, weight, _ = arrays
    slope = normal((1, 3, 6, 6), seed=8)
    expected = reference_grad.deform_conv2d(x, offset, weight, slope, mask=mask)
    given_arrays = (array.astype(dtype) for array in (x, offset, weight, slope))
    actual = grad.deform_conv2d(*given_arrays, mask=mask.astype(dtype))
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs, 400 * eps(dtype), dtype)


@given(deformable(), strategies.dtypes, st.booleans())
def test_deform_random(backend, arguments, dtype, masked):
    arrays, mask, options = arguments
    options = {key: value for key, value in options.items() if key != "groups"}
    check_deform(arrays, mask if masked else None, options, np.dtype(dtype))


@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
@pytest.mark.parametrize("name", ["3x3", "strides, dilations", "both groups"])
def test_deform_central_differences(backend, name, masked):
    (x, offset, weight, bias), mask, options = CASES[name]
    options = {key: value for key, value in options.items() if key != "groups"}
    arrays = [x, offset, weight, bias, *([mask] if masked else [])]

    def forward(x, offset, weight, bias, mask=None):
        return fastconv.deform_conv2d(x, offset, weight, bias, mask=mask, **options)

    slope = normal(forward(*arrays).shape, seed=3)
    actual = grad.deform_conv2d(x, offset, weight, slope, mask=mask if masked else None, **options)
    check_directions(forward, arrays, actual, slope)


def test_deform_unbatched_and_empty(backend, dtype):
    (x, offset, weight, _), mask, options = CASES["3x3"]
    arrays = [array.astype(dtype) for array in (x, offset, weight, mask)]
    x, offset, weight, mask = arrays
    slope = normal((2, 4, 6, 7), dtype=dtype)
    single = grad.deform_conv2d(x[1], offset[1], weight, slope[1], mask=mask[1], **options)
    batch = grad.deform_conv2d(x[1:], offset[1:], weight, slope[1:], mask=mask[1:], **options)
    for position, (ours, theirs) in enumerate(zip(single, batch, strict=True)):
        np.testing.assert_array_equal(ours, theirs if position in (2, 3) else theirs[0])
    empty = grad.deform_conv2d(x[:0], offset[:0], weight, slope[:0], mask=mask[:0], **options)
    assert [part.size for part in empty] == [0, 0, weight.size, 4, 0]
    assert not empty[2].any()
    assert not empty[3].any()


def test_nan_offset_touches_only_its_own_tap(backend, dtype):
    (x, offset, weight, _), mask, options = CASES["3x3"]
    slope = normal((2, 4, 6, 7))
    broken = offset.copy()
    broken[0, 4, 2, 3] = np.nan
    arrays = [[a.astype(dtype) for a in (x, o, weight, slope)] for o in (offset, broken)]
    clean, actual = (grad.deform_conv2d(*a, mask=mask.astype(dtype), **options) for a in arrays)
    assert np.isfinite(actual[0]).all()
    other = np.ones(offset.shape, bool)
    other[0, 4:6, 2, 3] = False
    np.testing.assert_allclose(actual[1][other], clean[1][other], rtol=0, atol=400 * eps(dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("shift", SHIFTS)
def test_a_pixel_of_share_0_does_not_count(backend, dtype, value, shift):
    (x, offset, weight, _), mask, options = problem((1, 2, 5, 6), (3, 2, 2, 2))
    offset[0, ::2], offset[0, 1::2] = shift
    x[0, 1, 2, 3] = value
    weight, slope = np.abs(weight), np.abs(normal((1, 3, 4, 5), seed=8))
    arrays = x, offset, weight, slope
    with np.errstate(invalid="ignore"):  # infinity - infinity
        expected = reference_grad.deform_conv2d(*arrays, **options, mask=mask)
        actual = grad.deform_conv2d(
            *(array.astype(dtype) for array in arrays), **options, mask=mask.astype(dtype)
        )
    assert not np.isfinite(expected[1]).all()
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs, 1000 * eps(dtype), dtype)


# ---------------------------------------------------------------------------------------------- threads


def test_bits_do_not_depend_on_the_number_of_threads(backend, dtype):
    x, slope = normal((2, 24, 30, 31), dtype=dtype), normal((2, 24, 30, 31), seed=1, dtype=dtype)
    offset, weight = normal((2, 18, 30, 31), dtype=dtype), normal((24, 24, 3, 3), dtype=dtype)
    wide = normal((2, 24, 36, 37), dtype=dtype)

    def run():
        return [
            grad.local_response_norm(slope, x, 5),
            grad.activation(slope, None, "gelu", preactivation=x),
            grad.pad2d(wide, 3, "reflect"),
            grad.conv2d_bias(slope),
            *grad.deform_conv2d(x, offset, weight, slope, padding=1)[:4],
        ]

    with fastconv.num_threads(1):
        expected = run()
    for count in (2, 3, 4):
        with fastconv.num_threads(count):
            for ours, theirs in zip(run(), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("low", "high"), [(0.3, 1.0), (-1.0, 0.1)])
@pytest.mark.parametrize("half", [np.float16, np.float32])
def test_limits_of_a_clip_that_the_output_rounds(backend, low, high, half):
    x = np.array([[[[-2.0, 0.05, 0.5, 2.0]]]], half)
    y = fastconv.conv2d(x, np.ones((1, 1, 1, 1), half), activation=("clip", low, high))
    slope = grad.activation(np.ones(y.shape), y, ("clip", low, high))
    np.testing.assert_array_equal(slope, (low < x) & (x < high))


def test_deformable_gradient_of_nan_stays_in_its_window(backend):
    x, weight = np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3))
    offset, slope = np.zeros((1, 18, 5, 5)), np.ones((1, 1, 5, 5))
    slope[..., 4, 4] = np.nan
    grad_x = grad.deform_conv2d(x, offset, weight, slope, padding=1)[0]
    inside = np.zeros((5, 5), bool)
    inside[3:, 3:] = True
    np.testing.assert_array_equal(np.isnan(grad_x[0, 0]), inside)
