"""Fused operations in files: written as nodes of ONNX, which ONNX Runtime and this library run alike."""

import io

import numpy as np
import onnx
import pytest

import fastconv
from fastconv.graph import Graph, Interpreter, Node, Value
from fastconv.graph.passes import optimise
from onnx_models import FLOAT, model, node
from passes_oracle import Net, weighted

pytestmark = pytest.mark.one_instruction_set
F4 = np.float32


def written(graph, arrays, path):
    """What a file of the graph gives, once for each of the two; ONNX's checker has seen it."""
    for value, array in zip(graph.outputs, Interpreter(graph)(*arrays), strict=True):
        value.dtype = array.dtype
    fastconv.onnx.save(graph, path)
    onnx.checker.check_model(str(path), full_check=True)
    given = {value.name: array for value, array in zip(graph.inputs, arrays, strict=True)}
    yield fastconv.onnx.load(path)(given)
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    yield session.run(None, given)[0]


def same(net, output, path):
    graph, _ = optimise(net.graph(output))
    assert any(inner.operation.startswith("fastconv.") for inner in graph.nodes)
    (expected,) = Interpreter(net.graph(output))(*net.arrays)
    for actual in written(graph, net.arrays, path):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_a_scaled_hardswish(tmp_path):
    net = Net()
    y = net("HardSwish", weighted(net, "Conv"))
    same(net, net("Softmax", net("Add", net("Mul", y, F4(1.5)), F4(-0.25))), tmp_path / "model.onnx")


ACTIVATIONS = {
    "Relu": {},
    "Sigmoid": {},
    "Tanh": {},
    "HardSwish": {},
    "Gelu": {},
    "LeakyRelu": {"alpha": 0.3},
}


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "Clip", "relu6", "silu", None])
@pytest.mark.parametrize("operation", ["Conv", "ConvTranspose", "Dense"])
def test_layers(operation, activation, tmp_path):
    net = Net()
    if operation == "Dense":
        y = net("Add", net("MatMul", net.input(2, 3, 4), net.normal(4, 6)), net.normal(6))
    else:
        y = weighted(net, operation, group=2, strides=(2, 1))
    if operation == "Conv":
        y = net("Add", y, net.input(2, 6, 3, 3))
    if activation in ACTIVATIONS:
        y = net(activation, y, **ACTIVATIONS[activation])
    elif activation == "silu":
        y = net("Mul", y, net("Sigmoid", y))
    elif activation is not None:
        y = net("Clip", y, F4(-1 if activation == "Clip" else 0), F4(6))
    elif operation == "ConvTranspose":
        return  # nothing is fused
    same(net, y, tmp_path / "model.onnx")


def test_many_at_once(tmp_path):
    """Values that are made for writing have names of their own."""
    net = Net()
    x = y = net.input(1, 6, 4, 4)
    for _ in range(3):
        y = net("Conv", y, net.normal(6, 3, 1, 1), group=2)
        y = net("Mul", y, net("Sigmoid", y))
        parts = net("Reshape", y, np.array([1, 2, 3, 4, 4]))
        y = net("Reshape", net("Transpose", parts, perm=(0, 2, 1, 3, 4)), np.array([1, 6, 4, 4]))
        y = net(
            "Where", net("Greater", net("Exp", net("Neg", y)), F4(1)), x, net("Mul", y, net.normal(6, 1, 1))
        )
    same(net, y, tmp_path / "model.onnx")


def test_channels_that_are_not_known(tmp_path):
    x, y = (Value(name, np.dtype(F4)) for name in "xy")
    graph = Graph([x], [y], [Node("fastconv.ChannelShuffle", [x], [y], {"groups": 2})])
    with pytest.raises(
        ValueError, match="save: the number of channels of 'x', which are shuffled, is not known"
    ):
        fastconv.onnx.save(graph, tmp_path / "model.onnx")


def test_a_convolution_that_onnx_runtime_fused(tmp_path):
    weight = np.random.default_rng(0).normal(size=(3, 2, 3, 3)).astype(F4)
    made = node("FusedConv", ["x", "w", "", "z"], ["y"], domain="com.microsoft", activation="LeakyRelu")
    kinds = {"x": (FLOAT, [1, 2, 5, 5]), "z": (FLOAT, [1, 3, 3, 3])}
    opsets = [onnx.helper.make_opsetid("com.microsoft", 1)]
    graph = fastconv.onnx.load(model([made], kinds, {"y": (FLOAT, None)}, {"w": weight}, opsets=opsets)).graph
    x, z = np.ones((1, 2, 5, 5), F4), np.ones((1, 3, 3, 3), F4)
    expected = fastconv.conv2d(x, weight, activation=("leaky_relu", 0.01), residual=z)
    for actual in written(graph, [x, z], tmp_path / "model.onnx"):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_open_files(tmp_path):
    """As `load` takes them."""
    net = Net()
    x = net.input(2, 3)
    y = net("Relu", x)
    y.dtype = x.dtype
    graph, buffer = net.graph(y), io.BytesIO()
    fastconv.onnx.save(graph, buffer)
    fastconv.onnx.save(graph, tmp_path / "relu.onnx")
    assert buffer.getvalue() == (tmp_path / "relu.onnx").read_bytes()
    for wrong in (3, None, io.StringIO()):
        with pytest.raises(
            TypeError, match=r"save: path is .*, but needs to be a path or an open file in binary mode"
        ):
            fastconv.onnx.save(graph, wrong)
    for name in fastconv.graph.passes.PASSES:  # where a file's own compile says that they are
        fastconv.onnx.load(buffer.getvalue()).compile({"x0": (2, 3)}, stop_after=name)
