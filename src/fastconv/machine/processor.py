"""The processor's name. Used by the configuration, by measured limits and by tuned kernels."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name(root: Path = Path("/")) -> str:
    """The processor's name, as the system (its files are below `root`) gives it."""
    return _first_processor(root).get("model name") or platform.processor() or "unknown"


def processor_model(root: Path = Path("/")) -> str:
    """Its name with the numbers of its family and model, as virtual machines may give all generations one name."""
    known = _first_processor(root)
    numbers = {"family": known.get("cpu family"), "model": known.get("model")}
    return ", ".join([processor_name(root), *(f"{key} {value}" for key, value in numbers.items() if value)])


def _first_processor(root: Path) -> dict[str, str]:
    """What the system says about the first processor."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    said: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if value.strip():
            said.setdefault(key.strip(), value.strip())
    return said
