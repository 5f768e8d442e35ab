"""Models that were loaded: inputs and outputs, calls, backends, threads, pickles; networks against ONNX Runtime."""

import copy
import gc
import io
import pickle
import threading
import weakref
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import fastconv
from fastconv.graph import Graph, GraphError, Interpreter, Node, Value, verify
from fastconv.onnx import ModelError, load
from onnx_models import FLOAT, INT, classifier, model, node

X = np.random.default_rng(1).normal(size=(2, 3, 12, 12)).astype(np.float32)
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def expected():
    """The classifier's answer by ONNX's own reference."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(onnx.load_from_string(classifier())).run(None, {"x": X})[0]


def test_a_whole_model(backend):
    loaded = load(classifier())
    np.testing.assert_allclose(loaded(X), expected(), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(loaded({"x": X}), loaded(X))


def test_what_a_model_takes_and_gives():
    loaded = load(classifier())
    assert loaded.inputs == (("x", np.dtype(np.float32), ("N", 3, 12, 12)),)
    assert [tensor.name for tensor in loaded.outputs] == ["y"]
    assert "x: float32 ('N', 3, 12, 12)" in repr(loaded)


def test_sources(tmp_path):
    data = classifier()
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    results = [
        load(source)(X)
        for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data))
    ]
    with path.open("rb") as file:
        results.append(load(file)(X))
    assert all(np.array_equal(result, results[0]) for result in results)
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="no graph"):
        load(tmp_path / "empty.onnx")


def test_sources_that_are_none(tmp_path):
    with pytest.raises(TypeError, match="source is int"):
        load(3)
    with pytest.raises(TypeError, match="binary mode"):
        load(io.StringIO("text"))
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")
    with pytest.raises(ModelError, match="no regular file"):
        load(tmp_path)
    with pytest.raises(ValueError, match="backend"):
        load(classifier(), backend="nothing")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, ValueError, r"needs inputs \['x'\], but got \[\]"),
        ({"x": X, "z": X}, ValueError, "but got"),
        (None, ValueError, r"got 0 of its inputs \['x'\], but needs each, by name"),
        (X[:, :2], ValueError, r"'x' has shape \(2, 2, 12, 12\), but needs \('N', 3, 12, 12\)"),
        (X[0], ValueError, "shape"),
        (X.astype(np.float64), TypeError, "'x' is float64, but needs float32"),
    ],
)
def test_inputs_that_do_not_fit(given, error, words):
    with pytest.raises(error, match=words):
        load(classifier())(given)


def test_inputs_of_other_kinds():
    """What loses nothing is converted."""
    loaded = load(classifier())
    whole = np.rint(X * 10).astype(np.int8)
    np.testing.assert_array_equal(loaded(whole), loaded(whole.astype(np.float32)))
    np.testing.assert_array_equal(loaded(X[:, :, ::-1]), loaded(X[:, :, ::-1].copy()))


def test_one_shape_is_that_of_the_only_input(backend):
    for shape in (X.shape, [*X.shape]):
        np.testing.assert_array_equal(load(classifier()).compile(shape)(X), load(classifier())(X))


def test_any_batch(backend):
    loaded = load(classifier())
    one = loaded(X[:1])
    assert one.shape == (1, 36)
    assert loaded(np.concatenate([X, X, X])).shape == (6, 36)
    np.testing.assert_allclose(one[0], expected()[0], rtol=1e-5, atol=1e-7)
    assert loaded(X[:0]).shape == (0, 36)


def test_the_backend_is_that_of_the_call_or_of_the_load(backend, monkeypatch):
    used = []

    class Watched(fastconv.onnx.model.Program):
        def __init__(self, graph, shapes, name, **options):
            used.append(name)
            super().__init__(graph, shapes, name, **options)

    monkeypatch.setattr("fastconv.onnx.model.Program", Watched)
    loaded, fixed = load(classifier()), load(classifier(), backend="numpy")
    loaded(X), loaded(X), fixed(X)
    assert used == [backend, "numpy"]
    with fastconv.use_backend("numpy"):
        loaded(X)
    assert used == ([backend, "numpy"] if backend == "numpy" else [backend, "numpy", "numpy"])


def test_several_outputs_and_none_shared():
    data = model(
        [
            node("Identity", ["x"], ["a"]),
            node("Transpose", ["c"], ["b"]),
            node("Relu", ["x"], ["r"]),
            node("Slice", ["r", "0", "1"], ["f"]),
        ],
        {"x": (FLOAT, [2])},
        {"a": (FLOAT, [2]), "b": (FLOAT, [3, 2]), "r": (FLOAT, [2]), "c": (FLOAT, [2, 3]), "f": (FLOAT, [1])},
        {"0": np.array([0]), "1": np.array([1]), "c": np.zeros((2, 3), np.float32)},
    )
    loaded = load(data)
    x = np.array([1, -1], np.float32)
    first = loaded(x)
    assert list(first) == ["a", "b", "r", "c", "f"]
    for value in first.values():
        value[...] = 7
    assert first["f"].sum() == 7
    assert x.tolist() == [1, -1]
    assert loaded(x)["b"].sum() == loaded(x)["c"].sum() == 0


def test_pickles_and_copies(backend):
    loaded = load(classifier())
    result = loaded(X)
    for other in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        np.testing.assert_array_equal(other(X), result)
        assert other.inputs == loaded.inputs


@pytest.mark.one_instruction_set
def test_threads(backend):
    loaded = load(classifier(), backend=backend)  # threads do not see which one is current here
    inputs = [X * factor for factor in range(1, 9)]
    wanted = [load(classifier(), backend=backend)(x) for x in inputs]
    results = {}

    def call(number):
        for _ in range(5):
            results[number] = loaded(inputs[number])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(results[number], wanted[number]) for number in range(8))


def test_values_are_freed_after_their_last_reader(monkeypatch):
    """Of a chain no more than two values live at a time."""
    made_ones, most = [], []

    def step(x):
        made = np.ndarray.view(np.array(x), Watched)
        made_ones.append(weakref.ref(made))
        gc.collect(1)  # which holds whatever is new
        most.append(sum(one() is not None for one in made_ones))
        return made

    monkeypatch.setattr(fastconv.graph.operations.TABLE["Neg"], "run", step)
    names = [f"v{place}" for place in range(8)]
    data = model(
        [node("Neg", [a], [b]) for a, b in zip(["x", *names], [*names, "y"], strict=True)],
        {"x": (FLOAT, [2])},
        {"y": (FLOAT, [2])},
    )
    load(data, optimize=False)(np.float32([1, 2]))
    assert max(most) == 2


class Watched(np.ndarray):
    """An array that can be watched."""


@pytest.mark.parametrize(
    ("kind", "axes"),
    [
        ("Unsqueeze", np.array([1, 1])),
        *(
            (kind, axes)
            for kind in ("Unsqueeze", "Squeeze")
            for axes in (np.array([-0.6], np.float32), np.array([2**31]))
        ),
    ],
)
def test_axes_that_are_none(backend, kind, axes):
    """Loading says so, or the call, whatever the axes are."""
    made = model(
        [node(kind, ["x", "axes"], ["y"])], {"x": (FLOAT, [1])}, {"y": (FLOAT, None)}, {"axes": axes}
    )
    with pytest.raises((ValueError, TypeError), match=r"axis|integers|C int|once"):
        load(made)(np.ones(1, np.float32))


@pytest.mark.parametrize("opset", [11, 13, 18, 22])
def test_the_parts_of_a_split_without_sizes_are_known(opset):
    made = model(
        [node("Split", ["x"], ["a", "b"], axis=1)],
        {"x": (FLOAT, ["N", 6, 4])},
        dict.fromkeys("ab", (FLOAT, None)),
        opset=opset,
    )
    assert [output.shape for output in load(made).outputs] == [("N", 3, 4)] * 2


def test_an_error_names_the_node():
    data = model(
        [node("Reshape", ["x", "shape"], ["y"], name="the one")],
        {"x": (FLOAT, [None]), "shape": (INT, [None])},
        {"y": (FLOAT, None)},
    )
    with pytest.raises(ValueError, match="reshape") as caught:
        load(data)({"x": np.zeros(4, np.float32), "shape": np.array([3])})
    assert str(caught.value).startswith("graph.node[0]: Reshape node 'the one': ")


def test_planned_and_not_planned_agree(backend):
    """Weights that come as an input are not planned."""
    rng = np.random.default_rng(2)
    for kind, shape in (("Conv", (4, 3, 3, 3)), ("ConvTranspose", (3, 4, 3, 3)), ("Conv", (4, 3, 3))):
        weight, bias = rng.normal(size=shape).astype(np.float32), np.float32([1, 2, 3, 4])
        x = X if len(shape) == 4 else X[:, :, 0]
        given = {"x": (FLOAT, None)}
        made = node(kind, ["x", "w", "b"], ["y"], auto_pad="SAME_LOWER", strides=[2] * (x.ndim - 2))
        planned = load(model([made], given, {"y": (FLOAT, None)}, {"w": weight, "b": bias}))
        more = given | {"w": (FLOAT, None), "b": (FLOAT, None)}
        free = load(model([made], more, {"y": (FLOAT, None)}))
        for part in (x, x[..., :-1]):  # another size has another padding
            np.testing.assert_allclose(
                planned(part), free({"x": part, "w": weight, "b": bias}), rtol=1e-5, atol=1e-5
            )


MICROSOFT = [helper.make_opsetid("com.microsoft", 1)]


@pytest.mark.parametrize(
    ("activation", "parameters", "function"),
    [
        ("Relu", [], lambda x: np.maximum(x, 0)),
        ("LeakyRelu", [0.25], lambda x: np.where(x < 0, x * np.float32(0.25), x)),
        ("Clip", [-0.5, 0.75], lambda x: np.clip(x, -0.5, 0.75)),
        ("Sigmoid", [], lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_fused_convolutions(backend, activation, parameters, function):
    weight = np.random.default_rng(4).normal(size=(3, 3, 3, 3)).astype(np.float32)
    more = {"activation_params": parameters} if parameters else {}
    made = node(
        "FusedConv",
        ["x", "w", "", "z"],
        ["y"],
        domain="com.microsoft",
        activation=activation,
        auto_pad="SAME_UPPER",
        **more,
    )
    plain = fastconv.conv2d(X, weight, padding=1) + X[:, ::-1]
    kinds = {"x": (FLOAT, None), "z": (FLOAT, None)}
    planned = load(model([made], kinds, {"y": (FLOAT, None)}, {"w": weight}, opsets=MICROSOFT))
    np.testing.assert_allclose(planned({"x": X, "z": X[:, ::-1]}), function(plain), rtol=1e-4, atol=1e-5)
    free = load(model([made], kinds | {"w": (FLOAT, None)}, {"y": (FLOAT, None)}, opsets=MICROSOFT))
    result = free({"x": X, "z": X[:, ::-1], "w": weight})
    np.testing.assert_allclose(result, function(plain), rtol=1e-4, atol=1e-5)


def test_a_fused_activation_that_is_not_known():
    made = node("FusedConv", ["x", "x"], ["y"], domain="com.microsoft", activation="Mish")
    with pytest.raises(ModelError, match="the activation 'Mish'"):
        load(model([made], {"x": (FLOAT, None)}, {"y": (FLOAT, None)}, opsets=MICROSOFT))


def test_a_quantised_lstm_without_scales():
    made = node("DynamicQuantizeLSTM", ["x", "x", "x"], ["y"], domain="com.microsoft", hidden_size=3)
    with pytest.raises(ModelError, match="scales and zero points of its weights are missing"):
        load(model([made], {"x": (FLOAT, None)}, {"y": (FLOAT, None)}, opsets=MICROSOFT))


def test_old_files_list_constants_as_inputs():
    data = onnx.load_from_string(
        model(
            [node("Add", ["x", "c"], ["y"])],
            {"x": (FLOAT, [2])},
            {"y": (FLOAT, [2])},
            {"c": np.float32([1, 2])},
        )
    )
    data.graph.input.append(helper.make_tensor_value_info("c", FLOAT, [2]))
    loaded = load(data.SerializeToString())
    assert [tensor.name for tensor in loaded.inputs] == ["x"]
    assert loaded(np.float32([1, 1])).tolist() == [2, 3]


def test_a_loop_that_reads_what_is_around_it():
    """A graph in a graph: the state, the round, and two values from outside."""
    inner = helper.make_graph(
        [node("Mul", ["state", "factor"], ["more"]), node("Relu", ["more"], ["then"])],
        "then",
        [],
        [helper.make_tensor_value_info("then", FLOAT, None)],
    )
    other = helper.make_graph(
        [node("Add", ["state", "x"], ["else"])],
        "else",
        [],
        [helper.make_tensor_value_info("else", FLOAT, None)],
    )
    body = helper.make_graph(
        [
            node("Less", ["i", "two"], ["early"]),
            node("If", ["early"], ["next"], then_branch=inner, else_branch=other),
            node("Identity", ["go"], ["on"]),
            node("ReduceSum", ["next"], ["total"], keepdims=0),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, None),
        ],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in ("on", "next", "total")],
    )
    data = model(
        [node("Loop", ["rounds", "", "x"], ["y", "totals"], body=body)],
        {"x": (FLOAT, [2]), "rounds": (INT, []), "factor": (FLOAT, [])},
        {"y": (FLOAT, None), "totals": (FLOAT, None)},
        {"two": np.array(2)},
    )
    loaded = load(data)
    result = loaded({"x": np.float32([1, 2]), "rounds": np.array(3), "factor": np.float32(3)})
    assert result["y"].tolist() == [9 + 1, 18 + 2]
    assert result["totals"].tolist() == [9, 27, 30]


def test_the_summary():
    lines = load(classifier()).summary().splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["output", "operation", "dtype", "shape", "constants"],
        ["x", "input", "float32", "(N,", "3,", "12,", "12)"],
        ["features", "Conv", "float32", "(N,", "4,", "6,", "6)", "112"],
        ["pooled", "MaxPool", "float32", "(N,", "4,", "3,", "3)"],
    ]
    assert lines[-1] == "8 nodes, 3 constants of 113 elements, 452 bytes"


def chain():
    x, y, z = (Value(name) for name in "xyz")
    return x, y, z, Graph([x], [z], [Node("Neg", [x], [y]), Node("Relu", [y], [z])])


def test_the_verifier_takes_a_graph():
    *_, graph = chain()
    verify(graph)
    assert Interpreter(graph)(np.float32([-2]))[0] == 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x, y, z, g: g.nodes.reverse(), "reads 'y' before it is made"),
        (lambda x, y, z, g: g.nodes.append(Node("Neg", [x], [y])), "'y' is made twice"),
        (lambda x, y, z, g: g.outputs.append(Value("w")), "output 'w' of the graph is made by nothing"),
        (lambda x, y, z, g: setattr(g.nodes[0], "operation", "Frob"), "no operation has that name"),
        (lambda x, y, z, g: g.nodes[0].inputs.append(x), "2 inputs, but it takes 1 to 1"),
        (lambda x, y, z, g: g.nodes[0].attributes.update(a=1), "'a' is not known"),
        (lambda x, y, z, g: g.nodes[0].captures.update(body=[x]), "captures"),
        (lambda x, y, z, g: g.inputs.append(Value.of("c", np.zeros(2))), "'c' is made twice"),
    ],
)
def test_the_verifier_finds_what_is_wrong(spoil, words):
    x, y, z, graph = chain()
    spoil(x, y, z, graph)
    with pytest.raises(GraphError, match=words):
        verify(graph)


def with_random_weights(name):
    """One of ONNX's light networks, whose constant weights cannot see a wrong order of channels."""
    made = onnx.load(LIGHT / f"light_{name}.onnx")
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    rng = np.random.default_rng(0)
    nodes = [n for n in made.graph.node if n.op_type != "ConstantOfShape"]
    for filled in made.graph.node:
        if filled.op_type == "ConstantOfShape":
            shape = shapes[filled.input[0]]
            values = rng.uniform(0.5, 1.5, shape)  # variances and scales are positive
            if len(shape) > 1:
                values = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
            made.graph.initializer.append(
                numpy_helper.from_array(values.astype(np.float32), filled.output[0])
            )
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


