"""``fastconv bench --filters``: filters of pictures beside SciPy, OpenCV, scikit-image and astropy, in one process.

Called by `fastconv.cli`.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import fastconv
from fastconv.bench.commands.arguments import chosen_peers
from fastconv.bench.measure.timer import Pace, Timer
from fastconv.bench.runners.filters import LIBRARIES, Picture, calls_of, filter_names, libraries, pictures
from fastconv.commands.error import CommandError
from fastconv.commands.files import check_target, writing
from fastconv.commands.printable import printable
from fastconv.machine.processor import processor_name
from fastconv.text import ABSENT, duration, table_lines

# Threads that spin after their work need the pause; what takes seconds is called a few times.
_PACE = Pace(rounds=9, least=2, block=0.01, rest=0.005, warm=True, enough=0.4)


@dataclass(frozen=True)
class FilterRow:
    """A filter of a picture: the median seconds of each library."""

    name: str
    picture: Picture
    seconds: dict[str, float]


def run_filter_bench(arguments: argparse.Namespace) -> int:
    """Do what the arguments say.

    Returns
    -------
    int
        0.

    Raises
    ------
    CommandError
        If an argument is not for filters.
    """
    if arguments.operation is not None or arguments.network is not None:
        raise CommandError("--filters measures filters of pictures: no operation, and no network")
    if arguments.json:
        check_target("--json", arguments.json)
    threads = arguments.threads or fastconv.get_num_threads()
    found, missing = libraries(threads)
    wanted = chosen_peers(arguments, LIBRARIES)
    if wanted is not None:
        found = {name: module for name, module in found.items() if name in wanted}
        missing = {name: why for name, why in missing.items() if name in wanted}
    chosen = [picture for picture in pictures() if arguments.filters in ("all", picture.size)]
    rows = []
    with fastconv.num_threads(threads), _progress(sum(len(filter_names(each)) for each in chosen)) as show:
        for picture in chosen:
            x = picture.pixels()
            for name in filter_names(picture):
                show(f"{name}, {picture.dtype} {picture.colour}, {picture.size}")
                calls = calls_of(name, x, found, threads)
                for call in calls.values():
                    call()
                samples = Timer(calls, _PACE).run()
                rows.append(FilterRow(name, picture, {who: median(times) for who, times in samples.items()}))
    told = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "threads": threads,
        "versions": {
            name: str(getattr(_package(module), "__version__", "")) for name, module in found.items()
        },
        "left_out": missing,
        "rows": [asdict(row) for row in rows],
    }
    print("\n".join(_lines(told, rows, ["fastconv", *found])))
    if arguments.json:
        text = json.dumps(told, indent=2) + "\n"
        writing(arguments.json, lambda path: path.write_text(text, encoding="utf-8"))
        print(f"Results: {printable(str(arguments.json.resolve()))}")
    return 0


def _package(module: Any) -> Any:
    return sys.modules[module.__name__.partition(".")[0]]


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """What is shown on standard error of each of so many steps before it: a bar, or a line where it is no terminal."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        count = itertools.count(1)
        yield lambda text: console.print(f"{next(count)} of {total}: {text}", soft_wrap=True)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    # Drawn between the steps only: a thread that draws would be measured, too.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=total)
        done = itertools.count()
        yield lambda text: bar.update(task, completed=next(done), description=text, refresh=True)


def _lines(told: dict[str, Any], rows: Sequence[FilterRow], names: Sequence[str]) -> Iterator[str]:
    yield f"{told['processor']}, {told['threads']} threads; medians, behind them how often fastconv's they are"
    for picture in dict.fromkeys(row.picture for row in rows):
        yield ""
        yield f"{picture.size}, {picture.dtype}, {picture.colour}"
        yield from table_lines(
            [
                ["filter", *names],
                *(
                    [row.name, *(_cell(row, name) for name in names)]
                    for row in rows
                    if row.picture == picture
                ),
            ]
        )
    yield ""
    for name in names[1:]:
        ratios = [row.seconds[name] / row.seconds["fastconv"] for row in rows if name in row.seconds]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            least = min(ratios)
            yield f"{name}: {mean:.2f} times fastconv's time in the geometric mean, {least:.2f} at least"
    for name, why in told["left_out"].items():
        yield f"{name} is left out: {why}"


def _cell(row: FilterRow, name: str) -> str:
    if name not in row.seconds:
        return ABSENT
    text = duration(row.seconds[name])
    return text if name == "fastconv" else f"{text} ({row.seconds[name] / row.seconds['fastconv']:.2f}x)"
