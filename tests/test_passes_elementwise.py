"""The pass that makes one operation of elementwise ones: each rewriting, and each case in which it must not be done."""

import numpy as np
import pytest

from fastconv.graph import Graph, Node, Value
from fastconv.graph.passes import optimise
from passes_oracle import Net, same_results

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set

F4 = np.float32


def bodies(graph):
    return [
        [inner.operation for inner in node.attributes["body"].nodes] for node in graph.nodes if node.graphs()
    ]


def test_a_region(backend):
    """With an input that is read twice, a constant for each channel, numbers, and truth values within."""
    net = Net()
    x, y = net.input(2, 3, 4, 4), net.input(2, 3, 4, 4)
    total = net("Add", x, net("Mul", y, net.normal(3, 1, 1)))
    chosen = net("Where", net("Not", net("Greater", total, F4(0))), net("Neg", x), total)
    z = net("Clip", chosen, np.full((1,), -1, F4), F4(2))
    graph = same_results(net.graph(net("Softmax", z)), net.arrays)
    assert bodies(graph) == [["Mul", "Add", "Greater", "Not", "Neg", "Where", "Clip"]]
    node = graph.nodes[0]
    assert [value.shape for value in node.inputs] == [(2, 3, 4, 4), (3, 1, 1), (2, 3, 4, 4)]
    constants = [v.constant for inner in node.attributes["body"].nodes for v in inner.inputs if v.is_constant]
    assert [constant.shape for constant in constants] == [()] * 3


def test_a_value_that_is_read_elsewhere_ends_a_region():
    net = Net()
    x = net.input(2, 3)
    a = net("Exp", net("Neg", x))
    b = net("Tanh", net("Abs", a))
    graph = same_results(net.graph(net("Softmax", b), net("Softmax", a, axis=0)), net.arrays)
    assert bodies(graph) == [["Neg", "Exp"], ["Abs", "Tanh"]]
    graph = same_results(net.graph(b, a), net.arrays)
    assert bodies(graph) == [["Neg", "Exp"], ["Abs", "Tanh"]]


def test_two_ways_within_a_region(backend):
    net = Net()
    a = net("Exp", net.input(2, 3))
    y = net("Add", net("Tanh", a), net("Neg", a))
    assert bodies(same_results(net.graph(y), net.arrays)) == [["Exp", "Tanh", "Neg", "Add"]]


def test_what_is_smaller_is_computed_before():
    """Not for every element of what it is broadcast to."""
    net = Net()
    x, gate = net.input(2, 3, 4, 4), net.input(2, 3, 1, 1)
    y = net("Relu", net("Mul", x, net("Tanh", net("Exp", gate))))
    assert bodies(same_results(net.graph(y), net.arrays)) == [["Exp", "Tanh"], ["Mul", "Relu"]]


def test_shapes_that_are_not_known():
    net = Net()
    x, y = net.input(2, 3), net.input(2, 3)
    for value in (x, y):
        value.shape = None
    z = net("Exp", net("Add", net("Neg", net("Abs", x)), y))
    graph = same_results(net.graph(z), net.arrays, shapes=False)
    assert bodies(graph) == [["Abs", "Neg"], ["Add", "Exp"]]


@pytest.mark.parametrize("dtype", [np.int64, np.float16])
def test_other_dtypes_are_left(dtype):
    net = Net()
    y = net("Abs", net("Neg", net.input(2, 3, dtype=dtype)))
    assert net.left(y) == ["Neg", "Abs"]


def test_a_region_of_float64(backend):
    net = Net()
    x = net.input(2, 3, dtype=np.float64)
    assert net.left(net("Abs", net("Neg", x))) == ["fastconv.Elementwise"]


def test_truth_values_from_elsewhere():
    net = Net()
    x, truth = net.input(2, 3), net.input(2, 3, dtype=bool)
    y = net("Where", truth, net("Exp", net("Neg", x)), x)
    assert net.left(net("Relu", net("Abs", y))) == ["fastconv.Elementwise", "Where", "fastconv.Elementwise"]


def test_a_truth_value_that_is_given_out():
    net = Net()
    x = net.input(2, 3)
    assert net.left(net("Greater", net("Exp", net("Neg", x)), F4(1))) == ["fastconv.Elementwise", "Greater"]


def test_clip_by_what_is_computed():
    net = Net()
    x, low = net.input(2, 3), net.input()
    y = net("Clip", net("Exp", net("Neg", x)), low)
    assert net.left(y) == ["fastconv.Elementwise", "Clip"]


def test_a_body_has_the_types_of_its_values():
    net = Net()
    y = net("Greater", net("Exp", net.input(2, 3)), F4(1))
    y = net("Where", y, F4(1), net.inputs[0])
    (node,) = optimise(net.graph(y))[0].nodes
    made = {inner.operation: inner.outputs[0] for inner in node.attributes["body"].nodes}
    assert {name: (value.dtype, value.shape) for name, value in made.items()} == {
        "Exp": (F4, (2, 3)),
        "Greater": (bool, (2, 3)),
        "Where": (F4, (2, 3)),
    }


def test_within_a_branch(backend):
    net = Net()
    x, condition = net.input(2, 3), net.input(dtype=bool)

    def branch(operation):
        given, middle, out = Value("given"), Value("middle"), Value("out")
        return Graph([given], [out], [Node("Exp", [given], [middle]), Node(operation, [middle], [out])])

    graphs = {"then_branch": branch("Relu"), "else_branch": branch("Neg")}
    y = net("If", condition, captures={name: [x] for name in graphs}, **graphs)
    inner = same_results(net.graph(y), net.arrays).nodes[0].graphs().values()
    assert [bodies(body) for body in inner] == [[["Exp", "Relu"]], [["Exp", "Neg"]]]
