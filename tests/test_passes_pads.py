"""The pass that takes padding into convolutions and pooling.

Each rewriting, and each case in which it must not be done.
"""

import numpy as np
import pytest

from passes_oracle import Net

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set

F4 = np.float32


def padded(net, pads=(0, 0, 1, 2, 0, 0, 0, 3), value=None, before=None, **attributes):
    x = net.input(2, 4, 6, 6)
    x = net(before, x) if before else x
    return net("Pad", x, np.array(pads), *([] if value is None else [F4(value)]), **attributes)


@pytest.mark.parametrize("attributes", [{}, {"pads": (1, 0, 2, 1)}, {"auto_pad": "VALID"}])
def test_padding_into_a_convolution(backend, attributes):
    net = Net()
    assert net.left(net("Conv", padded(net), net.normal(3, 4, 3, 3), **attributes)) == ["Conv"]


@pytest.mark.parametrize(
    "more",
    [
        {"value": 1.0},
        {"mode": "reflect"},
        {"pads": (0, 1, 1, 1, 0, -1, 1, 1)},
        {"pads": (0, 0, 1, -1, 0, 0, 1, 1)},
    ],
)
def test_padding_that_a_convolution_cannot_do(more):
    net = Net()
    assert net.left(net("Conv", padded(net, **more), net.normal(3, 4, 3, 3))) == ["Pad", "Conv"]


def test_padding_with_images_or_channels():
    for pads, channels in (((1, 0, 0, 0, 0, 0, 0, 0), 4), ((0, 1, 0, 0, 0, 0, 1, 0), 5)):
        net = Net()
        y = net("Conv", padded(net, pads), net.normal(3, channels, 3, 3))
        assert net.left(y) == ["Pad", "Conv"]


def test_padding_before_padding_that_depends_on_the_size():
    net = Net()
    y = net("Conv", padded(net), net.normal(3, 4, 3, 3), auto_pad="SAME_UPPER", strides=(2, 2))
    assert net.left(y) == ["Pad", "Conv"]


def test_padding_with_another_reader():
    net = Net()
    x = padded(net)
    assert net.left(net("Conv", x, net.normal(3, 4, 3, 3)), x) == ["Pad", "Conv"]


def test_padding_along_named_axes(backend):
    net = Net()
    x = net("Pad", net.input(1, 4, 6, 6), np.array([1, 2, 0, 1]), None, np.array([-1, 2]))
    assert net.left(net("Conv", x, net.normal(3, 4, 3, 3))) == ["Conv"]


@pytest.mark.parametrize(
    ("attributes", "done"),
    [
        ({}, True),
        ({"count_include_pad": 1, "pads": (1, 1, 0, 0)}, True),
        ({"pads": (1, 1, 0, 0)}, False),
        ({"ceil_mode": 1, "strides": (2, 2)}, False),
    ],
)
def test_padding_into_average_pooling(backend, attributes, done):
    net = Net()
    x = padded(net, (0, 0, 1, 1, 0, 0, 1, 1))
    left = net.left(net("AveragePool", x, kernel_shape=(3, 3), **attributes))
    assert left == (["AveragePool"] if done else ["Pad", "AveragePool"])


@pytest.mark.parametrize(
    ("more", "attributes", "done"),
    [
        ({"value": -np.inf}, {}, True),
        ({"before": "Relu"}, {}, True),
        ({"value": -np.inf}, {"pads": (0, 1, 1, 0)}, True),
        ({}, {}, False),
        ({"value": -1.0, "before": "Relu"}, {}, False),
        ({"value": -np.inf}, {"ceil_mode": 1, "strides": (2, 2)}, False),
        ({"before": "Relu", "pads": (0, 0, 3, 0, 0, 0, 0, 0)}, {}, False),  # windows of padding alone
    ],
)
def test_padding_into_maximum_pooling(backend, more, attributes, done):
    net = Net()
    x = padded(net, **({"pads": (0, 0, 1, 1, 0, 0, 1, 1)} | more))
    left = net.left(net("MaxPool", x, kernel_shape=(3, 3), **attributes), tolerance=0)
    assert ("Pad" not in left) == done
