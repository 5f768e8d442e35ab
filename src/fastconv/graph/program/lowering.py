"""How nodes become steps in C: one function for each operation that can, in a table beside that of operations. The
files `lower_...` fill it; `compiled.py` calls.

A lowering adds the steps of a node whose types are known, and says whether it could. Where it cannot, the node runs in
Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import fastconv.backends.cython._engine as _engine
from fastconv.backends.cython import BACKEND
from fastconv.backends.protocol import Work
from fastconv.execution.memory import check_memory
from fastconv.graph.costs import words_of
from fastconv.graph.error import ModelError, errors_of
from fastconv.graph.graph import Node, Value
from fastconv.graph.operations import TABLE
from fastconv.graph.pages import Blocks, aligned, forget
from fastconv.graph.program.memory import Kind, Places, byte_count, has_room
from fastconv.graph.program.operands import sizes_of
from fastconv.graph.program.packing import packed_weights
from fastconv.graph.program.reach import reach, whole
from fastconv.graph.remade import Remade, array_of
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.layout import batch_shape, channels_last, other_layout
from fastconv.typing import Array, Layout

if TYPE_CHECKING:
    from fastconv.graph.program.problems import Problems

# Those of a network, prepared, and arrays made of its constants, by what they are made of, each with its source.
Weights = dict[Any, tuple[Array, Array | Remade]]
# The same problem, by the algorithm that was measured to be the fastest; None: by the predicted one.
Tuned = Callable[[ConvProblem, Array], ConvProblem] | None
MOST_AXES = _engine.MOST_AXES


@dataclass
class Step:
    """A step in C, for people: what it is, and what it takes.

    Attributes
    ----------
    algorithm : str
    flops : int
        0 where moving data is all it does.
    cycles : float
        Predicted; 0 where nothing predicts them.
    words : str
        What it does, where that is not what the node does.
    problem : ConvProblem or None
        Of a convolution or dense layer, as it is to be done.
    beside : tuple of int
        What it makes beside `out`.
    """

    node: Node
    algorithm: str
    reads: tuple[int, ...]
    out: int
    flops: int = 0
    weight_bytes: int = 0
    cycles: float = 0.0
    words: str = ""
    problem: ConvProblem | None = None
    beside: tuple[int, ...] = ()

    @property
    def touched(self) -> tuple[int, ...]:
        """All places that it reads or writes, `out` the last."""
        return (*self.reads, *self.beside, self.out)


@dataclass(frozen=True)
class Before:
    """What a convolution may do to its images: multiply them with a number for each image and channel, their `gate`; or
    `rescale` their channels, by as many factors and addends, with negative results 0. `make` adds its step."""

    node: Node
    image: Value
    make: Callable[[], bool]
    gate: Value | None = None
    rescale: tuple[Array, Array] | None = None


# Those whose lowering asks what they may do to images before.
_CONVOLUTIONS = ("Conv", "fastconv.Conv")
# The pixels of a row for whose sum it is worth to write it and read it again.
_LEAST_SUMMED = 8
# Their results may be some channels of larger images of NHWC.
_WIDE = ("direct_channels", "winograd2", "winograd3", "winograd4")


class Builder:
    """The steps so far, and the places of values. Those in `last` are made with their channels last; `readers` says how
    often each is read, by the network's caller, too; `problems` what convolutions do; `forms` which of them have an
    algorithm of their own; `tuned` is what measuring said of problems; `blocks` is where packed weights lie; `fuses`
    says whether a convolution may do what is before it."""

    def __init__(
        self,
        places: Places,
        weights: Weights,
        last: set[int],
        readers: Mapping[int, int],
        problems: Problems,
        forms: Mapping[int, str],
        tuned: Tuned,
        blocks: Blocks,
        fuses: bool,
    ) -> None:
        self.places, self._readers, self.problems = places, readers, problems
        self.forms, self._tuned = forms, tuned
        self.weights, self._last = weights, last
        self._twins: dict[int, int] = {}
        self._late: dict[int, Before] = {}
        self._blocks, self._fuses = blocks, fuses
        self.network = _engine.Network()
        self.steps: list[Step] = []
        self._makers: dict[int, int] = {}  # by places, the first step that writes there
        self.constants: dict[int, Array] = {}
        self._node: Node | None = None

    def lower(self, node: Node) -> bool:
        """Add a node's steps; False where it has to run in Python."""
        self._node = node
        lowering = LOWERINGS.get(node.operation)
        values = [value for value in (*node.reads(), *node.outputs) if value is not None]
        if lowering is None or not all(map(has_room, values)):
            return False
        if node.operation not in _CONVOLUTIONS:
            for read in node.reads():
                self._make_late(read)
        with errors_of(node):
            if not _are_as_inferred(node):
                return False
            for value in node.outputs:
                if value is not None:
                    assert value.dtype is not None
                    check_memory(node.operation, sizes_of(value), value.dtype.itemsize)
            done = lowering(self, node)
        for value in node.outputs if done else ():
            if value is not None and self._is_copied_out(value):
                self._copy(value, self._twins[id(value)], self.places.of(value), "NCHW")
        return done

    def planned(self, problem: ConvProblem, weight: Array | Remade) -> ConvProblem:
        """The problem as it is to be done, with weights of NCHW."""
        return problem if self._tuned is None else self._tuned(problem, array_of(weight))

    def prepared(self, problem: ConvProblem, weight: Array | Remade) -> Array:
        """Weights of NCHW in the form that the problem's kernel takes; programs of the network share them."""
        options = problem.transposed, problem.groups, problem.stride, problem.dilation, problem.layout
        key = id(weight), options, BACKEND.weight_form(problem)
        if key not in self.weights:
            if BACKEND.prepares(problem):
                packed = packed_weights(problem, array_of(weight), self._blocks)
                forget(weight)
            else:
                packed = aligned(array_of(weight))
            # What it is made of stays, so that nothing else gets its number.
            self.weights[key] = packed, weight
        return self.weights[key][0]

    def derived(self, constant: Array, what: Any, make: Callable[[Array], Array]) -> Array:
        """What is made of a constant, the same array for all programs of the network; `what` names it."""
        key = id(constant), what
        if key not in self.weights:
            self.weights[key] = make(constant), constant
        return self.weights[key][0]

    def put_off(self, value: Value, before: Before) -> bool:
        """Let a value be made when it is read, as a convolution may do that instead; False where that would not be its
        only reader."""
        alone = self._readers.get(id(value)) == 1 and self.places.kinds[self.places.of(value)] is Kind.ARENA
        if not self._fuses or not alone:
            return False
        self._late[id(value)] = before
        return True

    def before(self, value: Value, does: Callable[[Before], bool]) -> Before | None:
        """What makes a value, if that was put off and the reader does it, so that nobody else makes it."""
        late = self._late.get(id(value))
        return self._late.pop(id(value)) if late is not None and does(late) else None

    def _make_late(self, value: Value) -> None:
        late = self._late.pop(id(value), None)
        if late is not None:
            node, self._node = self._node, late.node
            with errors_of(late.node):
                if not late.make():
                    raise ModelError("what was put off has no step")
            self._node = node

    def layout(self, value: Value | None) -> Layout:
        """That in which a value is made."""
        return "NHWC" if id(value) in self._last else "NCHW"

    def make_planar(self, value: Value) -> None:
        """Let a value be made in the file's layout after all."""
        self._last.discard(id(value))

    def place(self, value: Value, layout: Layout = "NCHW") -> int:
        """Where a step reads a value, in this layout, or writes it, in its own; constants are copied to where kernels
        can read them."""
        self._make_late(value)
        number = self.places.of(value)
        if self._node is not None and any(value is out for out in self._node.outputs):
            assert layout == self.layout(value) or is_same_in_both(value), "a lowering that knows no layouts"
        if value.is_constant:
            return self._constant(value, number, layout)
        if is_same_in_both(value) or (
            not channels_last(layout) if self._is_copied_out(value) else layout == self.layout(value)
        ):
            return number
        if id(value) not in self._twins:
            self._twins[id(value)] = twin = self.scratch(sizes_of(value), value.dtype)
            if not self._is_copied_out(value):
                self._copy(value, number, twin, layout)
        return self._twins[id(value)]

    def _is_copied_out(self, value: Value) -> bool:
        """Is it a result of the network, which is made with its channels last, and given as the file has it?"""
        output = self.places.kinds[self.places.of(value)] is Kind.OUTPUT
        return output and channels_last(self.layout(value)) and not is_same_in_both(value)

    def _constant(self, value: Value, number: int, layout: Layout) -> int:
        array = value.constant
        if channels_last(layout) and not is_same_in_both(value):
            array = array.transpose(0, 2, 3, 1)
            if id(value) not in self._twins:
                self._twins[id(value)] = self.places.add(Value.of("", array), Kind.CONSTANT)
            number = self._twins[id(value)]
        if number not in self.constants:
            self.constants[number] = np.require(array, requirements=["C", "A"])
        return number

    def read_in_python(self, value: Value) -> int:
        """Where a step in Python finds a value: in the file's layout."""
        return self.place(value) if has_room(value) and not value.is_constant else self.places.of(value)

    def _copy(self, value: Value, source: int, target: int, layout: Layout) -> None:
        """A value from one layout into the other."""
        batch, channels, height, width = sizes_of(value)
        assert value.dtype is not None
        walks = [strides_in(other_layout(layout), sizes_of(value)), strides_in(layout, sizes_of(value))]
        axes = order_in(layout, 4)
        shape = batch_shape(layout, batch, channels, (height, width))
        sizes, (from_strides, to_strides) = merged(
            shape, [[walk[axis] for axis in axes] for walk in walks], 2
        )
        what = value.dtype.itemsize, sizes, from_strides, to_strides
        self.add("copy", what, [source], target, words=f"to {layout}")

    def make_within(self, value: Value, whole: Value, offset: int) -> bool:
        """Let a convolution make its NHWC images where they are some channels of larger ones, so many bytes from the
        start; False where it cannot, or somebody else reads them."""
        number = self.places.of(value)
        place = self._makers.get(number)
        if place is None or self._readers.get(id(value)) != 1:
            return False
        step = self.steps[place]
        if step.algorithm not in _WIDE or len(step.reads) > 1 or "Conv" not in step.node.operation:
            return False
        # One channel lies alike in both layouts, but kernels of planes write it in one piece.
        if step.problem is None or not channels_last(step.problem.layout):
            return False
        if not self.places.put_into(value, whole, offset):
            return False
        self.network.widen(place, sizes_of(whole)[1])
        return True

    def row_sums(self, value: Value) -> Value | None:
        """The sums of images along their rows, (batch, channels, rows, pieces of a row) in NHWC, made by the
        convolution that makes the images; None where it cannot, or where that saves nothing."""
        place = self._makers.get(self.places.of(value))
        if not self._fuses or place is None or not self.network.sums_rows(place):
            return None
        step = self.steps[place]
        if step.node.outputs[0] is not value or step.problem is None:
            return None
        batch, channels, height, width = step.problem.result_in("NCHW")
        if width < _LEAST_SUMMED:
            return None
        if not step.beside:
            sums = self.scratch((batch, channels, height, -(-width // _engine.SUMMED)), value.dtype)
            self._last.add(id(self.places.values[sums]))
            self.network.sum_rows(place, sums)
            step.beside, step.words = (sums,), f"{step.words or words_of(step.node)} + sums of rows"
        return self.places.values[step.beside[0]]

    def part(self, whole: int, offset: int, like: Value) -> int:
        """What lies so many bytes from the start of a place."""
        return self.places.part(Value("", like.dtype, like.shape), whole, offset)

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> int:
        """Memory between two steps of one node."""
        return self.places.add(Value("", np.dtype(dtype), shape), Kind.ARENA)

    def add(
        self,
        kind: str,
        what: Sequence[Any],
        reads: Sequence[int],
        out: int,
        *,
        algorithm: str = "",
        flops: int = 0,
        work: Work | None = None,
        as_list: bool = False,
        words: str = "",
        elements: Sequence[int] = (),
        problem: ConvProblem | None = None,
    ) -> None:
        """One step of the network; `as_list` where it takes its operands so, `work` where a backend tells it, `words`
        where it does not do what its node does, `elements` (read and made) where `reach.py` does not know them,
        `problem` where it has weights."""
        self._check_reach(kind, what, [*reads, out], elements)
        operands = [list(reads)] if as_list else list(reads)
        getattr(self.network, kind)(*what, *operands, out)
        read = tuple(place for place in reads if place >= 0)
        assert self._node is not None
        self._makers.setdefault(out, len(self.steps))
        work = work or Work(algorithm or kind, flops, 0)
        self.steps.append(
            Step(
                self._node,
                work.algorithm,
                read,
                out,
                work.flops,
                work.weight_bytes,
                work.cycles,
                words,
                problem,
            )
        )

    def _check_reach(
        self, kind: str, what: Sequence[Any], touched: Sequence[int], elements: Sequence[int]
    ) -> None:
        """Whatever numbers a node and its lowering gave: no kernel goes beyond the memory of what it touches."""
        places = self.places
        if elements:
            spans = [whole(places.item(place), count) for place, count in zip(touched, elements, strict=True)]
        else:
            spans = reach(kind, what)
        for place, (first, end) in zip(touched, spans, strict=True):
            if place < 0:
                continue
            root, offset = places.root(place)
            if first + offset < 0 or end + offset > byte_count(places.values[root]):
                raise ValueError(
                    f"a step of {kind} would touch bytes {first + offset} to {end + offset} of "
                    f"{byte_count(places.values[root])}"
                )


def _are_as_inferred(node: Node) -> bool:
    """Have the outputs the types that follow from the inputs'? Kernels write by these, whatever a file says."""
    types = TABLE[node.operation].types(node.inputs, node.attributes)
    return bool(types) and all(
        value is None or (value.dtype, value.shape) == (known.dtype, known.shape)
        for value, known in zip(node.outputs, types, strict=False)
    )


Lowering = Callable[[Builder, Node], bool]
F = TypeVar("F", bound=Lowering)
LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[F], F]:
    """Put a function into the table, under these operations' names."""

    def add(function: F) -> F:
        for name in names:
            LOWERINGS[name] = function
        return function

    return add


def attributes_of(node: Node) -> dict[str, Any]:
    """Those of a node, with the defaults of the table for those that are not given."""
    return {**TABLE[node.operation].attributes, **node.attributes}


def strides_of(shape: Sequence[int]) -> list[int]:
    """Those of a contiguous array, in elements."""
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def strides_in(layout: Layout, shape: Sequence[int]) -> list[int]:
    """Those of a batch of images that lies in a layout, along the axes of NCHW; of other arrays, in their order."""
    if not channels_last(layout):
        return strides_of(shape)
    image, row, pixel, channel = strides_of([shape[0], *shape[2:], shape[1]])
    return [image, channel, row, pixel]


def order_in(layout: Layout, rank: int) -> list[int]:
    """The axes of a value as they lie in memory."""
    return [0, 2, 3, 1] if channels_last(layout) else list(range(rank))


def is_same_in_both(value: Value) -> bool:
    """Does a value lie in memory alike in both layouts?"""
    shape = sizes_of(value)
    return len(shape) != 4 or shape[1] == 1 or shape[2] * shape[3] == 1


def transposes_to(node: Node) -> Layout | None:
    """What lies where its input does, if that is images: such with channels last of a Transpose to channels first, and
    such with channels first of one from channels last, which has those of the file's layout last in memory."""
    if node.operation != "Transpose":
        return None
    order: tuple[int, ...] = tuple(axis % 4 for axis in node.attributes.get("perm") or ())
    return _TURNED.get(order)


_TURNED: dict[tuple[int, ...], Layout] = {(0, 3, 1, 2): "NHWC", (0, 2, 3, 1): "NCHW"}


def merged(
    shape: Sequence[int], strides: Sequence[Sequence[int]], least: int = 1
) -> tuple[list[int], list[list[int]]]:
    """The fewest axes, at least so many, that walk the same elements in the same order, and the strides along them of
    each array; axes of one element go."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(walk[-1] == own[axis] * size for walk, own in zip(steps, strides, strict=True)):
            sizes[-1] *= size
            for walk, own in zip(steps, strides, strict=True):
                walk[-1] = own[axis]
        else:
            sizes.append(size)
            for walk, own in zip(steps, strides, strict=True):
                walk.append(own[axis])
    missing = least - len(sizes)
    # The last axis is walked in steps of one where it has one element.
    if not sizes and missing > 0:
        return [1] * missing, [[1] * missing for _ in strides]
    return [1] * missing + sizes, [[0] * missing + walk for walk in steps]


def axis_of(axis: int, rank: int) -> int | None:
    """An axis counted from the first one; None where there is none of that number."""
    return axis % rank if -rank <= axis < rank else None
