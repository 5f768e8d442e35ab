"""Chooses the layout of each image that a network makes on its way, by predicted cost. Called by `compiled.py`.

Kernels are faster in one layout or the other, and a value that is made in one and read in the other is copied. The
nodes that can do both form regions. A region begins as a whole in either layout; each of its nodes changes sides as
long as that saves something, and what costs less in the end is taken. Only shapes, the instruction set and the
processor have a say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from fastconv.backends.cython import BACKEND
from fastconv.graph.costs import bytes_of, known_shape
from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.program.lowering import is_same_in_both, transposes_to
from fastconv.graph.program.memory import has_room
from fastconv.graph.program.operands import DTYPES
from fastconv.graph.program.problems import Problems
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.layout import channels_last

# What a copy takes for each byte, in the cycles of the kernels' costs: from one layout to the other, of single
# elements, and of rows or planes.
_OTHER_LAYOUT, _ELEMENTS, _ROWS = 0.25, 0.15, 0.045
# A kernel whose vectors lie along channels transposes what it stores in planes: 3.5 to 5 cycles for 16 results in
# networks on Zen 5, which the costs of kernels leave out.
_TRANSPOSED_RESULT = 0.28
# In networks direct_pixels takes this many times its cost where other kernels take theirs: medians on Zen 4, of 157
# layers with one image and 73 with eight. What it streams has been written by the layer before.
_STREAMED = 1.22
_SWEEPS = 4


def made_with_channels_last(graph: Graph, problems: Problems) -> set[int]:
    """The numbers (`id`) of the values that are made with their channels last."""
    return _Network(graph, problems).solved()


def costs_of(graph: Graph, problems: Problems) -> dict[int, tuple[float, float]]:
    """Of the nodes that do both layouts, by their numbers, what they cost in NCHW and in NHWC."""
    known = ((id(node), _costs(node, problems)) for node in graph.nodes)
    return {number: costs for number, costs in known if costs is not None}


@dataclass(eq=False)
class _Image:
    """A value that lies in memory differently in the two layouts: what a copy costs, and who makes and reads it.
    `reads_last` counts the readers that want its channels last."""

    copy: float
    is_output: bool
    maker: Node | None = None
    readers: list[Node] = field(default_factory=list)
    reads_last: int = 0


class _Network:
    """The nodes that can do both layouts, and where they are."""

    def __init__(self, graph: Graph, problems: Problems) -> None:
        self._outputs = set(graph.outputs)
        self._costs = costs_of(graph, problems)
        self._last: set[int] = set()
        self._images: dict[Value, _Image | None] = {}
        for node in graph.nodes:
            for image in self._images_of(node.outputs):
                image.maker = node
            for image in self._images_of(node.reads()):
                image.readers.append(node)
        self._able = [node for node in graph.nodes if id(node) in self._costs]
        self._read = {id(node): self._images_of(node.reads()) for node in self._able}
        self._touched = {
            id(node): list(dict.fromkeys(self._images_of([*node.inputs, *node.outputs])))
            for node in self._able
        }
        turned = {id(node): channels_last(to) for node in self._able if (to := transposes_to(node))}
        self._makes_as_said = {number for number, to_last in turned.items() if not to_last}
        self._reads_as_said = {number for number, to_last in turned.items() if to_last}

    def _images_of(self, values: Sequence[Value | None]) -> list[_Image]:
        found = []
        for value in values:
            if value is None or value.is_constant:
                continue
            if value not in self._images:
                same = not has_room(value) or is_same_in_both(value)
                image = None if same else _Image(bytes_of(value) * _OTHER_LAYOUT, value in self._outputs)
                self._images[value] = image
            found.append(self._images[value])
        return [image for image in found if image is not None]

    def solved(self) -> set[int]:
        for region in self._regions():
            numbers = {id(node) for node in region}
            found: list[tuple[float, set[int]]] = []
            for start in (set[int](), numbers):
                self._put(region, start)
                self._improve(region)
                found.append((self._total(region), self._last & numbers))
            self._put(region, min(found, key=lambda one: one[0])[1])
        made = (value for node in self._able if self._makes_last(node) for value in node.outputs)
        return {id(value) for value in made if value is not None}

    def _makes_last(self, node: Node) -> bool:
        """A Transpose from channels last makes what the file says, whatever it reads."""
        return id(node) in self._last and id(node) not in self._makes_as_said

    def _put(self, region: list[Node], last: set[int]) -> None:
        for node in region:
            if (id(node) in self._last) != (id(node) in last):
                self._change(node)

    def _change(self, node: Node) -> None:
        """Let a node change sides. A Transpose to channels last reads what the file says, whatever it makes."""
        self._last ^= {id(node)}
        if id(node) not in self._reads_as_said:
            more = 1 if id(node) in self._last else -1
            for image in self._read[id(node)]:
                image.reads_last += more

    def _regions(self) -> Iterator[list[Node]]:
        """Of nodes that are joined by a value that one of them makes."""
        parents = {id(node): id(node) for node in self._able}

        def root(number: int) -> int:
            while parents[number] != number:
                parents[number] = number = parents[parents[number]]
            return number

        for node in self._able:
            for image in self._images_of(node.inputs):
                if id(image.maker) in parents:
                    parents[root(id(node))] = root(id(image.maker))
        groups: dict[int, list[Node]] = {}
        for node in self._able:
            groups.setdefault(root(id(node)), []).append(node)
        yield from groups.values()

    def _improve(self, region: list[Node]) -> None:
        """A node is looked at again when a neighbour has changed sides."""
        numbers = {id(node) for node in region}
        waiting = set(numbers)
        for _ in range(_SWEEPS):
            for node in region:
                if id(node) not in waiting:
                    continue
                waiting.discard(id(node))
                before = self._around(node)
                self._change(node)
                if self._around(node) < before:
                    for image in self._touched[id(node)]:
                        waiting.update(map(id, (image.maker, *image.readers)))
                    waiting &= numbers - {id(node)}
                else:
                    self._change(node)
            if not waiting:
                return

    def _around(self, node: Node) -> float:
        """What a node costs, and the copies of what it reads and makes."""
        return self._cost(node) + sum(map(self._copies, self._touched[id(node)]))

    def _total(self, region: list[Node]) -> float:
        images = dict.fromkeys(image for node in region for image in self._touched[id(node)])
        return sum(map(self._cost, region)) + sum(map(self._copies, images))

    def _cost(self, node: Node) -> float:
        return self._costs[id(node)][id(node) in self._last]

    def _copies(self, image: _Image) -> float:
        """What a value costs that is wanted in another layout than it is made in."""
        last = image.maker is not None and self._makes_last(image.maker)
        others = len(image.readers) - image.reads_last + image.is_output if last else image.reads_last
        return image.copy if others else 0.0


def _costs(node: Node, problems: Problems) -> tuple[float, float] | None:
    """Predicted cycles in NCHW and in NHWC, of what differs; None where a node does not do both."""
    found = _COSTS.get(node.operation)
    out = node.outputs[0]
    values = [value for value in (*node.reads(), *node.outputs) if value is not None]
    if found is None or out is None or not all(map(has_room, values)):
        return None
    if out.dtype not in DTYPES or len(known_shape(out) or ()) != 4:
        return None
    return found(node, out, problems)


def _convolution(node: Node, out: Value, problems: Problems) -> tuple[float, float] | None:
    in_planes, in_pixels = problems.of(node, "NCHW"), problems.of(node, "NHWC")
    if in_planes is None or in_pixels is None or is_same_in_both(out):
        return None
    planes, pixels = BACKEND.work(in_planes), BACKEND.work(in_pixels)
    transposed = prod(known_shape(out) or (0,)) * _TRANSPOSED_RESULT
    streamed = _STREAMED if planes.algorithm == "direct_pixels" else 1.0
    return planes.cycles * streamed + (
        transposed if _is_transposed(in_planes, planes.algorithm) else 0
    ), pixels.cycles


def _is_transposed(problem: ConvProblem, algorithm: str) -> bool:
    """Are the vectors of a kernel channels, which fill them, but its results planes?"""
    along_channels = algorithm.startswith(("direct_channels", "im2col", "winograd"))
    return along_channels and problem.groups == 1


def _either(node: Node, out: Value, problems: Problems) -> tuple[float, float] | None:
    return 0.0, 0.0


def _shuffled(node: Node, out: Value, problems: Problems) -> tuple[float, float] | None:
    return bytes_of(out) * _ROWS, bytes_of(out) * _ELEMENTS


def _joined(node: Node, out: Value, problems: Problems) -> tuple[float, float] | None:
    """Parts of one image's planes are made where they lie."""
    axis = node.attributes["axis"]
    if axis not in (1, -3) or is_same_in_both(out) or any(value is None for value in node.inputs):
        return None
    cycles = bytes_of(out) * _ROWS
    return (0.0 if (known_shape(out) or (0,))[0] == 1 else cycles), cycles


