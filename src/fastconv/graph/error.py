"""What is wrong with a network, by whose node it is."""

from __future__ import annotations

from typing import Any

from fastconv.graph.graph import Node


class ModelError(ValueError):
    """A network or its file that cannot be read or run; the message says where, and what was found.

    Raised by `fastconv.onnx.load`, and by calls of what that loaded. A subclass of `ValueError`.
    """


class errors_of:
    """Within it, whatever a node raises becomes a `ModelError` that names it, with its place in the file; that of a
    node within its graphs, and what memory cannot hold, stay what they are."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if not isinstance(error, Exception) or isinstance(error, ModelError):
            return
        node = self._node
        if isinstance(error, MemoryError):
            error.add_note(f"in {node}")
            return
        where = f"{node.place}: " if node.place else ""
        raise ModelError(f"{where}{node}: {str(error) or type(error).__name__}") from error
