"""What files and callers can get wrong about axes, lengths and sizes: said when the file is loaded where ranks are
known, else by the call, with the node's place, before any work or memory; and names that bodies share with nodes."""

import time
import tracemalloc

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import fastconv
from fastconv.graph.program.reach import reach
from fastconv.onnx import ModelError, load
from onnx_models import FLOAT, INT, model, node

BOTH = (True, False)
W = np.ones((3, 3, 2, 2), np.float32)


def single(kind, attributes, shape, constants=None, opset=21, inputs=None):
    """A node of `x` and constants."""
    names = ["x", *(constants or {})]
    made = node(kind, names, ["y"], **attributes)
    return model([made], {"x": (FLOAT, shape)} | (inputs or {}), {"y": (FLOAT, None)}, constants, opset=opset)


def pool(rank, **more):
    return {"kernel_shape": [2] * rank, "strides": [2] * rank, "pads": [0] * 2 * rank} | more


# Operator, attributes, the shape of x, constants: lengths that do not fit the rank of the input.
LENGTHS = [
    ("AveragePool", pool(3), (2, 3, 5, 5), None),
    ("MaxPool", {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]}, (1, 3, 28), None),
    ("MaxPool", pool(1), (2, 3, 5, 5), None),
    ("LpPool", pool(3), (2, 3, 5, 5), None),
    ("LpPool", pool(1), (2, 3, 5, 5), None),
    ("MaxPool", pool(2, strides=[2]), (2, 3, 5, 5), None),
    ("MaxPool", pool(2, pads=[0, 0]), (2, 3, 5, 5), None),
    ("MaxPool", pool(2, dilations=[1, 1, 1]), (2, 3, 5, 5), None),
    ("Conv", {}, (2, 3, 5), {"w": W}),
    ("Conv", {}, (2, 3, 5, 5, 5), {"w": W}),
    ("Conv", {"strides": [1]}, (2, 3, 5, 5), {"w": W}),
    ("Conv", {"group": 0}, (2, 3, 5, 5), {"w": W}),
    ("Conv", {"group": 2}, (2, 3, 5, 5), {"w": W}),
    ("Conv", {"kernel_shape": [3, 3]}, (2, 3, 5, 5), {"w": W}),
    ("ConvTranspose", {}, (2, 3, 5), {"w": W}),
    ("ConvTranspose", {"output_padding": [1]}, (2, 3, 5, 5), {"w": W}),
    ("ConvTranspose", {"output_shape": [5, 5, 5]}, (2, 3, 5, 5), {"w": W}),
    ("Pad", {}, (2, 3), {"pads": np.array([1, 1, 1])}),
    ("Tile", {}, (2, 3), {"repeats": np.array([1, 2, 3])}),
    ("Tile", {}, (2, 3), {"repeats": np.array([1, -1])}),
    ("Resize", {}, (1, 1, 4, 4), {"roi": np.zeros(0, np.float32), "scales": np.float32([1, 2, 2])}),
    ("Transpose", {"perm": [0, 0]}, (5, 2), None),
    ("Transpose", {"perm": [0, 2]}, (5, 2), None),
    ("Slice", {}, (5, 2), {"starts": np.array([0, 0]), "ends": np.array([1])}),
    ("BatchNormalization", {}, (2, 3, 4, 4), {name: np.ones(3 - (name == "m"), np.float32) for name in "sbmv"}),
    ("BatchNormalization", {}, (2, 3, 4, 4), {name: np.ones((3, 1), np.float32) for name in "sbmv"}),
    ("Col2Im", {}, (1, 4, 9), {"size": np.array([4, 4]), "block": np.array([2, 2, 2])}),
]  # fmt: skip
AXES = [
    ("ReduceMean", {}, {"axes": np.array([9])}),
    ("ReduceSum", {}, {"axes": np.array([-3])}),
    ("ReduceMax", {}, {"axes": np.array([1, -1])}),
    ("Softmax", {"axis": 9}, None),
    ("LogSoftmax", {"axis": 9}, None),
    ("ArgMax", {"axis": 9}, None),
    ("CumSum", {}, {"axis": np.array(9)}),
    ("Squeeze", {}, {"axes": np.array([9])}),
    ("Unsqueeze", {}, {"axes": np.array([9])}),
    ("Gather", {"axis": 9}, {"indices": np.array([0])}),
    ("TopK", {"axis": 9}, {"k": np.array([1])}),
    ("Flatten", {"axis": 9}, None),
    ("LayerNormalization", {"axis": 9}, {"scale": np.ones(3, np.float32)}),
    ("Concat", {"axis": 9}, {"other": np.ones((2, 3), np.float32)}),
    ("Split", {"axis": 9, "num_outputs": 1}, None),
    ("OneHot", {"axis": 4}, {"depth": np.array(3), "values": np.float32([0, 1])}),
    ("Slice", {}, {"starts": np.array([0]), "ends": np.array([1]), "axes": np.array([9])}),
    ("Pad", {}, {"pads": np.array([1, 1]), "value": np.float32(0), "axes": np.array([9])}),
    ("LpNormalization", {"axis": 9}, None),
]
CASES = [*LENGTHS, *((kind, attributes, (2, 3), constants) for kind, attributes, constants in AXES)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_lengths_and_axes_that_do_not_fit(case):
    kind, attributes, shape, constants = case
    with pytest.raises(ModelError, match=rf"graph.node\[0\]: {kind} of operator set 21"):
        load(single(kind, attributes, shape, constants))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_lengths_and_axes_that_do_not_fit_at_the_call(case, backend):
    """Of an input whose rank the file does not say."""
    kind, attributes, shape, constants = case
    try:
        data = single(kind, attributes, None, constants)
        models = [load(data, optimize=optimize, backend=backend) for optimize in BOTH]
    except ModelError:
        return  # wrong whatever the rank is
    for loaded in models:
        for _ in range(3):
            with pytest.raises(ModelError, match=rf"graph.node\[0\]: {kind}") as caught:
                loaded(np.ones(shape, np.float32))
        assert str(caught.value).count("graph.node") == 1


def test_statistics_of_other_channels_than_there_are():
    vectors = {name: np.ones(4, np.float32) for name in "sbmv"}
    with pytest.raises(ModelError, match=r"graph.node\[0\]: BatchNormalization.*\(2, 3, 4, 4\)"):
        load(single("BatchNormalization", {}, (2, 3, 4, 4), vectors))


def test_a_flatten_after_all_axes():
    assert load(single("Flatten", {"axis": 2}, (2, 3)))(np.ones((2, 3), np.float32)).shape == (6, 1)


def test_steps_reach_as_far_as_they_walk():
    assert reach("copy", (4, [2, 3], [3, 1], [1, -2])) == [(0, 24), (-16, 8)]
    assert reach("copy", (4, [2, 0], [3, 1], [1, 2])) == [(0, 0), (0, 0)]
    assert reach("softmax", (1, (2, 3, 4), False)) == [(0, 192)] * 2
    rows, columns = np.array([0]), np.array([-1, 1])
    assert reach("pad", (4, (2, 1, 2, 3), rows, columns, b"")) == [(0, 48), (0, 48)]
    with pytest.raises(ValueError, match="places from -1 to 2 of an axis of 2"):
        reach("pad", (4, (2, 1, 2, 3), rows, columns + columns.clip(0), b""))


def test_a_step_beyond_its_memory_is_refused(monkeypatch):
    """Whatever lets a wrong number come as far as the steps in C."""
    pytest.importorskip("fastconv.backends.cython._engine")
    from fastconv.graph.program import lower_moves

    real = lower_moves.strides_of
    monkeypatch.setattr(lower_moves, "strides_of", lambda shape: [2 * step for step in real(shape)])
    loaded = load(single("Transpose", {}, (5, 4)), backend="cython")
    with pytest.raises(ModelError, match=r"graph.node\[0\].*a step of copy would touch bytes 0 to 156 of 80"):
        loaded(np.ones((5, 4), np.float32))


FAR = 10**9
# Operator, attributes, inputs that come with the call beside `x`.
LARGE = [
    ("Pad", {}, {"p": np.array([0, 0, FAR, FAR])}),
    ("Tile", {}, {"r": np.array([FAR, FAR])}),
    ("Expand", {}, {"s": np.array([FAR, FAR, 2, 3])}),
    ("OneHot", {}, {"d": np.array(FAR * FAR // 100), "v": np.float32([0, 1])}),
    ("Resize", {}, {"r": np.zeros(0, np.float32), "s": np.float32([FAR, FAR])}),
    ("Resize", {}, {"r": np.zeros(0, np.float32), "s": np.zeros(0, np.float32), "n": np.array([FAR, FAR])}),
    ("CenterCropPad", {}, {"s": np.array([FAR, FAR])}),
]


@pytest.mark.parametrize("optimize", BOTH)
@pytest.mark.parametrize("case", LARGE, ids=lambda case: case[0])
def test_sizes_are_refused_before_work(case, optimize, backend):
    kind, attributes, more = case
    kinds = {
        name: (helper.np_dtype_to_tensor_dtype(array.dtype), array.shape) for name, array in more.items()
    }
    x = np.ones((2, 3), np.float32)
    data = model(
        [node(kind, ["x", *more], ["y"], **attributes)], {"x": (FLOAT, (2, 3))} | kinds, {"y": (FLOAT, None)}
    )
    check_refused(load(data, optimize=optimize, backend=backend), {"x": x} | more, kind)


@pytest.mark.parametrize("optimize", BOTH)
def test_sizes_of_what_is_made_of_numbers(optimize, backend):
    numbers = dict.fromkeys("abc", (INT, ()))
    data = model([node("Range", ["a", "b", "c"], ["y"])], numbers, {"y": (INT, None)})
    many = {name: np.array(value) for name, value in (("a", 0), ("b", 2**60), ("c", 1))}
    check_refused(load(data, optimize=optimize, backend=backend), many, "Range")
    data = model([node("ConstantOfShape", ["s"], ["y"])], {"s": (INT, (2,))}, {"y": (FLOAT, None)})
    check_refused(
        load(data, optimize=optimize, backend=backend), {"s": np.array([FAR, FAR])}, "ConstantOfShape"
    )
    rois = {"r": np.zeros((1, 4), np.float32), "i": np.zeros(1, np.int64)}
    data = model(
        [node("RoiAlign", ["x", *rois], ["y"], output_height=FAR, output_width=FAR)],
        {"x": (FLOAT, (1, 1, 4, 4)), "r": (FLOAT, (1, 4)), "i": (INT, (1,))},
        {"y": (FLOAT, None)},
    )
    x = np.ones((1, 1, 4, 4), np.float32)
    check_refused(load(data, optimize=optimize, backend=backend), {"x": x} | rois, "RoiAlign")


def check_refused(loaded, inputs, kind):
    """With what it would need, at once, and with little memory."""
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(MemoryError, match=rf"{kind}: the result of shape .* needs .* GiB"):
        loaded(inputs)
    assert time.perf_counter() - start < 5
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_range_without_end():
    numbers = {"a": (INT, ()), "b": (INT, ())}
    data = model([node("Range", ["a", "b", "d"], ["y"])], numbers | {"d": (INT, ())}, {"y": (INT, None)})
    for optimize in BOTH:
        with pytest.raises(ModelError, match=r"graph.node\[0\]: Range node: delta is 0"):
            load(data, optimize=optimize)({"a": np.array(0), "b": np.array(3), "d": np.array(0)})
    constants = {name: np.array(value) for name, value in (("a", 0), ("b", 3), ("d", 0))}
    with pytest.raises(ModelError, match=r"graph.node\[0\]: Range .*delta is 0"):
        load(model([node("Range", ["a", "b", "d"], ["y"])], {}, {"y": (INT, None)}, constants))


def test_the_state_of_an_lstm_is_that_of_its_weights():
    shapes = {"w": (1, 8, 3), "r": (1, 8, 2)}
    constants = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    for hidden in (3, FAR):
        with pytest.raises(ModelError, match=f"hidden_size is {hidden}, but the weights"):
            load(single("LSTM", {"hidden_size": hidden}, (4, 1, 3), constants))


def test_an_error_says_where_after_passes():
    """The place of a node that passes made of others is that of one of these."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], name="first"),
        node("Relu", ["a"], ["b"]),
        node("Reshape", ["b", "s"], ["y"], name="last"),
    ]
    inputs = {"x": (FLOAT, None), "s": (INT, [1])}
    loaded = load(model(nodes, inputs, {"y": (FLOAT, None)}, {"w": W}))
    with pytest.raises(ModelError, match=r"graph.node\[2\]: Reshape node 'last': .*reshape") as caught:
        loaded({"x": np.ones((1, 3, 4, 4), np.float32), "s": np.array([5])})
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(ModelError, match=r"graph.node\[1\]: fastconv.Conv node 'first'"):
        loaded({"x": np.ones((1, 4, 4, 4), np.float32), "s": np.array([5])})


def test_an_error_within_a_body_names_the_inner_node():
    body = helper.make_graph(
        [node("Reshape", ["x", "s"], ["out"], name="inner")],
        "b",
        [],
        [helper.make_tensor_value_info("out", FLOAT, None)],
    )
    nodes = [node("If", ["c"], ["y"], then_branch=body, else_branch=body)]
    inputs = {"x": (FLOAT, [None]), "s": (INT, [1]), "c": (TensorProto.BOOL, [])}
    given = {"x": np.ones(4, np.float32), "s": np.array([3]), "c": np.array(True)}
    for optimize in BOTH:
        with pytest.raises(
            ModelError, match=r"^graph.node\[0\].attribute\[.\].g.node\[0\]: Reshape node 'inner'"
        ):
            load(model(nodes, inputs, {"y": (FLOAT, None)}), optimize=optimize)(given)


def graph(name, nodes, outputs, inputs=(), constants=None):
    infos = [
        [helper.make_tensor_value_info(each, FLOAT, None) for each in names] for names in (inputs, outputs)
    ]
    initial = [numpy_helper.from_array(array, key) for key, array in (constants or {}).items()]
    return helper.make_graph(nodes, name, *infos, initializer=initial)


@pytest.mark.parametrize("optimize", BOTH)
def test_a_body_may_name_its_output_as_the_node_does(optimize):
    nodes = [
        node(
            "If",
            ["c"],
            ["y"],
            then_branch=graph("then", [node("Relu", ["x"], ["y"])], ["y"]),
            else_branch=graph("else", [node("Neg", ["x"], ["h"]), node("Exp", ["h"], ["y"])], ["y"]),
        )
    ]
    data = model(nodes, {"x": (FLOAT, [3]), "c": (TensorProto.BOOL, [])}, {"y": (FLOAT, None)})
    x = np.float32([-1, 0, 2])
    for choice, wanted in ((True, np.maximum(x, 0)), (False, np.exp(-x))):
        result = load(data, optimize=optimize)({"x": x, "c": np.array(choice)})
        np.testing.assert_allclose(result, wanted, rtol=1e-6)


@pytest.mark.parametrize("optimize", BOTH)
def test_loops_and_scans_whose_bodies_share_names(optimize):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    scanned = graph(
        "scan", [node("Add", ["s", "e"], ["f"]), node("Mul", ["f", "f"], ["o"])], ["f", "o"], ["s", "e"]
    )
    data = model(
        [node("Scan", ["z", "x"], ["f", "o"], body=scanned, num_scan_inputs=1)],
        {"z": (FLOAT, [4]), "x": (FLOAT, [3, 4])},
        {"f": (FLOAT, None), "o": (FLOAT, None)},
    )
    found = load(data, optimize=optimize)({"z": x[0] * 0, "x": x})
    np.testing.assert_array_equal(found["f"], x.sum(0))
    np.testing.assert_array_equal(found["o"], np.cumsum(x, 0) ** 2)
    # A later node makes what the loop's body calls `t` within, and reads what the loop makes.
    body = graph(
        "loop", [node("Add", ["v", "x"], ["t"]), node("Identity", ["go"], ["go2"])], [], ["n", "go", "v"]
    )
    body.input[0].type.tensor_type.elem_type = INT
    body.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    body.output.extend(
        [
            helper.make_tensor_value_info("go2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("t", FLOAT, None),
        ]
    )
    nodes = [node("Loop", ["m", "", "x"], ["v"], body=body), node("Neg", ["v"], ["t"])]
    data = model(nodes, {"m": (INT, []), "x": (FLOAT, [3, 4])}, {"t": (FLOAT, None)})
    np.testing.assert_array_equal(load(data, optimize=optimize)({"m": np.array(3), "x": x}), -4 * x)


@pytest.mark.parametrize("optimize", BOTH)
def test_a_name_within_hides_the_one_outside(optimize):
    """Of constants, nodes and graphs within graphs."""
    inner = graph("inner", [node("Add", ["x", "k"], ["y"])], ["y"], constants={"k": np.float32([10])})
    outer = graph("outer", [node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)], ["y"])
    nodes = [node("If", ["c"], ["y"], then_branch=outer, else_branch=outer), node("Mul", ["y", "y"], ["k"])]
    data = model(nodes, {"x": (FLOAT, [2]), "c": (TensorProto.BOOL, [])}, {"k": (FLOAT, None)})
    found = load(data, optimize=optimize)({"x": np.float32([1, 2]), "c": np.array(True)})
    np.testing.assert_array_equal(found, [121, 144])


def test_a_batch_of_one_beside_a_large_one(backend):
    """The file calls both sizes by one name, but one image is added to all: the batch is not cut."""
    rng = np.random.default_rng(3)
    x, z = (rng.normal(size=(n, 64, 96, 96)).astype(np.float32) for n in (8, 1))
    weight = rng.normal(size=(64, 64, 1, 1)).astype(np.float32) / 8
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Add", ["a", "z"], ["y"])]
    kinds = dict.fromkeys("xz", (FLOAT, ["N", 64, "H", "W"]))
    loaded = load(model(nodes, kinds, {"y": (FLOAT, None)}, {"w": weight}), backend=backend)
    if backend != "numba":
        expected = fastconv.conv2d(x, weight) + z
        np.testing.assert_allclose(loaded({"x": x, "z": z}), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        loaded({"x": x[:2], "z": x[2:4]}), fastconv.conv2d(x[:2], weight) + x[2:4], rtol=1e-4, atol=1e-4
    )


def test_inputs_in_their_order():
    data = model([node("Sub", ["a", "b"], ["y"])], dict.fromkeys("ab", (FLOAT, ["N"])), {"y": (FLOAT, None)})
    loaded = load(data)
    one, other = np.float32([3, 4]), np.float32([1, 1])
    for given in ([one, other], (one, other), {"b": other, "a": one}):
        np.testing.assert_array_equal(loaded(given), [2, 3])
    for given in ([one], [one, other, one], one, np.stack([one, other])):
        with pytest.raises(ValueError, match=r"of its inputs \['a', 'b'\], but needs each"):
            loaded(given)


def test_a_fused_hard_sigmoid(backend):
    opsets = [helper.make_opsetid("com.microsoft", 1)]
    x = np.random.default_rng(4).normal(size=(2, 3, 6, 6)).astype(np.float32)
    for more, alpha, beta in (({}, 0.2, 0.5), ({"activation_params": [0.5, 0.25]}, 0.5, 0.25)):
        made = node("FusedConv", ["x", "w"], ["y"], domain="com.microsoft", activation="HardSigmoid", **more)
        data = model([made], {"x": (FLOAT, [2, 3, 6, 6])}, {"y": (FLOAT, None)}, {"w": W}, opsets=opsets)
        expected = np.clip(fastconv.conv2d(x, W) * alpha + beta, 0, 1)
        for optimize in BOTH:
            np.testing.assert_allclose(load(data, optimize=optimize, backend=backend)(x), expected, atol=1e-5)


def test_chains_are_cut_in_time_that_grows_with_their_length():
    """By counting what a chain looks at: a time would not be the same twice."""
    pytest.importorskip("fastconv.backends.cython._engine")
    from fastconv.graph.graph import Node, Value
    from fastconv.graph.program.lower_elementwise import _Cut

    class Counted(list):
        seen = 0

        def __getitem__(self, place):
            Counted.seen += 1
            return super().__getitem__(place)

        def __iter__(self):
            Counted.seen += len(self)
            return super().__iter__()

    def seen(count):
        values = [Value("", np.dtype(np.float32), (2, 3)) for _ in range(count + 1)]
        nodes = Counted(Node("Sigmoid", [values[k]], [values[k + 1]]) for k in range(count))
        Counted.seen = 0
        assert _Cut(nodes, np.dtype(np.float32)).chains(values[-1])
        return Counted.seen

    assert seen(800) < 2.5 * seen(400)


def test_what_a_file_says_of_a_result_is_not_true(backend):
    """What only a step in Python makes: a program has no room for another shape than the file says."""
    data = model([node("NonZero", ["x"], ["y"])], {"x": (FLOAT, [3])}, {"y": (INT, [1, 2])})
    x = np.ones(3, np.float32)
    np.testing.assert_array_equal(load(data, backend=backend, optimize=False)(x), [[0, 1, 2]])
    if backend.startswith("cython"):
        with pytest.raises(ModelError, match=r"'y' is int64 \(1, 3\), but its graph says int64 \(1, 2\)"):
            load(data, backend=backend)(x)


def test_a_permutation_of_other_axes_than_there_are():
    """Of an input whose rank only the call shows, behind a node that keeps elements in their order."""
    nodes = [node("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]), node("Flatten", ["a"], ["y"])]
    loaded = load(model(nodes, {"x": (FLOAT, None)}, {"y": (FLOAT, None)}))
    with pytest.raises(ModelError, match=r"graph.node\[0\]: Transpose"):
        loaded(np.ones((1, 2, 1), np.float32))


def test_constants_cannot_be_given():
    """In ONNX, an initializer that is an input, too, is a default value."""
    inputs = {"x": (FLOAT, (2, 3)), "w": (FLOAT, (3,))}
    weights = {"w": np.float32([1, 2, 3])}
    network = load(model([node("Mul", ["x", "w"], ["y"])], inputs, {"y": (FLOAT, None)}, weights))
    x = np.ones((2, 3), np.float32)
    assert network(x).tolist() == [[1, 2, 3]] * 2
    with pytest.raises(ValueError, match=r"\['w'\] are constants .* given; it needs inputs \['x'\]"):
        network({"x": x} | weights)


@pytest.mark.parametrize("kind", ["DepthToSpace", "SpaceToDepth"])
def test_blocks_of_nothing(kind):
    for shape in ((1, 4, 4, 4), None):
        for size in (0, -2):
            with pytest.raises(ModelError, match=f"blocksize is {size}, but needs to be at least 1"):
                load(single(kind, {"blocksize": size}, shape))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.complex64, np.float32, np.bool_])
@pytest.mark.parametrize("kind", ["Expand", "ReduceSum", "Reshape", "Squeeze", "Tile", "Unsqueeze"])
def test_sizes_and_axes_that_are_no_integers(kind, dtype):
    """Neither truncated, nor NumPy's warnings."""
    with pytest.raises(ModelError, match=r"need(s| to be) integers"):
        load(single(kind, {}, (1, 1), {"c": np.array([1, 1], dtype)}))
    inputs = {"c": (helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), (2,))}
    names, data = ["x", "c"], {"x": np.ones((1, 1), np.float32), "c": np.array([1, 1], dtype)}
    made = model([node(kind, names, ["y"])], {"x": (FLOAT, (1, 1))} | inputs, {"y": (FLOAT, None)})
    with pytest.raises(ModelError, match="integers"):
        load(made)(data)


@pytest.mark.filterwarnings("error")
def test_means_and_logarithms_of_nothing(backend):
    for optimize in BOTH:
        for kind, result in (("ReduceMean", np.nan), ("ReduceLogSumExp", -np.inf), ("ReduceMax", -np.inf)):
            data = single(kind, {"keepdims": 0}, ("N", 3), {"axes": np.array([0])})
            result = np.full(3, result, np.float32)
            np.testing.assert_array_equal(load(data, optimize=optimize)(np.zeros((0, 3), np.float32)), result)


def test_logarithms_of_integers():
    made = node("ReduceLogSumExp", ["x"], ["y"], keepdims=0)
    data = model([made], {"x": (TensorProto.INT32, (4,))}, {"y": (TensorProto.INT32, None)})
    assert load(data)(np.array([2, 3, 5, 7], np.int32)) == 7


@pytest.mark.parametrize("optimize", BOTH)
def test_what_grows_in_a_loop(optimize, monkeypatch):
    """Sixty doublings end before the one that memory cannot hold beside what it is made of."""
    monkeypatch.setattr("fastconv.execution.memory._LARGE", 0)
    monkeypatch.setattr("fastconv.execution.memory.total_memory", lambda: 1 << 20)
    infos = [helper.make_tensor_value_info(*info) for info in (("i", INT, []), ("c", TensorProto.BOOL, []))]
    state, more = (helper.make_tensor_value_info(name, FLOAT, None) for name in ("v", "w"))
    going = helper.make_tensor_value_info("d", TensorProto.BOOL, [])
    nodes = [node("Concat", ["v", "v"], ["w"], axis=0), node("Identity", ["c"], ["d"])]
    body = helper.make_graph(nodes, "body", [*infos, state], [going, more])
    constants = {"n": np.array(60), "t": np.array(True)}
    made = node("Loop", ["n", "t", "x"], ["y"], body=body)
    data = model([made], {"x": (FLOAT, [1])}, {"y": (FLOAT, None)}, constants)
    with pytest.raises(
        MemoryError, match=r"Concat: the result of shape .* needs .* GiB beside .* GiB of inputs"
    ):
        load(data, optimize=optimize)(np.ones(1, np.float32))


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", "LpPool"])
def test_windows_that_nothing_comes_out_of(kind):
    """Of any rank, in words of windows and images."""
    for rank in (1, 2, 3):
        for stride in (1, 3):
            attributes = {"kernel_shape": [5] + [1] * (rank - 1), "strides": [stride] * rank}
            x = np.ones((1, 1) + (4,) * rank, np.float32)
            with pytest.raises(ModelError, match=r"do not fit an image of|nothing would come out"):
                load(single(kind, attributes, x.shape))(x)


def test_boxes_without_area_suppress_nothing():
    boxes = np.float32([[[0, 0, 0, 2], [0, 0, 0, 2], [1, 1, 1, 1]]])
    inputs = {"x": (FLOAT, boxes.shape), "s": (FLOAT, (1, 1, 3))}
    limits = {"m": np.array([3]), "i": np.float32([0.5])}
    made = node("NonMaxSuppression", ["x", "s", "m", "i"], ["y"])
    kept = load(model([made], inputs, {"y": (INT, None)}, limits))(
        {"x": boxes, "s": np.float32([[[3, 2, 1]]])}
    )
    assert kept.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]


def test_regions_whose_sides_are_in_the_wrong_order():
    """Hold no samples, and give zeros."""
    x, rois = np.ones((1, 1, 8, 8), np.float32), np.float32([[6, 2, 2, 6], [2, 2, 6, 6]])
    constants = {"r": rois, "b": np.array([0, 0])}
    made = node("RoiAlign", ["x", "r", "b"], ["y"], coordinate_transformation_mode="half_pixel")
    data = model([made], {"x": (FLOAT, x.shape)}, {"y": (FLOAT, None)}, constants)
    assert load(data)(x).ravel().tolist() == [0, 1]
