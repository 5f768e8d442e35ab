"""The pass that finds operations in their parts: each rewriting, and each case in which it must not be done."""

import math

import numpy as np
import pytest

from passes_oracle import Net

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set

F4 = np.float32


def products(net, x):
    """Activations in parts, in several orders, as {name: (value, operation)}."""
    c = {key: F4(key) for key in (0, 0.5, 1, 2, 3, 6)}

    def clipped():
        return net("Clip", net("Add", x, c[3]), c[0], c[6])

    def erf(divided=True):
        inner = net("Div", x, F4(math.sqrt(2))) if divided else net("Mul", F4(math.sqrt(0.5)), x)
        return net("Add", net("Erf", inner), c[1])

    def tanh(cube):
        total = net("Add", x, net("Mul", F4(0.044715), cube))
        return net("Add", c[1], net("Tanh", net("Mul", F4(math.sqrt(2 / math.pi)), total)))

    mul, div = (lambda a, b: net("Mul", a, b)), (lambda a, b: net("Div", a, b))
    return {
        "hardswish": lambda: (div(mul(x, clipped()), c[6]), "HardSwish"),
        "hardswish, divided first": lambda: (mul(div(clipped(), c[6]), x), "HardSwish"),
        "hardswish, by a sixth": lambda: (mul(F4(1 / 6), mul(clipped(), x)), "HardSwish"),
        "hardswish, x divided": lambda: (mul(clipped(), div(x, c[6])), "HardSwish"),
        "hardswish, of hardsigmoid": lambda: (
            mul(net("HardSigmoid", x, alpha=1 / 6, beta=0.5), x),
            "HardSwish",
        ),
        "hardsigmoid": lambda: (div(clipped(), c[6]), "HardSigmoid"),
        "silu": lambda: (mul(net("Sigmoid", x), x), "Swish"),
        "swish": lambda: (mul(x, net("Sigmoid", mul(x, c[2]))), "Swish"),
        "gelu": lambda: (mul(mul(x, c[0.5]), erf()), "Gelu"),
        "gelu, half at last": lambda: (mul(c[0.5], mul(erf(False), x)), "Gelu"),
        "gelu, half of the gate": lambda: (mul(x, mul(c[0.5], erf())), "Gelu"),
        "gelu, divided": lambda: (div(mul(erf(), x), c[2]), "Gelu"),
        "gelu of tanh": lambda: (mul(mul(x, c[0.5]), tanh(net("Pow", x, c[3]))), "Gelu"),
        "gelu of tanh, multiplied": lambda: (mul(tanh(mul(x, mul(x, x))), mul(x, c[0.5])), "Gelu"),
        "mish": lambda: (mul(x, net("Tanh", net("Softplus", x))), "Mish"),
        "mish, softplus in parts": lambda: (
            mul(x, net("Tanh", net("Log", net("Add", net("Exp", x), c[1])))),
            "Mish",
        ),
        "softplus": lambda: (net("Log", net("Add", c[1], net("Exp", x))), "Softplus"),
    }


NAMES = list(products(Net(), None))


@pytest.mark.parametrize("name", NAMES)
def test_activations_in_parts(backend, name):
    net = Net()
    y, operation = products(net, net.input(2, 3, 4))[name]()
    assert net.left(y) == [operation]


@pytest.mark.parametrize("name", NAMES)
def test_activations_with_a_part_that_is_read(name):
    """By a graph output: no part may be taken, wherever it is; in a region of elements they may be together."""
    for place in range(6):
        net = Net()
        y, operation = products(net, net.input(2, 3, 4))[name]()
        if place >= len(net.nodes) - 1:
            break
        inner = net.nodes[place].outputs[0]
        assert operation not in net.left(y, inner, stop_after="epilogues") or operation == "Softplus"


@pytest.mark.parametrize(
    ("low", "high", "shift", "divisor"), [(0, 6, 2, 6), (0, 5, 3, 6), (-1, 6, 3, 6), (0, 6, 3, 5)]
)
def test_what_is_no_hard_swish(low, high, shift, divisor):
    net = Net()
    x = net.input(2, 3)
    gate = net("Clip", net("Add", x, F4(shift)), F4(low), F4(high))
    y = net("Div", net("Mul", x, gate), F4(divisor))
    assert net.left(y, stop_after="epilogues") == ["Add", "Clip", "Mul", "Div"]


@pytest.mark.parametrize(("divisor", "shift", "factor"), [(1.5, 1, 0.5), (2**0.5, 2, 0.5), (2**0.5, 1, 1)])
def test_what_is_no_gelu(divisor, shift, factor):
    net = Net()
    x = net.input(2, 3)
    gate = net("Add", net("Erf", net("Div", x, F4(divisor))), F4(shift))
    y = net("Mul", net("Mul", x, gate), F4(factor))
    assert "Gelu" not in net.left(y, stop_after="epilogues")


@pytest.mark.parametrize(
    ("power", "share", "inner"), [(2, 0.044715, 0.8), (3, 0.05, 0.8), (3, 0.044715, 0.7)]
)
def test_what_is_no_gelu_of_tanh(power, share, inner):
    net = Net()
    x = net.input(2, 3)
    cubic = net("Add", x, net("Mul", net("Pow", x, F4(power)), F4(share)))
    root = F4(math.sqrt(2 / math.pi) if inner == 0.8 else inner)
    gate = net("Add", net("Tanh", net("Mul", cubic, root)), F4(1))
    y = net("Mul", net("Mul", x, gate), F4(0.5))
    assert "Gelu" not in net.left(y, stop_after="epilogues")


