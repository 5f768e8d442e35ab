"""Programs: networks compiled for one set of shapes, against the interpreter of the plain graph."""

import gc
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given

import fastconv
import fastconv.nn as nn
from fastconv.graph import Graph, Interpreter, Node, Value
from fastconv.graph.program import Program
from fastconv.graph.program.memory import byte_count
from onnx_models import classifier
from passes_oracle import Net, agree
from test_passes_random import networks

X = np.random.default_rng(1).normal(size=(2, 3, 12, 12)).astype(np.float32)


def compiled(graph, inputs, backend, **options):
    return Program(
        graph, {v.name: a.shape for v, a in zip(graph.inputs, inputs, strict=True)}, backend, **options
    )


def check(net, *outputs, tolerance=1e-5, optimize=False):
    """The steps of a network that gives what the interpreter gives."""
    graph = net.graph(*outputs)
    program = compiled(graph, net.arrays, fastconv.get_backend(), optimize=optimize)
    expected = Interpreter(graph)(*net.arrays)
    for _ in range(2):  # the second run has the first one's memory
        for actual, wanted in zip(program._run(net.arrays), expected, strict=True):
            agree(np.asarray(actual), np.asarray(wanted), tolerance)
    return program


def in_python(program):
    return [step.operation for step in program._runs.steps if isinstance(step, Node)]


@given(networks())
def test_random_networks(backend, network):
    graph, x = network
    inputs = [x]
    expected = Interpreter(graph)(*inputs)
    for optimize in (False, True):
        program = compiled(graph, inputs, backend, optimize=optimize)
        for _ in range(2):
            for actual, wanted in zip(program._run(inputs), expected, strict=True):
                agree(np.asarray(actual), np.asarray(wanted), 1e-3)


UNARY = {
    "Abs": {}, "Ceil": {}, "Elu": {"alpha": 1.5}, "Exp": {}, "Floor": {}, "Gelu": {}, "HardSigmoid": {"alpha": 0.3},
    "HardSwish": {}, "LeakyRelu": {"alpha": 0.2}, "Mish": {}, "Neg": {}, "Reciprocal": {}, "Relu": {}, "Round": {},
    "Selu": {}, "Sigmoid": {}, "Swish": {}, "Tanh": {},
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("operation", UNARY)
def test_unary(backend, operation, dtype):
    """Over sizes around vectors and tiles; special values too."""
    for size in (1, 7, 1025, 5000):
        net = Net()
        x = net.input(size, dtype=dtype)
        net.arrays[0] *= 5
        # The interpreter multiplies an infinity by 0 in some of these.
        lowest = -100.0 if operation in ("Gelu", "HardSwish", "Mish", "Swish") else -np.inf
        net.arrays[0][: min(size, 5)] = [0.0, -0.0, np.inf, lowest, np.nan][:size]
        tolerance = 4e-7 if dtype == np.float32 else 4e-15
        program = check_values(net, net(operation, x, **UNARY[operation]), tolerance)
        assert backend != "cython" or not in_python(program)


def check_values(net, output, tolerance):
    """Element by element, unlike `check`: relative to each value."""
    graph = net.graph(output)
    program = compiled(graph, net.arrays, fastconv.get_backend(), optimize=False)
    (actual,) = program._run(net.arrays)
    with np.errstate(all="ignore"):
        (wanted,) = Interpreter(graph)(*[array.astype(np.float64) for array in net.arrays])
    assert actual.dtype == net.arrays[0].dtype
    np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance)
    return program


PAIRS = [((2, 3, 5, 7),) * 2, ((2, 3, 5, 7), (3, 1, 1)), ((2, 3, 5, 7), ()), ((3, 1, 1), (2, 3, 5, 7)),
         ((2, 1, 5, 1), (1, 3, 1, 7)), ((2, 3, 5, 7), (7,)), ((1,), (1, 1)), ((3, 2000), (3, 1)), ((0, 3), (1, 3)),
         ((13, 1, 2, 1, 3), (13, 2, 1, 5, 1))]  # fmt: skip


@pytest.mark.parametrize("shapes", PAIRS, ids=str)
@pytest.mark.parametrize("operation", ["Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu", "Sum"])
def test_operands_are_broadcast(backend, operation, shapes):
    if operation == "PRelu" and np.broadcast_shapes(*shapes) != shapes[0]:
        pytest.skip("the slope is broadcast, not the input")
    net = Net()
    x, y = net.input(*shapes[0]), net.input(*shapes[1])
    program = check(net, net(operation, x, y), tolerance=0)
    assert backend != "cython" or not in_python(program)