@pytest.mark.one_instruction_set
def test_what_is_saved_runs_elsewhere(tmp_path):
    """A network, and one with a branch and what was a function, for ONNX Runtime and for the reader."""
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "saved.onnx"
    for data, x in (
        (with_random_weights("squeezenet").SerializeToString(), np.ones((1, 3, 224, 224), np.float32)),
        (classifier(), X),
    ):
        loaded = load(data)
        fastconv.onnx.save(loaded, path)
        onnx.checker.check_model(str(path), full_check=True)
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (answer,) = session.run(None, {loaded.inputs[0].name: x})
        np.testing.assert_allclose(answer, loaded(x), rtol=1e-3, atol=1e-6)
        again = load(path)
        assert (again.inputs, again.outputs) == (loaded.inputs, loaded.outputs)
        np.testing.assert_array_equal(again(x), loaded(x))
        fastconv.onnx.save(again, path)  # over the file that its weights are mapped from
        np.testing.assert_array_equal(again(x), load(path)(x))


def test_what_is_not_saved(tmp_path):
    x, y = Value("x", np.dtype(np.float32)), Value("y")
    with pytest.raises(ValueError, match="the dtype of 'y', an input or output, is not known"):
        fastconv.onnx.save(Graph([x], [y], [Node("Relu", [x], [y])]), tmp_path / "a.onnx")
    with pytest.raises(GraphError, match="no operation"):
        fastconv.onnx.save(Graph([x], [y], [Node("Frob", [x], [y])]), tmp_path / "a.onnx")
    small = Value.of("c", np.float32([1]), element=16)
    y.dtype = x.dtype
    with pytest.raises(ValueError, match="a type that NumPy lacks"):
        fastconv.onnx.save(Graph([x], [y], [Node("Add", [x, small], [y])]), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_names_that_several_values_have(tmp_path):
    a, b, c = (Value("v", np.dtype(np.float32), (2,)) for _ in range(3))
    constant = Value.of("v", np.float32([1, 2]))
    graph = Graph([a], [c], [Node("Add", [a, constant], [b]), Node("Neg", [b], [c])])
    fastconv.onnx.save(graph, tmp_path / "a.onnx")
    loaded = load(tmp_path / "a.onnx")
    assert loaded(np.float32([3, 4])).tolist() == [-4, -6]
    assert [tensor.name for tensor in (*loaded.inputs, *loaded.outputs)] == ["v", "v_1"]


NETWORKS = sorted(path.stem.removeprefix("light_") for path in LIGHT.glob("*.onnx"))


@pytest.mark.slow
@pytest.mark.one_instruction_set
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_with_random_weights(backend, name):
    runtime = pytest.importorskip("onnxruntime")
    data = with_random_weights(name).SerializeToString()
    loaded = load(data)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    x = np.random.default_rng(3).normal(size=given.shape).astype(np.float32)
    (wanted,) = session.run(None, {given.name: x})
    actual = loaded(x)
    assert actual.shape == wanted.shape
    np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["If", "Loop"])
