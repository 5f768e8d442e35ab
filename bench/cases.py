"""What is measured: layers of well-known networks, one case of every operation, image filters and tiny shapes.

Used by the benchmarks beside it; `tests/test_bench_suite.py` holds `OPERATIONS` against the public functions.
"""

import numpy as np

import fastconv
from fastconv.bench.layers.layer import Layer, conv, pool, transposed


def depthwise(name, x, kernel, stride=1, padding=0):
    options = {"stride": stride, "padding": padding}
    return Layer(
        name, "depthwise_conv2d", {"x": x, "weight": (x[1], 1, kernel, kernel), "bias": (x[1],)}, options
    )


# Shapes from the papers' tables; batch 1, as when an image is to be recognised.
NETWORKS = [
    conv("ResNet 7x7 s2", (1, 3, 224, 224), 64, 7, 2, 3),
    conv("ResNet 3x3 at 56", (1, 64, 56, 56), 64, 3, 1, 1),
    conv("ResNet 3x3 at 28", (1, 128, 28, 28), 128, 3, 1, 1),
    conv("ResNet 3x3 at 14", (1, 256, 14, 14), 256, 3, 1, 1),
    conv("ResNet 3x3 at 7", (1, 512, 7, 7), 512, 3, 1, 1),
    conv("ResNet 1x1 at 56", (1, 64, 56, 56), 256, 1),
    conv("ResNet 1x1 at 14", (1, 1024, 14, 14), 256, 1),
    conv("ResNet 1x1 s2", (1, 256, 56, 56), 512, 1, 2),
    conv("VGG 3x3 at 224", (1, 64, 224, 224), 64, 3, 1, 1),
    conv("VGG 3x3 at 56", (1, 256, 56, 56), 256, 3, 1, 1),
    conv("VGG 3x3 at 28", (1, 512, 28, 28), 512, 3, 1, 1),
    conv("Inception 5x5", (1, 48, 35, 35), 64, 5, 1, 2),
    conv("Inception 1x7", (1, 128, 17, 17), 192, (1, 7), 1, (0, 3)),
    depthwise("MobileNetV2 3x3", (1, 144, 56, 56), 3, 1, 1),
    depthwise("MobileNetV2 3x3 s2", (1, 96, 112, 112), 3, 2, 1),
    depthwise("EfficientNet 5x5", (1, 240, 28, 28), 5, 1, 2),
    depthwise("ConvNeXt 7x7", (1, 96, 56, 56), 7, 1, 3),
    conv("ResNeXt 32 groups", (1, 128, 56, 56), 128, 3, 1, 1, groups=32),
    conv("DeepLab dilation 6", (1, 256, 33, 33), 256, 3, 1, 6, dilation=6),
    conv("DeepLab dilation 12", (1, 256, 33, 33), 256, 3, 1, 12, dilation=12),
    transposed("DCGAN 4x4 s2", (1, 256, 16, 16), 128, 4, 2, 1),
    transposed("U-Net 2x2 s2", (1, 256, 56, 56), 128, 2, 2),
    transposed("FCN 16x16 s8", (1, 21, 34, 34), 21, 16, 8),
    pool("ResNet pool 3x3 s2", "max", (1, 64, 112, 112), 3, 2, 1),
    pool("VGG pool 2x2", "max", (1, 64, 224, 224), 2, 2),
    pool("DenseNet pool 2x2", "avg", (1, 128, 56, 56), 2, 2),
    Layer("ResNet global", "global_avg_pool2d", {"x": (1, 2048, 7, 7)}),
]
QUICK_NETWORKS = (
    "ResNet 3x3 at 28", "ResNet 1x1 at 14", "MobileNetV2 3x3", "DCGAN 4x4 s2", "ResNet pool 3x3 s2",
)  # fmt: skip

X = (1, 32, 56, 56)
HALF = (1, 32, 28, 28)


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
]

# One megapixel: a filter of one channel, and the same for each of three.
IMAGES = [
    layer
    for kernel in (3, 5, 7, 11, 15, 21, 31)
    for layer in (
        conv(f"grey {kernel}x{kernel}", (1, 1, 1024, 1024), 1, kernel, 1, "same", bias=False),
        Layer(
            f"RGB {kernel}x{kernel}",
            "depthwise_conv2d",
            {"x": (1, 3, 1024, 1024), "weight": (3, 1, kernel, kernel)},
            {"padding": "same"},
        ),
    )
]
QUICK_IMAGES = ("grey 5x5", "RGB 5x5")

# So little work that the way to the kernel is what takes the time.
TINY = [
    conv("1 pixel", (1, 1, 1, 1), 1, 1),
    conv("8x8 3x3", (1, 1, 8, 8), 1, 3),
    conv("8 channels 8x8 3x3", (1, 8, 8, 8), 8, 3, 1, 1),
    depthwise("depthwise 8x8 3x3", (1, 8, 8, 8), 3, 1, 1),
    transposed("transposed 4x4 2x2", (1, 4, 4, 4), 4, 2, 2),
    pool("pool 8x8 2x2", "max", (1, 4, 8, 8), 2, 2),
    Layer("global 4x4", "global_avg_pool2d", {"x": (1, 8, 4, 4)}),
]
QUICK_TINY = ("8 channels 8x8 3x3", "pool 8x8 2x2")


def arrays(layer, dtype):
    """The layer's arguments, NCHW; where an operation restricts their values, within that."""
    made = layer.arrays(dtype)
    if layer.operation == "stochastic_pool2d":
        made["x"] = np.abs(made["x"])
    if "indices" in made:
        n, c, h, w = layer.shapes["x"]
        kernel = layer.options["kernel_size"]
        full = Layer("", "", {"x": (n, c, h * kernel, w * kernel)}).arrays()["x"]
        made["indices"] = fastconv.max_pool2d(full, kernel, return_indices=True, backend="numpy")[1]
    if "offset" in made:  # away from whole pixels, where the gradient jumps
        made["offset"] = ((np.floor(made["offset"] * 32) + 0.5) / 32).astype(dtype)
    return made
