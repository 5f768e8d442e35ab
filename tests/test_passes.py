"""How the passes are run: on a copy, to a fixpoint, up to one of them, with shapes that are given."""

import pickle

import numpy as np
import pytest

import fastconv
from fastconv.graph import Graph, GraphError, Interpreter, Node, Value
from fastconv.graph.operations.windows import Windows
from fastconv.graph.passes import driver, optimise
from fastconv.graph.passes.driver import PASSES
from passes_oracle import Net, same_results

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set


def residual_block():
    net = Net()
    x = net.input(2, 4, 6, 6)
    y = net("Conv", x, net.normal(4, 4, 3, 3), pads=(1,) * 4)
    y = net("BatchNormalization", y, *(np.abs(net.normal(4)) for _ in range(4)))
    y = net("Add", y, x)
    y = net("Relu", y)
    z = net("Mul", y, net("Sigmoid", y))
    return net, z


def state(graph):
    """Everything that a graph says."""
    return [
        (node.operation, [*map(id, node.inputs)], [*map(id, node.outputs)], dict(node.attributes))
        for node in graph.nodes
    ] + [(value.name, value.dtype, value.shape) for node in graph.nodes for value in node.outputs]


def test_the_given_graph_is_not_changed():
    net, y = residual_block()
    graph = net.graph(y)
    before = state(graph)
    result, _ = optimise(graph, input_shapes={"x0": (2, 4, 6, 6)})
    assert state(graph) == before
    assert result.inputs[0] is not graph.inputs[0]
    own = {id(value) for node in graph.nodes for value in node.outputs}
    assert not own & {id(value) for node in result.nodes for value in (*node.inputs, *node.outputs)}


def test_constants_are_shared():
    net = Net()
    weight = Value.of("w", net.normal(4, 3, 1, 1))
    y = net("Relu", net("Conv", net.input(1, 3, 4, 4), weight))
    result, _ = optimise(net.graph(y))
    assert result.nodes[0].inputs[1] is weight


def test_what_was_done_is_said():
    net, y = residual_block()
    _, applied = optimise(net.graph(y))
    assert [one.name for one in applied] == [name for name in PASSES if name in {a.name for a in applied}]
    told = {one.name: one.lines for one in applied}
    assert told["affine"] == ("BatchNormalization BatchNormalization1.0 into Conv Conv0.0",)
    assert told["epilogues"] == ("Add Add2.0, Relu Relu3.0 into Conv Conv0.0",)
    assert told["patterns"] == ("Swish Mul5.0 from 2 nodes",)
    assert all(one.count == len(one.lines) > 0 for one in applied)


@pytest.mark.parametrize("name", PASSES)
def test_stop_after(backend, name):
    net, y = residual_block()
    graph = net.graph(y)
    same_results(graph, net.arrays, stop_after=name)
    _, applied = optimise(graph, stop_after=name)
    places = [*PASSES]
    assert all(places.index(one.name) <= places.index(name) for one in applied)


def test_all_passes_are_named_where_users_look():
    words = optimise.__doc__.replace(",", "").replace("\n", " ")
    assert " ".join([*PASSES][:-1]) + " and elementwise" in " ".join(words.split())


def test_what_is_not_there():
    net, y = residual_block()
    with pytest.raises(ValueError, match="stop_after is 'fusing', but the passes are shapes, constants"):
        optimise(net.graph(y), stop_after="fusing")
    with pytest.raises(ValueError, match="input_shapes has 'y', but the inputs are x0"):
        optimise(net.graph(y), input_shapes={"y": (1,)})
    with pytest.raises(
        ValueError, match=r"input_shapes has \(2, 4, 6\) for 'x0', but it needs \(2, 4, 6, 6\)"
    ):
        optimise(net.graph(y), input_shapes={"x0": (2, 4, 6)})
    with pytest.raises(ValueError, match=r"input_shapes has \(1, 4, 6, 6\)"):
        optimise(net.graph(y), input_shapes={"x0": (1, 4, 6, 6)})
    with pytest.raises(TypeError, match=r"input_shapes is 'x0', but needs the shapes of inputs by name: x0"):
        optimise(net.graph(y), input_shapes="x0")
    for shape in (5, (1.5, 4, 6, 6), ("N", 4, 6, 6)):
        with pytest.raises(
            TypeError, match=r"input_shapes has .* for 'x0', but a shape is a tuple of integers"
        ):
            optimise(net.graph(y), input_shapes={"x0": shape})