def test_a_condition_of_several_values(name):
    graphs = [
        helper.make_graph(
            [node("Identity", ["x"], [f"{part} out"])],
            part,
            [],
            [helper.make_tensor_value_info(f"{part} out", FLOAT, None)],
        )
        for part in ("then", "else")
    ]
    inside = helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Identity", ["state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info(*info)
            for info in (("i", INT, []), ("go", TensorProto.BOOL, None), ("state", FLOAT, None))
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, None),
            helper.make_tensor_value_info("next", FLOAT, None),
        ],
    )
    made = (
        node("If", ["c"], ["y"], then_branch=graphs[0], else_branch=graphs[1])
        if name == "If"
        else node("Loop", ["", "c", "x"], ["y"], body=inside)
    )
    data = model([made], {"c": (TensorProto.BOOL, ["N"]), "x": (FLOAT, [2])}, {"y": (FLOAT, [2])})
    x = np.ones(2, np.float32)
    with pytest.raises(ValueError, match=r"cond has shape \(2,\), but needs one value"):
        load(data)({"c": np.ones(2, bool), "x": x})
    np.testing.assert_array_equal(load(data)({"c": np.zeros(1, bool), "x": x}), x)


def test_what_only_the_shapes_allow_is_fused_too(backend):
    """A residual whose size is known at the call: a region of Add and Relu, made before, would hide it."""
    weight = np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32)
    scales = np.array([1, 1, 2, 2], np.float32)
    nodes = [
        node("Resize", ["x", "", "scales"], ["large"], mode="linear"),
        node("Conv", ["large", "weight"], ["features"], pads=[1, 1, 1, 1]),
        node("Add", ["features", "large"], ["sum"]),
        node("Relu", ["sum"], ["y"]),
    ]
    data = model(
        nodes,
        {"x": (FLOAT, ["N", 3, "H", "W"])},
        {"y": (FLOAT, ["N", 3, None, None])},
        {"weight": weight, "scales": scales},
    )
    loaded = load(data)
    np.testing.assert_allclose(loaded(X), load(data, optimize=False)(X), rtol=1e-5, atol=1e-5)
    (program,) = loaded._programs.values()
    assert [one.operation for one in program.graph.nodes] == ["Resize", "fastconv.Conv"]


def test_programs_share_what_they_make_of_constants(backend):
    """From the second on; the first one is made without, and goes."""
    loaded = fastconv.onnx.load(classifier(), backend=backend)
    given = [np.random.default_rng(n).normal(size=(n, 3, 12, 12)).astype(np.float32) for n in (1, 2, 3, 1)]
    results = [loaded(x) for x in given]
    assert len(loaded._programs) == 3
    constants = [
        {id(value.constant) for node in program.graph.nodes for value in node.reads() if value.is_constant}
        for program in loaded._programs.values()
    ]
    assert len(set.intersection(*constants)) > 2
    for x, result in zip(given, results, strict=True):
        plain = fastconv.onnx.load(classifier(), backend=backend, optimize=False)(x)
        np.testing.assert_allclose(result, plain, rtol=1e-4, atol=1e-5)
