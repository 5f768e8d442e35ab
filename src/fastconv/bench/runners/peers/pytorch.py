"""PyTorch: the functions of ``torch.nn.functional`` on contiguous and on channels_last tensors.

Called by `peers`. Modes ``"plan"`` and ``"call"`` are the same: its functions take weights as they are.
The gradients of a convolution come from the operator that its autograd calls, those of poolings from autograd itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from fastconv.bench.layers.layer import Layer, grad_output
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.peers import reading
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array

Tensor = Any  # of torch, whose types are not known where it is not installed
VERSION: str = torch.__version__


def set_threads(n: int) -> None:
    """Of the process; takes effect at once."""
    torch.set_num_threads(n)


class PyTorch:
    peer = True

    def __init__(self, name: str, memory_format: Any) -> None:
        self.name, self.memory_format = name, memory_format

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        if arrays["x"].dtype.name not in ("float32", "float64"):
            return None
        tensors = {name: self._tensor(array) for name, array in arrays.items()}
        if layer.operation in reading.CONVOLUTIONS:
            windows = reading.convolution(layer)
            if windows is None or windows.symmetric is None:
                return None
            make = self._convolution_gradient if settings.mode == "gradient" else _convolution
            return make(windows, windows.symmetric, tensors)
        function = _pooling(layer)
        if function is None:
            return None
        if settings.mode == "gradient":
            return self._pooling_gradient(function, tensors["x"])
        return PreparedLayer(partial(function, tensors["x"]), _images)

    def _tensor(self, array: Array) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.contiguous(memory_format=self.memory_format) if array.ndim == 4 else tensor

    def _grad_output(self, result: Tensor) -> Tensor:
        return self._tensor(grad_output(tuple(result.shape), result.numpy().dtype))

    def _convolution_gradient(
        self, windows: reading.LayerWindows, pads: tuple[int, int], tensors: Mapping[str, Tensor]
    ) -> PreparedLayer:
        result = _convolution(windows, pads, tensors).run()
        run = partial(
            torch.ops.aten.convolution_backward,
            self._grad_output(result), tensors["x"], tensors["weight"], [result.shape[1]], windows.stride, pads,
            windows.dilation, windows.transposed, windows.output_padding, windows.groups, [True, True, True],
        )  # fmt: skip
        return PreparedLayer(run, _images, shape=tuple(result.shape))

    def _pooling_gradient(self, function: Callable[[Tensor], Tensor], x: Tensor) -> PreparedLayer:
        x.requires_grad_(True)
        with torch.enable_grad():
            result = function(x)
        seed = self._grad_output(result.detach())
        run = partial(torch.autograd.grad, result, x, seed, retain_graph=True)
        return PreparedLayer(run, _images, shape=tuple(result.shape))


def _convolution(
    windows: reading.LayerWindows, pads: tuple[int, int], tensors: Mapping[str, Tensor]
) -> PreparedLayer:
    x, weight, bias = tensors["x"], tensors["weight"], tensors.get("bias")
    if windows.transposed:
        options = windows.stride, pads, windows.output_padding, windows.groups, windows.dilation
        return PreparedLayer(partial(F.conv_transpose2d, x, weight, bias, *options), _images)
    plain = windows.stride, pads, windows.dilation, windows.groups
    return PreparedLayer(partial(F.conv2d, x, weight, bias, *plain), _images)


def _pooling(layer: Layer) -> Callable[[Tensor], Tensor] | None:
    options = layer.options
    if layer.operation in reading.GLOBAL and not options:
        if layer.operation == "global_max_pool2d":
            return partial(torch.amax, dim=(2, 3), keepdim=True)
        return partial(F.adaptive_avg_pool2d, output_size=1)
    adaptive: dict[str, Any] = {
        "adaptive_avg_pool2d": F.adaptive_avg_pool2d,
        "adaptive_max_pool2d": F.adaptive_max_pool2d,
    }
    if layer.operation in adaptive and set(options) == {"output_size"}:
        return partial(adaptive[layer.operation], **options)
    more = (
        ("ceil_mode",)
        if layer.operation == "max_pool2d"
        else ("ceil_mode", "count_include_pad", "divisor_override")
    )
    windows = reading.pooling(layer, *more)
    if windows is None or windows.symmetric is None:
        return None
    if any(2 * pad > size for pad, size in zip(windows.symmetric, windows.kernel, strict=True)):
        return None  # refused there
    rest = {name: options[name] for name in more if name in options}
    if layer.operation == "avg_pool2d":
        return partial(
            F.avg_pool2d, kernel_size=windows.kernel, stride=windows.stride, padding=windows.symmetric, **rest
        )
    return partial(
        F.max_pool2d, kernel_size=windows.kernel, stride=windows.stride, padding=windows.symmetric,
        dilation=windows.dilation, **rest,
    )  # fmt: skip


def _images(result: Any) -> tuple[Array, ...]:
    tensors = result if isinstance(result, tuple) else (result,)
    return tuple(np.asarray(tensor) for tensor in tensors)


RUNNERS = (
    PyTorch("pytorch", torch.contiguous_format),
    PyTorch("pytorch channels_last", torch.channels_last),
)
