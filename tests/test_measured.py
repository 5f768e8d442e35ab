"""The tables of README.md and docs/ are what the files of docs/measured/ give; and how they are made."""

import dataclasses
import importlib.util
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("pandas")
pytest.importorskip("threadpoolctl")

from fastconv.bench.layers.layer import conv
from fastconv.bench.measure.results import Results, ThreadingPoint
from fastconv.bench.measure.threading import FORK, PAUSE, QUIET
from fastconv.bench.report import pages as tables
from made_up_results import a_row, empty, full

BENCH = Path(__file__).parents[1] / "bench"
if not BENCH.exists():
    pytest.skip("the benchmarks are not part of the package", allow_module_level=True)


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = load("pages")


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_files(page):
    text = page.read_text(encoding="utf-8")
    assert pages.rendered(text) == text, "run python bench/pages.py"


def test_places_are_complete_and_have_files():
    text = "".join(page.read_text(encoding="utf-8") for page in pages.PAGES)
    places = pages.PLACE.findall(text)
    assert len(places) == text.count("<!-- measured ") == text.count("<!-- /measured -->") > 10
    for _, words, _ in places:
        assert pages.made(*words.split()).strip(), words


def test_every_file_names_its_processor_and_is_shown():
    text = "".join(page.read_text(encoding="utf-8") for page in pages.PAGES)
    shown = set(re.findall(r"<!-- measured \w+ ([^>]*?) -->", text))
    names = {name.partition("@")[0] for words in shown for name in words.split()} | {"networks"}
    files = sorted(pages.MEASURED.rglob("*.json"))
    assert files
    for file in files:
        assert Results.load(file).config["processor"]
        assert file.stem in names


def test_what_is_recorded_is_what_is_shown(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCH), *sys.path])
    record = load("record")
    text = "".join(page.read_text(encoding="utf-8") for page in pages.PAGES)
    words = " ".join(words for _, words, _ in pages.PLACE.findall(text))
    assert {re.sub("@.*", "", word) for word in words.split()} & set(record.PARTS) == set(record.PARTS)


def test_a_place_is_filled_for_each_processor(monkeypatch, tmp_path):
    for name, processor in (("one", "Some 1"), ("two", "Other 2")):
        (tmp_path / name).mkdir()
        results = full()
        results.config["processor"] = processor
        results.save(tmp_path / name / "nchw.json")
    (tmp_path / "without").mkdir()
    monkeypatch.setattr(pages, "MEASURED", tmp_path)
    page = "a\n<!-- measured bounds nchw@small -->\nold\n<!-- /measured -->\nb\n"
    made = pages.rendered(page)
    assert made.startswith("a\n<!-- measured bounds nchw@small -->\n\nMeasured on Some 1, 2 threads")
    assert made.endswith("\n\n<!-- /measured -->\nb\n")
    assert "Measured on Other 2" in made
    assert "old" not in made
    assert made.count("stem") == 2
    assert pages.rendered(made) == made


def test_the_machine_is_named_and_how_quiet_it_was():
    results = full()
    results.config["processor"] = "Some 1"
    text = tables.machine(results)
    assert text.startswith("Measured on Some 1, 2 threads, avx2, float32, on 2026-01-02; torch 2.0, ")
    assert text.endswith("Noise: 1.25, the machine was not quiet.")
    results.rows = [dataclasses.replace(row, seconds=(1.0, 1.0)) for row in results.rows]
    assert tables.machine(results).endswith("Noise: 1.00.")


def test_bounds_say_what_binds():
    lines = list(tables.bounds(full()))
    stem = next(line for line in lines if "stem" in line)
    assert stem.endswith("| 110 | 100 | L2 | 91 % |")


def test_summary_names_the_worst():
    layers = [conv(name, (1, 8, 8, 8), 8, 3) for name in "ab"]
    rows = [a_row("net", layer, "cython", [1e-3]) for layer in layers]
    rows += [a_row("net", layers[0], "x", [2e-3], True), a_row("net", layers[1], "x", [5e-4], True)]
    assert tables.summary_line(empty(rows=rows)) == (
        "1.00 times as fast as the fastest peer of each layer in the geometric mean of 2 layers, ahead on 1; "
        "the smallest ratio is 0.50 (b)."
    )
    assert list(tables.short(empty(rows=rows), ("b",)))[2:] == ["| b | 1,000 | 500 | x | 0.50 | 10 % (L2) |"]


def test_ideas_are_related_to_im2col():
    layer = conv("a", (1, 8, 8, 8), 8, 3)
    algorithms = {"unfold": 8, "im2col": 4, "direct_pixels": 5, "direct_channels": 2, "winograd4": 1}
    rows = [
        a_row("ideas", layer, f"cython {name}", [n * 1e-6], detail=name) for name, n in algorithms.items()
    ]
    rows.append(a_row("ideas", layer, "cython", [1e-6], detail="winograd4"))
    assert list(tables.ideas(empty(rows=rows)))[2:] == [
        "| a | 8.00 | 4.00 | 2.00 `direct_channels` | 4.00 `winograd4` | - | `winograd4` |"
    ]


def test_threading_has_a_table_for_each_situation():
    points = [
        ThreadingPoint(situation, "a", name, 2, n * 1e-6)
        for situation in (QUIET, PAUSE, FORK) for name, n in (("pool", 2), ("openmp", 5))
    ]  # fmt: skip
    points.append(ThreadingPoint(PAUSE, "a", "pool", 1, 3e-6))
    lines = list(tables.threading(empty(threading=points)))
    assert [line for line in lines if line.endswith(":")] == [
        "Quiet:",
        "After a pause:",
        "First call after fork:",
    ]
    assert lines.count("| a | 2.00 | 5.00 | 2.50 |") == 2
    assert "| a | 2.00 | 5.00 | 3.00 | 2.50 |" in lines


def test_a_neighbour_is_compared_with_quiet():
    quiet, busy = full(), full()
    busy.rows = [dataclasses.replace(row, seconds=tuple(2 * s for s in row.seconds)) for row in busy.rows]
    lines = list(tables.busy(busy, quiet))
    assert lines[-1] == "The median of busy / quiet is 2.00, the largest 2.00."
    assert next(line for line in lines if "stem" in line).endswith("| 110 | 220 | 2.00 | 330 | 1.50 |")
    assert next(iter(tables.compared(quiet, busy, "A", "B"))) == "| layer | A, µs | B, µs | A / B |"
