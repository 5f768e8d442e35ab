"""The layers of well-known networks, generated from the structure in the papers; and the list of all sets of layers.

Called by ``fastconv bench`` and by the suite in ``bench/``. Only convolutions and poolings are listed, since the rest
takes little of the time. Biases are those of a network ready for use: where a batch normalization follows a
convolution, it is folded into the weights and a bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from fastconv.arguments import Pair
from fastconv.bench.layers.kinds import image_filters, kinds
from fastconv.bench.layers.layer import Layer, Shape, conv, pool, transposed
from fastconv.bench.layers.shapes import few_channels, huge, ideas, signals, small, threads, tiny
from fastconv.geometry import conv_output_size, conv_transpose_output_size, pool_output_size

Sequence = list[Layer]
Counted = tuple[tuple[Layer, int], ...]


class _Chain:
    """Layers one after the other; `x` is the shape that goes into the next one."""

    def __init__(self, x: Shape) -> None:
        self.x = x
        self.layers: Sequence = []

    @property
    def size(self) -> Pair:
        return self.x[2], self.x[3]

    def conv(
        self, stage: str, filters: int, kernel: int, stride: int = 1, padding: int | None = None,
        groups: int = 1, bias: bool = True,
    ) -> None:  # fmt: skip
        """By default padded so that stride 1 keeps the size; with as many groups as channels it is depthwise."""
        pads = kernel // 2 if padding is None else padding
        step = f"/{stride}" if stride > 1 else ""
        channels = self.x[1]
        depthwise = channels if groups == channels == filters > 1 else 0
        name = (
            f"dw{kernel}x{kernel}{step} {depthwise}"
            if depthwise
            else f"{kernel}x{kernel}{step} {channels}->{filters}"
        )
        layer = conv(f"{stage} {name}", self.x, filters, kernel, stride, pads, groups=groups, bias=bias)
        self._add(layer, filters, conv_output_size(self.size, kernel, stride, pads))

    def up_conv(self, stage: str, filters: int, kernel: int, stride: int) -> None:
        """A transposed convolution without padding."""
        name = f"{stage} up{kernel}x{kernel} {self.x[1]}->{filters}"
        size = conv_transpose_output_size(self.size, kernel, stride)
        self._add(transposed(name, self.x, filters, kernel, stride), filters, size)

    def pool(self, stage: str, kind: str, kernel: int, stride: int, padding: int = 0) -> None:
        layer = pool(f"{stage} {kind} {kernel}x{kernel}/{stride}", kind, self.x, kernel, stride, padding)
        self._add(layer, self.x[1], pool_output_size(self.size, kernel, stride, padding))

    def global_pool(self) -> None:
        self._add(Layer("global avg", "global_avg_pool2d", {"x": self.x}), self.x[1], (1, 1))

    def _add(self, layer: Layer, channels: int, size: Pair) -> None:
        self.layers.append(layer)
        self.x = (self.x[0], channels, *size)


def resnet50(batch: int) -> Sequence:
    """He et al. 2015, arXiv:1512.03385, table 1; version 1.5: the stride sits on the 3x3, not on the first 1x1."""
    net = _Chain((batch, 3, 224, 224))
    net.conv("conv1", 64, 7, 2)
    net.pool("pool1", "max", 3, 2, 1)
    for stage, (blocks, width, stride) in enumerate([(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)], 2):
        name = f"conv{stage}_x"
        for block in range(blocks):
            entry, step = net.x, stride if block == 0 else 1
            net.conv(name, width, 1)
            net.conv(name, width, 3, step)
            net.conv(name, 4 * width, 1)
            if block == 0:
                net.x = entry
                net.conv(f"{name} shortcut", 4 * width, 1, step)
    net.global_pool()
    return net.layers


def vgg16(batch: int) -> Sequence:
    """Simonyan and Zisserman 2014, arXiv:1409.1556, table 1, configuration D."""
    net = _Chain((batch, 3, 224, 224))
    for stage, (convs, width) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for _ in range(convs):
            net.conv(f"conv{stage}", width, 3)
        net.pool(f"pool{stage}", "max", 2, 2)
    return net.layers


def mobilenetv2(batch: int) -> Sequence:
    """Sandler et al. 2018, arXiv:1801.04381, table 2; width 1.0."""
    rows = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    net = _Chain((batch, 3, 224, 224))
    net.conv("stem", 32, 3, 2)
    for stage, (expansion, width, blocks, stride) in enumerate(rows, 1):
        name = f"block{stage}"
        for block in range(blocks):
            hidden = expansion * net.x[1]
            if expansion > 1:
                net.conv(name, hidden, 1)
            net.conv(name, hidden, 3, stride if block == 0 else 1, groups=hidden)
            net.conv(name, width, 1)
    net.conv("head", 1280, 1)
    net.global_pool()
    return net.layers


def densenet121(batch: int) -> Sequence:
    """Huang et al. 2016, arXiv:1608.06993, table 1, growth rate 32.

    Normalization comes before the convolutions: it folds into the stem and the 1x1 of each dense layer, whose results
    nothing else reads; the others have no bias.
    """
    growth = 32
    net = _Chain((batch, 3, 224, 224))
    net.conv("conv0", 64, 7, 2)
    net.pool("pool0", "max", 3, 2, 1)
    for stage, layers in enumerate((6, 12, 24, 16), 1):
        for _ in range(layers):
            before = net.x[1]
            net.conv(f"dense{stage}", 4 * growth, 1)
            net.conv(f"dense{stage}", growth, 3, bias=False)
            net.x = (batch, before + growth, *net.size)
        if stage < 4:
            net.conv(f"transition{stage}", net.x[1] // 2, 1, bias=False)
            net.pool(f"transition{stage}", "avg", 2, 2)
    net.global_pool()
    return net.layers


def unet(batch: int) -> Sequence:
    """Ronneberger et al. 2015, arXiv:1505.04597, figure 1: one channel in, two classes, no padding."""
    net = _Chain((batch, 1, 572, 572))
    widths = (64, 128, 256, 512, 1024)
    for level, width in enumerate(widths, 1):
        if level > 1:
            net.pool(f"down{level - 1}", "max", 2, 2)
        net.conv(f"down{level}", width, 3, padding=0)
        net.conv(f"down{level}", width, 3, padding=0)
    for level, width in reversed(list(enumerate(widths[:-1], 1))):
        net.up_conv(f"up{level}", width, 2, 2)
        net.x = (batch, 2 * width, *net.size)  # beside it the cropped result of that level on the way down
        net.conv(f"up{level}", width, 3, padding=0)
        net.conv(f"up{level}", width, 3, padding=0)
    net.conv("classes", 2, 1)
    return net.layers


def dqn(batch: int) -> Sequence:
    """Mnih et al. 2015, doi:10.1038/nature14236, Methods: four frames of a game, no padding."""
    net = _Chain((batch, 4, 84, 84))
    for index, (filters, kernel, stride) in enumerate([(32, 8, 4), (64, 4, 2), (64, 3, 1)], 1):
        net.conv(f"conv{index}", filters, kernel, stride, padding=0)
    return net.layers


NETWORKS: dict[str, Callable[[int], Sequence]] = {
    "layers": kinds,
    "resnet50": resnet50,
    "vgg16": vgg16,
    "mobilenetv2": mobilenetv2,
    "densenet121": densenet121,
    "unet": unet,
    "dqn": dqn,
    "filters-grey": image_filters(1),
    "filters-rgb": image_filters(3),
    "signals": signals,
    "small": small,
    "tiny": tiny,
    "few-channels": few_channels,
    "huge": huge,
    "ideas": ideas,
    "threads": threads,
}
"""By their names: the function that lists all layers for a number of images, in order, equal ones too."""
SINGLE_IMAGE = ("filters-grey", "filters-rgb")  # what they are compared with has no batches
APART = ("huge", "ideas", "threads")  # not among all: too large, or for a study


def network(name: str, batch: int = 1) -> Counted:
    """The distinct layers of a network, or other set, in the order of their first use, and how often it has each.

    Parameters
    ----------
    name : str
        One of `NETWORKS`.
    batch : int
        Number of images.

    Returns
    -------
    tuple of (Layer, int)

    Raises
    ------
    ValueError
        If `name` is unknown or `batch` is below 1.

    Examples
    --------
    >>> for layer, count in network("vgg16")[-4:]:
    ...     print(count, layer.name, "|", layer)
    2 conv4 3x3 512->512 | 1x512x28x28 * 512x512x3x3, padding 1
    1 pool4 max 2x2/2 | 1x512x28x28, kernel_size 2, stride 2
    3 conv5 3x3 512->512 | 1x512x14x14 * 512x512x3x3, padding 1
    1 pool5 max 2x2/2 | 1x512x14x14, kernel_size 2, stride 2
    """
    if name not in NETWORKS:
        raise ValueError(f"network: name is {name!r}, but needs to be one of {', '.join(NETWORKS)}")
    if batch < 1:
        raise ValueError(f"network: batch is {batch}, but needs at least 1")
    return _counted(NETWORKS[name](batch))


def _counted(layers: Iterable[Layer]) -> Counted:
    first: dict[str, Layer] = {}
    counts: dict[str, int] = {}
    for layer in layers:
        key = repr(replace(layer, name=""))
        first.setdefault(key, layer)
        counts[key] = counts.get(key, 0) + 1
    return tuple((first[key], count) for key, count in counts.items())
