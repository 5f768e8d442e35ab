"""Writes the tables of README.md and docs/ from what was measured: the files of ``docs/measured/PROCESSOR/``.

    python bench/pages.py           # write
    python bench/pages.py --check   # say which pages are not what the files give

A page has the places for them: what stands between ``<!-- measured KIND FILE -->`` and ``<!-- /measured -->`` is
replaced, for every processor that has the file. `record.py` measures, and calls this at its end. Files of whole
networks are ``FILE.jsonl``, with a line for each that ``fastconv bench --model NETWORK.onnx --json`` wrote (KIND
``models``), or ``--training`` (KIND ``training``).
"""

import json
import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import geometric_mean, median

from fastconv.bench.measure.results import Results
from fastconv.bench.report import pages

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "measured"
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/algorithms").glob("*.md")),
]
PLACE = re.compile(r"(<!-- measured ([^>]*?) -->\n).*?(<!-- /measured -->)", re.DOTALL)
PEERS = ("onnxruntime", "openvino")
COMPARED = {"layouts": ("NCHW", "NHWC"), "scaling": ("one thread", "all threads"), "isa": ("AVX2", "highest")}
SHORT = (
    "3x3 64->64, 56", "3x3 256->256, 14", "3x3/2 128->128, 56", "3x3 256->256, 56", "1x1 256->64, 56",
    "5x5 48->64, 35", "dilated 3x3 256->256, 33", "grouped 3x3 128, 56", "depthwise 3x3 144, 56",
    "transposed 4x4/2 128->64, 32", "max 2x2/2 64, 224", "avg 2x2/2 128, 56",
)  # fmt: skip


@cache
def load(path):
    return Results.load(path)


def rendered(text):
    """A page with its tables as the files give them."""
    return PLACE.sub(lambda place: f"{place[1]}{made(*place[2].split())}{place[3]}", text)


def made(kind, *names):
    """What belongs into a place: for each processor that has the files, in the order of their folders."""
    lines = []
    for folder in sorted(MEASURED.iterdir()):
        found = [part_of(folder, name) for name in names]
        if None not in found:
            lines += ["", *of_one(kind, *found)]
    return "\n".join([*lines, ""]).replace("\n\n\n", "\n\n").replace("\\>", ">").rstrip() + "\n\n"


def part_of(folder, name):
    """The results of ``FILE``, or those of a group, ``FILE@GROUP``; None where the folder has no such file."""
    lines = folder / f"{name}.jsonl"
    if lines.exists():
        return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    file, _, group = name.partition("@")
    path = folder / f"{file}.json"
    if not path.exists():
        return None
    results = load(path)
    return replace(results, rows=results.of(group)) if group else results


def of_one(kind, results, *others):
    """The lines of one processor; those of more than a sentence end with what was measured, and how."""
    if kind in OF_NETWORKS:
        return list(OF_NETWORKS[kind](results))
    if kind == "summary":
        return [f"{pages.machine(results)} fastconv is {pages.summary_line(results)}"]
    if kind == "short":
        table = pages.short(results, SHORT)
    elif kind == "busy":
        table = pages.busy(results, *others)
    elif kind in COMPARED:
        table = pages.compared(results, *others, *COMPARED[kind])
    else:
        table = pages.TABLES[kind](results)
    return [pages.machine(results), "", *table]


def models(found):
    """The lines of whole networks: milliseconds, and megabytes; the ratio is the median of those of the rounds."""
    first, days = found[0], sorted({one["date"][:10] for one in found})
    versions = ", ".join(f"{name} {first['versions'][name]}" for name in PEERS)
    yield (
        f"Measured on {first['processor']}, {first['threads']} threads, float32, {' and '.join(days)}; {versions}. "
        "Milliseconds and MB, of fastconv, ONNX Runtime and OpenVINO:"
    )
    yield from ("", "| network | input | call | best peer / fastconv | file to first result | peak memory |")
    yield "|---|---|---:|---:|---:|---:|"
    ratios = []
    for one in found:
        rows = {row["runner"]: row for row in one["rows"]}
        three = [rows.get(name) for name in ("cython", *PEERS)]
        timed = [row["seconds"] for row in three if row is not None]
        ratio = median(min(peers) / own for own, *peers in zip(*timed, strict=False))
        ratios.append(ratio)
        shapes = "; ".join("x".join(map(str, shape)) or "1" for shape in one["inputs"].values())
        cells = [
            " / ".join("-" if row is None else f"{scale * row[what]:.{places}f}" for row in three)
            for what, scale, places in (("median", 1e3, 2), ("load_seconds", 1e3, 0), ("peak_bytes", 1e-6, 0))
        ]
        name = Path(one["model"]).stem
        yield f"| {name} | {shapes} | {cells[0]} | {ratio:.2f} | {cells[1]} | {cells[2]} |"
    yield from (
        "",
        f"The geometric mean of the ratios is {geometric_mean(ratios):.2f}, the least {min(ratios):.2f}.",
    )


def training(found):
    """The lines of training steps, layout by layout: times, and memory, each beside PyTorch's."""
    first, days = found[0], sorted({one["date"][:10] for one in found})
    yield (
        f"Measured on {first['processor']}, {first['threads']} threads, float32, {' and '.join(days)}; PyTorch "
        f"{first['versions']['pytorch']}. Milliseconds of a step and MB, of fastconv and PyTorch:"
    )
    yield from ("", "| network | batch | layout | step | PyTorch / fastconv | peak memory |")
    yield "|---|---:|---|---:|---:|---:|"
    ratios = {}
    for one in found:
        for own in (row for row in one["rows"] if not row["peer"]):
            where = own["network"], own["batch"]
            peer = next(row for row in one["rows"] if row["peer"] and (row["network"], row["batch"]) == where)
            ratios.setdefault(one["layout"], []).append(own["ratio"])
            times, peaks = (
                " / ".join(f"{scale * row[what]:.{places}f}" for row in (own, peer))
                for what, scale, places in (("median", 1e3, 1), ("peak_bytes", 1e-6, 0))
            )
            yield f"| {where[0]} | {where[1]} | {one['layout']} | {times} | {own['ratio']:.2f} | {peaks} |"
    means = " and ".join(f"{geometric_mean(values):.2f} in {layout}" for layout, values in ratios.items())
    yield from ("", f"The geometric mean of the ratios is {means}.")


OF_NETWORKS = {"models": models, "training": training}


def write_pages():
    """Returns the pages that were not as the files have them."""
    return [page for page in PAGES if _write(page)]


def _write(page):
    before = page.read_text(encoding="utf-8")
    after = rendered(before)
    if after != before:
        page.write_text(after, encoding="utf-8")
    return after != before


def main():
    if "--check" in sys.argv[1:]:
        stale = [page for page in PAGES if rendered(text := page.read_text(encoding="utf-8")) != text]
        for page in stale:
            print(f"{page.relative_to(ROOT)} is not what docs/measured gives: python bench/pages.py")
        return int(bool(stale))
    for page in write_pages():
        print(f"written: {page.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
