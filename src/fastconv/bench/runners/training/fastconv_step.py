"""fastconv as a runner of training steps. Started by `apart.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import fastconv
import fastconv.nn as nn
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.models.network import NetworkRunner
from fastconv.bench.runners.training import CHECKED_STEPS, NETWORKS, RATE, Asked
from fastconv.typing import Array


class Fastconv(NetworkRunner[Asked]):
    name = "fastconv"
    peer = False

    def load(
        self, file: Asked, arrays: Mapping[str, Array], settings: Settings
    ) -> Callable[[], Sequence[Any]]:
        fastconv.set_num_threads(settings.threads)
        fastconv.set_backend(file.backend)  # type: ignore[arg-type]
        net = NETWORKS[file.network].make(file.layout).astype(settings.dtype)
        x, y = file.image(arrays["x"]).astype(settings.dtype), arrays["y"]
        net.build(x.shape)
        weights = {path: array for path, array in arrays.items() if path not in ("x", "y")}
        net.load_state_dict(weights, strict=False)
        optimizer = nn.Adam(RATE)
        losses: list[float] = []

        def step() -> Sequence[Any]:
            losses.append(net.train_step(x, y, optimizer=optimizer))
            return [np.array(losses[:CHECKED_STEPS])]

        for _ in range(CHECKED_STEPS):
            step()
        return step


RUNNERS = (Fastconv(),)
