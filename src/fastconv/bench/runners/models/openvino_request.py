"""OpenVINO as a runner of networks, on its plugin for CPUs, in float32. Started by `apart.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import openvino

from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.models.network import ModelFile, NetworkRunner
from fastconv.typing import Array


class Request(NetworkRunner[ModelFile]):
    name = "openvino"

    def load(
        self, file: ModelFile, arrays: Mapping[str, Array], settings: Settings
    ) -> Callable[[], Sequence[Any]]:
        core = openvino.Core()
        model = core.read_model(file.path)
        model.reshape({name: list(array.shape) for name, array in arrays.items()})
        options = {
            "INFERENCE_NUM_THREADS": settings.threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = core.compile_model(model, "CPU", options).create_infer_request()
        count = len(model.outputs)

        def run() -> Sequence[Any]:
            results = request.infer(dict(arrays), share_inputs=True, share_outputs=True)
            return [np.array(results[place]) for place in range(count)]  # a fair call gives arrays of its own

        return run


RUNNERS = (Request(),)
