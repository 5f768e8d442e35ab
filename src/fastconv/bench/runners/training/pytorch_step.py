"""PyTorch as a runner of training steps, with Adam fused over each parameter. Started by `apart.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.models.network import NetworkRunner
from fastconv.bench.runners.training import CHECKED_STEPS, RATE, Asked
from fastconv.bench.runners.training.pytorch_networks import NETWORKS
from fastconv.problem.layout import channels_last
from fastconv.typing import Array


class PyTorch(NetworkRunner[Asked]):
    name = "pytorch"

    def load(
        self, file: Asked, arrays: Mapping[str, Array], settings: Settings
    ) -> Callable[[], Sequence[Any]]:
        torch.set_num_threads(settings.threads)
        dtype = getattr(torch, settings.dtype)
        net = NETWORKS[file.network]().to(dtype)
        weights = [array for path, array in arrays.items() if path not in ("x", "y")]
        with torch.no_grad():
            for parameter, array in zip(net.parameters(), weights, strict=True):
                parameter.copy_(torch.from_numpy(array).reshape(parameter.shape))
        form = torch.channels_last if channels_last(file.layout) else torch.contiguous_format
        net = net.to(memory_format=form).train()
        x, y = (
            torch.from_numpy(arrays["x"]).to(dtype).contiguous(memory_format=form),
            torch.from_numpy(arrays["y"]),
        )
        optimizer = torch.optim.Adam(net.parameters(), RATE, fused=True)
        losses: list[float] = []

        def step() -> Sequence[Any]:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            return [np.array(losses[:CHECKED_STEPS])]

        for _ in range(CHECKED_STEPS):
            step()
        return step


RUNNERS = (PyTorch(),)
