"""OpenVINO: an inference request for a model of one node, on its plugin for CPUs.

Called by `peers`. Mode ``"plan"`` alone: weights are part of a model, and prepared when it is compiled.
Computes in float32, where it might take bfloat16, and reads and writes arrays without copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import openvino

from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.peers.onnx_model import model
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array

VERSION: str = openvino.__version__.split("-")[0]  # without the build
_CORE = openvino.Core()


def set_threads(n: int) -> None:
    """Nothing to set for the process: each model has as many threads as `Settings.threads` says."""


class OpenVino:
    name = "openvino"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        content = model(layer, arrays) if settings.mode == "plan" else None
        if content is None:
            return None
        options = {
            "INFERENCE_NUM_THREADS": settings.threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = _CORE.compile_model(_CORE.read_model(content), "CPU", options).create_infer_request()
        run = partial(request.infer, {0: arrays["x"]}, share_inputs=True, share_outputs=True)
        return PreparedLayer(run, _images)


def _images(result: Any) -> tuple[Array, ...]:
    return (np.array(result[0]),)  # a copy: the next call writes to the same memory


RUNNERS = (OpenVino(),)
