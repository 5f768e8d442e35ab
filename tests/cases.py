"""The hand-picked shapes, a table per operation: edges, tails and odd combinations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Shapes in NCHW order; `options` as (name, value) pairs, so that a case can key a cache."""

    x: tuple
    weights: tuple
    options: tuple


def case(x, *weights, **options):
    return Case(x, weights, tuple(options.items()))


CONV = {
    "one pixel, one channel": case((1, 1, 1, 1), (1, 1, 1, 1)),
    "one pixel, 3x3 through padding": case((2, 3, 1, 1), (5, 3, 3, 3), padding=1),
    "one pixel, full padding": case((1, 2, 1, 1), (3, 2, 4, 5), padding="full"),
    "one row": case((1, 3, 1, 37), (4, 3, 1, 5)),
    "one column": case((1, 3, 37, 1), (4, 3, 5, 1)),
    "kernel larger than image": case((1, 2, 3, 4), (3, 2, 7, 6), padding=(2, 1)),
    "kernel as large as image": case((2, 5, 6, 7), (4, 5, 6, 7)),
    "kernel as large as image, groups": case((6, 9, 3, 1), (15, 3, 3, 1), groups=3, stride=2),
    "one pixel, many images": case((37, 19, 1, 1), (22, 19, 1, 1)),
    "stride larger than kernel": case((1, 3, 11, 13), (4, 3, 2, 2), stride=(5, 3)),
    "stride larger than image": case((1, 3, 4, 5), (4, 3, 1, 1), stride=7),
    "prime channels": case((1, 7, 9, 11), (13, 7, 3, 3), padding=1),
    "1xN kernel": case((1, 4, 8, 19), (6, 4, 1, 9), padding=(0, 4)),
    "Nx1 kernel": case((1, 4, 19, 8), (6, 4, 9, 1), padding=(4, 0)),
    "even kernel": case((1, 3, 9, 8), (5, 3, 2, 4), padding=1),
    "asymmetric padding": case((1, 3, 6, 7), (5, 3, 3, 3), padding=((2, 0), (1, 3))),
    "padding beyond the kernel": case((1, 2, 4, 4), (3, 2, 3, 3), padding=5),
    "padding on the right alone": case((1, 3, 6, 16), (16, 3, 3, 3), padding=((0, 0), (0, 2))),
    "valid": case((1, 3, 8, 9), (4, 3, 3, 2), padding="valid", stride=2),
    "full with stride and dilation": case((1, 3, 5, 6), (4, 3, 3, 2), padding="full", stride=2, dilation=2),
    "same, even kernel": case((1, 3, 7, 8), (4, 3, 4, 2), padding="same"),
    "same, stride 2": case((1, 3, 7, 8), (4, 3, 3, 3), padding="same", stride=2),
    "same, stride and dilation": case(
        (1, 3, 10, 13), (4, 3, 3, 4), padding="same", stride=(3, 2), dilation=(2, 3)
    ),
    "same, stride above kernel": case((1, 3, 11, 10), (4, 3, 2, 1), padding="same", stride=4),
    "dilation": case((1, 5, 17, 14), (6, 5, 3, 3), dilation=(4, 3), padding=2),
    "dilation reaches past the image": case((1, 3, 4, 4), (4, 3, 3, 3), dilation=5, padding=5),
    "dilated 1x1": case((1, 3, 4, 5), (4, 3, 1, 1), dilation=9),
    "groups": case((2, 12, 7, 6), (20, 3, 3, 3), groups=4, padding=1),
    "groups of 16": case((1, 48, 5, 9), (48, 16, 3, 3), groups=3, padding=1),
    "groups of 17 to 5": case((1, 34, 5, 4), (10, 17, 3, 3), groups=2),
    "depthwise": case((1, 33, 8, 9), (33, 1, 3, 3), groups=33, padding=1),
    "depthwise with multiplier": case((1, 5, 8, 9), (15, 1, 3, 3), groups=5, padding=1, stride=2),
    "1x1": case((2, 31, 5, 7), (33, 31, 1, 1)),
    "1x1 stride 2": case((1, 16, 9, 8), (32, 16, 1, 1), stride=2),
    "1x1 with padding": case((1, 3, 4, 5), (5, 3, 1, 1), padding=2),
    "3x3 stride 2": case((1, 17, 15, 16), (15, 17, 3, 3), stride=2, padding=1),
    "5x5": case((1, 8, 14, 15), (16, 8, 5, 5), padding=2),
    "7x7 stride 2 stem": case((1, 3, 33, 35), (64, 3, 7, 7), stride=2, padding=3),
    "11x11 stride 4": case((1, 3, 31, 29), (9, 3, 11, 11), stride=4, padding=2),
    "reflect": case((1, 3, 6, 5), (4, 3, 5, 5), padding=(3, 4), padding_mode="reflect"),
    "reflect one pixel of two": case((1, 2, 2, 2), (4, 2, 3, 3), padding=1, padding_mode="reflect"),
    "replicate beyond the image": case((1, 3, 4, 3), (4, 3, 3, 3), padding=7, padding_mode="replicate"),
    "circular": case((1, 3, 4, 5), (4, 3, 3, 3), padding=((4, 1), (0, 5)), padding_mode="circular"),
    "reflect, there and back": case(
        (1, 3, 3, 2), (4, 3, 3, 3), padding=((7, 2), (5, 4)), padding_mode="reflect"
    ),
    "reflect, one pixel": case((1, 2, 1, 1), (3, 2, 3, 2), padding=2, padding_mode="reflect"),
    "circular, several times": case(
        (1, 3, 2, 3), (4, 3, 3, 3), padding=((7, 4), (0, 9)), padding_mode="circular"
    ),
    "circular same, dilated": case(
        (2, 3, 6, 7), (4, 3, 3, 3), padding="same", dilation=2, padding_mode="circular"
    ),
    "reflect, grouped and strided": case(
        (1, 6, 7, 8), (4, 3, 3, 3), padding=2, stride=2, groups=2, padding_mode="reflect"
    ),
    "constant": case(
        (1, 3, 4, 5), (4, 3, 3, 3), padding=((4, 1), (0, 5)), padding_mode="constant", padding_value=2.5
    ),
    "empty batch": case((0, 3, 6, 7), (4, 3, 3, 3), padding=1),
    "batch": case((5, 16, 6, 6), (16, 16, 3, 3), padding=1),
    "deep": case((1, 300, 5, 5), (20, 300, 3, 3), padding=1),
    "several panels": case((1, 40, 30, 29), (130, 40, 3, 3), padding=1),
    "wide 1x1": case((1, 290, 13, 14), (140, 290, 1, 1)),
    "large image, one channel": case((1, 1, 70, 131), (1, 1, 5, 5), padding=2),
}

