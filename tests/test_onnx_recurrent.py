"""The activations of recurrent layers in ONNX files: what they take by default, and which files are refused."""

import numpy as np
import pytest

from fastconv.onnx import ModelError, load
from onnx_models import FLOAT, model, node

pytestmark = pytest.mark.one_instruction_set
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


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