def test_what_is_no_softplus():
    net = Net()
    y = net("Log", net("Add", net("Exp", net.input(2, 3)), F4(2)))
    assert "Softplus" not in net.left(y, stop_after="epilogues")


def test_a_gate_of_something_else():
    net = Net()
    x, y = net.input(2, 3), net.input(2, 3)
    assert net.left(net("Mul", x, net("Sigmoid", y)), stop_after="epilogues") == ["Sigmoid", "Mul"]


def test_a_constant_that_adds_an_axis():
    """x * sigmoid(x) * 1 of one axis more."""
    net = Net()
    x = net.input(2, 3)
    y = net("Div", net("Mul", x, net("Clip", net("Add", x, F4(3)), F4(0), F4(6))), np.full((1, 1, 1), 6, F4))
    assert net.left(y, stop_after="epilogues")[-1] == "Div"


def normalised(net, x, axis=-1, keepdims=1, square="Pow", width=5):
    mean = net("ReduceMean", x, np.array([axis]), keepdims=keepdims)
    d = net("Sub", x, mean)
    squared = net("Pow", d, F4(2)) if square == "Pow" else net("Mul", d, d)
    variance = net("ReduceMean", squared, np.array([axis]), keepdims=keepdims)
    y = net("Div", d, net("Sqrt", net("Add", variance, F4(1e-5))))
    return net("Add", net("Mul", y, net.normal(width)), net.normal(width)), d


@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("axis", [-1, 2])
def test_layer_normalisation(backend, square, axis):
    net = Net()
    y, _ = normalised(net, net.input(2, 3, 5), axis, square=square)
    assert net.left(y) == ["LayerNormalization"]


def test_what_is_no_layer_normalisation():
    net = Net()
    y, difference = normalised(net, net.input(2, 3, 5))
    assert "LayerNormalization" not in net.left(y, difference)
    net = Net()
    y, difference = normalised(net, net.input(2, 3, 5))
    assert "LayerNormalization" not in net.left(y, net("Softmax", difference))
    net = Net()
    y, _ = normalised(net, net.input(2, 5, 5), axis=1)
    assert "LayerNormalization" not in net.left(y)
    net = Net()
    y, _ = normalised(net, net.input(2, 3, 5), width=1)
    assert "LayerNormalization" not in net.left(y)


def shuffle(net, x, parts, order, after):
    inner = net("Transpose", net("Reshape", x, np.array(parts)), perm=order)
    return net("Reshape", inner, np.array(after)), inner


def test_channel_shuffle(backend):
    net = Net()
    y, _ = shuffle(net, net.input(2, 6, 3, 4), (2, 3, 2, 3, 4), (0, 2, 1, 3, 4), (2, -1, 3, 4))
    assert net.left(y, tolerance=0) == ["fastconv.ChannelShuffle"]


def test_channel_shuffle_of_any_number_of_images():
    net = Net()
    x = net.input(2, 6, 3, 4)
    y, _ = shuffle(net, x, (-1, 3, 2, 3, 4), (0, 2, 1, 3, 4), (-1, 6, 3, 4))
    x.shape = ("N", 6, 3, 4)
    assert net.left(y, tolerance=0, shapes=False) == ["fastconv.ChannelShuffle"]


def test_pixel_shuffle(backend):
    net = Net()
    y, _ = shuffle(net, net.input(2, 12, 3, 4), (2, 3, 2, 2, 3, 4), (0, 1, 4, 2, 5, 3), (2, 3, 6, 8))
    assert net.left(y, tolerance=0) == ["DepthToSpace"]


@pytest.mark.parametrize(
    ("parts", "order", "after"),
    [
        ((2, 3, 2, 3, 4), (0, 2, 1, 4, 3), (2, 6, 4, 3)),
        ((2, 3, 2, 3, 4), (0, 2, 1, 3, 4), (2, 6, 4, 3)),
        ((2, 3, 2, 4, 3), (0, 2, 1, 3, 4), (2, 6, 3, 4)),
        ((2, 2, 3, 3, 4), (2, 0, 1, 3, 4), (2, 6, 3, 4)),
    ],
)
def test_what_is_no_shuffle(parts, order, after):
    net = Net()
    y, _ = shuffle(net, net.input(2, 6, 3, 4), parts, order, after)
    assert net.left(y, tolerance=0) == ["Reshape", "Transpose", "Reshape"]


def test_a_shuffle_with_another_reader():
    net = Net()
    y, inner = shuffle(net, net.input(2, 6, 3, 4), (2, 3, 2, 3, 4), (0, 2, 1, 3, 4), (2, 6, 3, 4))
    assert net.left(y, inner, tolerance=0) == ["Reshape", "Transpose", "Reshape"]


@pytest.mark.parametrize("axes", [(2, 3), (-1, -2)])
def test_mean_of_images(backend, axes):
    net = Net()
    x = net.input(2, 3, 4, 5)
    assert net.left(net("ReduceMean", x, np.array(axes))) == ["GlobalAveragePool"]
    net = Net()
    x = net.input(2, 3, 4, 5)
    left = net.left(net("ReduceMean", x, np.array(axes), keepdims=0))
    assert left == ["GlobalAveragePool", "Squeeze"]


@pytest.mark.parametrize(
    ("shape", "axes", "dtype"),
    [
        ((2, 3, 4, 5), (1, 2), F4),
        ((2, 3, 4, 5), (2,), F4),
        ((2, 3, 4), (1, 2), F4),
        ((2, 3, 4, 5), (2, 3), int),
    ],
)
def test_other_means(shape, axes, dtype):
    net = Net()
    assert net.left(net("ReduceMean", net.input(*shape, dtype=dtype), np.array(axes))) == ["ReduceMean"]