@pytest.mark.one_instruction_set
def test_not_a_number_wins(backend):
    net = Net()
    x, y = net.input(4), net.input(4)
    net.arrays[0][:], net.arrays[1][:] = [np.nan, 1, np.nan, 2], [1, np.nan, np.nan, 1]
    for operation in ("Max", "Min"):
        check(net, net(operation, x, y))


@pytest.mark.one_instruction_set
def test_a_region_is_one_step(backend):
    net = Net()
    x = net.input(2, 3, 9, 31)
    y = net("Mul", x, net.normal(3, 1, 1))
    y = net("Add", y, net.normal(3, 1, 1))
    y = net("Max", y, net("Tanh", x), net("Neg", y))
    program = check(net, net("Clip", y, np.float32(-1), np.float32(0.5)), optimize=True)
    assert [node.operation for node in program.graph.nodes] == ["fastconv.Elementwise"]
    assert backend != "cython" or [step.algorithm for step in program._runs.steps] == [
        "Mul Add Tanh Neg Max Max Clip"
    ]


@pytest.mark.one_instruction_set
def test_a_body_whose_result_is_not_made_last(backend):
    x, y, made, unread = (Value(name, np.dtype(np.float32), (4,)) for name in ("x", "y", "made", "unread"))
    within = Value("within", np.dtype(np.float32), (4,))
    body = Graph([within], [made], [Node("Neg", [within], [made]), Node("Exp", [made], [unread])])
    graph = Graph([x], [y], [Node("fastconv.Elementwise", [x], [y], {"body": body}, {"body": []})])
    array = np.arange(4, dtype=np.float32)
    (result,) = compiled(graph, [array], backend, optimize=False)._run([array])
    np.testing.assert_array_equal(result, -array)


@pytest.mark.one_instruction_set
def test_what_c_has_not_runs_between_the_steps(backend):
    """Views that such nodes give are not overwritten by later steps."""
    net = Net()
    x = net.input(2, 4, 6)
    y = net("Relu", x)
    unknown = net("Reshape", net("Exp", y), net("Shape", x))
    places = net("Flatten", net("NonZero", y))
    late = net("Neg", net("Sqrt", net("Abs", y)))
    program = check(net, net("Add", unknown, late), unknown, places)
    assert backend != "cython" or in_python(program) == ["Shape", "Reshape", "NonZero", "Flatten", "Add"]


MOVES = [
    ("Transpose", [], {"perm": (0, 2, 3, 1)}), ("Transpose", [], {"perm": (3, 1, 0, 2)}), ("Transpose", [], {}),
    ("Transpose", [], {"perm": (1, 0, 2, 3)}),
    ("Slice", [np.array([1, -1]), np.array([9, -99]), np.array([2, 3]), np.array([2, -1])], {}),
    ("Slice", [np.array([0]), np.array([0])], {}), ("Expand", [np.array([2, 2, 1, 1, 1])], {}),
    ("Reshape", [np.array([0, -1])], {}), ("Flatten", [], {"axis": 2}), ("Unsqueeze", [np.array([0, -1])], {}),
    ("DepthToSpace", [], {"blocksize": 2}), ("DepthToSpace", [], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [], {"blocksize": 2}),
    ("SpaceToDepth", [], {"blocksize": 2, "mode": "CRD"}), ("fastconv.ChannelShuffle", [], {"groups": 4}),
]  # fmt: skip


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize(("operation", "constants", "attributes"), MOVES, ids=lambda value: str(value)[:30])
def test_moves(backend, operation, constants, attributes, dtype):
    if operation.startswith("fastconv") and np.dtype(dtype).kind != "f":
        pytest.skip("made of images only")
    net = Net()
    x = net.input(2, 8, 6, 70, dtype=dtype)
    program = check(net, net(operation, x, *constants, **attributes), tolerance=0)
    assert backend != "cython" or not in_python(program)


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("batch", [1, 3])
def test_parts_are_made_where_they_are_joined(backend, batch, axis):
    """A part that is read elsewhere, one that is joined twice, a constant, an input, and a join of joins."""
    net = Net()
    x = net.input(batch, 4, 5, 6)
    a, b = net("Relu", x), net("Neg", x)
    inner = net("Concat", a, b, net.normal(batch, 4, 5, 6), x, axis=axis)
    outer = net("Concat", inner, a, net("Tanh", inner), axis=axis)
    check(net, outer, net("Sigmoid", a), net("Abs", inner))


@pytest.mark.one_instruction_set
def test_split_and_joined_again(backend):
    net = Net()
    x = net.input(1, 6, 4, 4)
    a, b = net("Split", net("Relu", x), np.array([2, 4]), outputs=2, axis=1)
    check(net, net("Concat", net("Neg", b), a, axis=1))


