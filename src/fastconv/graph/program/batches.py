"""Batches in parts: how many images a program runs at a time, and the run itself. Used by `program.py`.

Where every image's results are its own, some images can go through the whole network before the next ones do: what its
layers pass on stays in the caches then, and takes less memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from fastconv.execution.memory import empty
from fastconv.graph.costs import bytes_of, known_shape
from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.passes import optimise
from fastconv.graph.passes.matching import attribute, given
from fastconv.typing import Array

# What a step reads and writes at most. On Zen 4 (1 MiB of L2 a core, 32 MiB of L3) six image networks took up to 6 %
# less time in parts of this size than with 8 images at once, MobileNetV2 1 % more; and that one 4 to 11 % more in
# smaller parts.
_TOGETHER = 24 << 20


class RunInParts:
    """A compiled run of some images, called for several times as many.

    Parameters
    ----------
    run : CompiledRun
    parts : int
    """

    def __init__(self, run: Any, parts: int) -> None:
        self.run, self.parts = run, parts

    def __call__(self, *arrays: Array) -> list[Array]:
        whole: list[Array] = []
        for part, images in enumerate(self._split(arrays)):
            results = self.run(*images)
            if not whole:
                whole = [empty("model", (self.parts * len(r), *r.shape[1:]), r.dtype) for r in results]
            for target, result in zip(whole, results, strict=True):
                target[part * len(result) : (part + 1) * len(result)] = result
        return whole

    def profile(self, *arrays: Array) -> list[int]:
        """The time of each step in all parts, in nanoseconds."""
        times = [self.run.profile(*images) for images in self._split(arrays)]
        return [sum(taken) for taken in zip(*times, strict=True)]

    def _split(self, arrays: Sequence[Array]) -> list[list[Array]]:
        return [
            [
                array[part * len(array) // self.parts : (part + 1) * len(array) // self.parts]
                for array in arrays
            ]
            for part in range(self.parts)
        ]


def images_together(graph: Graph, source: Graph, general: Callable[[], Graph]) -> int | None:
    """How many images to run at a time; None: all.

    Parameters
    ----------
    graph : Graph
        Optimised for a batch of one size.
    source : Graph
        What it was made of.
    general : callable
        The same for batches of any size; asked for only where it may matter.
    """
    shapes = [known_shape(value) for value in graph.inputs]
    batches = {shape[0] if shape else 0 for shape in shapes}
    # What has one image is the same for all: a file may call both sizes by one name.
    if len(batches) != 1 or min(batches) < 2:
        return None
    batch = batches.pop()
    steps = [
        sum(bytes_of(value) for value in (*node.reads(), *node.outputs) if value and not value.is_constant)
        for node in graph.nodes
    ]
    fits = (
        size for size in range(1, batch + 1)
        if batch % size == 0 and max(steps, default=0) * size <= _TOGETHER * batch
    )  # fmt: skip
    together = max(fits, default=1)
    constants = {id(v): v.held.nbytes for node in graph.nodes for v in node.reads() if v.is_constant}
    # Every part reads the weights again, in place of what goes through memory with all images at once.
    again = (batch // together - 1) * sum(constants.values())
    if together == batch or again >= sum(steps) or not _is_open(source):
        return None
    return together if image_by_image(general()) else None


def _is_open(graph: Graph) -> bool:
    """Does a graph take batches of any size, of the same for all its inputs?"""
    sizes = [value.shape[0] if value.shape else 0 for value in graph.inputs]
    if not sizes or isinstance(sizes[0], int) or sizes != [sizes[0]] * len(sizes):
        return False
    return sizes[0] is not None or len(sizes) == 1


def image_by_image(general: Graph) -> bool:
    """Whether the first axis of everything is that of images, and no image's results depend on another's."""
    if not _is_open(general):
        return False
    graph, _ = optimise(general, stop_after="shapes")
    own = {id(value) for value in graph.inputs}
    for node in graph.nodes:
        rule = _RULES.get(node.operation)
        reads = [value for value in node.inputs if value is not None and not value.is_constant]
        if rule is None or node.captures or not reads or not all(id(value) in own for value in reads):
            return False
        if not rule(node, reads):
            return False
        own.update(id(value) for value in node.outputs if value is not None)
    return all(id(value) in own for value in graph.outputs)


_BY_ROI = "tf_crop_and_resize"
Rule = Callable[[Node, list[Value]], bool]


def _rank(value: Value) -> int:
    """Of axes; 0 where it is not known."""
    return 0 if value.shape is None else len(value.shape)


def _alike(node: Node, reads: list[Value]) -> bool:
    """Elementwise with broadcasting: constants are the same for every image."""
    rank = _rank(reads[0])
    constants = [value.constant for value in node.inputs if value is not None and value.is_constant]
    return (
        rank > 0
        and all(_rank(value) == rank for value in reads)
        and all(array.ndim < rank or (array.ndim == rank and len(array) == 1) for array in constants)
    )


def _images(node: Node, reads: list[Value]) -> bool:
    """Of images and what is added to them; weights are constants, and there are no places in the whole batch."""
    x, weights, added = node.inputs[0], node.inputs[1:3], node.inputs[3:]
    return (
        x in reads
        and _rank(reads[0]) > 2
        and all(_rank(value) == _rank(reads[0]) for value in reads)
        and all(value is None or value.is_constant for value in weights)
        and all(value in reads for value in added)
        and len([value for value in node.outputs if value is not None]) == 1
    )


def _normalised(node: Node, reads: list[Value]) -> bool:
    """By statistics that are known."""
    return reads == node.inputs[:1] and _rank(reads[0]) > 1 and not node.attributes.get("training_mode")


def _along(default: int) -> Rule:
    """Along an axis that is not that of the images."""

    def rule(node: Node, reads: list[Value]) -> bool:
        rank, axis = _rank(reads[0]), int(node.attributes.get("axis", default))
        constant = any(value is not None and value.is_constant for value in node.inputs)
        same = all(_rank(value) == rank for value in reads)
        return rank > 0 and same and not constant and axis % rank != 0

    return rule


def _flattened(node: Node, reads: list[Value]) -> bool:
    return int(node.attributes.get("axis", 1)) == 1


def _product(node: Node, reads: list[Value]) -> bool:
    """Rows times a matrix."""
    x, *more = node.inputs
    return (
        x is not None
        and _rank(x) > 1
        and not node.attributes.get("transA")
        and not x.is_constant
        and all(
            value is None
            or (value.is_constant and (value.constant.ndim < 2 or (place == 0 and value.constant.ndim == 2)))
            for place, value in enumerate(more)
        )
    )


def _reduced(node: Node, reads: list[Value]) -> bool:
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    rank = _rank(reads[0])
    return (
        axes is not None and axes.is_constant and axes.constant.size > 0 and rank > 0
        and all(int(axis) % rank for axis in axes.constant.ravel())
    )  # fmt: skip


def _reshaped(node: Node, reads: list[Value]) -> bool:
    """To as many rows, whatever their number."""
    x, target = node.inputs[:2]
    if x is None or target is None or not target.is_constant or not x.shape:
        return False
    wanted = [int(size) for size in np.ravel(target.constant)]
    if wanted[:1] == [0]:  # as many as there are, or no image
        return not node.attributes.get("allowzero")
    inner = x.shape[1:]
    return (
        wanted[:1] == [-1]
        and min(wanted[1:], default=1) > 0
        and all(isinstance(size, int) for size in inner)
        and prod(wanted[1:]) == prod(int(size) for size in inner if size is not None)
    )


def _split(node: Node, reads: list[Value]) -> bool:
    rank = _rank(reads[0])
    return reads == node.inputs[:1] and rank > 0 and int(node.attributes.get("axis", 0)) % rank != 0


def _sliced(node: Node, reads: list[Value]) -> bool:
    """Along axes that are named, none of them that of the images."""
    axes = given(node, 3)
    rank = _rank(reads[0])
    return (
        reads == node.inputs[:1] and rank > 0 and axes is not None
        and all(int(axis) % rank for axis in np.ravel(axes.constant))
    )  # fmt: skip


def _resized(node: Node, reads: list[Value]) -> bool:
    """By factors, of which that of the images is 1, or along axes that are named."""
    rank, axes, scales = _rank(reads[0]), node.attributes.get("axes"), given(node, 2)
    if reads != node.inputs[:1] or rank < 1 or attribute(node, "coordinate_transformation_mode") == _BY_ROI:
        return False
    if axes is not None:
        return all(int(axis) % rank for axis in axes)
    return scales is not None and scales.constant.size == rank and float(scales.constant.flat[0]) == 1


def _transposed(node: Node, reads: list[Value]) -> bool:
    return tuple(node.attributes.get("perm", ()))[:1] == (0,)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("Add", "Sub", "Mul", "Div", "Sum", "Min", "Max", "Pow", "PRelu", "Clip", "Relu", "LeakyRelu", "Elu", "Selu",
         "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Tanh", "Softplus", "Mish", "Gelu", "Erf", "Exp", "Log",
         "Sqrt", "Neg", "Abs", "Identity", "Cast"),
        _alike,
    ),
    **dict.fromkeys(
        ("Conv", "ConvTranspose", "fastconv.Conv", "fastconv.ConvTranspose", "MaxPool", "AveragePool", "LpPool",
         "GlobalAveragePool", "GlobalMaxPool", "LRN", "DepthToSpace", "SpaceToDepth", "fastconv.ChannelShuffle"),
        _images,
    ),
    "BatchNormalization": _normalised,
    "Concat": _along(0),
    "Softmax": _along(-1),
    "LogSoftmax": _along(-1),
    "Flatten": _flattened,
    "Gemm": _product,
    "MatMul": _product,
    "fastconv.Dense": _product,
    "ReduceMean": _reduced,
    "ReduceSum": _reduced,
    "ReduceMax": _reduced,
    "Reshape": _reshaped,
    "Resize": _resized,
    "Slice": _sliced,
    "Split": _split,
    "Transpose": _transposed,
}  # fmt: skip