def test_the_result_says_its_inputs_as_they_were_given():
    net, y = residual_block()
    net.inputs[0].shape = ("N", 4, None, "N")
    graph = net.graph(y)
    assert optimise(graph)[0].inputs[0].shape == ("N", 4, None, "N")
    assert optimise(graph, input_shapes={"x0": (3, 4, 5, 5)})[0].inputs[0].shape == (3, 4, 5, 5)
    assert optimise(graph, input_shapes={"x0": (3, 4, 5, 5)})[0].outputs[0].shape == (3, 4, 5, 5)


def test_equal_symbols_of_two_inputs_may_be_different_sizes(backend):
    """A file says N of both, and is given 2 and 1: a sum that broadcasts is no residual."""
    net = Net()
    x, y = net.input(2, 4, 3, 3), net.input(1, 4, 3, 3)
    z = net("Add", net("Conv", x, net.normal(4, 4, 1, 1)), y)
    for value in (x, y):
        value.shape = ("N", 4, 3, 3)
    assert net.left(z, shapes=False) == ["Conv", "Add"]
    net.arrays.reverse()
    assert net.left(z, shapes=False) == ["Conv", "Add"]


def test_what_a_file_says_of_outputs_is_not_taken_for_true(backend):
    """The declared shape of an output is wrong: the Expand to it stays."""
    net = Net()
    x = net.input(1, 3)
    y = net("Expand", x, np.array([4, 3]))
    y.shape = (1, 3)
    assert net.left(net("Relu", y), shapes=False) == ["Expand", "Relu"]


def test_what_a_file_says_of_a_body_is_not_taken_for_true():
    """Of the inputs of a loop's body: the state grows."""
    net = Net()
    x = net.input(1, 3)
    count, go, state, more, new = (Value(name) for name in "cgsmn")
    state.dtype, state.shape = np.dtype(np.float32), (1, 3)
    nodes = [Node("Identity", [go], [more]), Node("Concat", [state, state], [new], {"axis": 0})]
    last, places = Value("last"), [Value.of("c", np.array([n])) for n in (0, 2, 0)]
    nodes.append(Node("Slice", [new, *places], [last]))
    body = Graph([count, go, state], [more, new, last], nodes)
    y, parts = net("Loop", np.array(3), None, x, outputs=2, body=body, captures={"body": []})
    assert net.left(y, parts) == ["Loop"]


def test_outputs_keep_their_names_and_their_order(backend):
    net = Net()
    x = net.input(2, 3)
    y = net("Relu", x)
    one, two, three = net("Identity", y), net("Identity", x), net("Identity", y)
    four = net("Add", np.float32(1), np.float32(2))
    graph = same_results(net.graph(one, two, three, four, y, one), net.arrays, 0)
    assert len(graph.nodes) < 5


def test_graphs_within_are_optimised_too(backend):
    """What a branch is given is known to it, and its own parts are fused."""
    net = Net()
    x, condition = net.input(1, 3, 4, 4), net.input(dtype=bool)
    weight = Value.of("w", net.normal(3, 3, 1, 1))

    def branch(last):
        given, middle, out = Value("given"), Value("middle"), Value("out")
        nodes = [Node("Conv", [given, weight], [middle]), Node(last, [middle], [out])]
        return Graph([given], [out], nodes)

    branches = {"then_branch": branch("Relu"), "else_branch": branch("Sigmoid")}
    captures = {name: [x] for name in branches}
    y = net("If", condition, captures=captures, **branches)
    graph = same_results(net.graph(y), net.arrays)
    inner = graph.nodes[0].graphs().values()
    assert [[node.operation for node in body.nodes] for body in inner] == [["fastconv.Conv"]] * 2
    assert [[node.operation for node in body.nodes] for body in branches.values()] == [
        ["Conv", "Relu"],
        ["Conv", "Sigmoid"],
    ]