REDUCTIONS = ["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN", "Softmax", "LogSoftmax"]


@pytest.mark.parametrize("shape", [(1, 5, 9, 11), (3, 4, 1, 1), (2, 3, 20)], ids=str)
@pytest.mark.parametrize("operation", REDUCTIONS)
def test_pooling_and_norms(backend, operation, shape):
    attributes = {}
    if operation in ("MaxPool", "AveragePool"):
        rank = len(shape) - 2
        attributes = {
            "kernel_shape": (3,) * rank,
            "strides": (2,) * rank,
            "pads": (1,) * 2 * rank,
            "ceil_mode": 1,
        }
    if operation == "LRN":
        attributes = {"size": 3, "alpha": 0.1}
    net = Net()
    program = check(net, net(operation, net.input(*shape), **attributes))
    assert backend != "cython" or not in_python(program)


RESIZES = [
    {"mode": mode, "coordinate_transformation_mode": places, **more}
    for mode, more in (
        ("nearest", {"nearest_mode": "floor"}), ("nearest", {}), ("linear", {}), ("linear", {"antialias": 1}),
        ("cubic", {}), ("cubic", {"exclude_outside": 1, "cubic_coeff_a": -0.5}),
    )
    for places in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric")
]  # fmt: skip


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("attributes", RESIZES, ids=lambda a: "-".join(map(str, a.values())))
@pytest.mark.parametrize("scales", [(1, 1, 2, 2), (1, 1, 0.6, 1.7), (1, 2, 1, 0.4), (1, 1, 1, 1)], ids=str)
def test_resize(backend, attributes, scales):
    net = Net()
    x = net.input(2, 3, 7, 9)
    program = check(net, net("Resize", x, None, np.array(scales, np.float32), **attributes), tolerance=2e-6)
    assert backend != "cython" or not in_python(program)


@pytest.mark.one_instruction_set
def test_softmax_along_other_axes(backend):
    net = Net()
    x = net.input(2, 5, 3)
    check(net, net("Softmax", x, axis=1), net("Softmax", x, axis=1, flat=1), net("LogSoftmax", x, axis=0))


@pytest.mark.one_instruction_set
def test_outputs_that_are_inputs_constants_or_each_other(backend):
    net = Net()
    x = net.input(2, 3)
    y = net("Relu", x)
    graph = net.graph(y, x, y, net("Reshape", y, np.array([3, 2])), net("Reshape", x, np.array([6])))
    graph.outputs.append(Value.of("constant", np.arange(3)))
    program = compiled(graph, net.arrays, backend)
    for actual, wanted in zip(program._run(net.arrays), Interpreter(graph)(*net.arrays), strict=True):
        agree(np.asarray(actual), np.asarray(wanted), 0)


@pytest.mark.one_instruction_set
def test_results_are_nobody_elses(backend):
    model = fastconv.onnx.load(classifier())
    first = model(X)
    kept = first.copy()
    second = model(X[::-1])
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    np.testing.assert_array_equal(second[::-1], kept)


@pytest.mark.one_instruction_set
def test_out(backend):
    model = fastconv.onnx.load(classifier())
    out = np.empty((2, 36), np.float32)
    assert model(X, out=out) is out
    np.testing.assert_array_equal(out, model(X))
    assert model(X, out={"y": out}) is out
    for wrong, error, word in (
        (np.empty((2, 35), np.float32), ValueError, "shape"),
        (np.empty((2, 36)), ValueError, "dtype"),
        ([0], TypeError, "ndarray"),
        ({"z": out}, ValueError, "'z'"),
    ):
        with pytest.raises(error, match=word):
            model(X, out=wrong)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="written"):
        model(X, out=out)


@pytest.mark.one_instruction_set
def test_programs_are_called_with_their_shapes_only(backend):
    program = fastconv.onnx.load(classifier()).compile({"x": (2, 3, 12, 12)})
    assert program.inputs[0].shape == (2, 3, 12, 12)
    with pytest.raises(ValueError, match="program: input 'x' has shape"):
        program(X[:1])
    with pytest.raises(ValueError, match="z"):
        fastconv.onnx.load(classifier()).compile({"z": (1,)})


@pytest.mark.one_instruction_set
def test_passes_can_be_stopped(backend):
    model = fastconv.onnx.load(classifier())
    plain = model.compile({"x": X.shape}, optimize=False)
    some = model.compile({"x": X.shape}, stop_after="constants")
    whole = model.compile({"x": X.shape})
    assert len(plain.graph.nodes) >= len(some.graph.nodes) >= len(whole.graph.nodes)
    for program in (plain, some, whole):
        np.testing.assert_allclose(program(X), model(X), rtol=1e-5, atol=1e-6)


