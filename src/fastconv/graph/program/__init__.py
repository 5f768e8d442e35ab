"""Networks made ready to run: memory, steps in C, and what tells of them."""

from __future__ import annotations

from fastconv.graph.program.profiled import OperationTime, Profile, StepTime
from fastconv.graph.program.program import Program
from fastconv.graph.program.steps import Memory, StepInfo

__all__ = ["Memory", "OperationTime", "Profile", "Program", "StepInfo", "StepTime"]
