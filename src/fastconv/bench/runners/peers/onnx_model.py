"""Models of one node for the libraries that run ONNX files.

Called by `onnxruntime.py` and `openvino.py`. ONNX knows only NCHW, and weights that are part of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnx import TensorProto, helper, numpy_helper

from fastconv.bench.layers.layer import Layer
from fastconv.bench.runners.peers import reading
from fastconv.typing import Array

OPSET = 17  # since ONNX 1.12 and IR version 8
IR_VERSION = 8
NODES = {
    "max_pool2d": "MaxPool",
    "avg_pool2d": "AveragePool",
    "global_max_pool2d": "GlobalMaxPool",
    "global_avg_pool2d": "GlobalAveragePool",
}


def model(layer: Layer, arrays: Mapping[str, Array]) -> bytes | None:
    """A serialized model from ``x`` to ``y``; None where no node does the layer, or for another dtype than float32."""
    if arrays["x"].dtype.name != "float32":
        return None
    found = _node(layer)
    if found is None:
        return None
    kind, attributes = found
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items() if name != "x"]
    graph = helper.make_graph(
        [helper.make_node(kind, list(arrays), ["y"], **attributes)],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, layer.shapes["x"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    serialized: bytes = made.SerializeToString()
    return serialized


def _node(layer: Layer) -> tuple[str, dict[str, Any]] | None:
    """Its type and attributes."""
    if layer.operation in reading.GLOBAL:
        return None if layer.options else (NODES[layer.operation], {})
    if layer.operation in reading.POOLINGS:
        windows = reading.pooling(layer)
        if windows is None:
            return None
        attributes: dict[str, Any] = {
            "kernel_shape": windows.kernel, "strides": windows.stride, "pads": windows.onnx_pads,
        }  # fmt: skip
        if layer.operation == "max_pool2d":
            return NODES[layer.operation], attributes | {"dilations": windows.dilation}
        return NODES[layer.operation], attributes | {"count_include_pad": 1}
    windows = reading.convolution(layer)
    if windows is None:
        return None
    attributes = {
        "kernel_shape": windows.kernel, "strides": windows.stride, "pads": windows.onnx_pads,
        "dilations": windows.dilation, "group": windows.groups,
    }  # fmt: skip
    if windows.transposed:
        return "ConvTranspose", attributes | {"output_padding": windows.output_padding}
    return "Conv", attributes
