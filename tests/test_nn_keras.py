"""`nn.from_keras_weights`: layers as Keras defines them, written out here in NumPy, give the same results."""

import numpy as np
import pytest

import fastconv.nn as nn

pytestmark = pytest.mark.one_instruction_set


def windows(x, kernel, stride=1):
    """(N, H', W', kH, kW, C) of an image (N, H, W, C), without padding."""
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))[:, ::stride, ::stride]
    return seen.transpose(0, 1, 2, 4, 5, 3)


def conv2d(x, kernel, bias):
    return np.einsum("nhwijc,ijco->nhwo", windows(x, kernel.shape[:2]), kernel) + bias


def depthwise(x, kernel, bias):
    """Output c * multiplier + m is that of channel c."""
    y = np.einsum("nhwijc,ijcm->nhwcm", windows(x, kernel.shape[:2]), kernel)
    return y.reshape(*y.shape[:3], -1) + bias


def transposed(x, kernel, bias, stride=2):
    """Each pixel adds its multiple of the kernel (kH, kW, C_out, C_in)."""
    n, height, width, _ = x.shape
    k_h, k_w, filters, _ = kernel.shape
    y = np.zeros((n, (height - 1) * stride + k_h, (width - 1) * stride + k_w, filters))
    for row in range(height):
        for column in range(width):
            part = np.einsum("nc,ijoc->nijo", x[:, row, column], kernel)
            y[:, row * stride : row * stride + k_h, column * stride : column * stride + k_w] += part
    return y + bias


def normalised(x, gamma, beta, mean, variance, eps=1e-3):
    return gamma * (x - mean) / np.sqrt(variance + eps) + beta


def draw(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("built", [False, True])
def test_a_network_as_keras_has_it(layout, built):
    net = nn.Sequential(
        nn.Conv2D(4, (3, 2)), nn.BatchNorm2D(eps=1e-3), nn.DepthwiseConv2D(2, depth_multiplier=2),
        nn.SeparableConv2D(3, 2), nn.ConvTranspose2D(5, (2, 3), 2), nn.Flatten(), nn.Dense(6), nn.Dense(2),
        layout=layout,
    ).astype("float64")  # fmt: skip
    (x,) = draw((2, 6, 7, 3), seed=1)
    given = x if layout == "NHWC" else np.moveaxis(x, -1, 1)
    if built:
        net.build(given.shape, rng=0)
    weights = draw(
        (3, 2, 3, 4), 4, 4, 4, 4, 4, (2, 2, 4, 2), 8, (2, 2, 8, 1), (1, 1, 8, 3), 3, (2, 3, 5, 3), 5,
        (4 * 9 * 5, 6), 6, (6, 2), 2,
    )  # fmt: skip
    weights[5] = weights[5] ** 2 + 0.1  # the variance
    y = normalised(conv2d(x, *weights[:2]), *weights[2:6])
    y = depthwise(y, *weights[6:8])
    y = conv2d(depthwise(y, weights[8], 0), *weights[9:11])
    y = transposed(y, *weights[11:13])
    y = (y.reshape(2, -1) @ weights[13] + weights[14]) @ weights[15] + weights[16]
    assert nn.from_keras_weights(net, weights, input_shape=given.shape) is net
    np.testing.assert_allclose(net(given), y, rtol=1e-10, atol=1e-10)


def test_signals_and_the_depthwise_convolution_as_a_grouped_one():
    (x,) = draw((2, 8, 3))
    kernel, bias = draw((3, 3, 4), 4)
    net = nn.Sequential(nn.Conv1D(4, 3), layout="NHWC").astype("float64")
    nn.from_keras_weights(net, [kernel, bias])
    seen = np.lib.stride_tricks.sliding_window_view(x, 3, axis=1)
    np.testing.assert_allclose(net(x), np.einsum("nlci,ico->nlo", seen, kernel) + bias, rtol=1e-12)
    (x, kernel), bias = draw((1, 5, 5, 4), (3, 3, 4, 1)), np.arange(4.0)
    net = nn.Sequential(nn.Conv2D(4, 3, groups=4), layout="NHWC").astype("float64")
    nn.from_keras_weights(net, [kernel, bias])
    np.testing.assert_allclose(net(x), depthwise(x, kernel, bias), rtol=1e-12)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_normalisation_of_what_was_flattened(layout):
    (x,) = draw((3, 2, 4, 5))
    given = x if layout == "NHWC" else np.moveaxis(x, -1, 1)
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm2D(eps=1e-3), nn.Dropout(0.5), nn.Dense(3), layout=layout)
    weights = draw(40, 40, 40, 40, (40, 3), 3)
    weights[3] = weights[3] ** 2 + 0.1
    nn.from_keras_weights(net.astype("float64"), weights, input_shape=given.shape)
    expected = normalised(x.reshape(3, -1), *weights[:4]) @ weights[4] + weights[5]
    np.testing.assert_allclose(net(given), expected, rtol=1e-11, atol=1e-11)


