"""The operations of graphs: one table, filled by the families beside this file."""

from __future__ import annotations

from fastconv.graph.operations import (
    activations,
    arithmetic,
    control,
    conv,
    conv_transpose,
    detection,
    fused,
    generate,
    indexing,
    logic,
    matrix,
    norm,
    order,
    pad,
    pool,
    qlinear,
    quantised,
    recurrent,
    reduce,
    resize,
    sampling,
    sequence,
    shape,
)
from fastconv.graph.operations.table import NEWEST, OLDEST, TABLE, Operation, Reading, read

__all__ = ["NEWEST", "OLDEST", "TABLE", "Operation", "Reading", "read"]

# Imported for what they put into the table.
FAMILIES = (
    activations,
    arithmetic,
    control,
    conv,
    conv_transpose,
    detection,
    fused,
    generate,
    indexing,
    logic,
    matrix,
    norm,
    order,
    pad,
    pool,
    qlinear,
    quantised,
    recurrent,
    reduce,
    resize,
    sampling,
    sequence,
    shape,
)
