"""Parts of a Concat, of few channels or pixels, which lie alike in both layouts or nearly: made where they lie or
copied there, they are what the interpreter joins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.graph import Interpreter
from passes_oracle import Net, agree
from test_program_layouts import cython_alone, program_of  # noqa: F401

pytestmark = pytest.mark.usefixtures("cython_alone")


def check(net, *outputs):
    """Optimised and not, with the layouts that cost least, and with channels last wherever they can be."""
    graph = net.graph(*outputs)
    expected = Interpreter(graph)(*net.arrays)
    for optimize in (True, False):
        for forced in (False, True):
            program = program_of(graph, net.arrays, forced=forced, optimize=optimize)
            for actual, wanted in zip(program._run(net.arrays), expected, strict=True):
                agree(np.asarray(actual), np.asarray(wanted), 1e-4)


@pytest.mark.parametrize("filters", [1, 2, 9])
@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("sizes", [(8, 1), (1, 8), (3, 2), (1, 1)])
def test_a_plane_is_no_channel_of_pixels(backend, sizes, channels, filters):
    """One of planes whose images have one channel lies as pixels do, and its kernel writes it in one piece."""
    net = Net()
    x = net.input(2, channels, *sizes)
    parts = [
        net("Conv", x, net.normal(filters, channels, 1, 1)),
        x,
        net("Conv", x, net.normal(1, channels, 1, 1)),
    ]
    y = net("Transpose", net("Concat", *parts, axis=1), perm=(0, 2, 3, 1))
    check(net, net("AveragePool", y, kernel_shape=(1, 1)))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("shown", [False, True])
def test_each_joins_all_before_it(backend, batch, shown):
    """As in DenseNet; one of them is a result, too."""
    net = Net()
    parts, joined = [net.input(batch, 8, 6, 5)], []
    for _ in range(4):
        whole = net("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        joined.append(whole)
        channels = 8 * len(parts)
        normal = net(
            "BatchNormalization", whole, *(net.normal(channels) for _ in "abc"), np.ones(channels, np.float32)
        )
        parts.append(net("Conv", net("Relu", normal), net.normal(8, channels, 3, 3), pads=(1, 1, 1, 1)))
    check(net, net("Concat", *parts, axis=1), *[joined[2]] * shown)


SIZES = st.sampled_from([1, 1, 2, 3])
CHANNELS = st.sampled_from([1, 1, 2, 3, 8, 17])


def convolution(draw, net, x, channels):
    k, filters = draw(st.sampled_from([1, 3])), draw(CHANNELS)
    bias = [net.normal(filters)] if draw(st.booleans()) else []
    return net("Conv", x, net.normal(filters, channels, k, k), *bias, pads=(k // 2,) * 4), filters


def grouped(draw, net, x, channels):
    return net("Conv", x, net.normal(channels, 1, 3, 3), group=channels, pads=(1,) * 4), channels


def transposed(draw, net, x, channels):
    k, filters = draw(st.sampled_from([1, 3])), draw(CHANNELS)
    return net("ConvTranspose", x, net.normal(channels, filters, k, k), pads=(k // 2,) * 4), filters


def pooled(draw, net, x, channels):
    k = draw(st.sampled_from([1, 3]))
    operation = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    return net(operation, x, kernel_shape=(k, k), pads=(k // 2,) * 4), channels


def activated(draw, net, x, channels):
    return net(draw(st.sampled_from(["Relu", "Sigmoid", "Neg"])), x), channels


def moved(draw, net, x, channels):
    return net("Add", x, net.normal(1, channels, 1, 1)), channels


def gated(draw, net, x, channels):
    return net("Mul", x, net("GlobalAveragePool", x)), channels


def split(draw, net, x, channels):
    if channels == 1:
        return x, channels
    first, _ = net("Split", x, np.array([1, channels - 1]), outputs=2, axis=1)
    return first, 1


def joined(draw, net, values, x, channels):
    """With others of the same images, or parts of their rows, columns or batch."""
    axis = draw(st.sampled_from([1, 1, 1, 0, 2, 3]))
    others = values if axis == 1 else [(value, count) for value, count in values if count == channels]
    chosen = draw(st.lists(st.sampled_from(others), min_size=1, max_size=3))
    chosen.insert(draw(st.integers(0, len(chosen))), (x, channels))
    y = net("Concat", *(value for value, _ in chosen), axis=axis)
    return y, sum(count for _, count in chosen) if axis == 1 else channels, axis == 1


PARTS = [convolution, convolution, convolution, grouped, transposed, pooled, activated, moved, gated, split]


@st.composite
def joins(draw):
    """The network, and what it gives: images of one size all the way, some turned at either end."""
    net = Net()
    batch, channels, height, width = draw(SIZES), draw(CHANNELS), draw(SIZES), draw(SIZES)
    if draw(st.booleans()):
        x = net("Transpose", net.input(batch, height, width, channels), perm=(0, 3, 1, 2))
    else:
        x = net.input(batch, channels, height, width)
    values, whole = [(x, channels)], []
    for _ in range(draw(st.integers(1, 2))):
        for part in draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5)):
            values.append(part(draw, net, *draw(st.sampled_from(values[-2:]))))
        y, count, same = joined(draw, net, values, *values[-1])
        whole.append(y)
        if same:
            values.append((y, count))
    last = draw(st.sampled_from(["Softmax", "AveragePool", "Transpose", "Conv", "none"]))
    y = whole[-1]
    if last in ("AveragePool", "Transpose"):
        y = net("Transpose", y, perm=(0, 2, 3, 1))
        y = net("AveragePool", y, kernel_shape=(1, 1)) if last == "AveragePool" else y
    elif last == "Conv":
        y = net("Conv", y, net.normal(9, count, 1, 1))
    elif last == "Softmax":
        y = net("Softmax", y, axis=1)
    return net, [y, *draw(st.sets(st.sampled_from([value for value, _ in values[1:]]), max_size=1))]


@given(joins())
def test_random_joins(backend, network):
    net, outputs = network
    check(net, *outputs)
