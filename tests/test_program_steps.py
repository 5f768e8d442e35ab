"""Nodes that are steps in C beside convolution, pooling and elementwise ones: products, reductions, normalisation, what
takes elements from known places, and recurrent layers; against the interpreter, and where it calls the same kernels,
against NumPy.
"""

import numpy as np
import pytest

import fastconv
from fastconv.graph import Graph, Interpreter, Node, Value, infer
from fastconv.graph.program import Program
from passes_oracle import Net, agree

DTYPES = [np.float32, np.float64]


def run(net, *outputs, backend, optimize=False, in_c=True):
    graph = net.graph(*outputs)
    shapes = {value.name: array.shape for value, array in zip(net.inputs, net.arrays, strict=True)}
    program = Program(graph, shapes, backend, optimize=optimize)
    if backend == "cython":
        left = [step.operation for step in program._runs.steps if isinstance(step, Node)]
        assert bool(left) != in_c
    return [np.asarray(result) for result in [program._run(net.arrays) for _ in range(2)][1]]


def check(net, *outputs, backend, tolerance=1e-5, **options):
    wanted = Interpreter(net.graph(*outputs))(*net.arrays)
    for actual, expected in zip(run(net, *outputs, backend=backend, **options), wanted, strict=True):
        agree(actual, np.asarray(expected), tolerance)


def close(actual, wanted, dtype, factor=1.0):
    """Relative to the largest value."""
    assert actual.dtype == dtype
    assert actual.shape == wanted.shape
    error = np.abs(actual - wanted).max(initial=0)
    assert error <= factor * (2e-6 if dtype == np.float32 else 1e-14) * np.abs(wanted).max(initial=1)


