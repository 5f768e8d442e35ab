"""The functions that a file defines beside its graph. `reader.py` writes them out where they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastconv.onnx.attributes import attribute_value
from fastconv.onnx.error import Path
from fastconv.onnx.external import Folder
from fastconv.onnx.wire import Record

VersionsOf = Callable[[Iterable[Record], Path | None], dict[str, int]]


class Function:
    def __init__(self, record: Record, place: int, versions_of: VersionsOf) -> None:
        self.record = record
        self._path: Path = (None, "functions", place)
        self.name: str = record.get("name", "")
        self.key = (record.get("domain", ""), self.name, record.get("overload", ""))
        self.inputs: list[str] = record.get("input", [])
        self.outputs: list[str] = record.get("output", [])
        self.nodes: list[Record] = record.get("node", [])
        self.versions = versions_of(record.get("opset_import", ()), self._path)

    def bound(self, given: dict[str, Any], folder: Folder) -> dict[str, Any]:
        """Its attributes: those that a call gave, over those that have a default."""
        defaults = {
            attribute.get("name", ""): attribute_value(
                attribute, (self._path, "attribute_proto", place), folder, None
            )
            for place, attribute in enumerate(self.record.get("attribute_proto", ()))
        }
        return defaults | given


class Functions:
    def __init__(self, records: Iterable[Record], versions_of: VersionsOf) -> None:
        functions = [Function(record, place, versions_of) for place, record in enumerate(records)]
        self._known = {function.key: function for function in functions}

    def find(self, domain: str, name: str, overload: str) -> Function | None:
        return self._known.get((domain, name, overload))
