"""Sets of layers that no network has: shapes that are hard to do well, and those of the studies.

Listed in `networks.py`.
"""

from __future__ import annotations

from dataclasses import replace

from fastconv.bench.layers.layer import Layer, Shape, conv, pool, transposed


def signals(batch: int) -> list[Layer]:
    """Signals, as images of one row: filters of a million samples, and WaveNet's layers (arXiv:1609.03499)."""
    long: Shape = (batch, 1, 1, 1_000_000)
    filters = [
        replace(conv(f"{taps} taps, 1e6", long, 1, (1, taps), padding="same", bias=False), same_filters=True)
        for taps in (3, 31, 101, 1001)
    ]
    wavenet = [
        conv(f"WaveNet 2 taps 64->128, dilation {d}", (batch, 64, 1, 16_000), 128, (1, 2), 1, 0, (1, d))
        for d in (1, 32, 512)
    ]
    return [
        *filters,
        *wavenet,
        conv("4095 taps, 1e5", (batch, 1, 1, 100_000), 1, (1, 4095), padding="same", bias=False),
        conv("speech 10 taps/5 1->512", (batch, 1, 1, 80_000), 512, (1, 10), (1, 5)),
        conv("speech 3 taps/2 512->512", (batch, 512, 1, 3_200), 512, (1, 3), (1, 2)),
    ]


def small(batch: int) -> list[Layer]:
    """Batches of tiny images, 1024 for each one that is asked for."""
    many = 1024 * batch
    return [
        conv("3x3 16->16, 8x8, many", (many, 16, 8, 8), 16, 3, 1, 1),
        conv("1x1 32->64, 4x4, many", (many, 32, 4, 4), 64, 1),
        conv("1x1 128->256, 1x1, many", (many, 128, 1, 1), 256, 1),
        conv("4x4 64->128, 4x4, many", (many // 8, 64, 4, 4), 128, 4),
        conv("1x3 16->16, rows of 8, many", (many, 16, 1, 8), 16, (1, 3), 1, (0, 1)),
        conv("1x3 16->16, rows of 1, many", (many, 16, 1, 1), 16, (1, 3), 1, (0, 1)),
        conv("depthwise 3x3 32, 8x8, many", (many, 32, 8, 8), 32, 3, 1, 1, groups=32),
        pool("max 2x2/2 16, 8x8, many", "max", (many, 16, 8, 8), 2, 2),
        Layer("global avg 64, 4x4, many", "global_avg_pool2d", {"x": (many, 64, 4, 4)}),
    ]


def tiny(batch: int) -> list[Layer]:
    """So little work that the way to the kernel is what takes the time."""
    return [
        conv("1 pixel", (batch, 1, 1, 1), 1, 1),
        conv("8x8 3x3", (batch, 1, 8, 8), 1, 3),
        conv("8 channels 8x8 3x3", (batch, 8, 8, 8), 8, 3, 1, 1),
        conv("depthwise 8x8 3x3", (batch, 8, 8, 8), 8, 3, 1, 1, groups=8),
        transposed("transposed 4x4 2x2", (batch, 4, 4, 4), 4, 2, 2),
        pool("pool 8x8 2x2", "max", (batch, 4, 8, 8), 2, 2),
        Layer("global 4x4", "global_avg_pool2d", {"x": (batch, 8, 4, 4)}),
    ]


def few_channels(batch: int) -> list[Layer]:
    """Images of 3 and 4 channels: what colour pictures take, mostly in channels_last."""
    made: list[Layer] = []
    for channels in (3, 4):
        x = (batch, channels, 512, 512)
        made += [
            conv(f"3x3 {channels}->32, 512", x, 32, 3, 1, 1),
            conv(f"3x3/2 {channels}->32, 512", x, 32, 3, 2, 1),
            conv(f"5x5 {channels}->{channels}, 512", x, channels, 5, 1, 2),
            conv(f"depthwise 3x3 {channels}, 512", x, channels, 3, 1, 1, groups=channels, bias=False),
            conv(f"depthwise 9x9 {channels}, 512", x, channels, 9, 1, 4, groups=channels, bias=False),
            pool(f"max 3x3/1 {channels}, 512", "max", x, 3, 1, 1),
            pool(f"max 2x2/2 {channels}, 512", "max", x, 2, 2),
            pool(f"avg 3x3/1 {channels}, 512", "avg", x, 3, 1, 1),
            Layer(f"global avg {channels}, 512", "global_avg_pool2d", {"x": x}),
        ]
    return [*made, transposed("patches 128x128/128 of 3", (batch, 3, 4, 4), 3, 128, 128)]


def huge(batch: int) -> list[Layer]:
    """One channel of 30,000 x 30,000 pixels: more than 2**31 bytes, and results as large."""
    x = (batch, 1, 30_000, 30_000)
    return [
        conv("3x3 1->1, 30000", x, 1, 3, 1, 1, bias=False),
        pool("max 2x2/2, 30000", "max", x, 2, 2),
    ]


def ideas(batch: int) -> list[Layer]:
    """Layers for the comparison of im2col with what came after it: every kind of kernel, no bias."""
    return [
        conv("3x3 64->64, 56", (batch, 64, 56, 56), 64, 3, 1, 1, bias=False),
        conv("3x3 256->256, 14", (batch, 256, 14, 14), 256, 3, 1, 1, bias=False),
        conv("3x3/2 128->128, 56", (batch, 128, 56, 56), 128, 3, 2, 1, bias=False),
        conv("dilated 3x3 256->256, 33", (batch, 256, 33, 33), 256, 3, 1, 6, 6, bias=False),
        conv("stem 7x7/2 3->64", (batch, 3, 224, 224), 64, 7, 2, 3, bias=False),
        conv("5x5 48->64, 35", (batch, 48, 35, 35), 64, 5, 1, 2, bias=False),
        conv("1x1 256->64, 56", (batch, 256, 56, 56), 64, 1, bias=False),
        conv("depthwise 3x3 144, 56", (batch, 144, 56, 56), 144, 3, 1, 1, groups=144, bias=False),
        conv("31x31 1->1, 512", (batch, 1, 512, 512), 1, 31, 1, 15, bias=False),
        conv("4x4 128->256, 64 images of 4", (64 * batch, 128, 4, 4), 256, 4, bias=False),
        conv("1x1 128->256, 256 images of 1", (256 * batch, 128, 1, 1), 256, 1, bias=False),
    ]


def threads(batch: int) -> list[Layer]:
    """Layers from 10 us to 10 ms, for the comparison of the layers that threads come from."""
    return [
        conv("3x3 8->8, 14", (batch, 8, 14, 14), 8, 3, 1, 1),
        conv("3x3 16->16, 28", (batch, 16, 28, 28), 16, 3, 1, 1),
        conv("3x3 64->64, 28", (batch, 64, 28, 28), 64, 3, 1, 1),
        conv("3x3 64->64, 56", (batch, 64, 56, 56), 64, 3, 1, 1),
        conv("1x1 256->64, 56", (batch, 256, 56, 56), 64, 1),
        conv("3x3 512->512, 7", (batch, 512, 7, 7), 512, 3, 1, 1),
        conv("3x3 128->128, 112", (batch, 128, 112, 112), 128, 3, 1, 1),
        conv("depthwise 3x3 96, 56", (batch, 96, 56, 56), 96, 3, 1, 1, groups=96),
        pool("max 3x3/2 64, 112", "max", (batch, 64, 112, 112), 3, 2, 1),
    ]
