"""ONNX Runtime: a session for a model of one node, on its provider for CPUs.

Called by `peers`. Mode ``"plan"`` alone: weights are part of a model, and prepared when it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import onnxruntime

from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.peers.onnx_model import model
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array

ERRORS_ONLY = 3
VERSION: str = onnxruntime.__version__


def set_threads(n: int) -> None:
    """Nothing to set for the process: each session has as many threads as `Settings.threads` says."""


class OnnxRuntime:
    name = "onnxruntime"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        content = model(layer, arrays) if settings.mode == "plan" else None
        if content is None:
            return None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.log_severity_level = ERRORS_ONLY
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return PreparedLayer(partial(session.run, None, {"x": arrays["x"]}), _images)


def _images(result: Any) -> tuple[Array, ...]:
    return (result[0],)


RUNNERS = (OnnxRuntime(),)
