"""The passes that change structure only: each rewriting, and each case in which it must not be done. Results are the
same bits."""

import numpy as np
import pytest

from fastconv.graph import Graph, Interpreter, Node, Value
from fastconv.graph.inference import infer
from fastconv.graph.passes import optimise
from passes_oracle import Net, agree

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set

F4 = np.float32
INF = F4(np.inf)


def exactly(net, *outputs, **more):
    return net.left(*outputs, tolerance=0, **more)


# What changes nothing: the inputs after x, and the attributes.
NOTHING = [
    ("Identity", [], {}),
    ("Dropout", [], {}),
    ("Dropout", [F4(0.5)], {}),
    ("Reshape", [np.array([2, 3, 4, 4])], {}),
    ("Reshape", [np.array([0, -1, 4, 4])], {}),
    ("Transpose", [], {"perm": (0, 1, 2, 3)}),
    ("Pad", [np.zeros(8, int)], {}),
    ("Pad", [np.zeros(8, int)], {"mode": "reflect"}),
    ("Slice", [np.array([0, 0]), np.array([99, 99]), np.array([2, 3])], {}),
    ("Cast", [], {"to": 1}),
    ("CastLike", [F4(0)], {}),
    ("Concat", [], {"axis": 1}),
    ("Expand", [np.array([3, 1, 4])], {}),
    ("Tile", [np.ones(4, int)], {}),
    ("Clip", [], {}),
    ("Clip", [-INF, INF], {}),
    ("Mul", [F4(1)], {}),
    ("Mul", [np.ones((3, 1, 1), F4)], {}),
    ("Div", [np.ones((1, 1, 1, 1), F4)], {}),
    ("Pow", [F4(1)], {}),
    ("Add", [F4(-0.0)], {}),
    ("Sub", [F4(0)], {}),
    ("Sum", [], {}),
    ("Max", [], {}),
]


@pytest.mark.parametrize(("operation", "more", "attributes"), NOTHING)
def test_what_changes_nothing(operation, more, attributes):
    net = Net()
    x = net.input(2, 3, 4, 4)
    net.arrays[0].ravel()[:4] = 0.0, -0.0, np.nan, np.inf
    assert exactly(net, net("Neg", net(operation, net("Abs", x), *more, **attributes))) in (
        ["Abs", "Neg"],
        ["fastconv.Elementwise"],
    )


# What looks like it, and is not.
SOMETHING = [
    ("Reshape", [np.array([3, 2, 4, 4])], {}),
    ("Transpose", [], {"perm": (0, 1, 3, 2)}),
    ("Transpose", [], {}),
    ("Pad", [np.array([0, 0, 1, 0, 0, 0, -1, 0])], {}),
    ("Slice", [np.array([-1]), np.array([-99]), np.array([2]), np.array([-1])], {}),
    ("Slice", [np.array([1]), np.array([99]), np.array([2])], {}),
    ("Cast", [], {"to": 16}),  # bfloat16, held in float32
    ("Cast", [], {"to": 11}),
    ("CastLike", [np.float64(0)], {}),
    ("Expand", [np.array([2, 1, 1, 1, 1])], {}),
    ("Tile", [np.array([1, 1, 1, 2])], {}),
    ("Clip", [-INF, F4(2)], {}),
    ("Mul", [F4(2)], {}),
    ("Mul", [np.ones((1, 1, 1, 1, 1), F4)], {}),  # adds an axis
    ("Mul", [np.ones((4, 2, 3, 4, 4), F4)], {}),
    ("Mul", [np.float64(1)], {}),  # another dtype
    ("Add", [F4(0)], {}),  # makes 0 of -0
    ("Sub", [F4(-0.0)], {}),
    ("Pow", [F4(2)], {}),
]


@pytest.mark.parametrize(("operation", "more", "attributes"), SOMETHING)
def test_what_changes_something(operation, more, attributes):
    net = Net()
    x = net.input(2, 3, 4, 4)
    net.arrays[0].ravel()[:4] = 0.0, -0.0, np.nan, np.inf
    assert exactly(net, net("Softmax", net(operation, x, *more, **attributes))) == [operation, "Softmax"]


