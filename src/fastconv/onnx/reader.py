"""A file's messages as a graph: names become values, nodes the newest form of their operators. Called by `load`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastconv.graph.elements import ELEMENTS
from fastconv.graph.graph import Graph, Node, Size, Value
from fastconv.graph.inference import infer
from fastconv.graph.operations import NEWEST, OLDEST, Reading, read
from fastconv.onnx.attributes import attribute_value
from fastconv.onnx.error import Path, model_error, told
from fastconv.onnx.external import Folder
from fastconv.onnx.functions import Function, Functions
from fastconv.onnx.order import ordered
from fastconv.onnx.tensors import element_of, read_tensor
from fastconv.onnx.wire import Record

_OWN_DOMAINS = ("", "ai.onnx")
# What rules and upgrades raise about attributes and shapes that do not fit.
_REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError)
_MOST_WRITTEN_OUT = 100_000  # nodes, and names in them, that calls of functions add


_DEEPEST = 64
_MOST_AXES = 64  # as NumPy


class Scope:
    """The names of one graph, and of those around it."""

    def __init__(
        self,
        outer: Scope | None,
        versions: dict[str, int],
        bound: dict[str, Any] | None = None,
        calls: tuple[Function, ...] = (),
        depth: int = 0,
    ) -> None:
        self.values: dict[str, Value | None] = {"": None}  # an input that is not given
        self.outer, self.versions = outer, versions
        # Of a function's body: the attributes that its node gave, and the functions that are being written out.
        self.bound, self.calls = bound, calls
        self.depth = depth
        self.captured: list[tuple[Value, Value]] = []  # (outside, within)

    def find(self, name: str) -> Value | None:
        """The value of that name as this graph sees it; `KeyError` where there is none."""
        if name in self.values:
            return self.values[name]
        if self.outer is None:
            raise KeyError(name)
        outside = self.outer.find(name)
        if outside is None or outside.is_constant:
            return outside
        within = Value(name, outside.dtype, outside.shape, None, outside.element)
        self.captured.append((outside, within))
        self.values[name] = within
        return within


class Reader:
    """Reads one file's graph, with those in its nodes."""

    def __init__(self, model: Record, folder: Folder) -> None:
        self._folder = folder
        self._functions = Functions(model.get("functions", ()), versions_of)
        self._written_out = 0
        # What `read` found to go together, for who verifies the graph.
        self.allowed: set[Node] = set()
        versions = versions_of(model.get("opset_import", ()), None)
        graph = model.get("graph")
        if graph is None:
            raise model_error("it holds no graph: this is no ONNX model")
        self.graph = self._graph(graph, Scope(None, versions), (None, "graph", None))

    def _graph(self, record: Record, scope: Scope, path: Path) -> Graph:
        self._count(record, ("initializer", "input", "output"), scope, path)
        for place, _ in enumerate(record.get("sparse_initializer", ())):
            raise model_error("sparse tensors are not supported", (path, "sparse_initializer", place))
        for place, tensor in enumerate(record.get("initializer", ())):
            here = (path, "initializer", place)
            name = tensor.get("name", "")
            array = read_tensor(tensor, here, self._folder)
            self._define(scope, name, Value.of(name, array, _narrow(tensor["data_type"])), here, tensor["@"])
        inputs = []
        for place, info in enumerate(record.get("input", ())):
            name = info.get("name", "")
            if name in scope.values and self._is_initial(scope, name):
                continue  # a constant that older files list as an input, too
            value = value_of(info, (path, "input", place))
            self._define(scope, name, value, (path, "input", place), info["@"])
            inputs.append(value)
        nodes: list[Node] = []
        for place, node in ordered(record.get("node", ()), path):
            self._node(node, scope, nodes, (path, "node", place))
        outputs = []
        for place, info in enumerate(record.get("output", ())):
            here = (path, "output", place)
            found = self._find(scope, info.get("name", ""), here, info["@"])
            if found is None:
                raise model_error("an output has no name", here, info["@"])
            declare(found, info, here)
            outputs.append(found)
        inputs += [within for _, within in scope.captured]
        return Graph(inputs, outputs, nodes, record.get("name", ""))

    def _count(self, record: Record, fields: tuple[str, ...], scope: Scope, path: Path) -> None:
        """Let functions that call functions not grow without bounds."""
        if scope.calls:
            self._written_out += 1 + sum(len(record.get(field, ())) for field in fields)
            if self._written_out > _MOST_WRITTEN_OUT:
                raise model_error("its functions add too many nodes", path, record["@"])

    @staticmethod
    def _within(scope: Scope, path: Path, at: int) -> Scope:
        """Python's stack has an end."""
        if scope.depth > _DEEPEST:
            raise model_error(f"graphs and functions nest deeper than {_DEEPEST}", path, at)
        return scope

    @staticmethod
    def _is_initial(scope: Scope, name: str) -> bool:
        value = scope.values[name]
        return value is not None and value.is_constant

    @staticmethod
    def _define(scope: Scope, name: str, value: Value | None, path: Path, at: int) -> None:
        if not name:
            raise model_error("a value has no name", path, at)
        if name in scope.values:
            raise model_error(f"the value {name!r} is made twice", path, at)
        scope.values[name] = value

    @staticmethod
    def _find(scope: Scope, name: str, path: Path, at: int) -> Value | None:
        try:
            return scope.find(name)
        except KeyError:
            raise model_error(f"it reads {name!r}, which nothing before it makes", path, at) from None

    def _node(self, record: Record, scope: Scope, nodes: list[Node], path: Path) -> None:
        at, name = record["@"], record.get("name", "")
        kind, domain = record.get("op_type", ""), record.get("domain", "")
        self._count(record, ("input", "output", "attribute"), scope, path)
        reads = record.get("input", ())
        try:
            inputs = [scope.values[name] for name in reads]
        except KeyError:  # of a graph around this one, or of none
            inputs = [self._find(scope, name, (path, "input", place), at) for place, name in enumerate(reads)]
        attributes: dict[str, Any] = {}
        captures: dict[str, list[Value]] = {}
        for place, attribute in enumerate(record.get("attribute", ())):
            here = (path, "attribute", place)
            value = attribute_value(attribute, here, self._folder, scope.bound)
            if value is None:
                continue
            key = attribute.get("name", "")
            if isinstance(value, dict):  # a graph
                inner = self._within(
                    Scope(scope, scope.versions, scope.bound, scope.calls, scope.depth + 1), here, at
                )
                value = self._graph(value, inner, (here, "g", None))
                captures[key] = [outside for outside, _ in inner.captured]
            attributes[key] = value
        names = record.get("output", ())
        function = self._functions.find(domain, kind, record.get("overload", ""))
        if function is not None:
            self._call(function, inputs, attributes, captures, names, scope, nodes, path, at)
            return
        own = domain in _OWN_DOMAINS
        version = scope.versions.get("" if own else domain)
        kind = kind if own else f"{domain}.{kind}"
        if version is None:
            raise model_error(
                f"{_title(kind, version, name)}: the model does not say which version of {domain!r} it uses",
                path,
                at,
            )
        outputs: list[Value | None]
        reading = Reading(kind, inputs, attributes, len(names))
        try:
            read(reading, version)
            if reading.operation == "Constant":
                outputs = [Value.of(names[0], reading.attributes["value"])] if names else []
            else:
                outputs = [Value(name) if name else None for name in names]
                node = Node(
                    reading.operation,
                    reading.inputs,
                    list(outputs),
                    reading.attributes,
                    captures,
                    name,
                    told(path),
                )
                infer(node)
                nodes.append(node)
                if not captures:
                    self.allowed.add(node)
        except _REFUSALS as error:
            raise model_error(f"{_title(kind, version, name)}: {error}", path, at) from error
        for value, given in zip(outputs, names, strict=False):
            if given:
                self._define(scope, given, value, path, at)

    def _call(
        self,
        function: Function,
        inputs: list[Value | None],
        attributes: dict[str, Any],
        captures: dict[str, list[Value]],
        names: Iterable[str],
        scope: Scope,
        nodes: list[Node],
        path: Path,
        at: int,
    ) -> None:
        """Write a function's nodes out in place of a node that calls it."""
        if function in scope.calls:
            raise model_error(f"the function {function.name!r} calls itself", path, at)
        if captures:
            raise model_error(
                f"the function {function.name!r} is given a graph, which is not supported", path, at
            )
        bound = function.bound(attributes, self._folder)
        calls = (*scope.calls, function)
        body = Scope(None, function.versions or scope.versions, bound, calls, scope.depth + 1)
        self._within(body, path, at)
        self._count(function.record, ("input", "output", "attribute_proto"), body, path)
        for place, name in enumerate(function.inputs):
            self._define(body, name, inputs[place] if place < len(inputs) else None, path, at)
        for place, record in ordered(function.nodes, path):
            self._node(record, body, nodes, (path, f"{function.name}.node", place))
        for name, inner in zip(names, function.outputs, strict=False):
            if name:
                self._define(scope, name, self._find(body, inner, path, at), path, at)


