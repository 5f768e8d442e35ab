"""Small networks made by the `onnx` package, for the tests of the reader and of models."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(nodes, inputs, outputs, constants=None, opset=18, functions=(), **more):
    """A model's bytes. Inputs and outputs: {name: (type, shape)}."""
    infos = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in given.items()]
        for given in (inputs, outputs)
    ]
    initial = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "made", *infos, initializer=initial)
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), *more.pop("opsets", ())], functions=functions
    )
    return made.SerializeToString()


FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64
# Weights of 7 bits: without VNNI, ONNX Runtime adds two products of uint8 and int8 in int16, which saturates beyond.
SEVEN_BITS = -64, 65
node = helper.make_node


def classifier(rng=None):
    """Convolution, pooling, a branch, a function, raw and typed data: what a file may hold, in small."""
    rng = rng or np.random.default_rng(0)
    weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((4, 3, 3, 3), (4,)))
    then, other = (
        helper.make_graph(
            [node(kind, ["pooled"], ["out"])], kind, [], [helper.make_tensor_value_info("out", FLOAT, None)]
        )
        for kind in ("Relu", "Neg")
    )
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    nodes = [
        node("Conv", ["x", "weight", "bias"], ["features"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("MaxPool", ["features"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Constant", [], ["zero"], value=helper.make_tensor("zero", FLOAT, [], [0.0])),
        node("ReduceSum", ["pooled"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["positive"]),
        node("If", ["positive"], ["chosen"], then_branch=then, else_branch=other),
        node("Twice", ["chosen"], ["doubled"], domain="own"),
        node("Flatten", ["doubled"], ["flat"]),
        node("Softmax", ["flat"], ["y"]),
    ]
    return model(
        nodes,
        {"x": (FLOAT, ["N", 3, 12, 12])},
        {"y": (FLOAT, ["N", 36])},
        {"weight": weight, "bias": bias},
        functions=[twice],
        opsets=[helper.make_opsetid("own", 1)],
    )


def save_external(path, array):
    """Identity of a constant whose data lie in a file beside; gives the ModelProto, to be changed and written."""
    made = onnx.load_from_string(
        model(
            [node("Add", ["x", "c"], ["y"])],
            {"x": (FLOAT, array.shape)},
            {"y": (FLOAT, array.shape)},
            {"c": array},
        )
    )
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    (path / "weights.bin").write_bytes(array.tobytes())
    return made
