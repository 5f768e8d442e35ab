"""ncnn: a network of one layer, in float32 and with its Winograd kernels.

Called by `peers`. Mode ``"plan"`` alone: weights are part of a network, and prepared when it is loaded. A network takes
one image, so that a call on a batch runs it once for each.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import ncnn
import numpy as np

from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.peers import reading
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array

VERSION: str = ncnn.__version__
_MAGIC = "7767517"  # of its text files
_PLAIN = struct.pack("<I", 0)  # float32 weights follow
_NARROW = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage")


def set_threads(n: int) -> None:
    """Nothing to set for the process: each network has as many threads as `Settings.threads` says."""


class Ncnn:
    name = "ncnn"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        if settings.mode != "plan" or arrays["x"].dtype != np.float32:
            return None
        found = _layer(layer, arrays)
        if found is None:
            return None
        kind, parameters, content = found
        written = " ".join(f"{key}={value}" for key, value in parameters.items())
        net = ncnn.Net()
        net.opt.num_threads = settings.threads
        for name in _NARROW:
            setattr(net.opt, f"use_{name}", False)
        net.load_param_mem(f"{_MAGIC}\n2 2\nInput x 0 1 x\n{kind} layer 1 1 x y {written}\n")
        net.load_model_mem(content)
        images = [ncnn.Mat(image).clone() for image in arrays["x"]]
        kept = net, content  # it reads the weights where they are

        def run() -> list[Any]:
            return [_extract(kept[0], image) for image in images]

        return PreparedLayer(run, _stacked if layer.operation not in reading.GLOBAL else _pixels)


def _extract(net: Any, image: Any) -> Any:
    extractor = net.create_extractor()
    extractor.input("x", image)
    status, result = extractor.extract("y")
    if status:
        raise RuntimeError(f"ncnn: extract returned {status}")
    return result


def _layer(layer: Layer, arrays: Mapping[str, Array]) -> tuple[str, dict[int, int], bytes] | None:
    """The type, the parameters by their numbers, and the weights."""
    if layer.operation in reading.GLOBAL:
        return None if layer.options else ("Pooling", {0: int("avg" in layer.operation), 4: 1}, b"")
    if layer.operation in reading.POOLINGS:
        return _pooling(layer)
    windows = reading.convolution(layer)
    if windows is None:
        return None
    weight, bias = arrays["weight"], arrays.get("bias")
    (top, bottom), (left, right) = windows.pads
    filters = weight.shape[1] * windows.groups if windows.transposed else weight.shape[0]
    parameters = {
        0: filters, 1: windows.kernel[1], 11: windows.kernel[0], 2: windows.dilation[1], 12: windows.dilation[0],
        3: windows.stride[1], 13: windows.stride[0], 4: left, 15: right, 14: top, 16: bottom,
        5: int(bias is not None), 6: weight.size,
    }  # fmt: skip
    if windows.transposed:
        parameters |= {18: windows.output_padding[1], 19: windows.output_padding[0]}
        parts = weight.reshape(windows.groups, -1, *weight.shape[1:])
        weight = np.ascontiguousarray(parts.swapaxes(1, 2))
    kind = "Deconvolution" if windows.transposed else "Convolution"
    if windows.groups > 1:
        kind, parameters[7] = f"{kind}DepthWise", windows.groups
    return kind, parameters, _PLAIN + weight.tobytes() + (b"" if bias is None else bias.tobytes())


def _pooling(layer: Layer) -> tuple[str, dict[int, int], bytes] | None:
    windows = reading.pooling(layer)
    if windows is None or windows.dilation != (1, 1):
        return None
    (top, bottom), (left, right) = windows.pads
    parameters = {
        0: int(layer.operation == "avg_pool2d"), 1: windows.kernel[1], 11: windows.kernel[0], 2: windows.stride[1],
        12: windows.stride[0], 3: left, 14: right, 13: top, 15: bottom, 5: 1, 6: 1,
    }  # fmt: skip
    return "Pooling", parameters, b""


def _stacked(results: list[Any]) -> tuple[Array, ...]:
    return (np.stack([np.array(result) for result in results]),)


def _pixels(results: list[Any]) -> tuple[Array, ...]:
    (images,) = _stacked(results)
    return (images[:, :, None, None],)


RUNNERS = (Ncnn(),)
