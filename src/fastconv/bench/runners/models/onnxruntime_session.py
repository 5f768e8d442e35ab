"""ONNX Runtime as a runner of networks, on its provider for CPUs. Started by `apart.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import onnxruntime

from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.models.network import ModelFile, NetworkRunner
from fastconv.bench.runners.peers.onnxruntime import ERRORS_ONLY
from fastconv.typing import Array


class Session(NetworkRunner[ModelFile]):
    name = "onnxruntime"

    def load(
        self, file: ModelFile, arrays: Mapping[str, Array], settings: Settings
    ) -> Callable[[], Sequence[Any]]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.log_severity_level = ERRORS_ONLY
        session = onnxruntime.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])
        return partial(session.run, None, dict(arrays))


RUNNERS = (Session(),)
