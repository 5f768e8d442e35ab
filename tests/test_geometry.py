"""Sizes of `fastconv.geometry`: worked examples, their own definitions, and PyTorch if that is there."""

import doctest
import itertools
import random

import numpy as np
import pytest

from fastconv.geometry import (
    conv_memory,
    conv_output_size,
    conv_params,
    conv_transpose_output_size,
    costs,
    pool_output_size,
    receptive,
    same_padding,
    sizes,
)
from fastconv.problem.sizes import conv_size

ONE_AXIS = list(
    itertools.product(range(1, 12), range(1, 5), range(1, 5), range(1, 4))
)  # size, kernel, stride, dilation


def test_docstring_examples():
    results = [doctest.testmod(module) for module in (sizes, receptive, costs)]
    assert sum(result.attempted for result in results) >= 8
    assert not any(result.failed for result in results)


# Output sizes


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [
        (32, 5, 1, 2, 32),
        (28, 3, 1, 0, 26),
        (28, 3, 2, 0, 13),
        (28, 3, 3, 0, 9),
        (28, 3, 4, 0, 7),
        (224, 7, 2, 3, 112),
        (224, 11, 4, 2, 55),
        (1, 1, 5, 0, 1),
    ],
)
def test_convolution_examples(size, kernel, stride, padding, expected):
    assert conv_output_size(size, kernel, stride, padding) == expected
    assert conv_output_size((size, size), kernel, stride, padding) == (expected, expected)


def test_dqn():
    sizes = [84]
    for kernel, stride in ((8, 4), (4, 2), (3, 1)):
        sizes.append(conv_output_size(sizes[-1], kernel, stride))
    assert sizes == [84, 20, 9, 7]


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 1), (0, 2), (3, 1)])
def test_convolution_counts_the_windows_that_fit(before, after):
    for size, kernel, stride, dilation in ONE_AXIS:
        padded, span = size + before + after, dilation * (kernel - 1) + 1
        windows = sum(start + span <= padded for start in range(0, padded, stride))
        if windows:
            assert conv_output_size(size, kernel, stride, (before, after), dilation) == windows
        else:
            with pytest.raises(ValueError, match=r"^conv_output_size: .*at least 1"):
                conv_output_size(size, kernel, stride, (before, after), dilation)


def test_pairs_are_vertical_then_horizontal():
    assert conv_output_size((10, 20), (3, 5)) == (8, 16)
    assert conv_output_size((10, 20), 3, (1, 2)) == (8, 9)
    assert conv_output_size((10, 20), 3, 1, (1, 0)) == (10, 18)
    assert conv_output_size((10, 20), 3, 1, ((1, 2), (3, 5))) == (11, 26)
    assert conv_output_size((10, 20), 3, dilation=(2, 3)) == (6, 14)
    assert conv_output_size([10, 20], [3, 5], [1, 2], [[0, 1], [0, 0]]) == (9, 8)
    assert conv_transpose_output_size((4, 5), (3, 2), (2, 3), ((0, 1), (1, 1)), (1, 0), (1, 2)) == (9, 13)
    assert pool_output_size((10, 20), (2, 3), (1, 3), (1, 0)) == (11, 6)


def test_numpy_integers_are_ints():
    size = conv_output_size(np.int8(100), np.uint8(3), np.int64(1), np.int16(50))
    assert size == 198
    assert type(size) is int
    assert conv_params(np.int8(64), np.int8(64), np.int8(3), bias=np.bool_(False)) == 36864
    assert conv_memory((np.int8(1), 64, np.int8(8), 8), np.int8(64), 1, bias=False).output == 16384


