"""Passes: what makes a graph faster to run, and leaves what it computes as it is. Each has a name, and a file.

A pass changes a graph in place (its own copy) and says what it did, a line for each rewriting. Nothing is fused through
a graph's output, or through a value that something else reads, too.
"""

from __future__ import annotations

from fastconv.graph.passes.driver import PASSES, Applied, optimise
from fastconv.shown import shows

__all__ = ["PASSES", "Applied", "optimise"]
__dir__ = shows(__name__)
