"""The one error of this room, with where in a file it is: every other module here raises it."""

from __future__ import annotations

from typing import Any

from fastconv.graph.error import ModelError

__all__ = ["ModelError", "Path", "model_error", "told"]

# The way from the file's root to a field: (way to the parent, field, place in a repeated field or None).
Path = tuple[Any, str, int | None]


def told(path: Path | None) -> str:
    """The way as a person reads it: ``graph.node[3].attribute[0].t``."""
    parts: list[str] = []
    while path is not None:
        path, name, place = path
        parts.append(name if place is None else f"{name}[{place}]")
    return ".".join(reversed(parts))


def model_error(text: str, path: Path | None = None, offset: int | None = None) -> ModelError:
    """The error with its place in front: byte and field."""
    byte = "" if offset is None else f"byte {offset}"
    place = ", ".join(part for part in (byte, told(path)) if part)
    return ModelError(f"onnx: {place}: {text}" if place else f"onnx: {text}")
