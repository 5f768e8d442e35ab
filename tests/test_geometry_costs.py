"""Receptive fields and costs of `fastconv.geometry`: worked examples, and what follows from the pixels."""

import itertools
import random
from fractions import Fraction

import numpy as np
import pytest

from fastconv.geometry import (
    ConvMemory,
    ReceptiveField,
    conv_flops,
    conv_memory,
    conv_output_size,
    conv_params,
    receptive_field,
)

# Receptive fields


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [
        ([3, 3, (2, 2), 3], [3, 5, 6, 10]),
        ([(7, 2, 3), (3, 2, 1), 3, 3], [7, 11, 19, 27]),
        ([(3, 1, 0, 2)] * 4, [5, 9, 13, 17]),
        ([3] * 5, [3, 5, 7, 9, 11]),
        ([(1, 4)], [1]),
        ([], []),
    ],
)
def test_receptive_field_sizes(layers, sizes):
    assert [field.size for field in receptive_field(layers)] == sizes


def first_field(layers, output):
    """Follow the pixels that one output sees back to the input, layer by layer."""
    low = high = output
    for kernel, stride, padding, dilation in reversed(layers):
        low, high = low * stride - padding, high * stride - padding + dilation * (kernel - 1)
    return low, high


def test_receptive_field_follows_the_pixels():
    rng = random.Random(5)
    for _ in range(200):
        layers = [
            (rng.randint(1, 5), rng.randint(1, 3), rng.randint(0, 3), rng.randint(1, 3)) for _ in range(6)
        ]
        for depth, field in enumerate(receptive_field(layers), 1):
            low, high = first_field(layers[:depth], 0)
            assert field == (high - low + 1, first_field(layers[:depth], 1)[0] - low, (low + high) / 2)


def test_receptive_field_forms_of_a_layer():
    expected = [ReceptiveField(3, 2, 0.0), ReceptiveField(11, 2, 4.0)]
    assert receptive_field([(3, 2, 1), (3, 1, 0, 2)]) == expected
    assert receptive_field(iter([[3, 2, 1], {"kernel_size": 3, "dilation": 2}])) == expected
    assert receptive_field(np.array([[3, 2, 1, 1], [3, 1, 0, 2]])) == expected
    assert receptive_field([np.int64(3)]) == [ReceptiveField(3, 1, 1.0)]
    assert receptive_field([{"kernel_size": np.array([3, 5])}]) == [((3, 5), (1, 1), (1.0, 2.0))]


def test_receptive_field_of_pairs():
    fields = receptive_field([3, ((3, 5), (1, 2), ((0, 9), (2, 9))), (3, 1, (1, 0))])
    assert fields == [
        ((3, 3), (1, 1), (1.0, 1.0)),
        ((5, 7), (1, 2), (2.0, 1.0)),
        ((7, 11), (1, 2), (2.0, 3.0)),
    ]


def test_receptive_field_of_named_paddings():
    assert receptive_field([(3, 1, "same"), (4, 1, "same")])[-1] == (6, 1, 0.5)
    assert receptive_field([(3, 2, "valid")]) == [(3, 2, 1.0)]
    assert receptive_field([(3, 1, "full", 2)]) == [(5, 1, -2.0)]


# Costs


