"""Data to train on that is not all in memory: sources of samples, and `Batches` of them, for `Module.fit`.

A source has a length, and ``take(places)``, which gives the samples at these places and what they should give, or None
in place of that. `Arrays` and `Pictures` are sources; an object of one's own with these two may be one, too.
"""

from __future__ import annotations

from fastconv.nn.data.batches import Batches
from fastconv.nn.data.sources import Arrays, Pictures
from fastconv.shown import shows

__all__ = ["Arrays", "Batches", "Pictures"]
__dir__ = shows(__name__)