CHANNELS = (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)  # around vector multiples

DEPTHWISE = {
    "3x3": case((2, 17, 9, 10), (17, 1, 3, 3), padding=1),
    "3x3 stride 2": case((1, 32, 15, 33), (32, 1, 3, 3), padding=1, stride=2),
    "5x5": case((1, 20, 12, 19), (20, 1, 5, 5), padding=2),
    "7x7 same": case((1, 9, 8, 40), (9, 1, 7, 7), padding="same"),
    "3x3 dilated": case((1, 16, 14, 15), (16, 1, 3, 3), padding=3, dilation=3),
    "multiplier 3": case((1, 5, 7, 8), (15, 1, 3, 2), stride=(1, 2)),
    "multiplier 2 of 16": case((1, 16, 7, 8), (32, 1, 3, 3), padding=1),
    "one channel": case((1, 1, 5, 6), (4, 1, 3, 3)),
    "small planes": case((2, 37, 5, 7), (37, 1, 3, 3), padding=1),
    "small planes, stride 2": case((3, 16, 8, 7), (16, 1, 3, 3), padding=((0, 2), (1, 0)), stride=2),
    "small planes, 5x5": case((1, 21, 4, 6), (21, 1, 5, 5), padding=2),
    "small planes, 7x7 stride 2": case((2, 19, 3, 3), (19, 1, 7, 7), padding=3, stride=2),
    "1x1": case((2, 33, 5, 3), (33, 1, 1, 1)),
    "one row": case((1, 15, 1, 31), (15, 1, 1, 4)),
    "one pixel": case((1, 64, 1, 1), (64, 1, 5, 5), padding=2),
    "reflect, asymmetric": case((1, 6, 5, 6), (6, 1, 4, 3), padding=((2, 1), (0, 2)), padding_mode="reflect"),
    "large": case((1, 40, 45, 50), (40, 1, 3, 3), padding=1),
    "empty batch": case((0, 6, 5, 6), (6, 1, 3, 3)),
}

