"""What one measurement found, as a line of the tuning file; read from whoever wrote it, and written.

Called by `store.py` and `choice.py`; knows no file and no backend.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastconv.problem.convolution import ConvProblem

FORMAT = "fastconv tuning 1"
MOST_BYTES = 64 << 20  # of a file
MOST_LETTERS = 1000  # of a text in it
MOST_KERNELS = 100


class Machine(NamedTuple):
    """What times, and the meaning of a kernel's name, hold for.

    Attributes
    ----------
    processor : str
        Its name, as the system gives it, family and model.
    isa : str
        The instruction set of the kernels.
    version : str
        That of fastconv, whose kernels they are.
    """

    processor: str
    isa: str
    version: str


@dataclass(frozen=True)
class Entry:
    """The kernel that was measured to be the fastest for a problem.

    Parameters
    ----------
    processor, isa, version : str
        Where it was measured: the processor's name, the instruction set and the version of fastconv.
    problem : str
        The convolution in words, sizes and options: equal problems have equal texts.
    kernel : str
        The fastest one, a name of `fastconv.algorithms`.
    microseconds : dict
        Medians of a call, of the kernels that were measured.
    threads : int
        How many the calls were allowed to use.
    date : str
        When it was measured.
    """

    processor: str
    isa: str
    version: str
    problem: str
    kernel: str
    microseconds: dict[str, float] = field(hash=False)
    threads: int
    date: str

    @property
    def machine(self) -> Machine:
        """Where it holds."""
        return Machine(self.processor, self.isa, self.version)


Key = tuple[Machine, str]
Entries = dict[Key, Entry]


class Content(NamedTuple):
    """The entries of a file, and how many others in it are malformed."""

    entries: Entries
    malformed: int


def in_words(p: ConvProblem) -> str:
    """All of a problem that a kernel's speed, and which kernels accept it, depend on."""
    kind = ["transposed convolution" if p.transposed else "convolution", p.layout, str(p.dtype), p.precision]
    if p.algorithm is not None:
        kind.append(p.algorithm)
    options = {
        "kernel": p.kernel,
        "stride": p.stride,
        "padding": p.padding,
        "dilation": p.dilation,
        "groups": (p.groups,),
    }
    sizes = [
        f"{_by(p.operand_shape)} -> {_by(p.result_shape)}",
        *(f"{name} {_by(value)}" for name, value in options.items()),
    ]
    return ", ".join([" ".join(kind), *sizes])


def _by(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))


def as_text(entries: Entries) -> str:
    """The content of a file, in an order of its own: equal entries give equal files."""
    rows = [dataclasses.asdict(entry) for _, entry in sorted(entries.items())]
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    return f'{{"format": {json.dumps(FORMAT)}, "entries": [\n{lines}\n]}}\n'


def from_text(data: bytes) -> Content:
    """The entries of a file; an empty one has none.

    Raises
    ------
    ValueError
        If it is no tuning file.
    """
    if not data.strip():
        return Content({}, 0)
    try:
        content = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"it does not say that its format is {FORMAT!r}")
    rows = content.get("entries")
    if not isinstance(rows, list):
        raise ValueError("it has no list of entries")
    read = [_entry(row) for row in rows]
    entries = {(entry.machine, entry.problem): entry for entry in read if entry is not None}
    return Content(entries, read.count(None))


def _entry(row: Any) -> Entry | None:
    """None where it is malformed."""
    fields = {of_entry.name for of_entry in dataclasses.fields(Entry)}
    if not isinstance(row, dict) or row.keys() != fields:
        return None
    times, threads = row["microseconds"], row["threads"]
    texts = [row[name] for name in fields - {"microseconds", "threads"}]
    if not isinstance(times, dict) or len(times) > MOST_KERNELS or row["kernel"] not in [*times]:
        return None
    if not all(map(_is_text, [*texts, *times])) or not all(map(_is_time, times.values())):
        return None
    if type(threads) is not int or not 1 <= threads < 1 << 31:
        return None
    return Entry(**row)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_LETTERS and value.isprintable()


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf
