"""The pass that takes activations and residuals into layers.

Each rewriting, and each case in which it must not be done.
"""

import math

import numpy as np
import pytest

from fastconv.graph import Interpreter
from fastconv.graph.program import Program
from passes_oracle import Net, same_results, weighted

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set

F4 = np.float32


ACTIVATIONS = [
    ("Relu", [], {}, "relu", None),
    ("Clip", [F4(0), F4(6)], {}, "relu6", None),
    ("Clip", [F4(0)], {}, "relu", None),
    ("Clip", [F4(-1), np.full((1,), 0.5, F4)], {}, "clip", (-1, 0.5)),
    ("Clip", [None, F4(1)], {}, "clip", (-math.inf, 1)),
    ("LeakyRelu", [], {"alpha": 0.3}, "leaky_relu", (0.3,)),
    ("LeakyRelu", [], {}, "leaky_relu", (0.01,)),
    ("PRelu", [np.full((1, 1, 1), 0.25, F4)], {}, "leaky_relu", (0.25,)),
    ("Sigmoid", [], {}, "sigmoid", None),
    ("Tanh", [], {}, "tanh", None),
    ("Swish", [], {}, "silu", None),
    ("HardSwish", [], {}, "hardswish", None),
    ("Gelu", [], {}, "gelu", None),
]
LAYERS = {
    "Conv": lambda net: weighted(net, "Conv"),
    "ConvTranspose": lambda net: weighted(net, "ConvTranspose"),
    "Dense": lambda net: net("MatMul", net.input(2, 3, 4), net.normal(4, 6)),
}


@pytest.mark.parametrize(("operation", "more", "attributes", "word", "parameters"), ACTIVATIONS)
@pytest.mark.parametrize("layer", LAYERS)
def test_activations(backend, layer, operation, more, attributes, word, parameters):
    net = Net()
    y = net(operation, LAYERS[layer](net), *more, **attributes)
    (node,) = same_results(net.graph(y), net.arrays).nodes
    assert (node.operation, node.attributes["activation"]) == (f"fastconv.{layer}", word)
    assert node.attributes.get("activation_params") == parameters


@pytest.mark.parametrize(
    ("operation", "more", "attributes"),
    [
        ("Clip", [F4(2), F4(1)], {}),
        ("PRelu", [np.arange(3, dtype=F4)], {}),
        ("PRelu", [np.arange(12, dtype=F4).reshape(2, 6, 1, 1)], {}),
        ("Swish", [], {"alpha": 2.0}),
        ("Gelu", [], {"approximate": "tanh"}),
        ("Elu", [], {}),
    ],
)
def test_activations_that_are_no_epilogues(operation, more, attributes):
    net = Net()
    assert net.left(net(operation, weighted(net, "Conv"), *more, **attributes)) == ["Conv", operation]


@pytest.mark.parametrize("layer", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 6, 1, 1)])
def test_slopes_of_channels(backend, layer, shape):
    net = Net()
    y = net("PRelu", LAYERS[layer](net), np.arange(6, dtype=F4).reshape(shape))
    (node,) = same_results(net.graph(y), net.arrays).nodes
    assert (node.operation, node.attributes["activation"]) == (f"fastconv.{layer}", "prelu")
    assert node.attributes["activation_params"] == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (1, 1, 6)])
def test_slopes_of_columns(backend, shape):
    net = Net()
    y = net("PRelu", LAYERS["Dense"](net), np.arange(6, dtype=F4).reshape(shape))
    assert net.left(y) == ["fastconv.Dense"]
    net = Net()
    y = net("PRelu", LAYERS["Dense"](net), np.arange(3, dtype=F4).reshape(3, 1))
    assert net.left(y) == ["fastconv.Dense", "PRelu"]


def test_slopes_and_a_residual(backend):
    net = Net()
    x = net.input(2, 4, 5, 5)
    y = net("Add", net("Conv", x, net.normal(4, 4, 1, 1)), x)
    assert net.left(net("PRelu", y, net.normal(4, 1, 1))) == ["fastconv.Conv"]


def test_slopes_that_are_no_epilogue():
    net = Net()
    y = weighted(net, "Conv")
    assert net.left(net("PRelu", y, net.normal(6, 1, 1)), y) == ["Conv", "PRelu"]
    net = Net()
    y = net("PRelu", net("Relu", weighted(net, "Conv")), net.normal(6, 1, 1))
    assert net.left(y) == ["fastconv.Conv", "PRelu"]
    net = Net()
    slopes = net("Exp", net.input(6, 1, 1))
    assert net.left(net("PRelu", weighted(net, "Conv"), slopes))[-1] == "PRelu"