def _title(kind: str, version: int | None, name: str) -> str:
    return f"{kind} of operator set {version}, node {name!r}"


def versions_of(opsets: Iterable[Record], path: Path | None) -> dict[str, int]:
    """The version of each domain; of ONNX's own one that is known here."""
    versions = {}
    for place, opset in enumerate(opsets):
        domain, version = opset.get("domain", ""), opset.get("version", 0)
        domain = "" if domain in _OWN_DOMAINS else domain
        if domain == "" and not OLDEST <= version <= NEWEST:
            raise model_error(
                f"operator set {version}, but those from {OLDEST} to {NEWEST} are supported",
                (path, "opset_import", place),
                opset["@"],
            )
        versions[domain] = version
    return versions


def value_of(info: Record, path: Path) -> Value:
    value = Value(info.get("name", ""))
    declare(value, info, path)
    return value


def declare(value: Value, info: Record, path: Path) -> None:
    """Add what a file says about a value's type."""
    tensor = info.get("type", {}).get("tensor_type")
    if tensor is None or value.is_constant:
        return
    if tensor.get("elem_type", 0):
        value.dtype = element_of(tensor["elem_type"], path, tensor["@"]).dtype
        value.element = _narrow(tensor["elem_type"])
    if "shape" in tensor:
        if len(tensor["shape"].get("dim", ())) > _MOST_AXES:
            raise model_error(f"more than {_MOST_AXES} dimensions", path, tensor["@"])
        value.shape = tuple(_size(dim) for dim in tensor["shape"].get("dim", ()))


def _narrow(number: int) -> int:
    """The number of a type that NumPy lacks, else 0."""
    return number if ELEMENTS[number].is_held_wider else 0


def _size(dim: Record) -> Size:
    number = dim.get("dim_value")
    if number is not None and number >= 0:
        return int(number)
    return dim.get("dim_param") or None
