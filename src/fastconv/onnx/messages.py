"""ONNX's messages as tables of field numbers (onnx.proto), as far as a model that is run needs them.

Read by `wire.py`. What is not here (documentation, metadata, what a file says of
values between nodes, training, devices) is skipped.
"""

from __future__ import annotations

from fastconv.onnx.wire import Field, Message, Scalar

MODEL, GRAPH, NODE, FUNCTION = map(Message, ("ModelProto", "GraphProto", "NodeProto", "FunctionProto"))
ATTRIBUTE = Message("AttributeProto", alike=True)
TENSOR, SPARSE_TENSOR, VALUE_INFO, TYPE = map(
    Message, ("TensorProto", "SparseTensorProto", "ValueInfoProto", "TypeProto")
)
TENSOR_TYPE, ELEMENT_TYPE, SHAPE, DIMENSION = map(
    Message, ("TypeProto.Tensor", "TypeProto.Sequence", "TensorShapeProto", "TensorShapeProto.Dimension")
)
OPSET, ENTRY = map(Message, ("OperatorSetIdProto", "StringStringEntryProto"))


def _one(name: str, kind: Scalar | Message) -> Field:
    return Field(name, kind)


def _many(name: str, kind: Scalar | Message) -> Field:
    return Field(name, kind, repeated=True)


MODEL.fields.update({
    1: _one("ir_version", "int"), 2: _one("producer_name", "text"), 7: _one("graph", GRAPH),
    8: _many("opset_import", OPSET), 25: _many("functions", FUNCTION),
})  # fmt: skip
OPSET.fields.update({1: _one("domain", "text"), 2: _one("version", "int")})
ENTRY.fields.update({1: _one("key", "text"), 2: _one("value", "text")})
GRAPH.fields.update({
    1: _many("node", NODE), 2: _one("name", "text"), 5: _many("initializer", TENSOR),
    11: _many("input", VALUE_INFO), 12: _many("output", VALUE_INFO), 15: _many("sparse_initializer", SPARSE_TENSOR),
})  # fmt: skip
NODE.fields.update({
    1: _many("input", "text"), 2: _many("output", "text"), 3: _one("name", "text"), 4: _one("op_type", "text"),
    5: _many("attribute", ATTRIBUTE), 7: _one("domain", "text"), 8: _one("overload", "text"),
})  # fmt: skip
ATTRIBUTE.fields.update({
    1: _one("name", "text"), 2: _one("f", "float"), 3: _one("i", "int"), 4: _one("s", "bytes"), 5: _one("t", TENSOR),
    6: _one("g", GRAPH), 7: _many("floats", "float"), 8: _many("ints", "int"), 9: _many("strings", "bytes"),
    10: _many("tensors", TENSOR), 11: _many("graphs", GRAPH), 14: _one("tp", TYPE), 20: _one("type", "int"),
    21: _one("ref_attr_name", "text"), 22: _one("sparse_tensor", SPARSE_TENSOR),
})  # fmt: skip
TENSOR.fields.update({
    1: _many("dims", "int"), 2: _one("data_type", "int"), 4: _many("float_data", "float"),
    5: _many("int32_data", "int"), 6: _many("string_data", "bytes"), 7: _many("int64_data", "int"),
    8: _one("name", "text"), 9: _one("raw_data", "bytes"), 10: _many("double_data", "double"),
    11: _many("uint64_data", "uint"), 13: _many("external_data", ENTRY), 14: _one("data_location", "int"),
})  # fmt: skip
SPARSE_TENSOR.fields.update(
    {1: _one("values", TENSOR)}
)  # the name, for the error: sparse tensors are refused
VALUE_INFO.fields.update({1: _one("name", "text"), 2: _one("type", TYPE)})
TYPE.fields.update({
    1: _one("tensor_type", TENSOR_TYPE), 4: _one("sequence_type", ELEMENT_TYPE), 9: _one("optional_type", ELEMENT_TYPE),
})  # fmt: skip
TENSOR_TYPE.fields.update({1: _one("elem_type", "int"), 2: _one("shape", SHAPE)})
ELEMENT_TYPE.fields.update({1: _one("elem_type", TYPE)})
SHAPE.fields.update({1: _many("dim", DIMENSION)})
DIMENSION.fields.update({1: _one("dim_value", "int"), 2: _one("dim_param", "text")})
FUNCTION.fields.update({
    1: _one("name", "text"), 4: _many("input", "text"), 5: _many("output", "text"), 6: _many("attribute", "text"),
    7: _many("node", NODE), 9: _many("opset_import", OPSET), 10: _one("domain", "text"),
    11: _many("attribute_proto", ATTRIBUTE), 13: _one("overload", "text"),
})  # fmt: skip
