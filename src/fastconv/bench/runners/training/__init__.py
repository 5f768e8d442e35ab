"""Networks whose training step is timed: fastconv, and PyTorch on the same network, each in a process of its own.

Called by `commands/training.py`. A module has `RUNNERS`, of which the first is started by `apart.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastconv.nn as nn
from fastconv.bench.runners.apart import ApartRunner
from fastconv.nn.state import parameters
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout

CHECKED_STEPS = 2  # whose losses are compared: what rounding does grows with every step of Adam
RATE = 1e-3  # of Adam


@dataclass(frozen=True)
class Trained:
    """A network to train.

    Attributes
    ----------
    make : callable
        Of the layout.
    image : (int, int, int)
        Channels, height and width.
    classes : int
    dense : bool
        Whether each pixel has a class, in place of the image.
    """

    make: Callable[[Any], Any]
    image: tuple[int, int, int]
    classes: int
    dense: bool = False

    def arrays(self, batch: int, seed: int = 0) -> dict[str, Array]:
        """Images (NCHW), their classes, and the first parameters by their paths."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((batch, *self.image), np.float32)
        size = (batch, *self.image[1:]) if self.dense else batch
        net = self.make("NCHW")
        net.build(x.shape, seed)
        return {"x": x, "y": rng.integers(0, self.classes, size), **parameters(net)}


# Without dropout, whose random numbers differ from library to library.
NETWORKS = {
    "lenet": Trained(lambda layout: nn.models.lenet5(layout=layout), (1, 32, 32), 10),
    "resnet20": Trained(lambda layout: nn.models.resnet20(layout=layout), (3, 32, 32), 10),
    "mobilenet_v2": Trained(
        lambda layout: nn.models.mobilenet_v2(dropout=0.0, layout=layout), (3, 96, 96), 1000
    ),
    "unet": Trained(lambda layout: nn.models.unet_small(2, layout=layout), (1, 128, 128), 2, dense=True),
}


@dataclass(frozen=True)
class Asked:
    """What a process is to train: one of `NETWORKS`, and how."""

    network: str
    layout: Layout
    backend: str = ""

    def image(self, x: Array) -> Array:
        """Images in the layout."""
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if channels_last(self.layout) else x


def own_runner(backend: str) -> ApartRunner:
    """fastconv on one of its backends."""
    return ApartRunner(backend, f"{__name__}.fastconv_step")


def pytorch_runner() -> ApartRunner:
    """PyTorch; its module needs it installed."""
    return ApartRunner("pytorch", f"{__name__}.pytorch_step")
