"""Tables of measurements for pages of documentation: what each kernel reaches, what each idea gains, and the threads.

Called by ``bench/pages.py``, which writes them into README.md and docs/; that of the threads by `commands/run.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import geometric_mean

from fastconv.bench.layers.layer import Layer
from fastconv.bench.measure.results import Results, Row
from fastconv.bench.measure.session import NOISE
from fastconv.bench.report.markdown import layer_lines, markdown_text
from fastconv.bench.report.summary import Summary
from fastconv.bench.report.text import share_text
from fastconv.bench.runners.backend import UNFOLD
from fastconv.text import ABSENT, counted, digits

CHOSEN = "cython"  # the runner whose algorithm is the one that is chosen
IDEAS = {"no columns": "direct", "Winograd": "winograd", "`fft`": "fft"}


def machine(results: Results) -> str:
    """On what that was measured, and how quiet it was: one sentence."""
    settings, config = results.settings, results.config
    libraries = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    peers = f"; {libraries}" if libraries else ""
    return (
        f"Measured on {markdown_text(str(config.get('processor')))}, {counted(settings.threads, 'thread')}, "
        f"{config.get('build', {}).get('instruction_set', '')}, {settings.dtype}, on {results.date[:10]}{peers}. "
        f"Noise: {digits(results.noise)}{', the machine was not quiet' if results.noise > NOISE else ''}."
    )


def times(results: Results) -> Iterator[str]:
    """Microseconds of all runners, a table for each group."""
    summary = Summary(results)
    for group in results.groups:
        if len(results.groups) > 1:
            yield from (f"{markdown_text(group)}:", "")
        yield from (*layer_lines(summary, group), "")


def bounds(results: Results) -> Iterator[str]:
    """For each layer of the chosen runner, by its algorithm: bound, reached, and what binds."""
    yield from _table("algorithm", "layer", "µs", "bound µs", "bound by", "reached")
    rows = sorted(results.of(runner=CHOSEN), key=lambda row: row.detail or "~pooling")
    for row in rows:
        named = f"`{row.detail}`" if row.detail else "pooling"
        yield _line(
            named, markdown_text(row.layer.name), digits(1e6 * row.time), digits(1e6 * row.bound), row.limit or ABSENT,
            share_text(row),
        )  # fmt: skip


def summary_line(results: Results) -> str:
    """How the chosen runner stands, in one sentence."""
    standings = Summary(results).standings
    if CHOSEN not in standings.index:
        return "Nothing to compare with."
    found = standings.loc[CHOSEN]
    worst = results.rows[int(found["worst"])]
    ratio = Summary(results).ratios[int(found["worst"])]
    return (
        f"{digits(float(found['mean']))} times as fast as the fastest peer of each layer in the geometric mean of "
        f"{int(found['layers'])} layers, ahead on {int(found['ahead'])}; the smallest ratio is {digits(ratio)} "
        f"({markdown_text(worst.layer.name)})."
    )


def short(results: Results, names: Sequence[str]) -> Iterator[str]:
    """Some layers: the chosen runner beside the best peer."""
    yield from _table("layer", "fastconv, µs", "best peer, µs", "", "ratio", "reached")
    for layer in _layers(results):
        if layer.name in names:
            rows = [row for row in results.rows if row.layer == layer]
            own = next(row for row in rows if row.runner == CHOSEN)
            best = min((row for row in rows if row.peer), key=lambda row: row.time, default=None)
            peer = (ABSENT, ABSENT, ABSENT) if best is None else (
                digits(1e6 * best.time), markdown_text(best.runner), digits(best.time / own.time)
            )  # fmt: skip
            yield _line(
                markdown_text(layer.name), digits(1e6 * own.time), *peer, f"{share_text(own)} ({own.limit})"
            )


def ideas(results: Results) -> Iterator[str]:
    """How many times as fast as im2col the later ideas are, and how slow the whole matrix is."""
    yield from _table("layer", "whole matrix, µs", "`im2col`, µs", *IDEAS, "chosen")
    for layer in _layers(results):
        rows = {row.runner: row for row in results.rows if row.layer == layer}
        im2col = rows.get(f"{CHOSEN} im2col")
        cells = [_micros(rows.get(f"{CHOSEN} {UNFOLD}")), _micros(im2col)]
        for idea in IDEAS.values():
            among = [row for name, row in rows.items() if name != CHOSEN and _idea(row.detail) == idea]
            best = min(among, key=lambda row: row.time, default=None)
            if best is None or im2col is None:
                cells.append(ABSENT)
            else:
                cells.append(f"{digits(im2col.time / best.time)} `{best.detail}`")
        chosen = rows.get(CHOSEN)
        yield _line(markdown_text(layer.name), *cells, f"`{chosen.detail}`" if chosen else ABSENT)


def _idea(algorithm: str) -> str:
    if algorithm in ("im2col", UNFOLD):
        return ""
    return next((idea for idea in ("winograd", "fft") if algorithm.startswith(idea)), "direct")


def threading(results: Results) -> Iterator[str]:
    """Microseconds with threads of both layers, in each situation, and the geometric mean of their ratios."""
    found = {(p.situation, p.layer, p.threading, p.threads): p.seconds for p in results.threading}
    situations = list(dict.fromkeys(p.situation for p in results.threading))
    most = results.settings.threads
    layers = list(dict.fromkeys(p.layer for p in results.threading))
    for situation in situations:
        columns = [("pool", most), ("openmp", most)]
        columns += [("pool", 1)] if (situation, layers[0], "pool", 1) in found and most > 1 else []
        heads = [name if n == most else "one thread" for name, n in columns]
        yield from (f"{situation[0].upper()}{situation[1:]}:", "")
        yield from _table("layer", *(f"{head}, µs" for head in heads), "openmp / pool")
        ratios = []
        for layer in layers:
            seconds = [found.get((situation, layer, *column), math.nan) for column in columns]
            ratios.append(seconds[1] / seconds[0])
            yield _line(markdown_text(layer), *(digits(1e6 * value) for value in seconds), digits(ratios[-1]))
        known = [ratio for ratio in ratios if math.isfinite(ratio)]
        mean = digits(geometric_mean(known)) if known else ABSENT
        yield from (_line("**geometric mean**", *[" "] * len(columns), f"**{mean}**"), "")


def busy(results: Results, quiet: Results) -> Iterator[str]:
    """Beside a neighbour, and the same layers without one."""
    yield from _table("layer", "quiet, µs", "busy, µs", "busy / quiet", "best peer, busy, µs", "peer / busy")
    before = {row.layer: row.time for row in quiet.of(runner=CHOSEN)}
    slower = []
    for row in results.of(runner=CHOSEN):
        if row.layer in before:
            slower.append(row.time / before[row.layer])
            best = min((r.time for r in results.rows if r.peer and r.layer == row.layer), default=math.nan)
            numbers = (1e6 * before[row.layer], 1e6 * row.time, slower[-1], 1e6 * best, best / row.time)
            yield _line(markdown_text(row.layer.name), *map(digits, numbers))
    if slower:
        middle = sorted(slower)[len(slower) // 2]
        yield from ("", f"The median of busy / quiet is {digits(middle)}, the largest {digits(max(slower))}.")


def compared(first: Results, second: Results, *names: str) -> Iterator[str]:
    """The same layers in two measurements, by names for these."""
    yield from _table("layer", *(f"{name}, µs" for name in names), " / ".join(names))
    times_of = {row.layer: row.time for row in second.of(runner=CHOSEN)}
    for row in first.of(runner=CHOSEN):
        if row.layer in times_of:
            other = times_of[row.layer]
            yield _line(
                markdown_text(row.layer.name),
                digits(1e6 * row.time),
                digits(1e6 * other),
                digits(row.time / other),
            )


TABLES: dict[str, Callable[[Results], Iterator[str]]] = {
    "times": times, "bounds": bounds, "ideas": ideas, "threading": threading,
}  # fmt: skip


def _layers(results: Results) -> list[Layer]:
    return list(dict.fromkeys(row.layer for row in results.rows))


def _micros(row: Row | None) -> str:
    return ABSENT if row is None else digits(1e6 * row.time)


def _table(*heads: str) -> Iterator[str]:
    yield _line(*heads)
    yield _line("---", *["---:"] * (len(heads) - 1))


def _line(*cells: str) -> str:
    return f"| {' | '.join(_filled(cells))} |"


def _filled(cells: Iterable[str]) -> list[str]:
    return [cell or " " for cell in cells]
