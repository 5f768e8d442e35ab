"""The activations of recurrent layers in ONNX files: what they take by default, and which files are refused."""

import numpy as np
import pytest
from onnx import TensorProto

from fastconv.onnx import ModelError, load
from onnx_models import FLOAT, model, node

pytestmark = pytest.mark.one_instruction_set
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
INT32 = TensorProto.INT32


def layer(kind, **attributes):
    rng, gates = np.random.default_rng(0), 3 * GATES[kind]
    weights = {
        name: rng.normal(size=(1, gates, size)).astype(np.float32) for name, size in (("w", 2), ("r", 3))
    }
    made = node(kind, ["x", "w", "r"], ["y"], hidden_size=3, **attributes)
    return model([made], {"x": (FLOAT, [4, 2, 2])}, {"y": (FLOAT, None)}, weights)


@pytest.mark.parametrize(
    ("name", "alpha", "beta"),
    [
        ("LeakyRelu", [0.01], []),
        ("ThresholdedRelu", [1.0], []),
        ("Elu", [1.0], []),
        ("HardSigmoid", [0.2], [0.5]),
    ],
)
@pytest.mark.parametrize("kind", GATES)
def test_defaults_are_those_of_the_operators(kind, name, alpha, beta):
    names = {"RNN": [name], "GRU": ["Sigmoid", name], "LSTM": ["Sigmoid", name, "Tanh"]}[kind]
    given = {"activation_alpha": alpha} | ({"activation_beta": beta} if beta else {})
    x = np.random.default_rng(1).normal(size=(4, 2, 2)).astype(np.float32) * 2
    by_default = load(layer(kind, activations=names))(x)
    np.testing.assert_array_equal(by_default, load(layer(kind, activations=names, **given))(x))
    assert by_default.any()


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("kind", GATES)
def test_sequences_without_steps(kind, direction):
    """Their last state is 0, as in ONNX Runtime, whatever the first one is."""
    runtime = pytest.importorskip("onnxruntime")
    rng, gates, states = np.random.default_rng(0), 3 * GATES[kind], ["h", "c"][: 1 + (kind == "LSTM")]
    weights = {
        name: rng.normal(size=(1, gates, size)).astype(np.float32) for name, size in (("w", 2), ("r", 3))
    }
    outputs = ["y", *(f"last_{name}" for name in states)]
    made = node(kind, ["x", "w", "r", "", "lengths", *states], outputs, hidden_size=3, direction=direction)
    inputs = {
        "x": (FLOAT, [4, 3, 2]),
        "lengths": (INT32, [3]),
        **{name: (FLOAT, [1, 3, 3]) for name in states},
    }
    data = model([made], inputs, dict.fromkeys(outputs, (FLOAT, None)), weights, opset=14)
    given = {name: rng.normal(size=shape).astype(np.float32) for name, (_, shape) in inputs.items()}
    given["lengths"] = np.array([4, 0, 2], np.int32)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    results = load(data)(given)
    for name, wanted in zip(outputs, session.run(None, given), strict=True):
        np.testing.assert_allclose(results[name], wanted, atol=1e-6)
    assert not results["last_h"][0, 1].any()


@pytest.mark.parametrize(
    ("names", "more", "words"),
    [
        (["Cosine", "Tanh"], {}, "'cosine' is not supported"),
        (["Sigmoid"], {}, "1 activations, but it needs 2"),
        (["Sigmoid", "Tanh"], {"direction": "bidirectional"}, "2 activations, but it needs 4"),
        (["Sigmoid", "Affine"], {}, "'affine' needs alpha and beta"),
        (
            ["ScaledTanh", "Affine"],
            {"activation_alpha": [1.0, 2.0], "activation_beta": [1.0]},
            "'affine' needs",
        ),
    ],
)
def test_activations_are_refused_when_a_file_is_loaded(names, more, words):
    with pytest.raises(ModelError, match=words):
        load(layer("GRU", activations=names, **more))