def test_an_activation_beside_another_reader():
    net = Net()
    y = weighted(net, "Conv")
    assert net.left(net("Relu", y), net("Softmax", y)) == ["Conv", "Relu", "Softmax"]
    assert net.left(net("Relu", y), y) == ["Conv", "Relu"]


def test_one_activation_only():
    net = Net()
    assert net.left(net("Sigmoid", net("Relu", weighted(net, "Conv")))) == ["fastconv.Conv", "Sigmoid"]


@pytest.mark.parametrize("operation", ["Add", "Sum"])
@pytest.mark.parametrize("first", [True, False])
def test_residuals(backend, operation, first):
    net = Net()
    x = net.input(2, 4, 5, 5)
    y = net("Conv", x, net.normal(4, 4, 3, 3), pads=(1,) * 4)
    y = net("Relu", net(operation, *((x, y) if first else (y, x))))
    assert net.left(y) == ["fastconv.Conv"]


def test_two_convolutions_are_added(backend):
    net = Net()
    x = net.input(2, 4, 5, 5)
    one, other = (net("Conv", x, net.normal(4, 4, 1, 1)) for _ in range(2))
    assert net.left(net("Relu", net("Add", one, other))) == ["Conv", "fastconv.Conv"]


@pytest.mark.parametrize("shape", [(1, 4, 5, 5), (2, 4, 1, 1), (5, 5), (2, 1, 5, 5)])
def test_what_is_broadcast_is_no_residual(shape):
    net = Net()
    y = net("Conv", net.input(2, 4, 5, 5), net.normal(4, 4, 1, 1))
    assert net.left(net("Add", y, net.input(*shape))) == ["Conv", "Add"]


def test_other_sums_are_no_residuals():
    net = Net()
    y = net("Conv", net.input(2, 4, 5, 5), net.normal(4, 4, 1, 1))
    assert net.left(net("Add", y, y)) == ["Conv", "Add"]
    net = Net()
    y = net("Conv", net.input(2, 4, 5, 5), net.normal(4, 4, 1, 1))
    others = [net.input(2, 4, 5, 5) for _ in range(2)]
    assert net.left(net("Sum", y, *others)) == ["Conv", "Sum"]
    net = Net()
    y = net("Relu", net("Conv", net.input(2, 4, 5, 5), net.normal(4, 4, 1, 1)))
    assert net.left(net("Add", y, net.input(2, 4, 5, 5))) == ["fastconv.Conv", "Add"]


def scaled(net, *steps, operation="HardSwish"):
    y = net(operation, weighted(net, "Conv"))
    for step, constant in steps:
        y = net(step, *((constant, y) if step == "Sub" else (y, constant)))
    return y


@pytest.mark.parametrize(
    ("steps", "numbers"),
    [
        ([("Mul", F4(1.5))], (1.5, 0)),
        ([("Add", np.full((1,), -0.25, F4))], (1, -0.25)),
        ([("Mul", F4(1.5)), ("Add", F4(-0.25))], (1.5, -0.25)),
    ],
)
def test_a_scaled_hardswish(backend, steps, numbers):
    """A Softmax, which is no layer, reads it."""
    net = Net()
    graph = net.graph(net("Softmax", scaled(net, *steps)))
    node = same_results(graph, net.arrays).nodes[0]
    assert (node.operation, node.attributes["affine"]) == ("fastconv.Conv", numbers)
    shapes = {value.name: array.shape for value, array in zip(net.inputs, net.arrays, strict=True)}
    program = Program(graph, shapes, backend)
    (expected,) = Interpreter(graph)(*net.arrays)
    np.testing.assert_allclose(program(net.arrays[0]), expected, rtol=1e-5)
    words = " + ".join(["hardswish", *["Mul"] * (numbers[0] != 1), *["Add"] * (numbers[1] != 0)])
    assert any(step.operation.endswith(words) for step in program.steps())


def test_what_is_no_scaled_hardswish():
    net = Net()
    y = scaled(net, ("Mul", np.arange(6, dtype=F4).reshape(6, 1, 1)))
    assert net.left(net("Softmax", y)) == ["fastconv.Conv", "Mul", "Softmax"]
    net = Net()
    y = scaled(net, ("Mul", F4(2)), operation="Relu")
    assert net.left(net("Softmax", y)) == ["fastconv.Conv", "Mul", "Softmax"]
    net = Net()
    y = scaled(net)
    assert net.left(net("Softmax", y), net("Mul", y, F4(2))) == ["fastconv.Conv", "Softmax", "Mul"]
    net = Net()
    assert net.left(scaled(net, ("Sub", F4(2)))) == ["fastconv.Conv", "Sub"]


def test_a_sum_and_then_a_product():
    """In their order: the product is a step of its own."""
    net = Net()
    left = net.left(net("Softmax", scaled(net, ("Add", F4(2)), ("Mul", F4(3)))))
    assert left[0] == "fastconv.Conv"