@pytest.mark.parametrize("operation", ["Mul", "Max", "Transpose", "Reshape", "Identity", "Add"])
def test_long_chains(operation):
    """However long, by no recursion and in no more than linear time."""
    net = Net()
    y = net.input(2, 3)
    more = {"Mul": [np.float32(0.999)], "Add": [np.float32(1)], "Max": [np.zeros((2, 1), np.float32)]}
    for place in range(3000):
        if operation == "Reshape":
            y = net("Reshape", y, np.array([(3, 2), (2, 3)][place % 2]))
        else:
            y = net(
                operation,
                y,
                *more.get(operation, []),
                **({"perm": (1, 0)} if operation == "Transpose" else {}),
            )
    assert len(net.left(y, tolerance=1e-3)) == 1


def test_a_pickle_of_the_result_runs(backend):
    net, y = residual_block()
    result, _ = optimise(net.graph(y))
    again = pickle.loads(pickle.dumps(Interpreter(result)))
    for actual, expected in zip(again(*net.arrays), Interpreter(result)(*net.arrays), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_optimised_again_it_stays():
    net, y = residual_block()
    result, _ = optimise(net.graph(y))
    again, applied = optimise(result)
    assert [node.operation for node in again.nodes] == [node.operation for node in result.nodes]
    assert [one.name for one in applied] in ([], ["shapes"])


def test_a_fault_of_a_pass_is_found(monkeypatch):
    """The verifier runs after each pass."""

    def breaks(editor):
        nodes = list(editor.nodes())
        editor.replace(nodes[0], nodes.pop(), line="broken")

    monkeypatch.setattr(driver, "_TOGETHER", (driver.PASSES["shapes"], breaks))
    monkeypatch.setitem(PASSES, "breaks", breaks)
    net, y = residual_block()
    with pytest.raises(GraphError, match="before it is made"):
        optimise(net.graph(y))


def test_the_summary_of_a_result():
    net, y = residual_block()
    result, _ = optimise(net.graph(y))
    assert "fastconv.Conv" in fastconv.graph.summary(result)


def test_sizes_that_follow_from_symbols(backend):
    """Two ways from one image of any size meet: a sum of equal formulas is a residual, one of others is not."""
    net = Net()
    x = net.input(1, 4, 9, 7)
    x.shape = (1, 4, None, "W-1")  # no name: it could be a formula of another W
    one = net("Conv", x, net.normal(4, 4, 3, 3), pads=(1,) * 4, strides=(2, 2))
    other = net("MaxPool", x, kernel_shape=(1, 1), strides=(2, 2))
    assert net.left(net("Add", one, other), shapes=False) == ["MaxPool", "fastconv.Conv"]
    third = net("MaxPool", x, kernel_shape=(3, 3), auto_pad="SAME_UPPER", strides=(2, 2))
    assert net.left(net("Add", one, third), shapes=False) == ["Conv", "MaxPool", "Add"]


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": (2,)},
        {"strides": (3,), "pads": (1, 0)},
        {"pads": (1, 1)},
        {"pads": (2, 2), "dilations": (2,)},
        {"auto_pad": "SAME_LOWER", "strides": (2,)},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "VALID", "strides": (2,)},
    ],
)
def test_formulas_of_sizes(size, attributes):
    windows = Windows.of((3,), attributes)
    inner = windows.shape(("size",))[0]
    outer = windows.shape((inner,))[0]
    for formula, before in ((inner, size), (outer, eval(inner, {"size": size}))):
        after = eval(formula, {"size": size})
        if before < 0:
            continue
        if after >= 0:
            assert windows.shape((before,))[0] == after
        else:
            with pytest.raises(ValueError, match="do not fit"):
                windows.shape((before,))


def test_formulas_do_not_grow_without_bounds():
    windows, size = Windows.of((3,), {"strides": (2,)}), "size"
    for _ in range(50):
        size = windows.shape((size,))[0]
    assert size is None
