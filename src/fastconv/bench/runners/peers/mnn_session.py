"""MNN's side of the process that `mnn.py` starts: a session for a model of one node, in float32.

Mode ``"plan"`` alone: weights are part of a model, and prepared when the session is made. Of its Winograd kernels those
with small tiles are taken: the large ones, its default, err by 1e-3 of the result, which no check of float32 lets pass.
Its converter is called as a function: the program `mnnconvert` installs packages without being asked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import _tools  # MNN's, at the top level
import MNN
import numpy as np

from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.peers.onnx_model import model
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array

_WINOGRAD_MEMORY_LEVEL, _SMALL_TILES = 3, 1  # a hint, and its value


class Mnn:
    name = "mnn"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        content = model(layer, arrays) if settings.mode == "plan" else None
        if content is None:
            return None
        interpreter = MNN.Interpreter(_converted(content))
        interpreter.setSessionHint(_WINOGRAD_MEMORY_LEVEL, _SMALL_TILES)
        options = {"backend": "CPU", "numThread": settings.threads, "precision": "high"}
        session = interpreter.createSession(options)
        x, result = interpreter.getSessionInput(session), interpreter.getSessionOutput(session)

        def run() -> None:
            interpreter.runSession(session)

        def images(_: None) -> tuple[Array, ...]:
            """Of another run: each reuses the memory of its input, so that only one on fresh input is right."""
            x.copyFrom(_tensor(arrays["x"]))
            run()
            shape = result.getShape()
            host = _tensor(np.empty(shape, np.float32))
            result.copyToHostTensor(host)
            return (np.array(host.getNumpyData(), np.float32).reshape(shape),)

        return PreparedLayer(run, images)


def _converted(content: bytes) -> str:
    """A file in MNN's own format, for as long as the process lives."""
    source, made = (Path(_FOLDER.name) / name for name in ("layer.onnx", "layer.mnn"))
    source.write_bytes(content)
    named = {"f": "ONNX", "-modelFile": source, "-MNNModel": made, "-bizCode": "fastconv"}
    _tools.mnnconvert(["", *(str(word) for key, value in named.items() for word in (f"-{key}", value))])
    return str(made)


def _tensor(array: Array) -> MNN.Tensor:
    return MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, MNN.Tensor_DimensionType_Caffe)


_FOLDER = tempfile.TemporaryDirectory()
RUNNERS = (Mnn(),)
