"""`fastconv.bench.oracle.check`: right results pass, wrong ones do not, on every operation and in both modes."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fastconv.bench.layers.layer import Layer, conv, pool, transposed
from fastconv.bench.layers.settings import Settings
from fastconv.bench.oracle.check import WrongResult, check, definitions_of
from fastconv.bench.runners.backend import BackendRunner

X = (2, 4, 9, 11)
ODD = [
    conv("plain", X, 5, 3),
    conv("no bias", X, 5, 3, bias=False),
    conv("1x1", X, 7, 1, stride=2),
    conv("stride", X, 5, 3, stride=(2, 3), padding=1),
    conv("pads", X, 5, (3, 2), padding=((2, 0), (1, 3))),
    conv("same", X, 5, 4, stride=2, padding="same"),
    conv("full", X, 5, (2, 3), padding="full", dilation=(1, 2)),
    conv("valid", X, 5, 3, padding="valid", dilation=2),
    conv("groups", X, 6, 3, padding=(0, 1), groups=2),
    conv("large", (1, 2, 5, 6), 3, 7, padding=4),
    Layer("depthwise", "depthwise_conv2d", {"x": X, "weight": (8, 1, 3, 3), "bias": (8,)}, {"padding": 1}),
    transposed("transposed", X, 5, 3, 2),
    transposed("cropped", X, 5, 4, 2, padding=1, output_padding=1),
    Layer("back", "conv_transpose2d", {"x": X, "weight": (4, 3, 3, 2)}, {"groups": 2, "dilation": (1, 3)}),
    Layer(
        "same back", "conv_transpose2d", {"x": X, "weight": (4, 3, 4, 3)}, {"stride": 3, "padding": "same"}
    ),
    Layer("full back", "conv_transpose2d", {"x": X, "weight": (4, 3, 2, 3)}, {"padding": "full"}),
    pool("maximum", "max", X, 3, 2, 1),
    pool("average", "avg", X, 3, 2, 1),
    Layer("dilated", "max_pool2d", {"x": X}, {"kernel_size": (2, 3), "stride": 1, "dilation": 2}),
    Layer("ceil", "max_pool2d", {"x": X}, {"kernel_size": 2, "stride": 3, "ceil_mode": True}),
    Layer(
        "ceil average",
        "avg_pool2d",
        {"x": X},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    ),
    Layer("no padding", "avg_pool2d", {"x": X}, {"kernel_size": 3, "padding": 1, "count_include_pad": False}),
    Layer("divisor", "avg_pool2d", {"x": X}, {"kernel_size": (3, 2), "divisor_override": 5}),
    Layer("adaptive", "adaptive_avg_pool2d", {"x": X}, {"output_size": (4, None)}),
    Layer("adaptive maximum", "adaptive_max_pool2d", {"x": X}, {"output_size": (4, 3)}),
    Layer("global", "global_avg_pool2d", {"x": X}),
    Layer("global maximum", "global_max_pool2d", {"x": X}),
    Layer(
        "signal", "conv1d", {"x": (2, 4, 9), "weight": (6, 2, 3), "bias": (6,)}, {"padding": 1, "groups": 2}
    ),
    Layer("pads signal", "conv1d", {"x": (2, 4, 9), "weight": (5, 4, 4)}, {"padding": (0, 3), "stride": 2}),
    Layer("same signal", "conv1d", {"x": (2, 4, 9), "weight": (5, 4, 4)}, {"padding": "same", "dilation": 2}),
    Layer(
        "back to signal",
        "conv_transpose1d",
        {"x": (2, 4, 9), "weight": (4, 5, 4)},
        {"stride": 3, "padding": 1},
    ),
    Layer(
        "longer",
        "conv_transpose1d",
        {"x": (2, 4, 9), "weight": (4, 5, 2)},
        {"stride": 3, "output_padding": 2},
    ),
    Layer(
        "separable",
        "separable_conv2d",
        {"x": X, "depthwise_weight": (8, 1, 3, 2), "pointwise_weight": (5, 8, 1, 1), "bias": (5,)},
        {"stride": (1, 2), "padding": 1},
    ),
    Layer("norm", "local_response_norm", {"x": X}, {"size": 3, "alpha": 0.5}),
    Layer("even norm", "local_response_norm", {"x": X}, {"size": 2, "alpha": 0.5, "beta": 0.5, "k": 2.0}),
    Layer(
        "norms", "lp_pool2d", {"x": X}, {"norm_type": 2.0, "kernel_size": 2, "stride": 3, "ceil_mode": True}
    ),
    Layer("padded norms", "lp_pool2d", {"x": X}, {"norm_type": 3, "kernel_size": (3, 2), "padding": 1}),
    Layer("largest norms", "lp_pool2d", {"x": X}, {"norm_type": math.inf, "kernel_size": 2, "dilation": 2}),
    Layer(
        "columns", "unfold", {"x": X}, {"kernel_size": (3, 2), "padding": 1, "stride": (1, 2), "dilation": 2}
    ),
    Layer("image", "fold", {"x": (2, 24, 49)}, {"output_size": (8, 9), "kernel_size": (2, 3)}),
    Layer(
        "strided image",
        "fold",
        {"x": (2, 18, 20)},
        {"output_size": (9, 7), "kernel_size": 3, "padding": 1, "stride": 2},
    ),
    Layer("margin", "pad2d", {"x": X}, {"padding": ((1, 2), (0, 3)), "value": 1.5}),
    Layer("mirror", "pad2d", {"x": X}, {"padding": 2, "mode": "reflect"}),
    Layer("border", "pad2d", {"x": X}, {"padding": 2, "mode": "replicate"}),
    Layer("torus", "pad2d", {"x": X}, {"padding": 2, "mode": "circular"}),
    Layer(
        "deformed",
        "deform_conv2d",
        {"x": X, "offset": (2, 36, 9, 11), "weight": (6, 2, 3, 3), "bias": (6,), "mask": (2, 18, 9, 11)},
        {"padding": 1},
    ),
    Layer(
        "deformed, dilated",
        "deform_conv2d",
        {"x": X, "offset": (2, 12, 3, 5), "weight": (5, 4, 3, 2)},
        {"stride": 2, "dilation": 2},
    ),
    Layer("activation", "conv2d", {"x": X, "weight": (5, 4, 3, 3)}, {"activation": "relu"}),
    Layer("indices", "max_pool2d", {"x": X}, {"kernel_size": 2, "return_indices": True}),
    Layer("circular", "conv2d", {"x": X, "weight": (5, 4, 3, 3)}, {"padding": 2, "padding_mode": "circular"}),
    Layer("leaky", "conv_transpose2d", {"x": X, "weight": (4, 3, 2, 3)}, {"activation": ("leaky_relu", 0.2)}),
    Layer("random", "fractional_max_pool2d", {"x": X}, {"kernel_size": 2, "output_size": 4, "rng": 1}),
]
FORWARD = Settings(mode="call")
GRADIENT = Settings(mode="gradient")


def by_name(layer):
    return layer.name


def results(layer, settings, backend="numpy"):
    arrays = layer.arrays(settings.dtype)
    prepared = BackendRunner(backend).prepare(layer, arrays, settings)
    return arrays, prepared.images(prepared.run())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", ODD, ids=by_name)
def test_right_results_pass(layer, backend, dtype):
    settings = replace(FORWARD, dtype=dtype)
    assert check(layer, *results(layer, settings, backend), settings) <= (
        1e-13 if dtype == "float64" else 1e-5
    )


@pytest.mark.parametrize("layer", ODD, ids=by_name)
def test_right_gradients_pass(layer, backend, layout):
    if layout == "NHWC" and layer.operation in ("unfold", "fold", "deform_conv2d"):
        pytest.skip("has no layout")
    settings = replace(GRADIENT, layout=layout)
    assert check(layer, *results(layer, settings, backend), settings) <= 1e-5


@pytest.mark.parametrize("mode", ["call", "gradient"])
@pytest.mark.parametrize("layer", ODD, ids=by_name)
def test_every_element_is_as_the_numpy_backend_gives_it(layer, mode):
    """The definitions, not at samples but everywhere."""
    settings = Settings(mode=mode, dtype="float64")
    arrays, images = results(layer, settings)
    for image, definition in zip(images, definitions_of(layer, arrays, settings), strict=mode == "call"):
        values, bound = definition.everywhere()
        np.testing.assert_allclose(values, image, rtol=0, atol=1e-13 * max(1, np.abs(image).max()))
        if image.dtype.kind == "f":
            assert (bound >= np.abs(values) - 1e-12).all() or not bound.any()


WRONG = {
    "scaled": lambda image: image * np.float32(1.001),
    "negated": lambda image: -image,
    "shifted down": lambda image: np.roll(image, 1, axis=-2),
    "shifted right": lambda image: np.roll(image, 1, axis=-1),
    "another channel": lambda image: np.roll(image, 1, axis=1),
    "another image": lambda image: np.roll(image, 1, axis=0),
    "flipped": lambda image: image[..., ::-1],
    "transposed": lambda image: image.swapaxes(-1, -2),
    "one row less": lambda image: image[..., 1:, :],
    "a NaN": lambda image: np.where(
        np.arange(image.size).reshape(image.shape) == image.size // 2, np.nan, image
    ),
    "wrong corner": lambda image: np.where(
        np.arange(image.size).reshape(image.shape) == image.size - 1, 9, image
    ),
    "wrong last column": lambda image: image * (np.arange(image.shape[-1]) < image.shape[-1] - 1),
    "zero padding lost": lambda image: np.pad(
        image[..., 1:-1, 1:-1], ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge"
    ),
}
SQUARE = [
    conv("conv", (2, 8, 20, 20), 12, 3, padding=1),
    conv("depthwise", (2, 8, 20, 20), 8, 5, padding=2, groups=8),
    transposed("transposed", (2, 8, 10, 10), 12, 4, 2, 1),
    pool("maximum", "max", (2, 8, 20, 20), 3, 2, 1),
    pool("average", "avg", (2, 8, 20, 20), 3, 1, 1),
    Layer("norm", "local_response_norm", {"x": (2, 8, 20, 20)}, {"size": 5}),
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("layer", SQUARE, ids=by_name)
def test_wrong_results_are_found(layer, wrong):
    arrays, (image,) = results(layer, FORWARD)
    with pytest.raises(WrongResult, match=layer.name):
        check(layer, arrays, (WRONG[wrong](image),), FORWARD)


@pytest.mark.parametrize("which", [0, 1], ids=["x", "weight"])
@pytest.mark.parametrize("wrong", [name for name in WRONG if name != "zero padding lost"])
@pytest.mark.parametrize("layer", [SQUARE[0], SQUARE[2]], ids=by_name)
def test_wrong_gradients_are_found(layer, wrong, which):
    arrays, images = results(layer, GRADIENT)
    changed = [*images[:which], WRONG[wrong](images[which]), *images[which + 1 :]]
    with pytest.raises(WrongResult, match=layer.name):
        check(layer, arrays, tuple(changed), GRADIENT)


def test_wrong_bias_gradient_is_found():
    arrays, (x, weight, bias) = results(SQUARE[0], GRADIENT)
    with pytest.raises(WrongResult, match="conv"):
        check(SQUARE[0], arrays, (x, weight, np.roll(bias, 1)), GRADIENT)


def test_a_missing_gradient_is_found():
    arrays, images = results(SQUARE[0], GRADIENT)
    with pytest.raises(WrongResult, match="2 arrays, but needs 3"):
        check(SQUARE[0], arrays, images[:2], GRADIENT)


def test_float64_must_be_float64():
    settings = replace(FORWARD, dtype="float64")
    arrays, (image,) = results(SQUARE[0], settings)
    with pytest.raises(WrongResult, match="rounding"):
        check(SQUARE[0], arrays, (image.astype(np.float32),), settings)


def test_an_index_that_is_wrong_by_one_is_found():
    """However large the indices are: rounding explains nothing there."""
    layer = Layer(
        "indices", "max_pool2d", {"x": (1, 1, 300, 300)}, {"kernel_size": 2, "return_indices": True}
    )
    arrays, settings = layer.arrays(), Settings()
    prepared = BackendRunner("numpy").prepare(layer, arrays, settings)
    image, indices = prepared.images(prepared.run())
    assert check(layer, arrays, (image, indices), settings) < 1e-6
    indices[0, 0, 149, 149] += 1
    with pytest.raises(WrongResult, match="indices"):
        check(layer, arrays, (image, indices), settings)