def test_ones_that_something_is_broadcast_to_or_divided_into():
    net = Net()
    assert exactly(net, net("Softmax", net("Mul", net.input(1, 3), np.ones((2, 1), F4)))) == [
        "Mul",
        "Softmax",
    ]
    net = Net()
    assert exactly(net, net("Softmax", net("Div", F4(1), net.input(2, 3)))) == ["Div", "Softmax"]


def test_a_size_that_is_not_known_is_the_same_by_counting():
    net = Net()
    x = net.input(2, 3)
    x.shape = ("N", 3)
    assert exactly(net, net("Relu", net("Reshape", x, np.array([-1, 3]))), shapes=False) == ["Relu"]
    assert exactly(net, net("Relu", net("Reshape", x, np.array([-1, 2]))), shapes=False) == [
        "Reshape",
        "Relu",
    ]


def test_an_identity_between_inputs_and_outputs_stays():
    net = Net()
    x = net.input(2)
    assert exactly(net, net("Identity", x)) == ["Identity"]


def test_a_mask_that_is_read():
    net = Net()
    y, mask = net("Dropout", net.input(2), outputs=2)
    assert exactly(net, net("Relu", y), mask) == ["Dropout", "Relu"]


def test_constants_are_computed():
    net = Net()
    x = net.input(2, 3)
    table = net("Add", net("Mul", np.ones(3, F4), F4(2)), np.array([1, 2, 3], F4))
    shape = net("Concat", net("Shape", x), np.array([1]), axis=0)
    assert exactly(net, net("Reshape", net("Softmax", net("Max", x, table)), shape)) == [
        "Max",
        "Softmax",
        "Reshape",
    ]
    x.shape = ("N", 3)
    left = exactly(net, net("Reshape", net("Softmax", x), shape), shapes=False)
    assert left == ["Shape", "Concat", "Softmax", "Reshape"]


def test_a_part_of_a_shape_that_is_known():
    net = Net()
    x = net.input(2, 3)
    x.shape = ("N", 3)
    y = net("Mul", net("Cast", net("Shape", x, start=1), to=1), x)
    assert exactly(net, y, shapes=False) == ["Mul"]


def test_a_chain_of_computed_shapes_takes_no_round_for_each(monkeypatch):
    """Each Reshape's size follows from the result of the one before it."""
    from fastconv.graph.passes import driver

    x = value = Value("x", np.dtype(F4), (2, 3, 8))
    nodes = []
    for place in range(6):
        names = ("shape", "turned", "y")
        shape, turned, y = (Value(f"{name} {place}") for name in names)
        reverse = Value.of("", np.array([2, 0, 1]))
        nodes += [
            Node("Shape", [value], [shape], {"start": 0, "end": 3}),
            Node("Gather", [shape, reverse], [turned], {"axis": 0}),
            Node("Reshape", [value, turned], [y]),
            Node("Relu", [y], [value := Value(f"z {place}")]),
        ]
    rounds, run = [], driver._Run._round
    monkeypatch.setattr(driver._Run, "_round", lambda *given: rounds.append(given) or run(*given))
    graph, _ = optimise(Graph([x], [value], nodes), stop_after="constants")
    assert [node.operation for node in graph.nodes] == ["Reshape", "Relu"] * 6
    assert graph.outputs[0].shape == (2, 3, 8)
    assert len(rounds) <= 4


def test_what_would_fill_memory_is_not_computed():
    net = Net()
    x = net.input(1, 1)
    wide = net("Expand", np.ones((1, 1), F4), np.array([300, 300]))
    assert exactly(net, net("Max", x, wide)) == ["Expand", "Max"]
    net = Net()
    x = net.input(3, 3)
    assert exactly(net, net("Max", x, net("Expand", np.ones((1, 1), F4), np.array([3, 3])))) == ["Max"]


def test_an_output_that_is_computed():
    net = Net()
    y = net("Add", F4(1), F4(2))
    graph, _ = optimise(net.graph(y))
    assert graph.nodes == []
    assert (graph.outputs[0].name, graph.outputs[0].constant) == (y.name, 3)


