"""Quantised operators of ONNX Runtime: the same bytes as there."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fastconv.onnx import load
from onnx_models import SEVEN_BITS, model

pytestmark = pytest.mark.one_instruction_set
KINDS = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8}


class Made:
    """A node of random bytes, scales and zero points of one dtype."""

    def __init__(self, seed, dtype):
        self.rng, self.dtype = np.random.default_rng(seed), np.dtype(dtype)
        self.inputs, self.constants, self.names = {}, {}, []

    def bytes(self, *shape):
        limits = np.iinfo(self.dtype)
        return self.rng.integers(limits.min, limits.max + 1, size=shape).astype(self.dtype)

    def tensor(self, *shape, constant=False):
        self._add(self.bytes(*shape), self.constants if constant else self.inputs)
        self.form()

    def form(self, scale=None, zero=None):
        self.constant(np.float32(self.rng.uniform(0.002, 0.05) if scale is None else scale))
        self.constant(self.bytes() if zero is None else self.dtype.type(zero))

    def constant(self, array):
        self._add(np.asarray(array), self.constants)

    def truths(self, *shape):
        self._add(self.rng.integers(0, 2, size=shape).astype(bool), self.inputs)

    def _add(self, array, where):
        self.names.append(f"v{len(self.names)}")
        where[self.names[-1]] = array

    def model(self, operation, result=None, **attributes):
        made = helper.make_node(operation, self.names, ["y"], domain="com.microsoft", **attributes)
        kinds = KINDS | {np.dtype(bool): TensorProto.BOOL}
        return model(
            [made],
            {name: (kinds[array.dtype], array.shape) for name, array in self.inputs.items()},
            {"y": (KINDS[self.dtype] if result is None else result, None)},
            self.constants,
            opsets=[helper.make_opsetid("com.microsoft", 1)],
        )


def add(m):
    m.tensor(2, 7, 5, 9)
    m.tensor(2, 7, 5, 9)
    m.form()
    return m.model("QLinearAdd")


def multiply(m):
    m.tensor(2, 7, 5, 9)
    m.tensor(2, 7, 5, 9)
    m.form()
    return m.model("QLinearMul")


def gate(m):
    """One number for each channel."""
    m.tensor(2, 7, 5, 9)
    m.tensor(2, 7, 1, 1)
    m.form()
    return m.model("QLinearMul")


def leaky_relu(m):
    m.tensor(3, 500)
    m.form()
    return m.model("QLinearLeakyRelu", alpha=float(m.rng.uniform(0.01, 0.5)))


def sigmoid(m):
    m.tensor(3, 500)
    m.form(1 / 256, 0 if m.dtype.kind == "u" else -128)
    return m.model("QLinearSigmoid")


def concatenate(m):
    m.form()
    m.tensor(2, 3, 40)
    m.tensor(2, 1, 40)
    m._add(m.bytes(2, 4, 40), m.inputs)
    m.names += m.names[:2]
    return m.model("QLinearConcat", axis=int(m.rng.choice([1, -2])))


def choose(m):
    m.truths(4, 1, 30)
    m.tensor(4, 5, 30)
    m.tensor(1, 5, 1)
    m.form()
    return m.model("QLinearWhere")


def softmax(m):
    m.tensor(4, 3, 60)
    m.form(1 / 256, 0 if m.dtype.kind == "u" else -128)
    return m.model("QLinearSoftmax", axis=int(m.rng.choice([1, 2, -1])), opset=int(m.rng.choice([12, 13])))


def global_average(m):
    m.tensor(2, 9, 7, 8)
    m.form()
    return m.model("QLinearGlobalAveragePool")


def average(m):
    m.tensor(2, 4, 10, 9)  # the last row of windows hangs over the padding
    m.form()
    options = {
        "kernel_shape": [3, 2],
        "strides": [2, 1],
        "pads": [1, 0, 0, 1],
        "ceil_mode": int(m.rng.integers(2)),
    }
    return m.model("QLinearAveragePool", count_include_pad=int(m.rng.integers(2)), **options)


def product(m, result=None, weights=SEVEN_BITS):
    m.tensor(9, 20)
    m._add(m.rng.integers(*weights, size=(13, 20)).astype(np.int8), m.constants)
    columns = (13,) if m.rng.integers(2) else (1,)
    m.constant(m.rng.uniform(0.001, 0.02, size=columns).astype(np.float32))
    m.constant(np.zeros(columns, np.int8))
    m.constant(m.rng.integers(-500, 500, size=13).astype(np.int32))
    if result is None:
        m.form(0.3)
    return m.model("QGemm", result, transB=1, alpha=float(m.rng.choice([1.0, 0.7])))


def real_product(m):
    return product(m, TensorProto.FLOAT)


CASES = [add, multiply, gate, leaky_relu, sigmoid, concatenate, choose]
CASES += [softmax, global_average, average, product, real_product]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_same_bytes(case, dtype):
    runtime = pytest.importorskip("onnxruntime")
    for seed in range(20):
        made = Made(seed, dtype)
        data = case(made)
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        (wanted,) = session.run(None, made.inputs)
        actual = load(data)(made.inputs)
        assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(actual, wanted, err_msg=f"seed {seed}")


def shifted(data):
    """The same network, its int8 (weights, their zero points) as uint8: these, ONNX Runtime never adds in int16."""
    made = onnx.load_from_string(data)
    for tensor in made.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.int8:
            unsigned = (array.astype(np.int16) + 128).astype(np.uint8)
            tensor.CopyFrom(numpy_helper.from_array(unsigned, tensor.name))
    return made.SerializeToString()


@pytest.mark.parametrize("result", [None, TensorProto.FLOAT])
def test_weights_of_all_eight_bits(result):
    runtime = pytest.importorskip("onnxruntime")
    for seed in range(20):
        made = Made(seed, np.uint8)
        data = product(made, result, (-128, 128))
        session = runtime.InferenceSession(shifted(data), providers=["CPUExecutionProvider"])
        (wanted,) = session.run(None, made.inputs)
        np.testing.assert_array_equal(load(data)(made.inputs), wanted, err_msg=f"seed {seed}")


@pytest.mark.parametrize("group", [1, 2])
def test_a_convolution_with_weights_of_all_eight_bits(group):
    runtime = pytest.importorskip("onnxruntime")
    for seed in range(10):
        rng = np.random.default_rng(seed)
        constants = {
            "xs": np.float32(0.02),
            "xz": np.uint8(rng.integers(256)),
            "w": rng.integers(-128, 128, size=(6, 4 // group, 3, 3)).astype(np.int8),
            "ws": rng.uniform(0.001, 0.02, size=6).astype(np.float32),
            "wz": np.zeros(6, np.int8),
            "ys": np.float32(0.8),
            "yz": np.uint8(100),
        }
        x = rng.integers(256, size=(1, 4, 6, 7)).astype(np.uint8)
        data = model(
            [helper.make_node("QLinearConv", ["x", *constants], ["y"], group=group, pads=[1] * 4)],
            {"x": (TensorProto.UINT8, x.shape)},
            {"y": (TensorProto.UINT8, None)},
            constants,
        )
        session = runtime.InferenceSession(shifted(data), providers=["CPUExecutionProvider"])
        np.testing.assert_array_equal(load(data)(x), session.run(None, {"x": x})[0], err_msg=f"seed {seed}")