def _elementwise(node: Node, out: Value, problems: Problems) -> tuple[float, float] | None:
    """Where what is not a constant has the result's shape, or lies alike in both layouts."""
    for value in node.inputs:
        if (
            value is not None
            and not value.is_constant
            and value.shape != out.shape
            and not is_same_in_both(value)
        ):
            return None
    return 0.0, 0.0


def _transposed(node: Node, out: Value, problems: Problems) -> tuple[float, float] | None:
    """No step at all where one side has its channels last."""
    if transposes_to(node) is None or node.inputs[0] is None or node.inputs[0].is_constant:
        return None
    return bytes_of(out) * _OTHER_LAYOUT, 0.0


Costs = Callable[[Node, Value, Problems], tuple[float, float] | None]
_COSTS: dict[str, Costs] = {
    "Add": _elementwise,
    "AveragePool": _either,
    "Clip": _elementwise,
    "Concat": _joined,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Div": _elementwise,
    "GlobalAveragePool": _either,
    "GlobalMaxPool": _either,
    "HardSigmoid": _elementwise,
    "HardSwish": _elementwise,
    "LeakyRelu": _elementwise,
    "MaxPool": _either,
    "Mul": _elementwise,
    "PRelu": _elementwise,
    "Relu": _elementwise,
    "Sigmoid": _elementwise,
    "Sub": _elementwise,
    "Sum": _elementwise,
    "Swish": _elementwise,
    "Transpose": _transposed,
    "fastconv.ChannelShuffle": _shuffled,
    "fastconv.Conv": _convolution,
    "fastconv.ConvTranspose": _convolution,
    "fastconv.Elementwise": _elementwise,
}
