"""Networks of ONNX's operators as layers. What is not listed here, or sees all of the image, is refused by its node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from fastconv.backends import use_backend
from fastconv.graph.graph import Graph, Node, Size, Value
from fastconv.graph.operations import TABLE
from fastconv.graph.operations.conv import activation_of, as_before, as_image, constants, row
from fastconv.graph.operations.conv_transpose import transposed_padding
from fastconv.graph.operations.fused import after_activation
from fastconv.graph.operations.windows import Windows
from fastconv.graph.passes import optimise
from fastconv.graph.passes.copies import copied
from fastconv.ops.plan import plan_conv2d, plan_conv_transpose2d
from fastconv.tiles.axes import Cut, Padded, Pooled, Rule, Same, Transposed
from fastconv.tiles.layers import Layer, Network, Run, refuse
from fastconv.tiles.operations import scaled
from fastconv.typing import Array, BackendName, PaddingMode

# Every output is made of the inputs at its place: of the same channel, or of several, along an axis.
_ELEMENTWISE = frozenset((
    "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Sigmoid", "HardSigmoid",
    "HardSwish", "Softplus", "Softsign", "Gelu", "com.microsoft.Gelu", "Mish", "Swish",
    "com.microsoft.QuickGelu", "Shrink", "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean",
    "Clip", "Neg", "Abs", "Sign", "Reciprocal", "Sqrt", "Exp", "Log", "Erf", "Ceil", "Floor", "Round", "Sin",
    "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf", "Where", "Identity",
    "Dropout", "Cast", "BatchNormalization", "LRN", "fastconv.ChannelShuffle",
))  # fmt: skip
_ALONG = frozenset((
    "Concat", "Split", "Softmax", "LogSoftmax", "Hardmax", "ArgMax", "ArgMin", "LpNormalization",
))  # fmt: skip
_SCALES = frozenset(("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric"))
_MODES: dict[str, PaddingMode] = {
    "constant": "zeros",
    "reflect": "reflect",
    "edge": "replicate",
    "wrap": "circular",
}
_WHOLE = "its output depends on every pixel"


class Builder:
    """Reads a graph whose shapes are known, node by node."""

    def __init__(self, graph: Graph, algorithm: str | None) -> None:
        self.algorithm = algorithm
        self.rank = len(graph.inputs[0].shape or ()) - 2
        self.numbers: dict[int, int] = {}
        for value in graph.inputs:
            self.number(value)
        for node in graph.nodes:
            for output in node.outputs:
                if output is not None:
                    self.number(output)

    def number(self, value: Value) -> int:
        return self.numbers.setdefault(id(value), len(self.numbers))

    def layer(
        self,
        node: Node,
        values: Sequence[Value],
        rules: list[tuple[Rule, ...]],
        run: Run,
        fill: float | None = None,
    ) -> Layer:
        outputs = [self.number(value) for value in node.outputs if value is not None]
        return Layer(str(node), [self.number(value) for value in values], outputs, rules, run, fill)

    def read(self, node: Node) -> Layer:
        name = node.operation
        if name in _WHY:
            raise refuse(str(node), _WHY[name])
        pointwise = name in _ELEMENTWISE or name in _ALONG or name.startswith("Reduce")
        if name not in _MAKERS and not pointwise:
            raise refuse(str(node), "what an output is made of is not known")
        for value in (*node.inputs, *node.outputs):
            if value is not None and not value.is_constant and len(spatial(node, value)) != self.rank:
                raise refuse(
                    str(node), f"{value.name!r} of shape {value.shape} is no image of the source's axes"
                )
        return _MAKERS.get(name, _pointwise)(self, node)


def spatial(node: Node | str, value: Value) -> tuple[int, ...]:
    """Height and width of a value; of a signal, its length."""
    shape = value.shape
    if shape is None or not all(isinstance(size, int) for size in shape[2:]):
        raise refuse(str(node), f"the source's shape does not tell that of {value.name!r}")
    return shape[2:]  # type: ignore[return-value]


def of_graph(
    graph: Graph, shape: tuple[int, ...], backend: BackendName | None, algorithm: str | None
) -> Network:
    """The network of a graph with one input, of this shape, and one output."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise refuse("the network", f"it has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs")
    if len(shape) not in (3, 4):
        raise refuse(
            "the network", f"the source has shape {shape}, but needs to be (N, C, H, W) or (N, C, L)"
        )
    opened = copied(graph)
    source = opened.inputs[0]
    channels = None if source.shape is None or len(source.shape) != len(shape) else source.shape[1]
    if isinstance(channels, int) and channels != shape[1]:
        raise ValueError(f"tiles: the source has {shape[1]} channels, but the network needs {channels}")
    open_sizes: tuple[Size, ...] = (None,) * (len(shape) - 2)  # a fully convolutional network takes any
    source.shape = None, channels, *open_sizes
    try:
        whole = optimise(opened, input_shapes={source.name: (1, *shape[1:])}, stop_after="epilogues")[0]
    except ValueError as error:
        raise refuse("the network", str(error)) from error
    builder = Builder(whole, algorithm)
    with use_backend(backend) if backend else nullcontext():
        layers = [builder.read(node) for node in whole.nodes]
    first, last = whole.inputs[0], whole.outputs[0]
    if id(last) not in builder.numbers:
        raise refuse("the network", "its output is a constant")
    axes = tuple(range(2 - len(shape), 0))
    source_number, result = builder.number(first), builder.number(last)
    return Network(
        graph.name or "the network",
        axes,
        tuple(shape[2:]),
        layers,
        source_number,
        result,
        backend,
        first.dtype,
    )


def _pointwise(builder: Builder, node: Node) -> Layer:
    """Of the inputs at its own place; constants that have one number for each pixel are cut as well."""
    given = [value for value in node.inputs if value is not None and not value.is_constant]
    size = spatial(node, next(value for value in node.outputs if value is not None))
    rank = len(spatial(node, given[0])) if given else 0
    if node.operation in _ALONG:
        _check_axis(node, [node.attributes.get("axis", _AXES.get(node.operation, -1))])
    if node.operation.startswith("Reduce"):
        size = spatial(node, given[0])
        axes = node.inputs[1].constant if len(node.inputs) > 1 and node.inputs[1] is not None else None
        if axes is None or not axes.size:
            raise refuse(str(node), _WHOLE)
        if not node.attributes.get("keepdims", 1):
            raise refuse(str(node), "it drops an axis")
        _check_axis(node, axes.tolist())
    if node.operation in ("ArgMax", "ArgMin") and not node.attributes.get("keepdims", 1):
        raise refuse(str(node), "it drops an axis")
    if node.operation == "BatchNormalization" and node.attributes.get("training_mode"):
        raise refuse(str(node), "in training it takes the mean of all pixels")
    for value in given:
        if spatial(node, value) != size:
            raise refuse(
                str(node), f"{value.name!r} is {spatial(node, value)} pixels, where its output is {size}"
            )
    rules: tuple[Rule, ...] = tuple(map(Same, size))
    function, attributes = TABLE[node.operation].run, dict(node.attributes)
    if TABLE[node.operation].counts_outputs:
        attributes["outputs"] = len(node.outputs)
    held = [None if value is None else value.constant for value in node.inputs]

    def run(blocks: list[Array], cuts: list[tuple[Cut, ...]]) -> Any:
        left = iter(blocks)
        inputs = [
            None
            if value is None
            else next(left)
            if constant is None
            else _constant(constant, size, cuts[0], rank)
            for value, constant in zip(node.inputs, held, strict=True)
        ]
        return function(*inputs, **attributes)

    return builder.layer(node, given, [rules] * len(given), run)


def _constant(constant: Array, size: tuple[int, ...], cuts: Sequence[Cut], rank: int) -> Array:
    """A constant as a block sees it: one that has the image's pixels is cut."""
    if constant.ndim < rank:
        return constant
    index: list[Any] = [slice(None)] * constant.ndim
    for axis, (pixels, cut) in enumerate(zip(size, cuts, strict=True)):
        if constant.shape[axis - rank] == pixels > 1:
            index[axis - rank] = slice(cut.start, cut.stop)
    part: Array = constant[tuple(index)]
    return part


# The axis of those that do not say it, where that is not the last.
_AXES = {"ArgMax": 0, "ArgMin": 0, "Split": 0}


def _check_axis(node: Node, axes: Sequence[int]) -> None:
    x = next(value for value in node.inputs if value is not None and not value.is_constant)
    assert x.shape is not None
    rank = len(x.shape)
    for axis in axes:
        if axis % rank > 1 or node.attributes.get("flat"):
            raise refuse(str(node), f"it goes along axis {axis}, which is spatial")
        if axis % rank == 0:
            raise refuse(str(node), "it goes along the batch")