def test_an_error_is_left_for_the_run():
    net = Net()
    x = net.input(2)
    y = net("Reshape", np.ones(3, F4), np.array([2]))
    graph, _ = optimise(net.graph(net("Add", x, y)))
    with pytest.raises(ValueError, match="reshape"):
        Interpreter(graph)(np.ones(2, F4))


def test_the_same_is_computed_once():
    net = Net()
    x = net.input(2, 3)
    parts = [net("Concat", net("Softmax", x, axis=axis), x, axis=0) for axis in (0, 0, 1)]
    y = net("Concat", *parts, axis=0)
    assert exactly(net, y) == ["Softmax", "Concat", "Softmax", "Concat", "Concat"]


def test_what_begins_with_all_that_another_one_joins():
    net = Net()
    x, y, z = net.input(2, 3), net.input(2, 2), net.input(2, 1)
    a = net("Concat", x, y, axis=1)
    b = net("Concat", x, y, z, axis=1)
    c = net("Concat", x, y, z, x, y, axis=1)
    graph, _ = optimise(net.graph(a, b, c))
    first, second, third = graph.nodes
    assert second.inputs == [first.outputs[0], graph.inputs[2]]
    assert third.inputs == [second.outputs[0], *graph.inputs[:2]]
    exactly(net, a, b, c)


def test_what_begins_otherwise_than_another_one():
    net = Net()
    x, y, z = net.input(2, 2), net.input(2, 2), net.input(2, 2)
    made = [
        net("Concat", *parts, axis=axis)
        for axis, parts in ((0, (x, y)), (1, (x, y, z)), (0, (x, z, y)), (0, (y, x, z)), (0, (x, y, z)))
    ]
    graph, _ = optimise(net.graph(*made))
    assert [len(node.inputs) for node in graph.nodes] == [
        2,
        3,
        3,
        3,
        3,
    ]  # of all with that part, the last alone
    exactly(net, *made)


def test_constants_that_are_nearly_the_same():
    net = Net()
    x = net.input(2, 3)
    parts = [net("Softmax", net("Max", x, c)) for c in (F4(0), F4(-0.0), np.zeros(1, F4), F4(0))]
    assert exactly(net, net("Concat", *parts, axis=0)) == [*["Max", "Softmax"] * 3, "Concat"]


def test_the_same_twice_as_outputs():
    net = Net()
    x = net.input(2, 3)
    assert exactly(net, net("Softmax", x), net("Softmax", x)) == ["Softmax", "Softmax"]


def test_what_is_not_read_is_left_out():
    net = Net()
    x = net.input(2, 3)
    net("Softmax", net("Relu", x))
    assert exactly(net, net("Neg", x)) == ["Neg"]


def test_places_of_maxima_that_are_not_read():
    net = Net()
    x = net.input(1, 2, 4, 4)
    y, places = net("MaxPool", x, outputs=2, kernel_shape=(2, 2))
    graph, _ = optimise(net.graph(y))
    assert len(graph.nodes[0].outputs) == 1
    graph, _ = optimise(net.graph(y, places))
    assert len(graph.nodes[0].outputs) == 2


def test_parts_of_a_split_that_are_not_read():
    """How many there are says how large they are."""
    net = Net()
    one, _ = net("Split", net.input(4, 3), outputs=2)
    assert exactly(net, net("Softmax", one)) == ["Split", "Softmax"]


def test_transposes_cancel():
    net = Net()
    x = net.input(1, 2, 3, 4)
    y = net("Transpose", net("Transpose", x, perm=(0, 2, 3, 1)), perm=(0, 3, 1, 2))
    assert exactly(net, net("Softmax", y)) == ["Softmax"]


def test_transposes_become_one():
    net = Net()
    x = net.input(1, 2, 3, 4)
    y = net("Transpose", net("Transpose", x, perm=(0, 2, 3, 1)), perm=(3, 1, 2, 0))
    assert exactly(net, net("Transpose", y)) == ["Transpose"]


