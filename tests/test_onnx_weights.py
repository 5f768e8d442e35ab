"""Layers whose weights do not fit are refused, whatever passes could make of them."""

import numpy as np
import pytest

from fastconv.onnx import ModelError, load
from onnx_models import FLOAT, model, node

X = np.ones((2, 3, 8, 8), np.float32)


def check_refused(nodes, constants, match):
    constants = {name: np.asarray(array, np.float32) for name, array in constants.items()}
    data = model(nodes, {"x": (FLOAT, ["N", *X.shape[1:]])}, {"y": (FLOAT, None)}, constants)
    for optimize in (True, False):
        with pytest.raises(ModelError, match=match):
            load(data, optimize=optimize)(X)


@pytest.mark.parametrize(
    ("kind", "size"), [("Conv", (0, 3, 3, 3)), ("Conv", (0, 3, 1, 1)), ("ConvTranspose", (3, 0, 3, 3))]
)
def test_no_filters(backend, kind, size):
    check_refused([node(kind, ["x", "w"], ["y"])], {"w": np.ones(size)}, "no size may be 0")


@pytest.mark.parametrize("shape", [(1, 4), (1,)])
def test_a_bias_that_is_not_one_for_each_filter(backend, shape):
    constants = {"w": np.ones((4, 3, 3, 3)), "b": np.ones(shape), "two": 2}
    for nodes in (
        [node("Conv", ["x", "w", "b"], ["a"]), node("Mul", ["a", "two"], ["y"])],
        [node("Add", ["x", "two"], ["a"]), node("Conv", ["a", "w", "b"], ["y"])],
    ):
        check_refused(nodes, constants, "bias")
