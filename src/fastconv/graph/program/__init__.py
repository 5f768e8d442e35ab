"""Networks made ready to run: memory, steps in C, and what tells of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from fastconv.first_use import importing
from fastconv.graph.program.program import Program
from fastconv.graph.program.steps import Memory, StepInfo

__all__ = ["Memory", "OperationTime", "Profile", "Program", "StepInfo", "StepTime"]

if TYPE_CHECKING:
    from fastconv.graph.program.profiled import OperationTime, Profile, StepTime
else:

    def __getattr__(name):
        """Few programs are timed, and what that needs takes long to import."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with importing:
            return getattr(import_module("fastconv.graph.program.profiled"), name)