def test_a_transpose_with_another_reader_stays():
    net = Net()
    inner = net("Transpose", net.input(1, 2, 3, 4), perm=(0, 2, 3, 1))
    y = net("Transpose", inner, perm=(0, 3, 1, 2))
    assert exactly(net, net("Softmax", y), net("Exp", inner)) == ["Transpose", "Softmax", "Exp"]


def test_transposes_meet_behind_elementwise_operations():
    """With a constant along an axis, which is transposed back."""
    net = Net()
    y = net("Relu", net("Transpose", net.input(1, 2, 3, 4), perm=(0, 2, 3, 1)))
    y = net("Max", y, net.normal(2))
    y = net("Max", net.normal(3, 1, 1), y)
    y = net("Softmax", net("Transpose", y, perm=(0, 3, 1, 2)))
    assert exactly(net, y) == ["fastconv.Elementwise", "Softmax"]


def test_two_that_are_transposed_alike_are_added_first():
    net = Net()
    parts = [net("Transpose", net.input(2, 3), perm=(1, 0)) for _ in range(2)]
    assert exactly(net, net("Add", *parts)) == ["Add", "Transpose"]


def test_two_that_are_transposed_differently():
    net = Net()
    parts = [net("Transpose", net.input(2, 2, 2), perm=perm) for perm in ((1, 0, 2), (2, 0, 1))]
    assert exactly(net, net("Add", *parts)) == ["Transpose", "Transpose", "Add"]


def test_what_is_joined_is_transposed_once():
    net = Net()
    parts = [net("Transpose", net.input(2, 3, 4), perm=(2, 0, 1)) for _ in range(2)]
    assert exactly(net, net("Concat", *parts, axis=-1)) == ["Concat", "Transpose"]


def test_a_transpose_that_would_meet_no_other_stays():
    net = Net()
    y = net("Sigmoid", net("Transpose", net.input(2, 3), perm=(1, 0)))
    assert exactly(net, net("Softmax", y)) == ["Transpose", "Sigmoid", "Softmax"]


def test_a_transpose_beside_something_that_is_not_transposed():
    net = Net()
    y = net("Add", net("Transpose", net.input(2, 3), perm=(1, 0)), net.input(3, 2))
    assert exactly(net, net("Transpose", y)) == ["Transpose", "Add", "Transpose"]


def test_reshapes_become_one():
    net = Net()
    y = net("Unsqueeze", net("Flatten", net.input(2, 3, 4)), np.array([0]))
    assert exactly(net, net("Squeeze", net("Reshape", y, np.array([1, 6, 4])), np.array([0]))) == ["Reshape"]
    assert exactly(net, net("Reshape", y, np.array([2, 3, 4]))) == ["Identity"]


def test_reshapes_of_any_number_of_images():
    net = Net()
    x = net.input(2, 3, 4)
    x.shape = ("N", 3, 4)
    y = net("Reshape", net("Unsqueeze", x, np.array([1])), np.array([-1, 6, 2]))
    assert exactly(net, y, shapes=False) == ["Reshape"]
    net.inputs.append(sizes := Value("sizes", np.dtype(np.int64), (2,)))
    net.arrays.append(np.array([6, 4]))
    y = net("Reshape", net("Unsqueeze", x, np.array([1])), sizes)
    assert exactly(net, y, shapes=False) == ["Unsqueeze", "Reshape"]


def test_reshapes_of_nothing():
    """A size of 0 would be taken for one that stays."""
    net = Net()
    y = net("Reshape", net("Unsqueeze", net.input(3, 0), np.array([0])), np.array([0, 5]), allowzero=1)
    assert exactly(net, y) == ["Unsqueeze", "Reshape"]


def test_a_reshape_that_is_an_error_stays():
    net = Net()
    y = net("Reshape", net("Reshape", net.input(2, 6), np.array([3, 5])), np.array([2, 6]))
    graph, _ = optimise(net.graph(y))
    with pytest.raises(ValueError, match="reshape"):
        Interpreter(graph)(*net.arrays)


