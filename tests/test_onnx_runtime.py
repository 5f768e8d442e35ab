"""Random nodes, in all their options, against ONNX Runtime: another reading of the same definitions."""

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto

from fastconv.onnx import load
from onnx_models import SEVEN_BITS, model, node

pytestmark = pytest.mark.one_instruction_set
TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int64): TensorProto.INT64,
}


class Draw:
    """What random nodes are made of."""

    def __init__(self, draw):
        self._draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def pick(self, *values):
        return self._draw(st.sampled_from(values))

    def number(self, low, high):
        return self._draw(st.integers(low, high))

    def numbers(self, count, low, high):
        return [self.number(low, high) for _ in range(count)]

    def floats(self, *shape):
        return self.rng.normal(size=shape).astype(np.float32)

    def bytes(self, *shape):
        return self.rng.integers(0, 256, size=shape).astype(np.uint8)


def resize(d):
    mode, rank = d.pick("nearest", "linear", "cubic"), d.pick(1, 2)
    if mode == "cubic":
        rank = 2
    x = d.floats(1, 2, *d.numbers(rank, 2, 7))
    # Not align_corners with scales: the runtime counts whole pixels there, ONNX's tests do not.
    options = {
        "coordinate_transformation_mode": d.pick("half_pixel", "pytorch_half_pixel", "asymmetric"),
        "mode": mode,
    }
    if mode == "nearest":
        options["nearest_mode"] = d.pick("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    if mode == "cubic":
        options |= {"cubic_coeff_a": d.pick(-0.5, -0.75), "exclude_outside": d.pick(0, 1)}
    if d.pick(True, False):
        scales = np.float32([1, 1, *(d.pick(0.5, 0.6, 1.5, 2.0, 2.3) for _ in range(rank))])
        return node("Resize", ["x", "", "c"], ["y"], **options), [x], [scales]
    options["coordinate_transformation_mode"] = d.pick("half_pixel", "align_corners", "asymmetric")
    sizes = np.array([1, 2, *d.numbers(rank, 1, 12)])
    return node("Resize", ["x", "", "", "c"], ["y"], **options), [x], [sizes]


def pool(d):
    kind, rank = d.pick("MaxPool", "AveragePool", "LpPool"), d.pick(1, 2, 3)
    kernel = d.numbers(rank, 1, 3)
    options = {"kernel_shape": kernel, "strides": d.numbers(rank, 1, 3)}
    options["pads"] = [d.number(0, k - 1) for k in kernel * 2]
    options["ceil_mode"] = d.pick(0, 1)
    if kind == "AveragePool":
        options["count_include_pad"] = d.pick(0, 1)
    if kind == "LpPool":
        options["p"] = d.pick(1, 2, 3)
    if d.pick(True, False):
        options["dilations"] = d.numbers(rank, 1, 2)
    return node(kind, ["x"], ["y"], **options), [d.floats(2, 3, *d.numbers(rank, 5, 9))], []


def convolution(d):
    rank, group = d.pick(1, 2, 3), d.pick(1, 2)
    kernel = d.numbers(rank, 1, 3)
    options = {"strides": d.numbers(rank, 1, 3), "dilations": d.numbers(rank, 1, 2), "group": group}
    options["pads"] = d.numbers(2 * rank, 0, 3)
    x, weight = d.floats(2, 4, *d.numbers(rank, 5, 9)), d.floats(6, 4 // group, *kernel)
    return node("Conv", ["x", "c", "d"], ["y"], **options), [x], [weight, d.floats(6)]


def transposed(d):
    rank, group = d.pick(1, 2, 3), d.pick(1, 2)
    kernel, strides = d.numbers(rank, 1, 3), d.numbers(rank, 1, 3)
    x = d.floats(2, 4, *d.numbers(rank, 3, 6))
    options = {"kernel_shape": kernel, "strides": strides, "group": group}
    if d.pick(True, False):
        options["output_shape"] = [
            (n - 1) * s + k + d.number(1 - k, s - 1)
            for n, s, k in zip(x.shape[2:], strides, kernel, strict=True)
        ]
    else:
        options["pads"] = [d.number(0, min(k - 1, 1)) for k in kernel * 2]
        options["output_padding"] = [d.number(0, s - 1) for s in strides]
    weight = d.floats(4, 6 // group, *kernel)
    return node("ConvTranspose", ["x", "c", "d"], ["y"], **options), [x], [weight, d.floats(6)]


def pad(d):
    rank = d.pick(1, 2, 3)
    x, pads = d.floats(*d.numbers(rank, 3, 6)), np.array(d.numbers(2 * rank, -1, 2))
    return node("Pad", ["x", "c"], ["y"], mode=d.pick("constant", "edge", "reflect", "wrap")), [x], [pads]


def slices(d):
    rank = d.pick(1, 2, 3)
    places = [-7, -3, -2, -1, 0, 1, 2, 4, 9, 2**62, -(2**62)]
    starts, ends, steps = (
        np.array([d.pick(*values) for _ in range(rank)]) for values in (places, places, (1, 2, -1, -2, 3))
    )
    inputs = ["x", "c", "d", "e", "f"]
    return (
        node("Slice", inputs, ["y"]),
        [d.floats(*d.numbers(rank, 0, 5))],
        [starts, ends, np.arange(rank), steps],
    )


def grid_sample(d):
    options = {
        "mode": d.pick("bilinear", "nearest", "bicubic"),
        "padding_mode": d.pick("zeros", "border", "reflection"),
        "align_corners": d.pick(0, 1),
    }
    grid = d.rng.uniform(-1.6, 1.6, size=(2, 4, 5, 2)).astype(np.float32)
    return node("GridSample", ["x", "c"], ["y"], **options), [d.floats(2, 3, *d.numbers(2, 2, 6))], [grid]


def roi_align(d):
    rois = np.sort(d.rng.uniform(0, 14, size=(4, 2, 2)), 1)
    rois[3] = d.rng.uniform(0, 14, size=(2, 2))  # sides in any order
    rois = rois.reshape(4, 4).astype(np.float32)
    options = {
        "coordinate_transformation_mode": d.pick("half_pixel", "output_half_pixel"),
        "mode": d.pick("avg", "max"),
        "output_height": d.number(1, 4),
        "output_width": d.number(1, 4),
        "sampling_ratio": d.number(0, 3),
        "spatial_scale": d.pick(0.5, 1.0),
    }
    inputs = [rois, np.array([0, 1, 1, 0])]
    return node("RoiAlign", ["x", "c", "d"], ["y"], **options), [d.floats(2, 3, 9, 8)], inputs


def suppression(d):
    boxes = np.sort(d.rng.uniform(0, 10, size=(2, 12, 2, 2)), 2).reshape(2, 12, 4).astype(np.float32)
    if d.pick(True, False):
        boxes = np.round(boxes / 4)  # some have no area
    scores = d.rng.uniform(size=(2, 3, 12)).astype(np.float32)
    limits = [np.array([d.number(0, 5)]), np.float32([d.pick(0.0, 0.2, 0.5)]), np.float32([d.pick(0.0, 0.5)])]
    made = node("NonMaxSuppression", ["x", "c", "d", "e", "f"], ["y"], center_point_box=d.pick(0, 1))
    return made, [boxes], [scores, *limits]


def recurrent(d):
    kind, direction = d.pick("LSTM", "GRU", "RNN"), d.pick("forward", "reverse", "bidirectional")
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    ways, steps = 2 if direction == "bidirectional" else 1, d.number(1, 5)
    options = {"hidden_size": 3, "direction": direction}
    if kind == "GRU":
        options["linear_before_reset"] = d.pick(0, 1)
    if kind != "RNN" and d.pick(True, False):
        options["activations"] = ["Sigmoid", "Tanh", "Relu"][: 3 if kind == "LSTM" else 2] * ways
    constants = [d.floats(ways, gates * 3, 2), d.floats(ways, gates * 3, 3), d.floats(ways, 2 * gates * 3)]
    constants += [np.int32(d.numbers(3, 1, steps)), d.floats(ways, 3, 3)]
    inputs, outputs = ["x", "c", "d", "e", "f", "g"], ["y", "h"]
    if kind == "LSTM":
        constants += [d.floats(ways, 3, 3), d.floats(ways, 9)]
        inputs, outputs = [*inputs, "i", "j"], [*outputs, "k"]
    return node(kind, inputs, outputs, **options), [d.floats(steps, 3, 2)], constants


def quantised(d):
    group, each = d.pick(1, 2), d.pick(True, False)
    weight = d.rng.integers(*SEVEN_BITS, size=(6, 4 // group, 3, 3)).astype(np.int8)
    scale = d.rng.uniform(0.001, 0.02, size=6 if each else ()).astype(np.float32)
    zero = np.zeros(6 if each else (), np.int8)
    constants = [
        np.float32(0.02),
        np.uint8(d.pick(0, 7, 128)),
        weight,
        scale,
        zero,
        np.float32(0.3),
        np.uint8(100),
    ]
    constants.append(d.rng.integers(-500, 500, size=6).astype(np.int32))
    made = node(
        "QLinearConv", ["x", *"cdefgijk"], ["y"], group=group, pads=[1] * 4, strides=[d.pick(1, 2)] * 2
    )
    return made, [d.bytes(1, 4, 6, 6)], constants


def scattered(d):
    reduction = d.pick("none", "add", "mul", "max", "min")
    if d.pick(True, False):
        places, updates = np.array([[0, 1], [2, 3], [3, -1]]), d.floats(3)
        made = node("ScatterND", ["x", "c", "d"], ["y"], reduction=reduction)
    else:
        places, updates = d.rng.permutation(4).reshape(2, 2), d.floats(2, 2)
        made = node("ScatterElements", ["x", "c", "d"], ["y"], reduction=reduction, axis=0)
    return made, [d.floats(4, 5)], [places, updates]


def best(d):
    x = np.round(d.floats(3, 7), 1)  # some are equal
    made = node("TopK", ["x", "c"], ["y", "i"], axis=d.pick(0, 1, -1), largest=d.pick(0, 1))
    return made, [x], [np.array([d.number(0, 3)])]


NODES = [
    *(resize, pool, convolution, transposed, pad, slices, grid_sample, roi_align, suppression),
    *(recurrent, quantised, scattered, best),
]


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_quantised_lstm(direction):
    """One sequence: the runtime quantises the states of a batch together or one by one, as its threads have it."""
    runtime = pytest.importorskip("onnxruntime")
    ways, rng = 2 if direction == "bidirectional" else 1, np.random.default_rng(0)
    whole = [rng.integers(*SEVEN_BITS, size=(ways, size, 12)).astype(np.int8) for size in (2, 3)]
    scale, zero = rng.uniform(0.005, 0.01, size=ways).astype(np.float32), np.zeros(ways, np.int8)
    constants = {"w": whole[0], "r": whole[1], "b": rng.normal(size=(ways, 24)).astype(np.float32)}
    constants |= {"s": scale, "z": zero}
    made = node(
        "DynamicQuantizeLSTM",
        ["x", "w", "r", "b", "", "", "", "", "s", "z", "s", "z"],
        ["y", "h", "c"],
        domain="com.microsoft",
        hidden_size=3,
        direction=direction,
    )
    x = rng.normal(size=(6, 1, 2)).astype(np.float32)
    data = model(
        [made],
        {"x": (TensorProto.FLOAT, x.shape)},
        dict.fromkeys("yhc", (TensorProto.FLOAT, None)),
        constants,
        opsets=[onnx.helper.make_opsetid("com.microsoft", 1)],
    )
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for actual, expected in zip(load(data)(x).values(), session.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("made", NODES, ids=lambda function: function.__name__)
@given(st.data())
def test_as_onnx_runtime(made, data):
    runtime = pytest.importorskip("onnxruntime")
    runtime.set_default_logger_severity(4)
    op, inputs, constants = made(Draw(data.draw))
    names = [name for name in op.input[1:] if name]
    written = onnx.load_from_string(
        model(
            [op],
            {"x": (TYPES[inputs[0].dtype], inputs[0].shape)},
            dict.fromkeys(op.output, (TensorProto.FLOAT, None)),
            dict(zip(names, constants, strict=True)),
            opset=22 if made in (pool, convolution, transposed) else 18,
        )
    )
    for output in written.graph.output:
        output.ClearField("type")  # to be inferred
    try:
        session = runtime.InferenceSession(written.SerializeToString(), providers=["CPUExecutionProvider"])
        wanted = session.run(None, {"x": inputs[0]})
    except Exception:  # what it does not do
        assume(False)
    results = load(written.SerializeToString())(inputs[0])
    for actual, expected in zip(
        results.values() if isinstance(results, dict) else [results], wanted, strict=True
    ):
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize(("size", "count"), [(4, 9), (9, 4), (5, 5), (3, 10)])
def test_half_pixels_of_old_resizes(size, count, optimize):
    """A mode that operator set 13 no longer has."""
    runtime = pytest.importorskip("onnxruntime")
    options = {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
    resize = node("Resize", ["x", "roi", "scales", "sizes"], ["y"], mode="nearest", **options)
    none = np.zeros(0, np.float32)
    constants = {"sizes": np.array([1, 1, 1, count]), "roi": none, "scales": none}
    inputs = {"x": (TensorProto.FLOAT, [1, 1, 1, size])}
    data = model([resize], inputs, {"y": (TensorProto.FLOAT, None)}, constants, opset=11)
    x = np.arange(size, dtype=np.float32).reshape(1, 1, 1, size)
    theirs = runtime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    np.testing.assert_array_equal(load(data, optimize=optimize)(x), theirs)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_corners_of_images_that_grow_by_broken_factors(mode, optimize):
    """As PyTorch exports Upsample(scale_factor=1.5, align_corners=True): 5 elements become 7, the last is the last."""
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(7)
    for factors in ((1.5, 1.5), (1.3, 2.7), (2.0, 1.1), (1.0, 3.3)):
        resize = node(
            "Resize", ["x", "", "scales"], ["y"], mode=mode, coordinate_transformation_mode="align_corners"
        )
        constants = {"scales": np.array([1, 1, *factors], np.float32)}
        data = model(
            [resize], {"x": (TensorProto.FLOAT, [1, 2, 5, 5])}, {"y": (TensorProto.FLOAT, None)}, constants
        )
        x = rng.normal(size=(1, 2, 5, 5)).astype(np.float32)
        theirs = runtime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        result = load(data, optimize=optimize)(x)
        np.testing.assert_allclose(result, theirs, rtol=1e-4, atol=1e-4)
        assert result[..., -1, -1] == pytest.approx(x[..., -1, -1], rel=1e-5)


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_bounds_of_recurrent_layers(kind, gates):
    """Long enough for an LSTM's cells to grow beyond them."""
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(8)
    shapes = {"w": (1, 5 * gates, 3), "r": (1, 5 * gates, 5), "b": (1, 10 * gates)}
    constants = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    made = node(kind, ["x", "w", "r", "b"], ["y"], hidden_size=5, clip=0.5)
    x = 4 * rng.normal(size=(30, 2, 3)).astype(np.float32)
    kinds = {"x": (TensorProto.FLOAT, x.shape)}, {"y": (TensorProto.FLOAT, None)}
    data = model([made], *kinds, constants)
    theirs = runtime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    np.testing.assert_allclose(load(data)(x), theirs, atol=1e-5)
