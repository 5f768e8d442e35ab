"""What is measured: layers of every kind, image filters, shapes hard to do well, each operation, tiny calls.

Used by the benchmarks beside it; `tests/test_bench_suite.py` holds `OPERATIONS` against the public functions.
"""

from dataclasses import replace

import numpy as np

import fastconv
from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.networks import network

KINDS = [layer for layer, _ in network("layers")]
QUICK_KINDS = (
    "3x3 128->128, 28", "1x1 1024->256, 14", "depthwise 3x3 144, 56", "transposed 4x4/2 128->64, 32",
    "max 3x3/2 64, 112",
)  # fmt: skip

X = (1, 32, 56, 56)
HALF = (1, 32, 28, 28)
CHANNELS = {"weight": (32,), "bias": (32,)}


def _case(operation, shapes=None, name="", **options):
    return Layer(f"{operation} {name}".strip(), operation, {"x": X, **(shapes or {})}, options)


OPERATIONS = [
    _case("conv2d", {"weight": (32, 32, 3, 3), "bias": (32,)}, padding=1),
    _case("conv2d", {"weight": (32, 32, 3, 3), "bias": (32,)}, "relu", padding=1, activation="relu"),
    _case("conv2d", {"weight": (32, 32, 3, 3)}, "reflect", padding=1, padding_mode="reflect"),
    _case("depthwise_conv2d", {"weight": (32, 1, 3, 3), "bias": (32,)}, padding=1),
    _case(
        "separable_conv2d",
        {"depthwise_weight": (32, 1, 3, 3), "pointwise_weight": (64, 32, 1, 1), "bias": (64,)},
        padding=1,
    ),
    _case("conv_transpose2d", {"x": HALF, "weight": (32, 32, 4, 4), "bias": (32,)}, stride=2, padding=1),
    _case(
        "deform_conv2d",
        {"offset": (1, 18, 56, 56), "weight": (32, 32, 3, 3), "bias": (32,), "mask": (1, 9, 56, 56)},
        padding=1,
    ),
    _case("conv1d", {"x": (1, 64, 4096), "weight": (64, 64, 5), "bias": (64,)}, padding=2),
    _case(
        "conv_transpose1d", {"x": (1, 64, 2048), "weight": (64, 64, 4), "bias": (64,)}, stride=2, padding=1
    ),
    _case("unfold", kernel_size=3, padding=1),
    _case("fold", {"x": (1, 32 * 9, 56 * 56)}, output_size=(56, 56), kernel_size=3, padding=1),
    _case("max_pool2d", kernel_size=3, stride=2, padding=1),
    _case("max_pool2d", name="indices", kernel_size=3, stride=2, padding=1, return_indices=True),
    _case("avg_pool2d", kernel_size=3, stride=2, padding=1),
    _case("lp_pool2d", norm_type=2.0, kernel_size=2),
    _case("adaptive_avg_pool2d", output_size=7),
    _case("adaptive_max_pool2d", output_size=7),
    _case("global_avg_pool2d"),
    _case("global_max_pool2d"),
    _case("fractional_max_pool2d", kernel_size=2, output_size=40, rng=1),
    _case("stochastic_pool2d", kernel_size=2, rng=1),
    _case("max_unpool2d", {"x": HALF, "indices": HALF}, kernel_size=2),
    _case("pad2d", padding=3),
    _case("pad2d", name="reflect", padding=3, mode="reflect"),
    _case("local_response_norm", size=5),
    _case("batch_norm", CHANNELS | {"running_mean": (32,), "running_var": (32,)}),
    _case("batch_norm", CHANNELS | {"running_mean": (32,), "running_var": (32,)}, "training", training=True),
    _case("group_norm", CHANNELS, num_groups=8),
    _case("instance_norm", CHANNELS),
    _case("layer_norm", {"x": (64, 512), "weight": (512,), "bias": (512,)}, normalized_shape=512),
    _case("resize2d", name="linear", scale_factor=2, mode="linear"),
    _case("resize2d", name="cubic", size=28, mode="cubic", antialias=True),
    _case("pixel_shuffle", upscale_factor=2),
    _case("pixel_unshuffle", downscale_factor=2),
    _case("channel_shuffle", groups=4),
    _case("softmax", dim=1),
    _case("log_softmax", {"x": (64, 1000)}, dim=-1),
    _case("dense", {"x": (64, 512), "weight": (512, 512), "bias": (512,)}),
]

# One megapixel: a filter of one channel, and the same for each of three.
IMAGES = [
    replace(layer, name=f"{name} {layer.name}")
    for name, images in (("grey", "filters-grey"), ("RGB", "filters-rgb"))
    for layer, _ in network(images)
]
QUICK_IMAGES = ("grey 5x5", "RGB 5x5")

# Batches of tiny images, images of 3 and 4 channels, signals: hard to do well.
SHAPES = [layer for name in ("small", "few-channels", "signals") for layer, _ in network(name)]
QUICK_SHAPES = ("3x3 16->16, 8x8, many", "max 3x3/1 3, 512", "101 taps, 1e6")

# So little work that the way to the kernel is what takes the time.
TINY = [layer for layer, _ in network("tiny")]
QUICK_TINY = ("8 channels 8x8 3x3", "pool 8x8 2x2")


def arrays(layer, dtype):
    """The layer's arguments, NCHW; where an operation restricts their values, within that."""
    made = layer.arrays(dtype)
    if layer.operation == "stochastic_pool2d":
        made["x"] = np.abs(made["x"])
    if "running_var" in made:
        made["running_var"] = np.abs(made["running_var"])
    if "indices" in made:
        n, c, h, w = layer.shapes["x"]
        kernel = layer.options["kernel_size"]
        full = Layer("", "", {"x": (n, c, h * kernel, w * kernel)}).arrays()["x"]
        made["indices"] = fastconv.max_pool2d(full, kernel, return_indices=True, backend="numpy")[1]
    if "offset" in made:  # away from whole pixels, where the gradient jumps
        made["offset"] = ((np.floor(made["offset"] * 32) + 0.5) / 32).astype(dtype)
    return made
