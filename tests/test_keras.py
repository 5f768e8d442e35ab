"""`nn.from_keras_weights` beside Keras itself: models that it made, with random weights, give the same results here.

Runs where Keras is installed, which needs a library to compute with: PyTorch unless KERAS_BACKEND says otherwise.
"""

import importlib.util
import os

import numpy as np
import pytest

import fastconv.nn as nn

if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)

pytestmark = [
    pytest.mark.one_instruction_set,
    pytest.mark.slow,
    # of Keras, where it reads variables of PyTorch
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def with_weights(model):
    """Weights of no special values; variances, the last of a normalisation's four, are positive."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        weights = [0.5 * rng.standard_normal(array.shape) for array in layer.get_weights()]
        if type(layer).__name__ == "BatchNormalization":
            weights[3] = weights[3] ** 2 + 0.3
        layer.set_weights(weights)
    return model


def check(model, net, x, layout):
    expected = np.asarray(model.predict(x, verbose=0))
    given = np.moveaxis(x, -1, 1) if layout == "NCHW" else x
    nn.from_keras_weights(net, model, input_shape=given.shape)
    found = net(given)
    if found.ndim == 4 and layout == "NCHW":
        found = np.moveaxis(found, 1, -1)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_every_kind_of_layer(keras, layout):
    own = keras.layers
    model = keras.Sequential([
        keras.Input((13, 12, 3)),
        own.Conv2D(6, (3, 2), padding="same", activation="relu"), own.BatchNormalization(),
        own.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), own.MaxPooling2D(2, padding="same"),
        own.SeparableConv2D(5, 3, padding="same", activation="relu"), own.Conv2D(8, 3, strides=2, padding="same"),
        own.Conv2DTranspose(4, (2, 3), strides=2, padding="valid"), own.LayerNormalization(), own.Flatten(),
        own.Dense(7, activation="tanh"), own.Dense(3, use_bias=False),
    ])  # fmt: skip
    net = nn.Sequential(
        nn.Conv2D(6, (3, 2), padding="same", activation="relu"), nn.BatchNorm2D(eps=1e-3),
        nn.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), nn.MaxPool2D(2, padding="same"),
        nn.SeparableConv2D(5, 3, padding="same", activation="relu"), nn.Conv2D(8, 3, 2, padding="same"),
        nn.ConvTranspose2D(4, (2, 3), 2), nn.LayerNorm(eps=1e-3), nn.Flatten(),
        nn.Dense(7, activation="tanh"), nn.Dense(3, bias=False),
        layout=layout,
    )  # fmt: skip
    check(with_weights(model), net, np.random.default_rng(1).standard_normal((2, 13, 12, 3)), layout)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_signals(keras, layout):
    own = keras.layers
    model = keras.Sequential([
        keras.Input((17, 3)), own.Conv1D(6, 4, padding="same", activation="relu"),
        own.Conv1D(5, 3, padding="causal", dilation_rate=2), own.Flatten(), own.Dense(4),
    ])  # fmt: skip
    net = nn.Sequential(
        nn.Conv1D(6, 4, padding="same", activation="relu"), nn.Conv1D(5, 3, padding="causal", dilation=2),
        nn.Flatten(), nn.Dense(4), layout=layout,
    )  # fmt: skip
    check(with_weights(model), net, np.random.default_rng(1).standard_normal((2, 17, 3)), layout)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_xception_is_that_of_keras(keras, layout):
    model = keras.applications.Xception(weights=None, classifier_activation=None)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            gamma, beta, mean, variance = layer.get_weights()
            moved = [0.1 * rng.standard_normal(array.shape) for array in (beta, mean)]
            layer.set_weights([gamma, *moved, rng.uniform(0.7, 1.4, variance.shape)])
    net = nn.models.xception(layout=layout)
    check(model, net, rng.standard_normal((1, 299, 299, 3)).astype(np.float32), layout)