def test_named_paddings():
    for size, kernel, stride, dilation in ONE_AXIS:
        reach = dilation * (kernel - 1)
        assert conv_output_size(size, kernel, stride, "same", dilation) == -(-size // stride)
        assert conv_output_size(size, kernel, 1, "full", dilation) == size + reach
        assert conv_transpose_output_size(size, kernel, stride, "same", 0, dilation) == size * stride
        assert (
            conv_transpose_output_size(size, kernel, stride, "valid", 0, dilation)
            == (size - 1) * stride + reach + 1
        )
        if size > reach:
            assert (
                conv_output_size(size, kernel, stride, "valid", dilation) == (size - reach - 1) // stride + 1
            )
            assert conv_transpose_output_size(size, kernel, 1, "full", 0, dilation) == size - reach
    assert conv_output_size((9, 7), (3, 5), padding="full", dilation=(2, 1)) == (13, 11)
    assert pool_output_size((9, 7), 2, padding="same") == (5, 4)


def test_transposed_convolution_inverts_the_size():
    assert conv_transpose_output_size(4, 3, 2) == (4 - 1) * 2 + 3 == 9
    assert conv_transpose_output_size(7, 4, 2, 1) == 14
    for size, kernel, stride, dilation in ONE_AXIS:
        for extra in range(stride):
            before = conv_transpose_output_size(size, kernel, stride, 0, extra, dilation)
            assert conv_output_size(before, kernel, stride, 0, dilation) == size


def test_ceil_mode():
    assert pool_output_size(5, 2) == 2
    assert pool_output_size(5, 2, ceil_mode=True) == 3
    assert pool_output_size(2, 3, 2, ceil_mode=True) == 1
    assert pool_output_size(4, 1, 3, ceil_mode=True) == 2
    assert pool_output_size(5, 3, 5, 1, ceil_mode=True) == 2  # the second window starts in the image
    assert pool_output_size(4, 3, 5, 1, ceil_mode=True) == 1  # here it would start in the padding behind it


def test_same_padding_is_minimal_and_odd_at_the_end():
    assert same_padding(224, 7, 2) == (2, 3)
    assert same_padding(5, 2) == (0, 1)
    assert same_padding((5, 6), (2, 3), (1, 2), (1, 3)) == ((0, 1), (2, 3))
    for size, kernel, stride, dilation in ONE_AXIS:
        before, after = same_padding(size, kernel, stride, dilation)
        out = -(-size // stride)
        assert 0 <= after - before <= 1
        assert conv_size(size, kernel, stride, before, after, dilation) == out
        if before + after:
            assert conv_size(size, kernel, stride, before, after - 1, dilation) < out


# PyTorch


def theirs(function, *arguments):
    """Give the spatial size of PyTorch's result, or None where it refuses or gives nothing."""
    try:
        size = tuple(function(*arguments).shape[2:])
    except RuntimeError:
        return None
    return size if min(size) > 0 else None


def ours(function, *arguments):
    try:
        return function(*arguments)
    except ValueError:
        return None


def random_pairs(rng, *ranges):
    return [(rng.randint(*bounds), rng.randint(*bounds)) for bounds in ranges]


def test_convolution_matches_pytorch():
    torch = pytest.importorskip("torch")
    rng = random.Random(1)
    refused = 0
    for _ in range(600):
        size, kernel, *options = random_pairs(rng, (1, 14), (1, 5), (1, 4), (0, 3), (1, 3))
        x, weight = torch.zeros(1, 1, *size), torch.zeros(1, 1, *kernel)
        expected = theirs(torch.nn.functional.conv2d, x, weight, None, *options)
        assert ours(conv_output_size, size, kernel, *options) == expected, (size, kernel, *options)
        refused += expected is None
    assert 0 < refused < 400


def test_transposed_convolution_matches_pytorch():
    torch = pytest.importorskip("torch")
    rng = random.Random(2)
    refused = 0
    for _ in range(600):
        size, kernel, *options, dilation = random_pairs(rng, (1, 9), (1, 5), (1, 4), (0, 3), (0, 2), (1, 3))
        x, weight = torch.zeros(1, 1, *size), torch.zeros(1, 1, *kernel)
        expected = theirs(torch.nn.functional.conv_transpose2d, x, weight, None, *options, 1, dilation)
        assert ours(conv_transpose_output_size, size, kernel, *options, dilation) == expected, (
            size, kernel, *options, dilation,
        )  # fmt: skip
        refused += expected is None
    assert 0 < refused < 400


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pooling_matches_pytorch(ceil_mode):
    torch = pytest.importorskip("torch")
    rng = random.Random(3)
    refused = 0
    for _ in range(600):
        size, kernel, stride, dilation = random_pairs(rng, (1, 14), (2, 5), (1, 6), (1, 3))
        padding = tuple(rng.randint(0, k // 2) for k in kernel)
        options = (kernel, rng.choice([stride, None]), padding, dilation, ceil_mode)
        expected = theirs(torch.nn.functional.max_pool2d, torch.zeros(1, 1, *size), *options)
        assert ours(pool_output_size, size, *options) == expected, (size, options)
        refused += expected is None
    assert 0 < refused < 400


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_average_pooling_matches_pytorch(ceil_mode):
    torch = pytest.importorskip("torch")
    rng = random.Random(4)
    for _ in range(300):
        size, kernel, stride = rng.randint(1, 14), rng.randint(1, 5), rng.randint(1, 6)
        padding = rng.randint(0, kernel // 2)
        x = torch.zeros(1, 1, size)
        expected = theirs(torch.nn.functional.avg_pool1d, x, kernel, stride, padding, ceil_mode) or (None,)
        size = ours(pool_output_size, size, kernel, stride, padding, 1, ceil_mode)
        assert size == expected[0], (x.shape, kernel, stride, padding)


# Errors


@pytest.mark.parametrize(
    ("function", "arguments", "error", "words"),
    [
        (conv_output_size, {"kernel_size": 0}, ValueError, "kernel_size is 0"),
        (conv_output_size, {"input_size": 0}, ValueError, "input_size is 0"),
        (conv_output_size, {"input_size": (8, -1)}, ValueError, "input_size is -1"),
        (conv_output_size, {"input_size": (8, 8, 8)}, ValueError, "input_size"),
        (conv_output_size, {"input_size": 8.0}, TypeError, "input_size is 8.0"),
        (conv_output_size, {"input_size": True}, TypeError, "input_size is True"),
        (conv_output_size, {"input_size": "8"}, TypeError, "input_size"),
        (conv_output_size, {"input_size": None}, TypeError, "input_size"),
        (conv_output_size, {"stride": 0}, ValueError, "stride is 0"),
        (conv_output_size, {"stride": 1.0}, TypeError, "stride is 1.0"),
        (conv_output_size, {"stride": False}, TypeError, "stride is False"),
        (conv_output_size, {"stride": np.True_}, TypeError, "stride"),
        (conv_output_size, {"stride": np.float32(1)}, TypeError, "stride"),
        (conv_output_size, {"dilation": -1}, ValueError, "dilation is -1"),
        (conv_output_size, {"padding": -1}, ValueError, "padding is -1"),
        (conv_output_size, {"padding": 0.5}, TypeError, "padding is 0.5"),
        (conv_output_size, {"padding": "SAME"}, ValueError, "'valid', 'same', 'full'"),
        (conv_output_size, {"padding": (1, 2, 3)}, ValueError, "padding"),
        (conv_output_size, {"padding": (1, -2)}, ValueError, "padding"),
        (conv_output_size, {"input_size": (8, 8), "padding": ((1, 2), (3, 4, 5))}, ValueError, "padding"),
        (conv_output_size, {"kernel_size": (3, 3)}, ValueError, "kernel_size"),
        (
            conv_output_size,
            {"input_size": (8, 8), "kernel_size": (3, True)},
            TypeError,
            "kernel_size is True",
        ),
        (conv_output_size, {"input_size": (8, 2)}, ValueError, "output size of (6, 0)"),
        (conv_transpose_output_size, {"stride": 2, "output_padding": 2}, ValueError, "output_padding is 2"),
        (conv_transpose_output_size, {"output_padding": -1}, ValueError, "output_padding is -1"),
        (
            conv_transpose_output_size,
            {"stride": 2, "padding": "same", "output_padding": 1},
            ValueError,
            "output_padding is 1",
        ),
        (conv_transpose_output_size, {"padding": 5}, ValueError, "output size of 0"),
        (conv_transpose_output_size, {"padding": "none"}, ValueError, "'none'"),
        (pool_output_size, {"padding": 3}, ValueError, "padding is 3"),
        (pool_output_size, {"stride": 1, "padding": (0, 3)}, ValueError, "padding is (0, 3)"),
        (pool_output_size, {"kernel_size": 9}, ValueError, "output size of 0"),
        (pool_output_size, {"stride": 0}, ValueError, "stride is 0"),
        (pool_output_size, {"ceil_mode": 1}, TypeError, "ceil_mode is 1"),
        (same_padding, {"stride": 0}, ValueError, "stride is 0"),
        (same_padding, {"kernel_size": "3"}, TypeError, "kernel_size"),
    ],
)
def test_size_errors(function, arguments, error, words):
    with pytest.raises(error) as caught:
        function(**{"input_size": 8, "kernel_size": 3, **arguments})
    assert str(caught.value).startswith(f"{function.__name__}: ")
    assert words in str(caught.value)