def test_by_paths_and_from_a_model():
    class Model:
        def get_weights(self):
            return draw((3, 3, 1, 2), 2)

    net = nn.from_keras_weights(nn.Sequential(nn.Conv2D(2, 3)), Model())
    other = nn.from_keras_weights(nn.Sequential(nn.Conv2D(2, 3)), {"0": Model().get_weights()})
    np.testing.assert_array_equal(net[0].weight, other[0].weight)
    assert net[0].weight.shape == (2, 1, 3, 3)


def test_a_convolution_of_one_pixel_is_a_dense_layer():
    """As the last one of Keras's MobileNet."""
    kernel, bias, x = draw((1, 1, 6, 4), 4, (3, 6))
    net = nn.from_keras_weights(nn.Sequential(nn.Dense(4)).astype("float64"), [kernel, bias])
    np.testing.assert_allclose(net(x), x @ kernel[0, 0] + bias, rtol=1e-12)


def flat():
    return nn.Sequential(nn.Conv2D(2, 3, padding=1), nn.Flatten(), nn.Dense(3))


@pytest.mark.parametrize(
    ("weights", "options", "match"),
    [
        (draw((3, 3, 1, 2), 2), {}, "weights has 2 arrays, but the network's layers need 4"),
        (draw((3, 3, 1), 2, (8, 3), 3), {}, r"layer 0 \(Conv2D\): the kernel has shape \(3, 3, 1\), but needs \(kH"),
        (draw((3, 3, 1, 2), 2, (8, 3), 3), {}, r"layer 2 \(Dense\): it follows Flatten: needs input_shape="),
        (
            draw((3, 3, 1, 2), 2, (9, 3), 3), {"input_shape": (1, 1, 2, 2)},
            r"layer 2 \(Dense\): 9 features, but images of \(2, 2, 2\) have 8",
        ),
        (draw((3, 5, 1, 2), 2, (8, 3), 3), {"input_shape": (1, 1, 2, 2)}, r"0\.weight has shape \(2, 1, 3, 5\)"),
        ({"0": draw((3, 3, 1, 2), 2), "3": []}, {}, r"not in the network: \['3'\]; without arrays: \['2'\]"),
        ({"0": draw((3, 3, 1, 2)), "2": draw((8, 3), 3)}, {}, "got 1 arrays, but needs 2: weight, bias"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(weights, options, match):
    net = flat()
    with pytest.raises(ValueError, match=match):
        nn.from_keras_weights(net, weights, **options)
    assert net.parameters() == []


def test_what_keras_does_not_have():
    with pytest.raises(TypeError, match="weights is str, but needs a list of arrays"):
        nn.from_keras_weights(flat(), "model.h5")
    net = nn.Sequential(nn.DeformConv2D(2, 3))
    count = 4
    with pytest.raises(ValueError, match=r"layer 0 \(DeformConv2D\): Keras has no such layer"):
        nn.from_keras_weights(net, [np.ones((3, 3, 1, 2))] * count)
