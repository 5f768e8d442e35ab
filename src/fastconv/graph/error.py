"""What is wrong with a network, by whose node it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class ModelError(ValueError):
    """A network or its file that cannot be read or run; the message says where, and what was found.

    Raised by `fastconv.onnx.load`, and by calls of what that loaded. A subclass of `ValueError`.
    """


@contextmanager
def errors_of(node: Any) -> Iterator[None]:
    """Within it, whatever a node raises becomes a `ModelError` that names it, with its place in the file; that of a
    node within its graphs, and what memory cannot hold, stay what they are."""
    try:
        yield
    except ModelError:
        raise
    except MemoryError as error:
        error.add_note(f"in {node}")
        raise
    except Exception as error:
        where = f"{node.place}: " if node.place else ""
        raise ModelError(f"{where}{node}: {error or type(error).__name__}") from error
