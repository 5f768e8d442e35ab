"""Packs constant weights for kernels, and lets go of what they were made of. Called by `lowering.py`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from fastconv.backends.cython import BACKEND
from fastconv.graph.pages import PIECE, Blocks, forget_pages
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# The kernel that packs the filters of a dense layer in blocks, one after the other, and a multiple of their size.
_IN_BLOCKS, _FILTERS = "direct_channels", 64


def packed_weights(problem: ConvProblem, weight: Array, blocks: Blocks) -> Array:
    """Weights of NCHW in the form of the problem's kernel; large ones of dense layers in parts, so that a file's pages
    and all that is made of them are not in memory at once."""
    rows = PIECE * problem.filters // max(weight.nbytes, 1) // _FILTERS * _FILTERS
    dense = problem.kernel == (1, 1) and problem.groups == 1 and not problem.transposed
    if not dense or not 0 < rows < problem.filters or BACKEND.algorithm(problem) != _IN_BLOCKS:
        return BACKEND.prepare(problem, blocks.readable(weight), planar=True, allocate=blocks.take)[1]
    packed = rest = blocks.take(BACKEND.work(problem).weight_bytes)
    for first in range(0, problem.filters, rows):
        piece = weight[first : first + rows]
        part = replace(problem, filters=len(piece), algorithm=_IN_BLOCKS)
        made = rest[: BACKEND.work(part).weight_bytes]
        BACKEND.prepare(part, blocks.readable(piece), planar=True, allocate=partial(_itself, made))
        rest = rest[len(made) :]
        forget_pages(piece)
    return packed


def _itself(memory: Array, size: int) -> Array:
    assert size == len(memory), "the kernel's packing is not what this file says"
    return memory