SEPARABLE = {
    "3x3": case((1, 8, 9, 10), (8, 1, 3, 3), (16, 8, 1, 1), padding=1),
    "stride 2": case((2, 17, 9, 8), (17, 1, 3, 3), (5, 17, 1, 1), padding=1, stride=2),
    "multiplier": case((1, 3, 7, 8), (6, 1, 5, 5), (4, 6, 1, 1), padding="same", dilation=(1, 2)),
    "circular": case((1, 4, 5, 6), (4, 1, 3, 3), (33, 4, 1, 1), padding=1, padding_mode="circular"),
    "constant": case(
        (1, 4, 5, 6), (4, 1, 3, 3), (33, 4, 1, 1), padding=1, padding_mode="constant", padding_value=-3
    ),
    "one pixel": case((1, 2, 1, 1), (2, 1, 1, 1), (3, 2, 1, 1)),
    "empty batch": case((0, 2, 4, 4), (2, 1, 3, 3), (3, 2, 1, 1)),
}

TRANSPOSE = {
    "one pixel": case((1, 1, 1, 1), (1, 1, 1, 1)),
    "one pixel, 4x4": case((2, 3, 1, 1), (3, 5, 4, 4)),
    "2x2 stride 2": case((1, 8, 5, 6), (8, 4, 2, 2), stride=2),
    "4x4 stride 2": case((1, 16, 6, 5), (16, 17, 4, 4), stride=2, padding=1),
    "3x3 stride 2 with output padding": case(
        (1, 5, 4, 7), (5, 6, 3, 3), stride=2, padding=1, output_padding=1
    ),
    "3x3 stride 1": case((1, 33, 6, 7), (33, 16, 3, 3), padding=1),
    "5x3 strides 3, 2": case(
        (1, 3, 4, 5), (3, 4, 5, 3), stride=(3, 2), padding=(2, 1), output_padding=(2, 0)
    ),
    "stride larger than kernel": case((1, 3, 3, 4), (3, 4, 2, 1), stride=(4, 3)),
    "output padding below dilation": case((1, 2, 3, 4), (2, 3, 3, 3), dilation=3, output_padding=2),
    "dilation": case((1, 3, 5, 6), (3, 4, 3, 2), dilation=(2, 3), stride=2, padding=2),
    "padding eats all but a pixel": case((1, 2, 3, 3), (2, 3, 3, 3), padding=2),
    "asymmetric padding": case((1, 3, 5, 4), (3, 4, 4, 4), stride=2, padding=((0, 3), (2, 1))),
    "valid": case((1, 3, 5, 4), (3, 4, 3, 3), padding="valid"),
    "full": case((1, 3, 6, 7), (3, 4, 3, 4), padding="full"),
    "same": case((1, 3, 5, 4), (3, 4, 3, 4), padding="same"),
    "same, stride 2": case((1, 3, 5, 4), (3, 4, 3, 4), padding="same", stride=2),
    "same, strides 3, 1, dilated": case(
        (1, 3, 5, 4), (3, 4, 3, 2), padding="same", stride=(3, 1), dilation=2
    ),
    "same, stride above kernel": case((1, 2, 3, 4), (2, 3, 2, 2), padding="same", stride=3),
    "groups": case((1, 12, 5, 4), (12, 5, 3, 3), groups=3, stride=2),
    "depthwise": case((1, 17, 5, 6), (17, 1, 4, 4), groups=17, stride=2, padding=1),
    "depthwise 3x3 stride 2": case(
        (2, 17, 5, 19), (17, 1, 3, 3), groups=17, stride=2, padding=1, output_padding=1
    ),
    "depthwise 5x5 stride 2": case((1, 5, 6, 3), (5, 1, 5, 5), groups=5, stride=2, padding=(2, 1)),
    "depthwise with multiplier": case((1, 5, 4, 4), (5, 3, 3, 3), groups=5, stride=2),
    "16x16 stride 8": case((1, 5, 4, 3), (5, 5, 16, 16), stride=8, padding=4),
    "one row": case((1, 3, 1, 9), (3, 4, 1, 5), stride=(1, 2)),
    "empty batch": case((0, 3, 4, 5), (3, 4, 3, 3), stride=2),
    "deep": case((1, 130, 7, 6), (130, 70, 4, 4), stride=2, padding=1),
}

