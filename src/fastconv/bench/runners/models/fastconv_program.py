"""fastconv as a runner of networks. Started by `apart.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import fastconv
import fastconv.onnx
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.models.network import ModelFile, NetworkRunner
from fastconv.typing import Array

with suppress(ImportError):  # the extension may not have been built
    # The time from the file to the first result begins after the imports; the first call makes this one.
    import fastconv.graph.program.compiled


class Fastconv(NetworkRunner[ModelFile]):
    name = "fastconv"
    peer = False

    def load(
        self, file: ModelFile, arrays: Mapping[str, Array], settings: Settings
    ) -> Callable[[], Sequence[Any]]:
        fastconv.set_num_threads(settings.threads)
        fastconv.set_backend(file.backend)  # type: ignore[arg-type]
        model = fastconv.onnx.load(file.path)

        def run() -> Sequence[Any]:
            result = model(dict(arrays))
            return list(result.values()) if isinstance(result, dict) else [result]

        return run


RUNNERS = (Fastconv(),)
