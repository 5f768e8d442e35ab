"""The public operations as networks of a layer or two. A row of `_MAKERS` for each that can be tiled."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.arguments import integer, pair
from fastconv.backends import resolve
from fastconv.execution.pooling import sliding_windows
from fastconv.ops.plan_base import Plan
from fastconv.ops.table import OPERATIONS
from fastconv.problem import options as opt
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import batch_shape, channel_axis, channels_last, check_layout, spatial_axes
from fastconv.tiles.axes import Cut, Padded, Pooled, Rule, Same, Scaled, Transposed
from fastconv.tiles.filters import FILTERS, of_filter
from fastconv.tiles.layers import Layer, Network, Run, per_axis, refuse
from fastconv.typing import Array, Layout


class Call:
    """A public function with all of its arguments but the array.

    Attributes
    ----------
    name : str
    given : dict
        The other arguments, defaults filled in.
    shape : tuple of int
        That of the array.
    """

    def __init__(
        self, function: Callable[..., Any], given: dict[str, Any], shape: tuple[int, ...], dtype: Any
    ):
        self.name, self.function = function.__name__, function
        parameters = inspect.signature(function).parameters
        unknown = [key for key in given if key not in parameters]
        if unknown:
            raise TypeError(f"tiles: {self.name} has no argument {unknown[0]!r}")
        missing = [
            key
            for key, value in list(parameters.items())[1:]
            if value.default is value.empty and value.kind is not value.KEYWORD_ONLY and key not in given
        ]
        if missing:
            raise TypeError(f"tiles: {self.name} needs {missing[0]}; give it with functools.partial")
        defaults = {k: v.default for k, v in parameters.items() if v.default is not v.empty}
        self.given = defaults | given
        for name in ("out", "residual"):
            if self.given.pop(name, None) is not None:
                raise refuse(self.name, f"it has {name}=")
        self.shape, self.dtype = shape, dtype
        self.one_dimensional = self.name.endswith("1d")
        layout = check_layout(self.name, self.given.get("layout", "NCHW"))
        self.layout: Layout = layout
        axes: tuple[int, ...] = spatial_axes(layout)
        if self.one_dimensional:
            axes = axes[1:]
        if len(shape) not in (len(axes) + 1, len(axes) + 2):
            raise refuse(
                self.name, f"the source has shape {shape}, but needs {len(axes) + 1} or {len(axes) + 2} axes"
            )
        self.axes = axes
        self.size = tuple(shape[axis] for axis in axes)

    def network(self, rules: tuple[Rule, ...], run: Run, fill: float | None = None) -> Network:
        layer = Layer(self.name, [0], [1], [rules], run, fill)
        return Network(self.name, self.axes, self.size, [layer], 0, 1)

    def calling(self, **changed: Any) -> Callable[[Array], Any]:
        return functools.partial(self.function, **self.given | changed)

    def image(self) -> tuple[int, int, int, int]:
        """The shape as that of a batch of images."""
        shape = self.shape if len(self.shape) == len(self.axes) + 2 else (1, *self.shape)
        if not self.one_dimensional:
            return shape  # type: ignore[return-value]
        channels = shape[channel_axis(self.layout)] if channels_last(self.layout) else shape[1]
        return batch_shape(self.layout, shape[0], channels, (1, self.size[0]))


def of_operation(function: Any, shape: tuple[int, ...], dtype: Any) -> Network:
    """The network of a plan, a public function, or a `functools.partial` of one."""
    if isinstance(function, Plan):
        call = _call_of_plan(function, shape, dtype)
        return _transposed(call) if "output_padding" in call.given else _convolution(call)
    given: dict[str, Any] = {}
    if isinstance(function, functools.partial):
        if function.args:
            raise TypeError("tiles: the partial function needs its arguments by name, all but the array")
        function, given = function.func, dict(function.keywords)
    name = getattr(function, "__name__", repr(function))
    if name in FILTERS and FILTERS[name] is function:
        return of_filter(FILTERS[name], given, shape)
    if name not in OPERATIONS or OPERATIONS[name].function is not function:
        raise TypeError(f"tiles: {function!r} is no operation or filter of fastconv, no plan, and no network")
    if name not in _MAKERS:
        raise refuse(name, _WHY.get(name, "an output may depend on any pixel"))
    return _MAKERS[name](Call(function, given, shape, dtype))


def _call_of_plan(plan: Plan, shape: tuple[int, ...], dtype: Any) -> Call:
    state = plan.__getstate__()["arguments"]
    given = {key: value for key, value in state.items() if key not in ("input_shape", "tune")}
    return Call(OPERATIONS[plan._options.op.removeprefix("plan_")].function, given, shape, dtype)


def _options(call: Call) -> ConvOptions:
    given = call.given
    padding = given["padding"]
    keys = {
        key: given[key]
        for key in ("padding_mode", "padding_value", "activation", "precision", "algorithm")
        if key in given
    }
    depthwise = call.name in ("depthwise_conv2d", "separable_conv2d")
    extra = given.get("output_padding")
    stride, dilation = given["stride"], given["dilation"]
    if call.one_dimensional:
        sides = opt.padding_1d(call.name, padding)
        padding = sides if isinstance(sides, str) else ((0, 0), sides[2:])
        stride, dilation = (1, _one(stride)), (1, _one(dilation))
        extra = None if extra is None else (0, _one(extra))
    return ConvOptions.read(
        call.name, stride, padding, dilation, None if depthwise else given["groups"],
        layout=call.layout, output_padding=extra, depthwise=depthwise, **keys,
    )  # fmt: skip


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) else value


def _weight(call: Call) -> Array:
    weight = np.asarray(call.given["depthwise_weight" if call.name == "separable_conv2d" else "weight"])
    if call.one_dimensional and weight.ndim == 3:
        return weight[None] if channels_last(call.layout) else weight[:, :, None]
    return weight


def _float(dtype: Any) -> np.dtype[Any]:
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def _convolution(call: Call) -> Network:
    """Padding is put around the block, so that one plan, without padding, serves every tile."""
    options, weight = _options(call), _weight(call)
    problem = options.problem(call.image(), weight.shape, _float(call.dtype), "fast")
    mode = options.padding_mode
    rows = zip(problem.size, problem.out_size, problem.kernel, problem.dilation, problem.stride, strict=True)
    rules = [
        Padded(n, m, d * (k - 1) + 1, s, problem.padding[2 * axis], mode)
        for axis, (n, m, k, d, s) in enumerate(rows)
    ]
    changed: dict[str, Any] = {"padding": 0}
    if mode != "zeros":
        changed |= {"padding_mode": "zeros", "padding_value": 0.0}
    run = _planned(call, changed) or call.calling(**changed)
    # A block that has room for the padding value may be wider than the image.
    dtype = float_result(np.dtype(call.dtype), weight.dtype)
    network = call.network(
        tuple(rules[-len(call.axes) :]),
        lambda blocks, cuts: run(blocks[0]).astype(dtype, copy=False),
        options.padding_value,
    )
    if call.name == "separable_conv2d":  # what is between its two convolutions
        network.layers[0].inner = problem.filters * weight.itemsize
    return network


def _planned(call: Call, changed: dict[str, Any]) -> Callable[[Array], Any] | None:
    plan = OPERATIONS[call.name].plan
    if plan is None:
        return None
    given = {key: value for key, value in (call.given | changed).items() if key not in ("out", "residual")}
    made = plan(**given)
    return lambda block: made(block)


def _transposed(call: Call) -> Network:
    options, weight = _options(call), _weight(call)
    problem = options.problem(call.image(), weight.shape, _float(call.dtype), "fast")
    rows = zip(problem.out_size, problem.size, problem.kernel, problem.dilation, problem.stride, strict=True)
    rules = [
        Transposed(n, m, d * (k - 1) + 1, s, problem.padding[2 * axis])
        for axis, (n, m, k, d, s) in enumerate(rows)
    ]
    chosen, made = call.given.get("algorithm"), dict[tuple[int, ...], Callable[[Array], Any]]()
    if chosen == "direct" and any(rule.hides_an_input for rule in rules):
        # Tiles have no padding; with so much of it, fewer kernels do the whole image.
        chosen = resolve(call.name, call.given.get("backend")).algorithm(problem)

    def run(blocks: list[Array], cuts: list[tuple[Cut, ...]]) -> Any:
        extra = tuple(cut.extra for cut in cuts[0])
        function = made.get(extra)
        if function is None:
            changed: dict[str, Any] = {"padding": 0, "output_padding": extra[0] if len(extra) == 1 else extra}
            changed["algorithm"] = chosen
            function = made.setdefault(extra, _planned(call, changed) or call.calling(**changed))
        return function(blocks[0])

    return call.network(tuple(rules[-len(call.axes) :]), run)


def _pool(call: Call) -> Network:
    given = call.given
    if given.get("return_indices"):
        raise refuse(call.name, "return_indices counts pixels of the whole image")
    windows = sliding_windows(
        call.name, (call.size[0], call.size[1]), given["kernel_size"], given["stride"], given["padding"],
        given.get("dilation", 1), given["ceil_mode"],
    )  # fmt: skip
    rules = tuple(
        Pooled(w.size, w.count, w.extent, w.stride, -w.first, w.counted[1] - w.size) for w in windows
    )
    run = call.function
    return call.network(rules, lambda blocks, cuts: run(blocks[0], **given | {"padding": per_axis(cuts[0])}))


def _pointwise(call: Call) -> Network:
    given = call.given
    if call.name == "batch_norm" and given["training"]:
        raise refuse(call.name, "training=True takes the mean of all pixels")
    if call.name.endswith("softmax"):
        dim = integer(call.name, "dim", given["dim"], -len(call.shape), len(call.shape) - 1)
        if dim % len(call.shape) - len(call.shape) in call.axes:
            raise refuse(call.name, f"dim={dim} sums over a spatial axis")
    run = call.calling()
    return call.network(tuple(map(Same, call.size)), lambda blocks, cuts: run(blocks[0]))


def _pad(call: Call) -> Network:
    mode = call.given["mode"]
    top, bottom, left, right = opt.padding_in_numbers(call.name, call.given["padding"])
    counts = [n + a + b for n, (a, b) in zip(call.size, ((top, bottom), (left, right)), strict=True)]
    run = call.calling(padding=0)
    rules = tuple(Padded(n, m, 1, 1, a, mode) for n, m, a in zip(call.size, counts, (top, left), strict=True))
    fill = float(call.given["value"])
    if compute_dtype(call.dtype) != call.dtype:
        with np.errstate(over="ignore"):  # one that is too large is refused by the operation
            fill = float(np.array(fill).astype(call.dtype))  # as half precision holds it
    return call.network(rules, lambda blocks, cuts: run(blocks[0]), fill)


def _resize(call: Call) -> Network:
    given = call.given
    if given["align_corners"] or given["coordinates"] == "align_corners":
        raise refuse(call.name, "align_corners lets every output depend on the size of the image")
    size, factor = given["size"], given["scale_factor"]
    if (size is None) == (factor is None):
        raise ValueError("resize2d: needs either size or scale_factor")
    if size is not None:
        out = pair(call.name, "size", size, 1)
    else:
        factors = factor if isinstance(factor, (tuple, list)) else (factor, factor)
        out = int(call.size[0] * factors[0]), int(call.size[1] * factors[1])
        if any(n * f != m for n, f, m in zip(call.size, factors, out, strict=True)):
            raise refuse(call.name, f"scale_factor {factor} of an image of {call.size} gives no whole number")
    reach = {"nearest": 1, "linear": 1, "cubic": 2}.get(given["mode"], 2)
    rules = tuple(scaled(call.name, n, m, reach) for n, m in zip(call.size, out, strict=True))

    def run(blocks: list[Array], cuts: list[tuple[Cut, ...]]) -> Any:
        local = tuple(
            (cut.stop - cut.start) // rule.inputs * rule.outputs
            for cut, rule in zip(cuts[0], rules, strict=True)
        )
        return call.function(blocks[0], **given | {"size": local, "scale_factor": None})

    return call.network(rules, run)


def scaled(name: str, size: int, count: int, reach: int) -> Scaled:
    """A resized axis."""
    if count % size and size % count:
        raise refuse(name, f"{size} pixels become {count}, and neither number divides the other")
    return Scaled(size, max(size // count, 1), max(count // size, 1), reach if size != count else 0)


def _shuffle(call: Call) -> Network:
    up = call.name == "pixel_shuffle"
    factor = integer(call.name, "factor", call.given["upscale_factor" if up else "downscale_factor"], 1)
    for n in call.size:
        if not up and n % factor:
            raise ValueError(f"{call.name}: downscale_factor is {factor}, but needs to divide {call.size}")
    run = call.calling()
    rules = tuple(Scaled(n, 1, factor) if up else Scaled(n, factor, 1) for n in call.size)
    return call.network(rules, lambda blocks, cuts: run(blocks[0]))


_MAKERS: dict[str, Callable[[Call], Network]] = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "separable_conv2d", "conv1d"), _convolution),
    **dict.fromkeys(("conv_transpose2d", "conv_transpose1d"), _transposed),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "lp_pool2d"), _pool),
    **dict.fromkeys(
        ("batch_norm", "local_response_norm", "channel_shuffle", "softmax", "log_softmax"), _pointwise
    ),
    "pad2d": _pad,
    "resize2d": _resize,
    "pixel_shuffle": _shuffle,
    "pixel_unshuffle": _shuffle,
}
TILED = tuple(_MAKERS)
_WHY = {
    **dict.fromkeys(("global_avg_pool2d", "global_max_pool2d"), "its output depends on every pixel"),
    **dict.fromkeys(("group_norm", "instance_norm"), "its mean and variance are those of the whole image"),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), "its windows depend on the size of the image"),
    "deform_conv2d": "its offsets may point to any pixel",
    "unfold": "its output has no spatial axes",
    "fold": "its input has no spatial axes",
    "max_unpool2d": "its indices count pixels of the whole image",
    "fractional_max_pool2d": "its windows are random, and depend on the size of the image",
    "stochastic_pool2d": "its samples are drawn for the whole image",
}  # fmt: skip