# Planes of several pages, images beyond L2, rows of several tiles: (operation, case).
LARGE = {
    "1x1": ("conv2d", case((2, 40, 64, 66), (24, 40, 1, 1))),
    "1x1 with dilation": ("conv2d", case((1, 40, 70, 70), (24, 40, 1, 1), dilation=2)),
    "transposed 1x1 with dilation": ("conv_transpose2d", case((1, 5, 35, 36), (5, 4, 1, 1), dilation=2)),
    "depthwise 3x3, much padding": (
        "depthwise_conv2d",
        case((1, 2, 9, 9), (2, 1, 3, 3), padding=((1, 1), (0, 300))),
    ),
    "depthwise 5x5, much padding": (
        "depthwise_conv2d",
        case((1, 2, 9, 9), (2, 1, 5, 5), padding=((0, 0), (0, 300))),
    ),
    "wide dilation of little": (
        "depthwise_conv2d",
        case((1, 18, 2, 3), (18, 1, 3, 2), padding=(2000, 1000), dilation=(2000, 1000), stride=(900, 400)),
    ),
    "1x1 stride 2": ("conv2d", case((1, 20, 70, 71), (24, 20, 1, 1), stride=2)),
    "3x3, wide": ("conv2d", case((1, 20, 12, 350), (40, 20, 3, 3), padding=1)),
    "3x3, wide dilation": ("conv2d", case((1, 24, 40, 150), (20, 24, 3, 3), padding=12, dilation=12)),
    "7x7 stride 2": ("conv2d", case((1, 3, 90, 130), (36, 3, 7, 7), padding=3, stride=2)),
    "many filters of one channel": ("conv2d", case((1, 4, 40, 41), (80, 1, 1, 1), groups=4)),
    "large kernel": ("conv2d", case((2, 3, 70, 150), (5, 3, 13, 9), padding=((6, 3), (0, 5)))),
    "kernel in pieces": ("conv2d", case((1, 2, 80, 131), (2, 1, 70, 90), padding=(20, 30), groups=2)),
    "narrow": ("conv2d", case((1, 12, 300, 3), (20, 12, 3, 3), padding=1)),
    "transposed 2x2": ("conv_transpose2d", case((1, 20, 40, 70), (20, 36, 2, 2), stride=2)),
    "transposed 16x16": ("conv_transpose2d", case((1, 5, 9, 20), (5, 15, 16, 16), stride=8, padding=4)),
    "transposed 5x3": (
        "conv_transpose2d",
        case((1, 5, 20, 43), (5, 36, 5, 3), stride=(2, 3), padding=1, dilation=(3, 2)),
    ),
    "transposed with stride 6": ("conv_transpose2d", case((1, 5, 9, 43), (5, 3, 7, 7), stride=6, padding=2)),
    "depthwise, read in place": (
        "depthwise_conv2d",
        case((1, 40, 92, 80), (40, 1, 3, 3), padding=1, stride=2),
    ),
    "depthwise 9x9": ("depthwise_conv2d", case((1, 5, 45, 150), (5, 1, 9, 9), padding=4)),
    "depthwise 7x7": ("depthwise_conv2d", case((1, 18, 45, 90), (18, 1, 7, 7), padding=3)),
    "depthwise with dilation": ("depthwise_conv2d", case((1, 5, 45, 90), (5, 1, 4, 3), dilation=(3, 2))),
    "depthwise 31x31": ("depthwise_conv2d", case((1, 18, 20, 14), (18, 1, 31, 31), padding=15)),
}
