"""Layers that pool, pad and resample images."""

from __future__ import annotations

from typing import Any

from fastconv.arguments import integer, pair
from fastconv.nn.module import Module
from fastconv.nn.operation import Operation
from fastconv.nn.operations import images, pool
from fastconv.nn.scope import SCOPE
from fastconv.problem.options import padding as read_padding
from fastconv.problem.options import padding_in_numbers
from fastconv.typing import OutputSizeLike, PaddingLike, PaddingMode, PairLike


class _Pooling(Module):
    """One with windows; `operation` gets the attributes that are listed."""

    operation: Operation
    given: tuple[str, ...] = ("kernel_size", "stride", "padding")
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: Any

    def _windows(self, kernel_size: PairLike, stride: PairLike | None, padding: PaddingLike = 0) -> None:
        name = type(self).__name__
        self.kernel_size = pair(name, "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair(name, "stride", stride, 1)
        read_padding(name, padding)
        self.padding = padding

    def forward(self, x: Any) -> Any:
        self.channels(x)
        options = {name: getattr(self, name) for name in self.given}
        return self.operation(x, layout=SCOPE.layout, **options)


class MaxPool2D(_Pooling):
    """The maximum of each window: `fastconv.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, ceil_mode
        As of `fastconv.max_pool2d`; the stride is by default the kernel's size.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.MaxPool2D(2)(np.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    shown = ("kernel_size", "stride", "padding")
    operation = pool.MAX_POOL2D
    given = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: PairLike,
        stride: PairLike | None = None,
        padding: PaddingLike = 0,
        dilation: PairLike = 1,
        ceil_mode: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._windows(kernel_size, stride, padding)
        self.dilation, self.ceil_mode = pair("MaxPool2D", "dilation", dilation, 1), bool(ceil_mode)


class AvgPool2D(_Pooling):
    """The mean of each window: `fastconv.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As of `fastconv.avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.AvgPool2D(2)(np.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    shown = ("kernel_size", "stride", "padding")
    operation = pool.AVG_POOL2D
    given = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")

    def __init__(
        self,
        kernel_size: PairLike,
        stride: PairLike | None = None,
        padding: PaddingLike = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._windows(kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)
        self.divisor_override = divisor_override


class LpPool2D(_Pooling):
    """The norm of each window: `fastconv.lp_pool2d`.

    Parameters
    ----------
    norm_type, kernel_size, stride, ceil_mode
        As of `fastconv.lp_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.LpPool2D(2, 2)(np.ones((1, 1, 2, 2)))[0, 0, 0, 0]
    np.float32(2.0)
    """

    shown = ("norm_type", "kernel_size", "stride")
    operation = pool.LP_POOL2D
    given = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(
        self,
        norm_type: float,
        kernel_size: PairLike,
        stride: PairLike | None = None,
        ceil_mode: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._windows(kernel_size, stride)
        self.norm_type, self.ceil_mode = float(norm_type), bool(ceil_mode)


class StochasticPool2D(_Pooling):
    """A pixel of each window, in training picked at random: `fastconv.stochastic_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding
        As of `fastconv.stochastic_pool2d`; its input may not be negative.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.StochasticPool2D(2)(np.ones((1, 1, 4, 4))).shape
    (1, 1, 2, 2)
    """

    shown = ("kernel_size", "stride", "padding")
    operation = pool.STOCHASTIC_POOL2D

    def __init__(
        self, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0, **options: Any
    ) -> None:
        super().__init__(**options)
        self._windows(kernel_size, stride, padding)

    def forward(self, x: Any) -> Any:
        self.channels(x)
        options = {name: getattr(self, name) for name in self.given}
        more: dict[str, Any] = {"training": SCOPE.training, "layout": SCOPE.layout}
        if SCOPE.training:
            more["rng"] = SCOPE.generator()
        return self.operation(x, **options, **more)


class FractionalMaxPool2D(Module):
    """Maxima of windows that lie at random: `fastconv.fractional_max_pool2d`, also in inference.

    Parameters
    ----------
    kernel_size, output_size, output_ratio
        As of `fastconv.fractional_max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.FractionalMaxPool2D(2, output_ratio=0.7)(np.ones((1, 1, 10, 10))).shape
    (1, 1, 7, 7)
    """

    shown = ("kernel_size", "output_size", "output_ratio")

    def __init__(
        self,
        kernel_size: PairLike,
        output_size: PairLike | None = None,
        output_ratio: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.kernel_size = pair("FractionalMaxPool2D", "kernel_size", kernel_size, 1)
        self.output_size, self.output_ratio = output_size, output_ratio

    def forward(self, x: Any) -> Any:
        self.channels(x)
        return pool.FRACTIONAL_MAX_POOL2D(
            x,
            kernel_size=self.kernel_size,
            output_size=self.output_size,
            output_ratio=self.output_ratio,
            rng=SCOPE.generator(),
            layout=SCOPE.layout,
        )


class AdaptiveAvgPool2D(Module):
    """Means of as many windows as there are to be outputs: `fastconv.adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int or pair of (int or None)

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.AdaptiveAvgPool2D((2, 3))(np.ones((1, 1, 10, 10))).shape
    (1, 1, 2, 3)
    """

    shown = ("output_size",)
    operation: Operation = pool.ADAPTIVE_AVG_POOL2D

    def __init__(self, output_size: OutputSizeLike, **options: Any) -> None:
        super().__init__(**options)
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        self.channels(x)
        return self.operation(x, output_size=self.output_size, layout=SCOPE.layout)


class AdaptiveMaxPool2D(AdaptiveAvgPool2D):
    """Maxima of as many windows as there are to be outputs: `fastconv.adaptive_max_pool2d`.

    Parameters
    ----------
    output_size : int or pair of (int or None)

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.AdaptiveMaxPool2D(1)(np.ones((1, 1, 10, 10))).shape
    (1, 1, 1, 1)
    """

    operation = pool.ADAPTIVE_MAX_POOL2D


class GlobalAvgPool2D(Module):
    """The mean of each channel: `fastconv.global_avg_pool2d`.

    Parameters
    ----------
    keepdims : bool
        Whether the result is an image of one pixel, or a row of numbers (as in Keras).

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.GlobalAvgPool2D(keepdims=False)(np.ones((1, 3, 8, 8))).shape
    (1, 3)
    """

    shown = ("keepdims",)
    operation: Operation = pool.GLOBAL_AVG_POOL2D

    def __init__(self, *, keepdims: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.keepdims = bool(keepdims)

    def forward(self, x: Any) -> Any:
        self.channels(x)
        return self.operation(x, keepdims=self.keepdims, layout=SCOPE.layout)


class GlobalMaxPool2D(GlobalAvgPool2D):
    """The maximum of each channel: `fastconv.global_max_pool2d`.

    Parameters
    ----------
    keepdims : bool
        Whether the result is an image of one pixel, or a row of numbers.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.GlobalMaxPool2D()(np.ones((1, 3, 8, 8))).shape
    (1, 3, 1, 1)
    """

    operation = pool.GLOBAL_MAX_POOL2D


class MaxUnpool2D(Module):
    """Puts pixels back to where they were the maxima: `fastconv.max_unpool2d`. Called with values and indices.

    Parameters
    ----------
    kernel_size, stride, padding
        Those of the pooling.

    Examples
    --------
    >>> import numpy as np, fastconv, fastconv.nn as nn
    >>> values, indices = fastconv.max_pool2d(np.eye(4)[None, None], 2, return_indices=True)
    >>> nn.MaxUnpool2D(2)(values, indices).shape
    (1, 1, 4, 4)
    """

    shown = ("kernel_size", "stride", "padding")

    def __init__(
        self, kernel_size: PairLike, stride: PairLike | None = None, padding: PairLike = 0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.kernel_size = pair("MaxUnpool2D", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("MaxUnpool2D", "stride", stride, 1)
        self.padding = padding

    def forward(self, x: Any, indices: Any) -> Any:
        return images.MAX_UNPOOL2D(
            x,
            indices.astype("int64"),
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            layout=SCOPE.layout,
        )


class Pad2D(Module):
    """Pixels around an image: `fastconv.pad2d`.

    Parameters
    ----------
    padding, mode, value
        As of `fastconv.pad2d`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Pad2D(((1, 0), (2, 0)), "reflect")(np.ones((1, 1, 4, 4))).shape
    (1, 1, 5, 6)
    """

    shown = ("padding", "mode")

    def __init__(
        self, padding: PaddingLike, mode: PaddingMode = "zeros", value: float = 0.0, **options: Any
    ) -> None:
        super().__init__(**options)
        padding_in_numbers("Pad2D", padding)
        self.padding, self.mode, self.value = padding, mode, float(value)

    def forward(self, x: Any) -> Any:
        self.channels(x)
        return images.PAD2D(x, padding=self.padding, mode=self.mode, value=self.value, layout=SCOPE.layout)


class Upsample2D(Module):
    """A larger image: `fastconv.resize2d`.

    Parameters
    ----------
    scale_factor : float or pair of float
        (Keras: `size`.)
    mode : {"nearest", "linear", "cubic"}
    align_corners : bool

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Upsample2D(2)(np.ones((1, 1, 4, 4))).shape
    (1, 1, 8, 8)
    """

    shown = ("scale_factor", "mode")

    def __init__(
        self, scale_factor: Any = 2, mode: str = "nearest", align_corners: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.scale_factor, self.mode, self.align_corners = scale_factor, mode, bool(align_corners)

    def forward(self, x: Any) -> Any:
        self.channels(x)
        return images.RESIZE2D(
            x,
            scale_factor=self.scale_factor,
            mode=self.mode,
            align_corners=self.align_corners,
            layout=SCOPE.layout,
        )


class PixelShuffle(Module):
    """Channels become pixels: `fastconv.pixel_shuffle`.

    Parameters
    ----------
    upscale_factor : int

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.PixelShuffle(2)(np.ones((1, 8, 4, 4))).shape
    (1, 2, 8, 8)
    """

    shown = ("upscale_factor",)

    def __init__(self, upscale_factor: int, **options: Any) -> None:
        super().__init__(**options)
        self.upscale_factor = integer("PixelShuffle", "upscale_factor", upscale_factor, 1)

    def forward(self, x: Any) -> Any:
        self.channels(x)
        return images.PIXEL_SHUFFLE(x, factor=self.upscale_factor, layout=SCOPE.layout)


class PixelUnshuffle(Module):
    """Pixels become channels: `fastconv.pixel_unshuffle`.

    Parameters
    ----------
    downscale_factor : int

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.PixelUnshuffle(2)(np.ones((1, 2, 8, 8))).shape
    (1, 8, 4, 4)
    """

    shown = ("downscale_factor",)

    def __init__(self, downscale_factor: int, **options: Any) -> None:
        super().__init__(**options)
        self.downscale_factor = integer("PixelUnshuffle", "downscale_factor", downscale_factor, 1)

    def forward(self, x: Any) -> Any:
        self.channels(x)
        return images.PIXEL_UNSHUFFLE(x, factor=self.downscale_factor, layout=SCOPE.layout)