PRODUCTS = [
    ((3, 5), (5, 7)), ((1, 5), (5, 1)), ((5,), (5, 7)), ((3, 5), (5,)), ((5,), (5,)), ((2, 3, 5), (5, 7)),
    ((2, 8, 25, 15), (2, 8, 15, 25)), ((3, 5), (4, 5, 7)), ((4, 3, 5), (4, 5, 1)), ((1, 4, 3, 5), (4, 5, 7)),
    ((1, 3, 5), (2, 4, 5, 7)), ((70, 130), (130, 90)), ((2, 1, 64), (2, 64, 200)), ((13, 1), (1, 13)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_products(backend, shapes, dtype):
    net = Net()
    one, other = (net.input(*shape, dtype=dtype) for shape in shapes)
    (actual,) = run(net, net("MatMul", one, other), backend=backend)
    close(actual, np.matmul(*(array.astype(np.float64) for array in net.arrays)), dtype)


@pytest.mark.one_instruction_set
def test_products_in_python(backend):
    """Stacks that are broadcast against each other; integers."""
    net = Net()
    y = net("MatMul", net.input(2, 1, 3, 5), net.input(1, 4, 5, 7))
    check(net, y, backend=backend, in_c=False)
    net = Net()
    check(
        net, net("MatMul", *(net.input(3, 3, dtype=np.int64) for _ in range(2))), backend=backend, in_c=False
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("turned", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("added", [None, (7,), (3, 1), (1,), (3, 7), ()], ids=str)
def test_general_products(backend, added, turned, dtype):
    for factors in ({}, {"alpha": 0.5, "beta": 2.0}):
        net = Net()
        shapes = ((5, 3) if turned[0] else (3, 5)), ((7, 5) if turned[1] else (5, 7))
        values = [net.input(*shape, dtype=dtype) for shape in shapes]
        if added is not None:
            values.append(net.input(*added, dtype=dtype))
        y = net("Gemm", *values, transA=turned[0], transB=turned[1], **factors)
        one, other, *rest = (np.asarray(array, np.float64) for array in net.arrays)
        wanted = (one.T if turned[0] else one) @ (other.T if turned[1] else other) * factors.get("alpha", 1)
        if rest:
            wanted = wanted + rest[0] * factors.get("beta", 1)
        close(run(net, y, backend=backend)[0], wanted, dtype)
        close(np.asarray(Interpreter(net.graph(y))(*net.arrays)[0]), wanted, dtype)


NORMS = [
    ("LayerNormalization", (2, 3, 40), (40,), {}), ("LayerNormalization", (2, 3, 5, 7), (3, 5, 7), {"axis": 1}),
    ("LayerNormalization", (130, 1), (1,), {"axis": -1}), ("InstanceNormalization", (2, 3, 9, 11), (3,), {}),
    ("InstanceNormalization", (1, 5, 70), (5,), {}), ("InstanceNormalization", (2, 3, 2, 3, 4), (3,), {}),
    ("GroupNormalization", (2, 6, 5, 7), (6,), {"num_groups": 3}),
    ("GroupNormalization", (3, 4, 50), (4,), {"num_groups": 1}),
]  # fmt: skip


def normalised(operation, shape, x, scale, bias, attributes):
    x = x.astype(np.float64)
    if operation == "LayerNormalization":
        axis = attributes.get("axis", -1) % len(shape)
        rows = x.reshape(int(np.prod(shape[:axis])), -1)
    else:
        groups = attributes.get("num_groups", shape[1])
        rows = x.reshape(shape[0] * groups, -1)
        scale, bias = (each.reshape(-1, *(1,) * (len(shape) - 2)) for each in (scale, bias))
    deviation = np.sqrt(rows.var(axis=1, keepdims=True) + 1e-5)
    return ((rows - rows.mean(axis=1, keepdims=True)) / deviation).reshape(shape) * scale + bias


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(
    ("operation", "shape", "factors", "attributes"), NORMS, ids=lambda value: str(value)[:20]
)
def test_norms(backend, operation, shape, factors, attributes, constant, dtype):
    net = Net()
    x = net.input(*shape, dtype=dtype)
    net.arrays[0] += 30  # the mean takes digits
    arrays = [net.normal(*factors).astype(dtype) for _ in range(2)]
    if constant:
        scale, bias = arrays
    else:
        scale, bias = (net.input(*factors, dtype=dtype) for _ in range(2))
        arrays = net.arrays[1:]
    stash = {"stash_type": 11} if dtype == np.float64 and operation != "InstanceNormalization" else {}
    y = net(operation, x, scale, bias, **attributes, **stash)
    wanted = normalised(operation, shape, net.arrays[0], *arrays, attributes)
    close(run(net, y, backend=backend)[0], wanted, dtype, 4)
    close(np.asarray(Interpreter(net.graph(y))(*net.arrays)[0]), wanted, dtype, 4)


@pytest.mark.one_instruction_set
def test_norms_in_python(backend):
    """What is wanted of the statistics, or in more digits; rows that no cache holds."""
    net = Net()
    x = net.input(2, 3, 40)
    outputs = net("LayerNormalization", x, net.normal(40), outputs=3)
    check(net, *outputs, backend=backend, in_c=False)
    mean, inverse = (
        net.arrays[0].mean(-1, keepdims=True),
        1 / np.sqrt(net.arrays[0].var(-1, keepdims=True) + 1e-5),
    )
    for actual, wanted in zip(
        Interpreter(net.graph(*outputs))(*net.arrays)[1:], (mean, inverse), strict=True
    ):
        np.testing.assert_allclose(actual, wanted, rtol=1e-5)
    net = Net()
    y = net("LayerNormalization", net.input(2, 40), net.normal(40), stash_type=11)
    check(net, y, backend=backend, in_c=False)
    net = Net()
    y = net("InstanceNormalization", net.input(1, 1, 1100, 1000), net.normal(1), net.normal(1))
    check(net, y, backend=backend, in_c=False)


REDUCTIONS = {
    "ReduceL1": lambda x, **along: np.abs(x).sum(**along),
    "ReduceL2": lambda x, **along: np.sqrt((x * x).sum(**along)),
    "ReduceLogSum": lambda x, **along: np.log(x.sum(**along)),
    "ReduceLogSumExp": lambda x, **along: np.log(np.exp(x).sum(**along)),
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceSumSquare": lambda x, **along: (x * x).sum(**along),
}
AXES = [(0,), (1,), (-1,), (1, 2), (0, 2), (0, 3), (0, 1, 2, 3), None]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", REDUCTIONS)
def test_reductions(backend, operation, dtype):
    """Along the last axes, others, and such that do not follow on each other; of few elements and of many."""
    for shape in ((2, 3, 5, 7), (1, 4, 1, 37), (2, 2, 70, 130), (1, 1, 1, 1), (1, 1, 1100, 3)):
        for axes in AXES if shape[-2] < 70 else ((1, 2), (3,), None):
            net = Net()
            x = net.input(*shape, dtype=dtype)
            if operation == "ReduceProd":
                net.arrays[0][:] = 1 + 0.01 * net.arrays[0]
            if operation == "ReduceLogSum":
                net.arrays[0][:] = np.abs(net.arrays[0]) + 0.1
            keep = 0 if axes == (1,) else 1
            given = [] if axes is None else [np.array(axes)]
            wanted = REDUCTIONS[operation](net.arrays[0].astype(np.float64), axis=axes, keepdims=bool(keep))
            y = net(operation, x, *given, keepdims=keep)
            close(run(net, y, backend=backend)[0], np.asarray(wanted), dtype, 2)


@pytest.mark.one_instruction_set
def test_reductions_of_infinite_ones_and_of_nothing(backend):
    net = Net()
    x = net.input(6, 3)
    net.arrays[0][:] = [
        [np.inf, 1, 2], [-np.inf, -np.inf, -np.inf], [np.nan, 1, 2], [-np.inf, 0, 1], [np.inf, -np.inf, 0],
        [-0.0, 0.0, -0.0],
    ]  # fmt: skip
    names = ("ReduceLogSumExp", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd")
    with np.errstate(all="ignore"):
        check(net, *(net(name, x, np.array([1])) for name in names), backend=backend, tolerance=1e-6)
        check(net, net("ReduceMax", x, np.array([0])), net("ReduceMin", x, np.array([0])), backend=backend)
    net = Net()
    check(net, net("ReduceSum", net.input(3, 0), np.array([1])), backend=backend, in_c=False)
    net = Net()
    x = net.input(3, 4)
    check(net, net("ReduceSum", x, noop_with_empty_axes=1), net("ReduceSumSquare", x, noop_with_empty_axes=1),
          backend=backend)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_sums_keep_their_digits(backend, dtype):
    if backend != "cython":
        pytest.skip("the interpreter is NumPy's")
    net = Net()
    x = net.input(2, 300_001, dtype=dtype)
    net.arrays[0][:] = np.abs(net.arrays[0]) + 1
    wanted = net.arrays[0].astype(np.longdouble)
    mean, total = run(
        net, net("ReduceMean", x, np.array([1])), net("ReduceSum", x, np.array([0, 1])), backend=backend
    )
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(mean, wanted.mean(1, keepdims=True).astype(np.float64), rtol=2 * eps)
    np.testing.assert_allclose(total, [[float(wanted.sum())]], rtol=2 * eps)


def test_reductions_do_not_depend_on_threads(backend):
    net = Net()
    x = net.input(3, 200_003)
    graph = net.graph(net("ReduceSum", x, np.array([1])), net("ReduceSumSquare", x))
    program = Program(graph, {"x0": (3, 200_003)}, backend)
    results = []
    for threads in (1, 2, 3):
        with fastconv.num_threads(threads):
            results.append([np.asarray(array).tobytes() for array in program._run(net.arrays)])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("operation", ["ArgMax", "ArgMin"])
def test_places_of_extremes(backend, operation, last, dtype):
    """With equal ones, infinite ones, and what is no number."""
    for shape, axis in (
        ((3, 70), 1),
        ((70, 3), 0),
        ((2, 37, 19), 1),
        ((5, 1), 1),
        ((2, 3, 200), -1),
        ((9,), 0),
    ):
        for kind in ("few", "infinite", "nan", "equal"):
            net = Net()
            x = net.input(*shape, dtype=dtype)
            array = net.arrays[0]
            array[:] = np.round(array)
            if kind == "infinite":
                array[np.random.default_rng(0).random(shape) < 0.7] = (
                    -np.inf if operation == "ArgMax" else np.inf
                )
            if kind == "nan":
                array[np.random.default_rng(1).random(shape) < 0.1] = np.nan
            if kind == "equal":
                array[:] = -np.inf if operation == "ArgMax" else np.inf
            y = net(operation, x, axis=axis, keepdims=last, select_last_index=last)
            check(net, y, backend=backend, tolerance=0)


PADS = [
    ("constant", [0, 0, 1, 2, 0, 0, 3, 0]),
    ("constant", [1, 0, 0, 2, 0, 3, 0, 1]),
    ("constant", [2, 1, 0, 0, 1, 0, 0, 0]),
    ("constant", [0, 0, -1, 2, 0, 0, 1, -3]),
    ("constant", [0] * 8),
    ("constant", [0, 0, 9, -6, 0, 0, -7, 8]),  # all is cut off
    ("constant", [0, 0, 0, -(2**40), 0, 0, 0, 2**40]),
    ("reflect", [0, 0, 2, 3, 0, 0, 1, 2]),
    ("reflect", [1, 1, 0, 3, 1, 0, 2, 0]),
    ("edge", [0, 2, 2, 3, 1, 0, 1, 2]),
    ("edge", [-1, 0, 0, -1, 0, 1, -1, 0]),
    ("wrap", [0, 0, 2, 3, 0, 0, 1, 2]),
]


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize(("mode", "pads"), PADS, ids=str)
def test_pads(backend, mode, pads, dtype):
    net = Net()
    x = net.input(2, 3, 5, 7, dtype=dtype)
    value = [] if dtype == np.bool_ or mode != "constant" else [np.array(3, dtype)]
    axes = np.array([-2, 0])
    check(net, net("Pad", x, np.array(pads), *value, mode=mode), net("Pad", x, np.array(pads), mode=mode),
          net("Pad", x, np.array([1, 0, 0, 1]), None, axes, mode=mode), backend=backend, tolerance=0)  # fmt: skip


GATHERS = [
    (0, 1), (1, [2, 0, 0]), (2, [[0, -1], [3, 1]]), (-1, [1, 3, 5]), (3, [6, 4, 2, 0]), (1, -1), (0, [[1]]),
    (2, [4, 4, 4]),
]  # fmt: skip


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
@pytest.mark.parametrize(("axis", "indices"), GATHERS, ids=str)
def test_gathers(backend, axis, indices, dtype):
    net = Net()
    x = net.input(2, 3, 5, 7, dtype=dtype)
    y = net("Gather", net("Identity", x), np.array(indices), axis=axis)
    check(net, y, net("Concat", y, y, axis=0) if np.ndim(indices) else x, backend=backend, tolerance=0)


@pytest.mark.one_instruction_set
def test_a_place_that_is_not_there(backend):
    net = Net()
    y = net("Gather", net.input(2, 3), np.array([0, 5]), axis=1)
    with pytest.raises(ValueError, match="Gather: indices"):
        run(net, y, backend=backend, in_c=False)


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 1, 3), (1, 4, 1), (3, 2, 2)], ids=str)
def test_tiles(backend, repeats):
    net = Net()
    check(net, net("Tile", net.input(2, 3, 5), np.array(repeats)), backend=backend, tolerance=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("operation", ["GRU", "LSTM", "RNN"])
def test_recurrent(backend, operation, direction, dtype):
    for (times, batch, inputs, hidden), form in (
        ((1, 1, 5, 7), "all"), ((4, 3, 5, 6), "all"), ((3, 2, 9, 17), "no state"), ((2, 1, 3, 64), "no bias"),
        ((5, 2, 4, 8), "only last"),
    ):  # fmt: skip
        for after in (0, 1) if operation == "GRU" else (None,):
            net = Net()
            count, gates = 1 + (direction == "bidirectional"), {"GRU": 3, "LSTM": 4, "RNN": 1}[operation]
            x = net.input(times, batch, inputs, dtype=dtype)
            weights = [
                net.normal(count, gates * hidden, n).astype(dtype) / np.sqrt(n) for n in (inputs, hidden)
            ]
            weights = [weight.astype(dtype) for weight in weights]
            bias = None if form == "no bias" else net.normal(count, 2 * gates * hidden).astype(dtype)
            states = [net.input(count, batch, hidden, dtype=dtype) for _ in range(1 + (operation == "LSTM"))]
            if form == "no state":
                states, net.inputs, net.arrays = [], net.inputs[:1], net.arrays[:1]
            attributes = {"direction": direction, "hidden_size": hidden}
            if after is not None:
                attributes["linear_before_reset"] = after
            outputs = net(
                operation, x, *weights, bias, None, *states, outputs=2 + (operation == "LSTM"), **attributes
            )
            if form == "only last":
                net.nodes[-1].outputs[0] = None
                outputs = outputs[1:]
            tolerance = 2e-6 if dtype == np.float32 else 1e-14
            check(net, *outputs, backend=backend, tolerance=tolerance)


@pytest.mark.one_instruction_set
@pytest.mark.parametrize(
    "attributes",
    [{"clip": 0.5}, {"activations": ("Relu", "Tanh", "Tanh")}, {"layout": 1}, {"input_forget": 1}],
    ids=str,
)
def test_recurrent_in_python(backend, attributes):
    net = Net()
    y = net(
        "LSTM", net.input(3, 3, 4), net.normal(1, 20, 4), net.normal(1, 20, 5), hidden_size=5, **attributes
    )
    check(net, y, backend=backend, in_c=False)


def branch(operation, shape):
    """A body of two inputs, the second of which it may give back."""
    first, second, middle, out = (
        Value(name, np.dtype(np.float32), shape) for name in ("a", "b", "middle", "out")
    )
    nodes = [Node("Exp", [first], [middle]), Node(operation, [middle, second], [out])]
    return Graph([first, second], [out, second], nodes)


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("optimize", [False, True])
def test_branches_run_in_c(backend, optimize):
    """What they give back may be what they were given, which lies in the arena around them."""
    for condition in (True, False):
        net = Net()
        chosen, x = net.input(dtype=bool), net.input(3, 70)
        net.arrays[0] = np.array(condition)
        a, b = net("Neg", x), net("Abs", x)
        graphs = {"then_branch": branch("Add", (3, 70)), "else_branch": branch("Sub", (3, 70))}
        y, same = net("If", chosen, captures={name: [a, b] for name in graphs}, outputs=2, **graphs)
        later = net("Tanh", net("Abs", net("Neg", y)))
        graph = net.graph(y, same, net("Mul", later, same))
        shapes = {value.name: np.shape(array) for value, array in zip(net.inputs, net.arrays, strict=True)}
        program = Program(graph, shapes, backend, optimize=optimize)
        wanted = Interpreter(graph)(*net.arrays)
        for _ in range(2):
            for actual, expected in zip(program._run(net.arrays), wanted, strict=True):
                agree(np.asarray(actual), np.asarray(expected), 1e-6)
        if backend == "cython":
            branches = program._runs._branches
            assert [one._compiled is not None for one in branches] == [condition, not condition]
            branches = [one.compiled for one in branches]
            assert [any(isinstance(step, Node) for step in one.steps) for one in branches] == [False, False]
            assert program.memory().arena >= sum(one.arena_bytes for one in branches) > -optimize


@pytest.mark.one_instruction_set
def test_a_branch_has_the_precision_of_its_program(backend):
    """It is compiled later, when it is taken."""
    if backend != "cython":
        pytest.skip("only programs in C compile branches")
    net = Net()
    chosen, x = net.input(dtype=bool), net.input(1, 8, 16, 16)
    net.arrays[0] = np.array(True)
    weight = Value.of("weight", net.normal(8, 8, 3, 3))
    inner, out = (Value(name, x.dtype, (1, 8, size, size)) for name, size in (("inner", 16), ("out", 14)))
    body = Graph([inner], [out], [Node("Conv", [inner, weight], [out])])
    y = net(
        "If", chosen, captures={"then_branch": [x], "else_branch": [x]}, then_branch=body, else_branch=body
    )
    graph = net.graph(y)
    shapes = {value.name: np.shape(array) for value, array in zip(net.inputs, net.arrays, strict=True)}
    with fastconv.use_precision("strict"):
        program = Program(graph, shapes, backend)
    program._run(net.arrays)
    ((_, problem),) = program._runs._branches[0]._compiled.problems()
    assert problem.precision == "strict"


@pytest.mark.one_instruction_set
@pytest.mark.parametrize(("size", "count"), [(7, 3), (6, 3), (5, 1), (2, 3)])
def test_equal_parts_have_shapes(size, count):
    parts = infer_split(size, count)
    assert parts == [
        part.shape for part in np.split(np.empty((2, size)), np.arange(1, count) * -(-size // count), 1)
    ]


def infer_split(size, count):
    x = Value("x", np.dtype(np.float32), (2, size))
    node = Node(
        "Split", [x], [Value(str(place)) for place in range(count)], {"axis": 1, "num_outputs": count}
    )
    infer(node)
    return [value.shape for value in node.outputs]


@pytest.mark.one_instruction_set
def test_equal_parts_of_old_files_have_shapes(backend):
    """Before operator set 18 the outputs alone say how many there are."""
    onnx = pytest.importorskip("onnx")
    info = onnx.helper.make_tensor_value_info
    names = ("a", "b", "c")
    nodes = [
        onnx.helper.make_node("Split", ["x"], names, axis=1),
        onnx.helper.make_node("Sum", names, ["y"]),
    ]
    inputs, outputs = [info("x", 1, (2, 6))], [info("y", 1, (2, 2))]
    graph = onnx.helper.make_graph(nodes, "parts", inputs, outputs)
    file = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)]).SerializeToString()
    model = fastconv.onnx.load(file)
    assert [value.shape for value in model.graph.nodes[0].outputs] == [(2, 2)] * 3
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    np.testing.assert_array_equal(model(x), x[:, :2] + x[:, 2:4] + x[:, 4:])
