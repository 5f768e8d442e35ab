"""Networks made ready to run: memory, steps in C, and what tells of them."""

from __future__ import annotations

from fastconv.graph.program.program import Program

__all__ = ["Program"]
