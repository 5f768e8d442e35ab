"""Cuts an array into parts that a whole filter is applied to, one at a time: those of stacks and of memory-mapped
files, and the parts of an array that missing pixels reach.

Called by the linear filters (`application.py`), those of order (`ordered.py`) and what is made of either. What
`blocks.py` cuts is padded and seen by windows; a part is an array like the whole, with the neighbours that windows
reach, so that any filter can be applied to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from fastconv.execution.memory import empty, memory_errors
from fastconv.filtering import arguments as read
from fastconv.filtering.arguments import OutputLike
from fastconv.filtering.blocks import Reach
from fastconv.progress import Progress, ProgressLike
from fastconv.settings.threads import get_num_threads
from fastconv.text import echo
from fastconv.typing import Array

# Filters an array into another; the mask of the result, where there is one.
Into = Callable[[Array, Array], Array | None]

_REGION = 256  # pixels along each of the last two axes
SLAB_BYTES = 1 << 25  # of a slab as float64
LARGE_BYTES = 1 << 30  # of an array as float64 that is done slab by slab
# For each thread, of a slab of what makes arrays of its own as large as what it filters.
ROOM_BYTES = 7 << 19
_SEVERAL = 4  # slabs from which such an array is done slab by slab


class Part(NamedTuple):
    """A region of an array with its neighbours, and where the region lies in it."""

    x: Array
    inner: tuple[slice, ...]


def part(x: Array, reaches: Sequence[Reach], region: tuple[slice, ...]) -> Part:
    """What a filter has to be applied to for that region of its result.

    At an end of the array the part ends, too, and the filter finds the same border there; only the other end of an axis
    that is wrapped round is copied to where it is seen. A view of `x` everywhere else. A result that is longer or
    shorter than the array is so by as much for its parts.
    """
    inner = []
    for axis, (size, each, along) in enumerate(zip(x.shape, reaches, region, strict=True)):
        if along.stop - along.start == size:
            inner.append(along)
            continue
        start, stop = along.start - each.before, along.stop + each.after
        if start < 0 or stop > size:  # borders mirror pixels from the other side of a window
            start, stop = min(along.start, size) - each.extent, along.stop + each.extent
        if each.mode == "circular" and each.extent and (start < 0 or stop > size):
            x = np.take(x, np.arange(start, stop) % size, axis)
        else:
            start, stop = max(start, 0), min(stop, size)
            x = x[(slice(None),) * axis + (slice(start, stop),)]
        inner.append(slice(along.start - start, along.stop - start))
    return Part(x, tuple(inner))


def slabs(shape: tuple[int, ...], reach: Reach, numbers: int) -> list[slice]:
    """Parts of the first axis of so many numbers, with neighbours; several times as long as windows reach along it.

    They are about as long as each other, so that each can have the memory of the one before.
    """
    row = max(1, math.prod(shape[1:]))
    length = max(1, numbers // row - reach.extent, 4 * reach.extent)
    length = max(1, -(-shape[0] // max(1, -(-shape[0] // length))))
    return [slice(start, min(start + length, shape[0])) for start in range(0, shape[0], length)]


def touched_regions(touched: Array, reaches: Sequence[Reach]) -> Iterator[tuple[slice, ...]]:
    """Regions that hold all that is true, several times as long as windows reach."""
    least = [1] * max(0, touched.ndim - 2) + [_REGION] * min(2, touched.ndim)
    steps = [max(step, 4 * each.extent) for step, each in zip(least, reaches, strict=True)]
    counts = [range(0, n, step) for n, step in zip(touched.shape, steps, strict=True)]
    for corner in product(*counts):
        region = tuple(
            slice(start, min(start + step, n))
            for start, step, n in zip(corner, steps, touched.shape, strict=True)
        )
        if touched[region].any():
            yield region


def slab_numbers(
    input: Array, output: OutputLike, progress: ProgressLike | None, room: int | None = None
) -> int | None:
    """How many numbers a slab has where an array is to be done slab by slab, else None.

    So are a large one, one in a file, one whose progress is to be told; one of which what filters it makes others with
    so many bytes of `room` for each number; and one that does not lie in a row, or not in the machine's byte order,
    from a size on: it is copied.
    """
    if input.ndim and not (input.dtype.isnative and input.strides[-1] == input.itemsize):
        numbers = ROOM_BYTES * get_num_threads() // input.itemsize
        if input.size > numbers:
            return numbers
    if room is not None and input.size * room > _SEVERAL * ROOM_BYTES:
        numbers = ROOM_BYTES * get_num_threads() // room
        if input.size > _SEVERAL * numbers:
            return numbers
    if progress or isinstance(input, np.memmap) or isinstance(output, np.memmap):
        return SLAB_BYTES // 8
    return SLAB_BYTES // 8 if 8 * input.size > LARGE_BYTES else None


def check_progress(op: str, progress: ProgressLike | None) -> None:
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise TypeError(f"{op}: progress is {echo(progress)}, but needs True, False or a function")


def apply(
    op: str,
    into: Into,
    reach: Reach | None,
    x: Array,
    output: OutputLike,
    progress: ProgressLike | None,
    *,
    complex_result: bool = False,
    room: int | None = None,
) -> Array:
    """What `into` makes of the array, with the mask that it gives; slab by slab where that is wanted.

    `reach` is how far it reaches along the first axis; None where that cannot be cut. `room` is how many bytes for each
    number the arrays have that it makes itself, where it does.
    """
    check_progress(op, progress)
    data = np.ma.getdata(x) if isinstance(x, np.ma.MaskedArray) else x
    out = read.result_array(output, data, complex_result=complex_result)
    numbers = slab_numbers(x, output, progress, room)
    with memory_errors(op):
        mask = into(x, out) if numbers is None else _in_slabs(op, into, reach, x, out, progress, numbers)
    return read.with_mask(out, mask, output)


def _places(x: Array) -> tuple[object, ...]:
    return np.ma.getdata(x).__array_interface__["data"][0], x.strides, x.shape, x.dtype


def _in_slabs(
    op: str,
    into: Into,
    reach: Reach | None,
    x: Array,
    out: Array,
    progress: ProgressLike | None,
    numbers: int,
) -> Array | None:
    """`x`, filtered into `out` slab by slab, and the mask of the result.

    A result that lies where the array does is cut only where each slab reads and writes the very same places.
    """
    x = x if np.ma.isMaskedArray(x) else np.asarray(x)
    if not x.ndim:
        mask = into(x, out)
        Progress(progress or False, 0, 1, "slabs")(1)
        return mask
    mask = into(x[:0], out[:0])  # refuses what does not fit before anybody is told that work has begun
    if reach is None or (np.may_share_memory(x, out) and (reach.extent or _places(x) != _places(out))):
        told = Progress(progress or False, 0, 1, "slabs")
        mask = into(x, out)
        told(1)
        return mask
    if mask is not None:
        mask = np.zeros(out.shape, bool)
    parts = slabs(out.shape, reach, numbers)
    told = Progress(progress or False, 0, len(parts), "slabs")
    along = [reach, *(Reach() for _ in out.shape[1:])]
    for count, rows in enumerate(parts, 1):
        piece = part(x, along, (rows, *(slice(0, n) for n in out.shape[1:])))
        first = rows.start - piece.inner[0].start
        if first >= 0 and first + len(piece.x) <= len(out):
            # The neighbours' results are wrong: those of the slab before are put back, others are still to come.
            before = out[first : rows.start].copy()
            missing = into(piece.x, out[first : first + len(piece.x)])
            out[first : rows.start] = before
        else:  # wrapped round
            target = empty(op, piece.x.shape, out.dtype)
            missing = into(piece.x, target)
            out[rows] = target[piece.inner]
        if mask is not None and missing is not None:
            mask[rows] = missing[piece.inner]
        told(count)
    return mask