def test_a_reshape_that_is_read_elsewhere_is_passed_by():
    net = Net()
    inner = net("Reshape", net.input(2, 6), np.array([3, 4]))
    y = net("Reshape", inner, np.array([6, 2]))
    assert exactly(net, net("Softmax", y), net("Softmax", inner)) == [
        "Reshape",
        "Reshape",
        "Softmax",
        "Softmax",
    ]


def test_a_transpose_of_axes_of_one_element():
    net = Net()
    assert exactly(net, net("Transpose", net.input(2, 1, 3, 1), perm=(1, 0, 3, 2))) == ["Reshape"]
    assert exactly(net, net("Transpose", net.input(2, 1, 3, 1), perm=(2, 1, 0, 3))) == ["Transpose"]


def branch(*operations, given=True):
    value = Value("given")
    inputs, nodes = [value] if given else [], []
    for operation in operations:
        made = Value(operation)
        nodes.append(Node(operation, [value], [made]))
        value = made
    return Graph(inputs, [value], nodes)


def test_a_branch_that_is_always_taken():
    for condition, left in ((True, ["Softmax", "Neg"]), (False, ["Exp", "Neg"])):
        net = Net()
        x = net.input(2, 3)
        graphs = {"then_branch": branch("Softmax"), "else_branch": branch("Exp")}
        y = net("If", np.array(condition), captures={name: [x] for name in graphs}, **graphs)
        y = net("Softmax", net("Neg", y))
        expected = left if condition else ["fastconv.Elementwise"]
        assert exactly(net, y) == [*expected, "Softmax"]


def test_a_branch_is_told_constants():
    net = Net()
    x = net.input(dtype=bool)
    graphs = {"then_branch": branch("Exp"), "else_branch": branch("Neg")}
    y = net("If", x, captures={name: [Value.of("c", F4(2))] for name in graphs}, **graphs)
    graph, _ = optimise(net.graph(y))
    assert [body.nodes for body in graph.nodes[0].graphs().values()] == [[], []]
    assert graph.nodes[0].captures == {"then_branch": [], "else_branch": []}
    for truth in (True, False):
        agree(Interpreter(graph)(np.array(truth))[0], F4(np.exp(F4(2)) if truth else -2), 0)


def test_what_is_read_within_is_read():
    """By a branch: it is neither left out nor fused."""
    net = Net()
    x, condition = net.input(1, 3, 4, 4), net.input(dtype=bool)
    y = net("Conv", x, net.normal(3, 3, 1, 1))
    graphs = {"then_branch": branch("Softmax"), "else_branch": branch("Neg")}
    chosen = net("If", condition, captures={name: [y] for name in graphs}, **graphs)
    left = net.left(net("Relu", y), chosen)
    assert sorted(left) == ["Conv", "If", "Relu"]


def test_a_loop_keeps_its_state(backend):
    net = Net()
    x = net.input(2, 3)
    count, go, state, factor, more, twice, new = (Value(name) for name in "cgsfmtn")
    nodes = [
        Node("Identity", [go], [more]),
        Node("Mul", [state, factor], [twice]),
        Node("Identity", [twice], [new]),
    ]
    body = Graph([count, go, state, factor], [more, new, twice], nodes)
    y, all_of_them = net("Loop", np.array(3), None, x, outputs=2, body=body, captures={"body": [x]})
    assert exactly(net, y, all_of_them) == ["Loop"]


def test_sizes_that_no_array_has():
    """Of images that a file declares: what follows from these is not known, or is not written down."""
    x = Value("x", np.dtype(F4), (2**40, 2**40))
    flat, size, y = Value("flat"), Value("size"), Value("y")
    nodes = [
        Node("Flatten", [x], [flat], {"axis": 0}),
        Node("Squeeze", [flat, Value.of("axes", np.array([0]))], [y]),
    ]
    graph, _ = optimise(Graph([x], [y, size], [*nodes, Node("Size", [x], [size])]))
    assert [node.operation for node in graph.nodes if node.operation == "Size"] == ["Size"]
    with pytest.raises(ValueError, match="would have the shape"):
        infer(nodes[0])