def test_parameters():
    assert conv_params(64, 128, 3) == 73_856
    assert conv_params(64, 128, 3, bias=False) == 73_728
    assert conv_params(1, 4, 3) + conv_params(4, 8, 3) == 336
    assert (
        sum(conv_params(*layer, bias=False) for layer in ((256, 64, 1), (64, 64, 3), (64, 256, 1))) == 69_632
    )
    assert conv_params(32, 32, (5, 3), groups=32) == 32 * 15 + 32
    assert conv_params(6, 4, 3, groups=2, bias=False) == np.empty((4, 6 // 2, 3, 3)).size


def test_flops_count_each_product_of_the_textbook_sum():
    shape, filters, kernel, stride, padding, dilation, groups = (
        (2, 4, 7, 6),
        6,
        (3, 2),
        (2, 1),
        (1, 2),
        (1, 3),
        2,
    )
    height, width = conv_output_size(shape[2:], kernel, stride, padding, dilation)
    loops = itertools.product(*map(range, (shape[0], filters, height, width, shape[1] // groups, *kernel)))
    assert conv_flops(shape, filters, kernel, stride, padding, dilation, groups) == 2 * sum(1 for _ in loops)


def test_flops_of_a_depthwise_separable_convolution():
    shape = (1, 32, 14, 14)
    full = conv_flops(shape, 256, 3, padding=1)
    depthwise = conv_flops(shape, 32, 3, padding=1, groups=32)
    pointwise = conv_flops(shape, 256, 1)
    assert Fraction(depthwise + pointwise, full) == Fraction(1, 256) + Fraction(1, 9)


def test_flops_of_bias_and_empty_batch():
    assert conv_flops((3, 2, 5, 5), 4, 3, bias=True) - conv_flops((3, 2, 5, 5), 4, 3) == 3 * 4 * 3 * 3
    assert conv_flops((0, 2, 5, 5), 4, 3) == 0


@pytest.mark.parametrize("dtype", ["float16", np.float32, np.dtype(np.float64), float, ">f4"])
def test_memory_is_that_of_the_arrays(dtype):
    memory = conv_memory((2, 6, 9, 8), 4, 3, stride=2, groups=2, dtype=dtype)
    arrays = np.empty((2, 6, 9, 8), dtype), np.empty((4, 3, 3, 3), dtype), np.empty((2, 4, 4, 3), dtype)
    x, weight, y = (array.nbytes for array in arrays)
    weight += np.empty(4, dtype).nbytes
    assert memory == ConvMemory(input=x, weight=weight, output=y, total=x + weight + y)
    assert conv_memory((0, 6, 9, 8), 4, 3, bias=False, dtype=dtype)[::2] == (0, 0)


def test_memory_of_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert conv_memory((1, 1, 4, 4), 1, 3, bias=False, dtype=ml_dtypes.bfloat16) == (32, 18, 8, 58)


# Errors


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        (3, TypeError, "layers is int"),
        ("33", TypeError, "layers is str"),
        ({"kernel_size": 3}, TypeError, "layers is dict"),
        ([3, 0], ValueError, "layers[1]: kernel_size is 0"),
        ([3.0], TypeError, "layers[0]: kernel_size is 3.0"),
        ([True], TypeError, "layers[0]: kernel_size is True"),
        ([None], TypeError, "layers[0]: kernel_size is None"),
        ([()], ValueError, "layers[0] is ()"),
        ([(3, 1, 0, 1, 1)], ValueError, "layers[0] is (3, 1, 0, 1, 1)"),
        ([{"stride": 2}], ValueError, "layers[0] is {'stride': 2}"),
        ([{"kernel_size": 3, "pad": 1}], ValueError, "'pad'"),
        ([(3, 0)], ValueError, "layers[0]: stride is 0"),
        ([(3, 1, -1)], ValueError, "layers[0]: padding is -1"),
        ([(3, 1, "half")], ValueError, "layers[0]: padding is 'half'"),
        ([(3, 2, "same")], ValueError, "layers[0]: padding is 'same'"),
        ([((3, 3, 3),)], ValueError, "layers[0]: kernel_size is (3, 3, 3)"),
    ],
)
def test_receptive_field_errors(layers, error, words):
    with pytest.raises(error) as caught:
        receptive_field(layers)
    assert str(caught.value).startswith("receptive_field: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0, 8, 3), ValueError, "in_channels is 0"),
        ((8, 0, 3), ValueError, "out_channels is 0"),
        ((8, 8.0, 3), TypeError, "out_channels is 8.0"),
        ((8, 8, 0), ValueError, "kernel_size is 0"),
        ((8, 8, (3, 3, 3)), ValueError, "kernel_size is (3, 3, 3)"),
        ((8, 6, 3, 4), ValueError, "groups is 4"),
        ((6, 8, 3, 4), ValueError, "groups is 4"),
        ((8, 8, 3, 0), ValueError, "groups is 0"),
        ((8, 8, 3, 1, None), TypeError, "bias is None"),
    ],
)
def test_parameter_errors(arguments, error, words):
    with pytest.raises(error) as caught:
        conv_params(*arguments)
    assert str(caught.value).startswith("conv_params: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("function", [conv_flops, conv_memory])
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"input_shape": 8}, TypeError, "input_shape is 8"),
        ({"input_shape": (4, 8, 8)}, ValueError, "input_shape is (4, 8, 8)"),
        ({"input_shape": (-1, 4, 8, 8)}, ValueError, "input_shape[0] is -1"),
        ({"input_shape": (1, 0, 8, 8)}, ValueError, "input_shape[1] is 0"),
        ({"input_shape": (1, 4, 8, 8.0)}, TypeError, "input_shape[3] is 8.0"),
        ({"input_shape": (1, 4, 2, 8)}, ValueError, "output size of (0, 6)"),
        ({"out_channels": 0}, ValueError, "out_channels is 0"),
        ({"groups": 3}, ValueError, "groups is 3"),
        ({"padding": "most"}, ValueError, "'most'"),
        ({"bias": np.zeros(4)}, TypeError, "bias is array"),
    ],
)
def test_cost_errors(function, arguments, error, words):
    with pytest.raises(error) as caught:
        function(**{"input_shape": (1, 4, 8, 8), "out_channels": 4, "kernel_size": 3, **arguments})
    assert str(caught.value).startswith(f"{function.__name__}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("dtype", [None, "int8", "complex64", object, "nonsense", "U4", 3])
def test_memory_needs_a_floating_point_dtype(dtype):
    with pytest.raises(TypeError, match=r"^conv_memory: dtype is .*needs float16"):
        conv_memory((1, 4, 8, 8), 4, 3, dtype=dtype)
