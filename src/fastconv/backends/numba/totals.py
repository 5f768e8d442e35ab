"""Sums that keep their digits, however many terms they have; used by what sums over windows, images and batches.

At most `PART` terms are added one after the other. Such a part goes into a total, and what rounding takes from the
total is added to the next part (Kahan 1965): the error is that of one part.
"""

from __future__ import annotations

from typing import Any

from fastconv.backends.numba.compile import device, unsigned
from fastconv.typing import Array

PART = 16


@device
def add_part(total: Any, rest: Any, part: Any) -> tuple[Any, Any]:
    """Of the total ``total + rest``. What an infinite sum loses is not a number: its rest is 0."""
    own = part + rest
    whole = total + own
    lost = own - (whole - total)
    return whole, lost if lost - lost == 0 else rest - rest


@device
def settle(parts: Array, start: int, stop: int, totals: Array, rests: Array) -> None:
    """Move the parts from `start` to `stop` to the totals."""
    for i in range(unsigned(start), unsigned(stop)):
        totals[i], rests[i] = add_part(totals[i], rests[i], parts[i])
        parts[i] = 0


@device
def take(totals: Array, rests: Array, count: int, sums: Array) -> None:
    """Put the first `count` totals into `sums`."""
    for i in range(unsigned(count)):
        sums[i] = totals[i] + rests[i]


@device
def settle_every(terms: int, parts: Array, count: int, totals: Array, rests: Array) -> None:
    """Before another term is added to the first `count` parts, which have got so many: every `PART` of them settle.

    `take_all` follows at the end. Few terms do not touch `totals` and `rests`.
    """
    if terms > 0 and terms % PART == 0:
        if terms == PART:
            for i in range(unsigned(count)):
                totals[i] = 0
                rests[i] = 0
        settle(parts, 0, count, totals, rests)


@device
def take_all(terms: int, parts: Array, count: int, totals: Array, rests: Array) -> None:
    """After the last of so many terms: the parts become the sums."""
    if terms > PART:
        settle(parts, 0, count, totals, rests)
        take(totals, rests, count, parts)


@device
def line_sum(line: Array, first: int, last: int, step: int) -> Any:
    """The sum of ``line[first:last:step]``."""
    total, rest, place = line.dtype.type(0), line.dtype.type(0), first
    while place < last:
        part, end = line.dtype.type(0), min(last, place + PART * step)
        # Not a range: with a step, that would cost a division.
        while place < end:
            part += line[place]
            place += step
        total, rest = add_part(total, rest, part)
    return total + rest