def _weights(node: Node) -> tuple[Any, Any]:
    known = constants(node.inputs)
    if known is None:
        raise refuse(str(node), "its weights are not constants of an image's or a signal's convolution")
    return known


def _convolution(builder: Builder, node: Node) -> Layer:
    """As `operations.py` has it: the block is padded, the plan is not."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    assert out is not None
    weight, bias = _weights(node)
    size, windows = spatial(node, x), Windows.of(weight.shape[2:], node.attributes)
    padding = windows.padding(size)
    axes = zip(size, windows.counts(size), windows.extents, windows.strides, padding, strict=True)
    rules: list[tuple[Rule, ...]] = [tuple(Padded(n, m, e, s, p[0]) for n, m, e, s, p in axes)]
    residual = node.inputs[3] if len(node.inputs) > 3 else None
    values = [x]
    if residual is not None and not residual.is_constant:
        values.append(residual)
        rules.append(tuple(map(Same, spatial(node, residual))))
    elif residual is not None:
        raise refuse(str(node), "it adds a constant of the image's size")
    wide, group = row(windows), node.attributes.get("group", 1)
    image, function = as_image(weight), activation_of(node.attributes)

    options: Any = wide.strides, 0, wide.dilations, group
    planned = plan_conv2d(image, bias, *options, activation=function, algorithm=builder.algorithm)

    def run(blocks: list[Array], cuts: list[tuple[Cut, ...]]) -> Any:
        added = as_image(blocks[1]) if len(blocks) > 1 else None
        y = as_before(planned(as_image(blocks[0]), residual=added), blocks[0].ndim)
        return after_activation(y, node.attributes)

    return builder.layer(node, values, rules, run, 0.0)


def _transposed(builder: Builder, node: Node) -> Layer:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    assert out is not None
    weight, bias = _weights(node)
    size, windows = spatial(node, x), Windows.of(weight.shape[2:], node.attributes)
    padding, more, beyond = transposed_padding(windows, size, node.attributes)
    if any(beyond):
        raise refuse(str(node), f"its output padding {more} goes on by {beyond}, beyond its last windows")
    axes = zip(size, spatial(node, out), windows.extents, windows.strides, padding, strict=True)
    rules = tuple(Transposed(n, m, e, s, p[0]) for n, m, e, s, p in axes)
    wide, group = row(windows), node.attributes.get("group", 1)
    image, function = as_image(weight), activation_of(node.attributes)
    plans: dict[tuple[int, ...], Any] = {}

    def plan(pads: Any, extra: tuple[int, ...], algorithm: str | None) -> Any:
        options: Any = wide.strides, pads, (0, *extra)[-2:], group, wide.dilations
        return plan_conv_transpose2d(image, bias, *options, activation=function, algorithm=algorithm)

    algorithm = builder.algorithm
    if algorithm == "direct" and any(rule.hides_an_input for rule in rules):  # tiles have no padding
        whole = 1, weight.shape[0], *((1, *size)[-2:])
        algorithm = plan(((0, 0), *padding)[-2:], more, algorithm).algorithm(whole)

    def run(blocks: list[Array], cuts: list[tuple[Cut, ...]]) -> Any:
        extra = tuple(cut.extra for cut in cuts[0])
        planned = plans.get(extra) or plans.setdefault(extra, plan(0, extra, algorithm))
        y = as_before(planned(as_image(blocks[0])), blocks[0].ndim)
        return after_activation(y, node.attributes)

    return builder.layer(node, [x], [rules], run)


def _pool(builder: Builder, node: Node) -> Layer:
    x = node.inputs[0]
    assert x is not None
    if sum(value is not None for value in node.outputs) > 1:
        raise refuse(str(node), "its indices count pixels of the whole image")
    size, windows = spatial(node, x), Windows.of(node.attributes["kernel_shape"], node.attributes)
    padding = windows.padding(size)
    if any(max(pads) >= extent for pads, extent in zip(padding, windows.extents, strict=True)):
        raise refuse(str(node), "a window may hold nothing but padding")
    axes = zip(size, windows.counts(size), windows.extents, windows.strides, padding, strict=True)
    rules = tuple(Pooled(n, m, e, s, *p) for n, m, e, s, p in axes)
    function = TABLE[node.operation].run

    def run(blocks: list[Array], cuts: list[tuple[Cut, ...]]) -> Any:
        pads = (*(cut.before for cut in cuts[0]), *(cut.after for cut in cuts[0]))
        return function(blocks[0], **node.attributes | {"pads": pads, "auto_pad": "NOTSET"})

    return builder.layer(node, [x], [rules], run)


def _pad(builder: Builder, node: Node) -> Layer:
    x = node.inputs[0]
    assert x is not None
    pads, *rest = node.inputs[1:]
    if any(value is not None and not value.is_constant for value in node.inputs[1:]):
        raise refuse(str(node), "what it pads with is no constant")
    assert pads is not None
    size, rank = spatial(node, x), len(x.shape or ())
    value = rest[0].constant if rest and rest[0] is not None else None
    along = rest[1].constant.tolist() if len(rest) > 1 and rest[1] is not None else range(rank)
    widths = [(0, 0)] * rank
    numbers = pads.constant.tolist()
    for place, axis in enumerate(along):
        widths[axis % rank] = numbers[place], numbers[place + len(numbers) // 2]
    mode = _MODES[node.attributes.get("mode", "constant")]
    if any(widths[0]) or any(widths[1]):
        raise refuse(str(node), "it pads the batch or the channels")
    if mode != "zeros" and min(map(min, widths)) < 0:
        raise refuse(str(node), "it cuts off and pads by pixels of the image")
    rules = tuple(
        Padded(n, n + before + after, 1, 1, before, mode)
        for n, (before, after) in zip(size, widths[2:], strict=True)
    )
    fill = 0 if value is None or not value.size else value.item()
    return builder.layer(node, [x], [rules], lambda blocks, cuts: blocks[0], fill)


def _resize(builder: Builder, node: Node) -> Layer:
    x, out, attributes = node.inputs[0], node.outputs[0], node.attributes
    assert x is not None
    assert out is not None
    places = attributes.get("coordinate_transformation_mode", "half_pixel")
    if places not in _SCALES:
        raise refuse(str(node), f"{places!r} lets every output depend on the size of the image")
    size, count = spatial(node, x), spatial(node, out)
    if x.shape is None or out.shape is None or x.shape[1] != out.shape[1]:
        raise refuse(str(node), "it resizes the channels")
    scales = node.inputs[2] if len(node.inputs) > 2 else None
    if scales is not None and scales.is_constant and scales.constant.size:
        named = attributes.get("axes") or range(len(x.shape))
        factors = dict(zip([axis % len(x.shape) for axis in named], scales.constant.tolist(), strict=True))
        for axis, (n, m) in enumerate(zip(size, count, strict=True), 2):
            if n * factors.get(axis, 1) != m:
                raise refuse(str(node), f"a scale of {factors[axis]} of {n} pixels gives no whole number")
    mode = attributes.get("mode", "nearest")
    rules = tuple(
        scaled(str(node), n, m, 2 if mode == "cubic" else 1) for n, m in zip(size, count, strict=True)
    )
    function = TABLE["Resize"].run
    kept = {
        key: value for key, value in attributes.items() if key not in ("axes", "keep_aspect_ratio_policy")
    }

    def run(blocks: list[Array], cuts: list[tuple[Cut, ...]]) -> Any:
        local = [
            (cut.stop - cut.start) // rule.inputs * rule.outputs
            for cut, rule in zip(cuts[0], rules, strict=True)
        ]
        return function(blocks[0], None, None, np.array([*blocks[0].shape[:2], *local]), **kept)

    return builder.layer(node, [x], [rules], run)


def _shuffle(builder: Builder, node: Node) -> Layer:
    x, factor = node.inputs[0], node.attributes["blocksize"]
    assert x is not None
    up = node.operation == "DepthToSpace"
    size, function = spatial(node, x), TABLE[node.operation].run
    rules = tuple(scaled(str(node), n, n * factor if up else n // factor, 0) for n in size)
    return builder.layer(node, [x], [rules], lambda blocks, cuts: function(blocks[0], **node.attributes))


_MAKERS: dict[str, Callable[[Builder, Node], Layer]] = {
    **dict.fromkeys(("Conv", "fastconv.Conv"), _convolution),
    **dict.fromkeys(("ConvTranspose", "fastconv.ConvTranspose"), _transposed),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pool),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _shuffle),
    "Pad": _pad,
    "Resize": _resize,
}
_WHY = {
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _WHOLE),
    **dict.fromkeys(
        ("InstanceNormalization", "GroupNormalization", "LayerNormalization", "MeanVarianceNormalization"),
        "its mean and variance are those of the whole image",
    ),
    **dict.fromkeys(("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze"), "it moves the spatial axes"),
    **dict.fromkeys(("Gemm", "MatMul", "fastconv.Dense"), _WHOLE),
}
