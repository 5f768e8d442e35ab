"""Writes the tables of README.md and docs/ from what was measured: the files of ``docs/measured/PROCESSOR/``.

    python bench/pages.py           # write
    python bench/pages.py --check   # say which pages are not what the files give

A page has the places for them: what stands between ``<!-- measured KIND FILE -->`` and ``<!-- /measured -->`` is
replaced, for every processor that has the file. `record.py` measures, and calls this at its end.
"""

import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

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
    file, _, group = name.partition("@")
    path = folder / f"{file}.json"
    if not path.exists():
        return None
    results = load(path)
    return replace(results, rows=results.of(group)) if group else results


def of_one(kind, results, *others):
    """The lines of one processor; those of more than a sentence end with what was measured, and how."""
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
