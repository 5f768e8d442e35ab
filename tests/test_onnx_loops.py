"""Loops of ONNX files that make no round: what they stack has a shape and a dtype all the same."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from fastconv.onnx import load
from onnx_models import FLOAT, INT, model, node

pytestmark = pytest.mark.one_instruction_set


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize(
    ("declared", "found"),
    [([2, 15], (0, 2, 15)), ([None, 15], (0, 0, 15)), (["n", 15], (0, 0, 15)), (None, (0,))],
)
def test_a_loop_of_no_rounds(declared, found, optimize):
    """As in ONNX Runtime: what the body says of a round's results, and zero for a size that it does not say."""
    body = helper.make_graph(
        [
            node("Identity", ["go"], ["on"]),
            node("Mul", ["state", "factor"], ["next"]),
            node("Relu", ["next"], ["positive"]),
            node("Shape", ["next"], ["shape"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, declared),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", FLOAT, declared),
            helper.make_tensor_value_info("positive", FLOAT, declared),
            helper.make_tensor_value_info("shape", INT, None),
        ],
    )
    data = model(
        [node("Loop", ["rounds", "", "x"], ["y", "all", "shapes"], body=body)],
        {"x": (FLOAT, [2, 15]), "rounds": (INT, [])},
        {"y": (FLOAT, None), "all": (FLOAT, None), "shapes": (INT, None)},
        {"factor": np.float32(2)},
    )
    x = np.ones((2, 15), np.float32)
    result = load(data, optimize=optimize)({"x": x, "rounds": np.array(0)})
    np.testing.assert_array_equal(result["y"], x)
    assert (result["all"].shape, result["all"].dtype) == (found, np.float32)
    assert (result["shapes"].shape, result["shapes"].dtype) == ((0, len(found) - 1), np.int64)


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize(("axis", "found"), [(0, (0, 3)), (1, (3, 0)), (-1, (3, 0))])
def test_a_scan_of_no_elements(axis, found, optimize):
    body = helper.make_graph(
        [node("Add", ["state", "x"], ["next"]), node("Abs", ["x"], ["size"])],
        "body",
        [helper.make_tensor_value_info(name, FLOAT, [3]) for name in ("state", "x")],
        [helper.make_tensor_value_info(name, FLOAT, [3]) for name in ("next", "size")],
    )
    data = model(
        [node("Scan", ["s", "x"], ["y", "all"], body=body, num_scan_inputs=1, scan_output_axes=[axis])],
        {"s": (FLOAT, [3]), "x": (FLOAT, ["n", 3])},
        {"y": (FLOAT, None), "all": (FLOAT, None)},
    )
    result = load(data, optimize=optimize)({"s": np.ones(3, np.float32), "x": np.ones((0, 3), np.float32)})
    assert result["y"].tolist() == [1, 1, 1]
    assert result["all"].shape == found
