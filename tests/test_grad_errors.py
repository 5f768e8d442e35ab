"""Bad input to gradients: the exact type of every error, the operation it names first, and the words that help."""

import numpy as np
import pytest

from checks import normal
from fastconv import backends, grad

IMAGES = normal((2, 6, 8, 9))
W = normal((4, 6, 3, 3))
G = normal((2, 4, 6, 7))
T = normal((6, 4, 3, 3))
TG = normal((2, 4, 10, 11))
SEP = normal((6, 1, 3, 3)), normal((4, 6, 1, 1))
OFFSET = normal((2, 18, 6, 7))
POOLED = normal((2, 6, 4, 4))
AT = np.zeros((2, 6, 4, 4), dtype=np.int64)
SIZE = IMAGES.shape

ROWS = [
    # sizes that no forward call could have produced
    ("conv2d_input", ((1, 3, 6, 6), normal((4, 3, 3, 3)), normal((1, 4, 5, 5))), {"padding": 1}, ValueError,
     ["grad_output has shape (1, 4, 5, 5), but a forward call with input_size (1, 3, 6, 6) gives (1, 4, 6, 6)"]),
    ("conv2d_input", ((2, 5, 8, 9), W, G), {}, ValueError,
     ["weight has 6 input channels per group, but input_size has 5 channels"]),
    ("conv2d_input", ((6, 8), W, G), {}, ValueError, ["input_size", "2 dimensions"]),
    ("conv2d_input", ((2, 6, 0, 9), W, G), {}, ValueError, ["input_size", "(2, 6, 0, 9)"]),
    ("conv2d_input", ((2, 6, 2, 9), W, G), {}, ValueError, ["kernel 3x3", "2x9"]),
    ("conv2d_input", (SIZE[1:], W, G), {}, ValueError, ["grad_output", "(2, 4, 6, 7)", "(4, 6, 7)"]),
    ("conv2d_input", (SIZE, W, G[0]), {}, ValueError, ["grad_output", "(4, 6, 7)", "(2, 4, 6, 7)"]),
    ("conv2d_input", (SIZE, W, G), {"stride": 2}, ValueError, ["grad_output", "(2, 4, 3, 4)"]),
    ("conv2d_input", (SIZE, W, G), {"layout": "NHWC"}, ValueError, ["weight", "channels"]),
    ("conv2d_input", (SIZE, W[0], G), {}, ValueError, ["weight", "3 dimensions"]),
    ("conv2d_input", (SIZE, W, G), {"groups": 4}, ValueError, ["input_size", "6", "groups=4"]),
    ("conv2d_weight", (IMAGES, (4, 5, 3, 3), G), {}, ValueError, ["weight_size has 5", "x has 6"]),
    ("conv2d_weight", (IMAGES, (4, 6, 3), G), {}, ValueError, ["weight_size", "3 dimensions"]),
    ("conv2d_weight", (IMAGES, (4, 6, 0, 3), G), {}, ValueError, ["weight_size", "0"]),
    ("conv2d_weight", (IMAGES, (5, 6, 3, 3), G), {}, ValueError, ["grad_output", "(2, 5, 6, 7)"]),
    ("conv2d_weight", (IMAGES, (4, 6, 2, 3), G), {}, ValueError, ["grad_output", "(2, 4, 7, 7)"]),
    ("conv2d_weight", (IMAGES[:1], W.shape, G), {}, ValueError, ["grad_output", "(1, 4, 6, 7)"]),
    ("conv2d_weight", (IMAGES[0, 0], W.shape, G), {}, ValueError, ["x", "2 dimensions"]),
    ("conv2d_bias", (G[0, 0],), {}, ValueError, ["grad_output", "2 dimensions"]),
    ("conv2d_bias", (G[:, :0],), {}, ValueError, ["grad_output", "(2, 0, 6, 7)"]),
    ("conv2d", (IMAGES, W, G), {"padding": 1}, ValueError, ["grad_output", "(2, 4, 6, 7)", "(2, 4, 8, 9)"]),
    ("conv2d", (IMAGES, W[:, :5], G), {}, ValueError, ["weight has 5", "x has 6"]),
    ("depthwise_conv2d", (IMAGES, W, G), {}, ValueError, ["weight", "6", "1"]),
    ("depthwise_conv2d", (IMAGES, SEP[0], G), {}, ValueError, ["grad_output", "(2, 6, 6, 7)"]),
    ("separable_conv2d", (IMAGES, SEP[0], W, G), {}, ValueError, ["pointwise_weight", "1x1"]),
    ("separable_conv2d", (IMAGES, SEP[0], SEP[1][:, :5], G), {}, ValueError, ["pointwise_weight", "5", "6"]),
    ("separable_conv2d", (IMAGES, W, SEP[1], G), {}, ValueError, ["depthwise_weight"]),
    ("separable_conv2d", (IMAGES, *SEP, G[:, :3]), {}, ValueError, ["grad_output", "(2, 4, 6, 7)"]),
    ("conv_transpose2d", (IMAGES, T, G), {}, ValueError, ["grad_output", "(2, 4, 10, 11)"]),
    ("conv_transpose2d", (IMAGES, W, TG), {}, ValueError, ["weight has 4", "x has 6"]),
    ("conv_transpose2d_input", (SIZE, T, G), {}, ValueError, ["grad_output", "input_size", "(2, 4, 10, 11)"]),
    ("conv_transpose2d_input", ((2, 5, 8, 9), T, TG), {}, ValueError, ["weight has 6", "input_size has 5"]),
    ("conv_transpose2d_input", (SIZE, T, TG), {"padding": 6}, ValueError, ["padding"]),
    ("conv_transpose2d_weight", (IMAGES, (5, 4, 3, 3), TG), {}, ValueError, ["weight_size has 5", "x has 6"]),
    ("conv_transpose2d_weight", (IMAGES, T.shape, G), {}, ValueError, ["grad_output", "(2, 4, 10, 11)"]),
    ("conv1d", (IMAGES[0], W[:, :, 0], G[0]), {}, ValueError, ["weight", "6", "8"]),
    ("conv1d", (IMAGES, W[:, :, 0], G), {}, ValueError, ["x", "4 dimensions"]),
    ("conv1d", (IMAGES[:, :, 0], W, G), {}, ValueError, ["weight", "4 dimensions"]),
    ("conv1d", (IMAGES[:, :, 0], W[:, :, 0], G), {}, ValueError, ["grad_output", "4 dimensions"]),
    ("conv1d", (IMAGES[:, :, 0], W[:, :, 0], G[:, :, 0, 1:]), {}, ValueError,
     ["grad_output has shape (2, 4, 6), but a forward call with x (2, 6, 9) gives (2, 4, 7)"]),
    ("conv_transpose1d", (IMAGES[:, :, 0], T[:, :, 0], G[:, :, 0]), {}, ValueError,
     ["grad_output has shape (2, 4, 7), but a forward call with x (2, 6, 9) gives (2, 4, 11)"]),
    ("deform_conv2d", (IMAGES, OFFSET[:, :17], W, G), {}, ValueError, ["offset", "17", "9"]),
    ("deform_conv2d", (IMAGES, OFFSET, W, G[:, :3]), {}, ValueError, ["grad_output", "(2, 4, 6, 7)"]),
    ("deform_conv2d", (IMAGES, OFFSET, W, G), {"mask": OFFSET}, ValueError, ["mask", "18", "9"]),
    ("unfold", (normal((2, 54, 42)), (2, 6, 8, 8), 3), {}, ValueError, ["grad_output", "input_size", "(2, 54, 36)"]),
    ("unfold", (normal((54, 42)), SIZE, 3), {}, ValueError, ["grad_output", "(2, 54, 42)"]),
    ("unfold", (normal((2, 54, 42)), (8, 9), 3), {}, ValueError, ["input_size", "2 dimensions"]),
    ("fold", (IMAGES, (8, 8), 3), {}, ValueError, ["grad_output", "(8, 9)", "output_size", "(8, 8)"]),
    ("fold", (IMAGES, (8, 9), 10), {}, ValueError, ["kernel", "10"]),
    ("max_pool2d", (POOLED, AT, (2, 5, 8, 8)), {}, ValueError, ["grad_output", "(2, 6, 4, 4)", "(2, 5, oH, oW)"]),
    ("max_pool2d", (POOLED, AT, (3, 6, 8, 8)), {}, ValueError, ["grad_output", "input_size", "(3, 6, oH, oW)"]),
    ("max_pool2d", (POOLED, AT, (6, 8, 8)), {}, ValueError, ["grad_output", "(6, oH, oW)"]),
    ("max_pool2d", (POOLED, AT[:, :, :3], SIZE), {}, ValueError, ["indices", "(2, 6, 3, 4)", "(2, 6, 4, 4)"]),
    ("max_pool2d", (POOLED, AT + 72, SIZE), {}, ValueError, ["indices", "72", "8x9", "71"]),
    ("max_pool2d", (POOLED, AT - 1, SIZE), {}, ValueError, ["indices", "-1"]),
    ("max_pool2d", (POOLED[:, :, :0], AT[:, :, :0], SIZE), {}, ValueError, ["grad_output", "(2, 6, 0, 4)"]),
    ("adaptive_max_pool2d", (POOLED, AT + 99, SIZE), {}, ValueError, ["indices", "99"]),
    ("fractional_max_pool2d", (POOLED, AT, (2, 6, 3, 9)), {}, ValueError, ["grad_output", "height", "4", "3"]),
    ("stochastic_pool2d", (POOLED, AT[0], SIZE), {}, ValueError, ["indices", "(6, 4, 4)"]),
    ("global_max_pool2d", (POOLED, AT, SIZE), {}, ValueError, ["grad_output", "(2, 6, 1, 1)"]),
    ("global_max_pool2d", (POOLED[:, :, 0, 0], AT[:, :, 0, 0], SIZE), {}, ValueError, ["(2, 6)", "(2, 6, 1, 1)"]),
    ("global_max_pool2d", (POOLED[:, :, 0, 0], AT[:, :, 0, :1], SIZE), {"keepdims": False}, ValueError,
     ["indices", "(2, 6, 1)", "(2, 6)"]),
    ("global_avg_pool2d", (POOLED[:, :, :1, :1], SIZE), {"keepdims": False}, ValueError, ["(2, 6, 1, 1)", "(2, 6)"]),
    ("global_avg_pool2d", (POOLED, SIZE), {}, ValueError, ["grad_output", "input_size", "(2, 6, 1, 1)"]),
    ("avg_pool2d", (POOLED, SIZE, 3), {}, ValueError, ["grad_output", "input_size", "(2, 6, 2, 3)"]),
    ("avg_pool2d", (POOLED, SIZE, 2), {"padding": 2}, ValueError, ["padding", "window"]),
    ("avg_pool2d", (POOLED, SIZE, 10), {}, ValueError, ["10", "8"]),
    ("adaptive_avg_pool2d", (POOLED[:, :5], SIZE), {}, ValueError, ["grad_output", "(2, 6, oH, oW)"]),
    ("lp_pool2d", (POOLED, IMAGES, 2, 3), {}, ValueError, ["grad_output", "(2, 6, 2, 3)"]),
    ("lp_pool2d", (POOLED, IMAGES, 0, 2), {}, ValueError, ["norm_type", "0"]),
    ("max_unpool2d", (IMAGES, AT[:, :5]), {}, ValueError, ["indices", "(2, 5, 4, 4)", "(2, 6, oH, oW)"]),
    ("max_unpool2d", (IMAGES, AT + 72), {}, ValueError, ["indices", "72", "71"]),
    ("pad2d", (IMAGES, 4), {}, ValueError, ["grad_output", "8x9", "padding"]),
    ("pad2d", (IMAGES, "same"), {}, ValueError, ["padding", "'same'"]),
    ("local_response_norm", (IMAGES, IMAGES[:1], 3), {}, ValueError, ["grad_output", "x", "(1, 6, 8, 9)"]),
    ("local_response_norm", (IMAGES, IMAGES, 0), {}, ValueError, ["size", "0"]),
    # activations
    ("activation", (G, G[:1], "relu"), {}, ValueError, ["output", "(1, 4, 6, 7)", "(2, 4, 6, 7)"]),
    ("activation", (G, G, "silu"), {}, ValueError, ["silu", "preactivation"]),
    ("activation", (G, G, "gelu"), {}, ValueError, ["gelu", "preactivation"]),
    ("activation", (G, G, "hardswish"), {}, ValueError, ["hardswish", "preactivation"]),
    ("activation", (G, G, ("leaky_relu", -0.1)), {}, ValueError, ["leaky_relu", "preactivation"]),
    ("activation", (G, G, ("leaky_relu", 0)), {}, ValueError, ["leaky_relu", "preactivation"]),
    ("activation", (G, None, "relu"), {}, ValueError, ["relu", "output", "preactivation"]),
    ("activation", (G, G, "swish"), {}, ValueError, ["name", "'swish'", "silu"]),
    ("activation", (G, G, None), {}, TypeError, ["name", "None"]),
    ("activation", (G, G, 3), {}, TypeError, ["name", "3"]),
    ("conv2d", (IMAGES, W, G), {"activation": "silu", "output": G}, ValueError, ["silu", "preactivation"]),
    ("conv2d", (IMAGES, W, G), {"activation": "relu"}, ValueError, ["relu", "output"]),
    ("conv2d", (IMAGES, W, G), {"activation": "relu", "output": G[0]}, ValueError, ["output", "(4, 6, 7)"]),
    ("conv_transpose2d", (IMAGES, T, TG), {"activation": "gelu", "preactivation": G}, ValueError, ["preactivation"]),
    # options
    ("conv2d_input", (SIZE, W, G), {"stride": 0}, ValueError, ["stride", "0"]),
    ("conv2d_input", (SIZE, W, G), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("conv2d_weight", (IMAGES, (4, 6, 3, 3), G), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("conv2d", (IMAGES, W, G), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("conv1d", (IMAGES[:, :, 0], W[:, :, 0], G[:, :, 0]), {"groups": None}, TypeError, ["groups", "None"]),
    ("conv_transpose2d", (IMAGES, T, TG), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("conv_transpose2d_input", (SIZE, T, TG), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("avg_pool2d", (POOLED, SIZE, 2), {"divisor_override": 0}, ValueError, ["divisor_override", "0"]),
    ("conv2d_input", (SIZE, W, G), {"padding": "some"}, ValueError, ["padding", "'some'"]),
    ("conv2d_input", (SIZE, W, G), {"padding_mode": "mirror"}, ValueError, ["padding_mode", "'mirror'"]),
    ("conv2d_input", (SIZE, W, G), {"layout": "NWHC"}, ValueError, ["layout", "'NWHC'"]),
    ("conv2d_input", (SIZE, W, G), {"precision": "exact"}, ValueError, ["precision", "'exact'"]),
    ("conv2d_input", (SIZE, W, G), {"algorithm": "magic"}, ValueError, ["algorithm", "'magic'", "direct"]),
    ("conv2d_input", (SIZE, W, G), {"backend": "fortran"}, ValueError, ["backend", "'fortran'"]),
    ("conv2d", (IMAGES, W, G), {"algorithm": "magic", "needs": (False, True, True)}, ValueError, ["'magic'"]),
    ("conv2d", (IMAGES, W, G), {"needs": (True, True)}, ValueError, ["needs", "2", "3 booleans"]),
    ("conv2d", (IMAGES, W, G), {"needs": True}, TypeError, ["needs", "True", "3 booleans"]),
    ("conv2d", (IMAGES, W, G), {"needs": (1, 0, 1)}, TypeError, ["needs", "(1, 0, 1)"]),
    ("separable_conv2d", (IMAGES, *SEP, G), {"needs": (True,) * 3}, ValueError, ["needs", "4 booleans"]),
    ("conv_transpose2d", (IMAGES, T, TG), {"output_padding": 1}, ValueError, ["output_padding", "1"]),
    ("conv_transpose2d_input", (SIZE, T, TG), {"output_padding": None}, TypeError, ["output_padding"]),
    ("max_pool2d", (POOLED, AT, SIZE), {"layout": "nchw"}, ValueError, ["layout", "'nchw'"]),
    ("pad2d", (IMAGES, 1), {"mode": "mirror"}, ValueError, ["mode", "'mirror'"]),
    # wrong kinds
    ("conv2d_input", (8, W, G), {}, TypeError, ["input_size", "8"]),
    ("conv2d_input", ("NCHW", W, G), {}, TypeError, ["input_size", "'NCHW'"]),
    ("conv2d_input", ((2, 6, 8.0, 9), W, G), {}, TypeError, ["input_size", "8.0"]),
    ("conv2d_input", ((2, 6, -8, 9), W, G), {}, ValueError, ["input_size", "-8"]),
    ("conv2d_input", (None, W, G), {}, TypeError, ["input_size", "None"]),
    ("conv2d_weight", (IMAGES, None, G), {}, TypeError, ["weight_size", "None"]),
    ("conv2d_weight", (IMAGES, (4, 6, True, 3), G), {}, TypeError, ["weight_size", "True"]),
    ("conv2d_input", (SIZE, W, None), {}, TypeError, ["grad_output", "NoneType"]),
    ("conv2d", (IMAGES, W, G * 1j), {}, TypeError, ["grad_output", "complex"]),
    ("max_pool2d", (POOLED, AT * 1.0, SIZE), {}, TypeError, ["indices", "float64"]),
    ("max_pool2d", (POOLED, AT, 8), {}, TypeError, ["input_size", "8"]),
    ("max_unpool2d", (IMAGES, AT > 0), {}, TypeError, ["indices", "bool"]),
    ("avg_pool2d", (POOLED, SIZE, 2.0), {}, TypeError, ["kernel_size", "2.0"]),
    ("conv2d_input", (SIZE, W, G), {"stride": 1.0}, TypeError, ["stride", "1.0"]),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "arguments", "options", "error", "words"), ROWS, ids=[
    f"{row[0]} {' '.join(row[4])}" for row in ROWS
])  # fmt: skip
def test_bad_input(operation, arguments, options, error, words):
    with pytest.raises(error) as caught:
        getattr(grad, operation)(*arguments, **options)
    assert caught.type is error
    message = str(caught.value)
    assert message.startswith(f"grad.{operation}: ")
    missing = [word for word in words if word not in message]
    assert not missing, message


def test_errors_come_before_any_work(backend, monkeypatch):
    """An `out` that does not fit is refused before a primitive runs, however late it is filled."""
    engine = backends.load(backend)
    for primitive in (
        "prepare",
        "conv",
        "pad",
        "conv_weight_gradient",
        "channel_sums",
        "activation_gradient",
    ):
        monkeypatch.setattr(type(engine), primitive, None)
    out = np.empty((1, 2, 3, 4))
    with pytest.raises(ValueError, match="out has shape"):
        grad.conv2d_input(SIZE, W, normal((2, 4, 8, 9)), padding=1, padding_mode="circular", out=out)
    with pytest.raises(ValueError, match="out has shape"):
        grad.conv2d_weight(IMAGES, W.shape, normal((2, 4, 8, 9)), padding=1, padding_mode="circular", out=out)
    with pytest.raises(ValueError, match="'magic'"):
        grad.separable_conv2d(IMAGES, *SEP, G, algorithm="magic")
    with pytest.raises(ValueError, match="output has shape"):
        grad.conv2d(IMAGES, W, G, activation="relu", output=out)


def test_keyword_only_arguments_are():
    with pytest.raises(TypeError):
        grad.conv2d_input(SIZE, W, G, 1, 0, 1, 1, "zeros")
    with pytest.raises(TypeError):
        grad.max_pool2d(POOLED, AT, SIZE, "NCHW")


def test_absurd_sizes_are_refused_without_a_crash(backend):
    one, huge = np.ones((1, 1, 1, 1), dtype=np.float32), 1 << 40
    for call in (
        lambda: grad.conv2d_input((1, 1, huge, huge), one, one),
        lambda: grad.conv2d_weight(one, (1, 1, huge, huge), one),
        lambda: grad.max_pool2d(one, np.zeros((1, 1, 1, 1), int), (1, 1, 1 << 30, 1 << 30)),
        lambda: grad.avg_pool2d(one, (1, 1, huge, huge), huge),
        lambda: grad.global_avg_pool2d(one, (1, 1, 1 << 30, 1 << 30)),
        lambda: grad.pad2d(one, huge),
        lambda: grad.unfold(one[0], (1, 1, huge, huge), huge),
    ):
        with pytest.raises((MemoryError, ValueError)) as caught:
            call()
        assert caught.type in (MemoryError, ValueError)