@pytest.mark.one_instruction_set
def test_pickles(backend):
    program = fastconv.onnx.load(classifier()).compile({"x": X.shape})
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(program))(X), program(X))


def test_a_pickled_program_keeps_its_precision(backend):
    """Where that of the process is another."""
    one = nn.Sequential(nn.Conv2D(64, 3, padding=1))
    x = np.random.default_rng(0).standard_normal((1, 64, 30, 30)).astype(np.float32)
    one.build(x.shape, rng=0)
    with fastconv.use_precision("strict"):
        program = one.compile(x.shape)
    again = pickle.loads(pickle.dumps(program))
    np.testing.assert_array_equal(again(x), program(x))
    assert again.explain() == program.explain()


def test_the_number_of_threads_changes_nothing(backend):
    model = fastconv.onnx.load(classifier())
    results = []
    for threads in (1, 2, 3):
        with fastconv.num_threads(threads):
            results.append(model(X).tobytes())
    assert len(set(results)) == 1


@pytest.mark.one_instruction_set
def test_threads_may_call_one_model(backend):
    model = fastconv.onnx.load(classifier(), backend=backend)
    images = [X * scale for scale in range(1, 9)]
    wanted = [model(image) for image in images]
    wrong = []

    def call(number):
        for _ in range(20):
            if not np.array_equal(model(images[number]), wanted[number]):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.one_instruction_set
def test_changing_shapes_keep_a_few_programs(backend):
    model = fastconv.onnx.load(classifier())
    for batch in [*range(1, 20), 1]:
        assert model(np.repeat(X[:1], batch, axis=0)).shape == (batch, 36)
    assert len(model._programs) <= 8


@pytest.mark.one_instruction_set
def test_the_callers_arrays_are_let_go(backend):
    model = fastconv.onnx.load(classifier())
    array = X.copy()
    before = len(gc.get_referrers(array))
    model(array)
    assert len(gc.get_referrers(array)) == before


@given(networks())
def test_values_that_live_at_the_same_time_do_not_overlap(network):
    if "cython" not in fastconv.available_backends():
        pytest.skip("there is no extension")
    graph, x = network
    inputs = [x]
    runs = compiled(graph, inputs, "cython", optimize=False)._runs
    places, lives = runs._places, {}
    for time, touched in enumerate(runs._touched):
        for place in touched:
            root = places.root(place)[0]
            lives[root] = lives.get(root, (time, time))[0], time
    spans = [
        (*lives[root], offset, offset + byte_count(places.values[root]))
        for root, offset in runs._offsets.items()
    ]
    for i, (first, last, begin, end) in enumerate(spans):
        assert end <= runs._arena_bytes
        for other_first, other_last, other_begin, other_end in spans[:i]:
            apart = last < other_first or other_last < first or end <= other_begin or other_end <= begin
            assert apart


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("wrong", ["bias", "residual", "weight", "joined", "matrix"])
def test_sizes_that_do_not_fit_are_refused_before_anything_is_read(backend, wrong):
    """As a file may have them: kernels would read beyond the end."""
    net = Net()
    x = net.input(1, 3, 8, 8)
    weight = net.normal(4, 2 if wrong == "weight" else 3, 3, 3)
    bias = net.normal(2 if wrong == "bias" else 4)
    residual = net.normal(1, 4, 2 if wrong == "residual" else 6, 6)
    y = net("fastconv.Conv", x, weight, bias, residual)
    if wrong == "matrix":
        y = net("fastconv.Dense", net.input(3, 5), net.normal(4, 6), net.normal(4))
    if wrong == "joined":
        y = net("Concat", y, net.normal(1, 4, 2, 6), axis=1)
    with pytest.raises((ValueError, TypeError)):
        compiled(net.graph(y), net.arrays, backend, optimize=False)._run(net.arrays)


@pytest.mark.one_instruction_set
def test_a_declared_shape_is_not_believed(backend):
    """Graph outputs carry what a file says of them."""
    net = Net()
    x = net.input(1, 3, 8, 8)
    y = net("Relu", x)
    y.dtype, y.shape = np.dtype(np.float32), (1, 3, 2, 2)
    program = compiled(net.graph(y), net.arrays, backend, optimize=False)
    try:
        (result,) = program._run(net.arrays)
    except (RuntimeError, ValueError):
        return
    np.testing.assert_array_equal(result, np.maximum(net.arrays[0], 0))
