"""Which pixel Resize takes as the nearest: the one of ONNX Runtime, wherever rounding decides."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from fastconv.graph.operations import TABLE
from fastconv.onnx import load, save
from onnx_models import model

COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def node(coordinates, rounding):
    options = {"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    return helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **options)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize(
    ("coordinates", "rounding", "size", "taken"),
    [
        ("align_corners", "floor", 13, [0, 2, 4, 6, 8, 10, 12]),
        ("align_corners", "ceil", 13, [0, 2, 4, 6, 8, 10, 12]),
        ("align_corners", "round_prefer_ceil", 6, [0, 3, 5]),
        ("align_corners", "round_prefer_floor", 6, [0, 2, 5]),
        ("align_corners", "floor", 221, [k * 220 // 13 for k in range(14)]),
        ("asymmetric", "round_prefer_ceil", 7, [0, 4]),
        ("asymmetric", "round_prefer_floor", 7, [0, 3]),
        ("half_pixel", "round_prefer_ceil", 20, [1, 5, 8, 11, 15, 18]),
        ("half_pixel", "round_prefer_floor", 20, [1, 4, 8, 11, 14, 18]),
    ],
)
def test_known_pixels(backend, coordinates, rounding, size, taken, optimize):
    """Whole numbers and halves, which some are not once they are rounded: 13 / (7 / 13) is 6.9999995."""
    for axis in (1, 2):
        shape = [1 if a != axis else size for a in range(3)]
        sizes = {"sizes": np.array([1 if a != axis else len(taken) for a in range(3)])}
        inputs, outputs = {"x": (TensorProto.FLOAT, shape)}, {"y": (TensorProto.FLOAT, None)}
        data = model([node(coordinates, rounding)], inputs, outputs, sizes, opset=19)
        y = load(data, optimize=optimize)(np.arange(size, dtype=np.float32).reshape(shape))
        assert y.ravel().tolist() == list(taken)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_all_small_sizes(coordinates, rounding):
    runtime = pytest.importorskip("onnxruntime")
    inputs = {"x": (TensorProto.FLOAT, [None]), "sizes": (TensorProto.INT64, [1])}
    data = model([node(coordinates, rounding)], inputs, {"y": (TensorProto.FLOAT, None)}, {}, opset=19)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    options = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    for size in range(1, 41):
        x = np.arange(size, dtype=np.float32)
        for count in range(1, 61):
            sizes = np.array([count])
            (wanted,) = session.run(None, {"x": x, "sizes": sizes})
            actual = TABLE["Resize"].run(x, None, None, sizes, mode="nearest", **options)
            assert actual.tolist() == wanted.tolist(), (size, count)


def test_lengths_by_scales():
    """In float32, 3 times 3.3333333 are 10 elements; in float64 they are 9."""
    inputs = {"x": (TensorProto.FLOAT, ["N"])}
    made = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    constants = {"scales": np.array([10 / 3], np.float32)}
    network = load(model([made], inputs, {"y": (TensorProto.FLOAT, None)}, constants))
    for size in (3, 6, 9):
        assert network(np.arange(size, dtype=np.float32)).shape == (10 * size // 3,)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", [word for word in COORDINATES if word != "align_corners"])
def test_all_small_scales(coordinates, rounding):
    """But not those that leave the size as it is, and the corners of images that shrink (docs/networks.md)."""
    runtime = pytest.importorskip("onnxruntime")
    inputs = {"x": (TensorProto.FLOAT, [None]), "scales": (TensorProto.FLOAT, [1])}
    options = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    made = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest", **options)
    data = model([made], inputs, {"y": (TensorProto.FLOAT, None)}, {}, opset=19)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for size in range(1, 30):
        x = np.arange(size, dtype=np.float32)
        for scale in np.float32([0.1, 0.3, 1 / 3, 0.5, 0.6, 0.8, 0.9, 1.1, 1.3, 1.7, 2, 2.3, 3, 10 / 3, 8]):
            if int(size * scale) in (0, size):
                continue
            (wanted,) = session.run(None, {"x": x, "scales": scale[np.newaxis]})
            actual = TABLE["Resize"].run(x, None, scale[np.newaxis], None, mode="nearest", **options)
            assert actual.tolist() == wanted.tolist(), (size, scale)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(
    ("scales", "taken"),
    [
        ([1.0, 0.6], [[0, 2], [4, 6]]),  # the pixels of ONNX's own test of that set
        ([2.0, 1.5], [[0, 0, 1, 2, 2, 3], [0, 0, 1, 2, 2, 3], [4, 4, 5, 6, 6, 7], [4, 4, 5, 6, 6, 7]]),
        ([2.0, 0.6], [[0, 2], [0, 2], [4, 6], [4, 6]]),
    ],
)
def test_pixels_of_operator_set_10(scales, taken, constant):
    made = helper.make_node("Resize", ["x", "scales"], ["y"], mode="nearest")
    factors = np.array(scales, np.float32)
    inputs = {"x": (TensorProto.FLOAT, [2, 4])} | ({} if constant else {"scales": (TensorProto.FLOAT, [2])})
    constants = {"scales": factors} if constant else {}
    network = load(model([made], inputs, {"y": (TensorProto.FLOAT, None)}, constants, opset=10))
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert network(x if constant else {"x": x, "scales": factors}).tolist() == taken


def test_what_newer_sets_cannot_say(tmp_path):
    """Up along one axis and down along another, as set 10 rounds."""
    made = helper.make_node("Resize", ["x", "scales"], ["y"], mode="nearest")
    for scales, fits in (([2, 1], True), ([0.5, 1], True), ([2, 0.5], False)):
        constants = {"scales": np.array(scales, np.float32)}
        inputs, outputs = {"x": (TensorProto.FLOAT, [2, 4])}, {"y": (TensorProto.FLOAT, None)}
        graph = load(model([made], inputs, outputs, constants, opset=10)).graph
        if fits:
            save(graph, tmp_path / "saved.onnx")
        else:
            with pytest.raises(ValueError, match=r"save: .* Resize of set 10"):
                save(graph, tmp_path / "saved.onnx")
