"""The arithmetic, the file and the tables of a benchmark, from made-up results."""

import dataclasses
import io
import json
import math
import re

import pytest

pytest.importorskip("pandas")
pytest.importorskip("rich")

from rich.console import Console

from fastconv import text as texts
from fastconv.bench.layers.layer import conv
from fastconv.bench.measure.results import Results
from fastconv.bench.report import facts, markdown, tables
from fastconv.bench.report.summary import Summary
from made_up_results import ALL, LONG, a_row, empty, full, one_row


@pytest.fixture(params=ALL)
def results(request):
    return ALL[request.param]()


def test_arithmetic():
    layers = [conv(name, (1, 8, 8, 8), 8, 3) for name in "ab"]
    results = empty(
        rows=[
            a_row("net", layers[0], "cython", [3e-3, 1e-3, 2e-3], count=2),
            a_row("net", layers[0], "x", [4e-3, 4e-3, 6e-3], True, count=2),
            a_row("net", layers[0], "y", [3e-3, 3e-3, 3e-3], True, count=2),
            a_row("net", layers[1], "cython", [1e-3, 1e-3, 1.1e-3], count=3),
            a_row("net", layers[1], "x", [5e-4, 5e-4, 5e-4], True, count=3),
        ]
    )
    first, slow, best, second, fast = results.rows
    assert (first.time, first.spread) == (2e-3, pytest.approx(3))
    assert first.rate == pytest.approx(1e9)
    assert first.share == pytest.approx(0.05)
    ratios = {first: 1.5, slow: 0.75, best: 1, second: 0.5, fast: 1}
    summary = Summary(results)
    assert dict(zip(results.rows, summary.ratios, strict=True)) == pytest.approx(ratios)
    assert summary.best_peers == [best, fast]
    expected = {"cython": 2 * 2e-3 + 3 * 1e-3, "x": 2 * 4e-3 + 3 * 5e-4, "y": math.nan}
    assert summary.sums_of("net") == pytest.approx(expected, nan_ok=True)
    assert results.noise == pytest.approx(1.1)
    (standing,) = summary.standings.itertuples()
    assert (standing.Index, standing.mean) == ("cython", pytest.approx(math.sqrt(0.75)))
    assert (standing.layers, standing.ahead, results.rows[standing.worst]) == (2, 1, second)
    assert dict(summary.sum_ratios.loc["net"]) == pytest.approx(
        {"cython": 9.5 / 7, "x": 1, "y": math.nan}, nan_ok=True
    )
    assert [runner for runner, _ in summary.overview("net")] == ["cython", "x"]


def test_same_name_is_not_the_same_layer():
    small, large = conv("a", (1, 8, 8, 8), 8, 3), conv("a", (1, 8, 16, 16), 8, 3)
    results = empty(rows=[a_row("net", small, "cython", [1]), a_row("net", large, "x", [1], True)])
    assert all(map(math.isnan, (Summary(results).ratios[0], Summary(results).sums_of("net")["cython"])))
    assert results.layers("net") == [small, large]


def test_no_rows_are_no_noise():
    assert empty().noise == 1
    assert Summary(empty()).standings.empty
    assert Summary(empty()).sums.empty


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "-"), (0, "0.00"), (0.00123, "0.001"), (0.0512, "0.051"), (0.3, "0.30"), (9.994, "9.99"),
        (9.996, "10.0"), (99.96, "100"), (12345.6, "12,346"),
    ],
)  # fmt: skip
def test_digits(value, expected):
    assert texts.digits(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (4e-6, "4.00 µs"), (math.nan, "-")]
)
def test_duration(seconds, expected):
    assert texts.duration(seconds) == expected


def test_command_repeats_networks_and_layers():
    results = full()
    results.versions = {"pytorch": "2.0"}
    results.missing = {"opencv": "not there"}
    results.rows = [
        dataclasses.replace(row, group=f"net{end}") for end in ("", ", batch 8") for row in results.rows
    ]
    assert facts.command(results).startswith(
        "fastconv bench --network net --batch 1,8 --backends cython,numba,numpy --peers pytorch,opencv --threads 2"
    )
    assert facts.command(one_row()).startswith(
        "fastconv bench conv2d --x 1,3,8,8 --w 4,3,3,3 --padding 1,0,2,1 --backends cython --peers none --threads 2"
    )


def rendered(renderable, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_tables_fit_a_terminal():
    results = full()
    made_tables = [tables.network_table(results), tables.comparison_table(results, results)]
    made_tables.append(tables.overview_table(results))
    made_tables += [
        tables.layer_table(results, group, layer)
        for group in results.groups
        for layer in results.layers(group)
    ]
    for made in made_tables:
        text = rendered(made)
        assert max(map(len, text.splitlines())) <= 80
        assert LONG in rendered(made, 100)


def test_layer_table_shows_all_that_was_measured():
    results = full()
    layer = results.layers("small")[0]
    lines = rendered(tables.layer_table(results, "small", layer), 120).splitlines()
    assert "stem_7x7  1x3x32x32 * 8x3x7x7, stride 2, padding 3" in lines[0]
    own = next(line for line in lines if "cython" in line)
    assert own.split()[:8] == [
        "cython",
        "110",
        "1.25",
        "18.2",
        "100",
        "L2",
        "91",
        "1.50",
    ]
    assert next(line for line in lines if LONG in line).split()[2:9] == [
        "165",
        "1.25",
        "12.1",
        "100",
        "L2",
        "61",
        "1.00",
    ]


def test_overview_says_who_is_fastest_and_how_much_longer_others_take():
    lines = rendered(tables.overview_table(full()), 120).splitlines()
    small = next(line for line in lines if line.startswith("small"))
    assert small.split() == ["small", "cython", "1.54", "ms", LONG.split()[0], LONG.split()[1],
                             "1.50", "1.00", "2.00", "30.0"]  # fmt: skip


def test_columns_without_a_result_vanish():
    """Of peers, limits and algorithms, where none has one."""
    results = one_row()
    results.rows = [dataclasses.replace(row, bound=0.0, limit="") for row in results.rows]
    layer = tables.layer_table(results, "one layer", results.rows[0].layer)
    heads = [str(column.header).split("\n")[0] for column in layer.columns]
    assert heads == ["runner", "time", "slowest", "rate"]
    assert [str(column.header).split("\n")[0] for column in tables.network_table(results).columns] == [
        "network", "runner", "time",
    ]  # fmt: skip
    assert "peer" not in markdown.markdown_tables(results)
    assert "geometric mean" not in markdown.markdown_tables(results)


def rows_of(*runners, groups=("net",)):
    layers = [conv(name, (1, 8, 8, 8), 8, 3) for name in "ab"]
    return empty(rows=[
        a_row(group, layer, runner, [seconds], runner not in ("cython", "numpy"))
        for group in groups for layer in layers for runner, seconds in runners
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("results", "headline"),
    [
        (empty(), "Nothing was measured"),
        (one_row(peer=True), "No backend of fastconv was measured"),
        (one_row(), "cython takes 1.00 µs for one layer"),
        (rows_of(("cython", 1e-3)), "cython takes 2.00 ms for net"),
        (
            rows_of(("cython", 1e-3), ("numpy", 3e-3)),
            "cython takes 2.00 ms for net, 3.00 times as fast as numpy",
        ),
        (rows_of(("cython", 4e-3), ("x", 2e-3)), "cython takes 8.00 ms for net, 0.50 times as fast as x"),
        (
            rows_of(("cython", 4e-3), ("x", 2e-3), ("y", 3e-3)),
            "cython takes 8.00 ms for net, 0.50 times as fast as x, the fastest of 2 others",
        ),
        (
            rows_of(("cython", 1e-3), ("x", 2e-3), groups="pq"),
            "cython is 2.00 times as fast as x, over 4 layers",
        ),
        (
            rows_of(("numpy", 6e-3), ("cython", 1e-3), groups="pq"),
            "cython is 6.00 times as fast as numpy, over 4 layers",
        ),
        (rows_of(("cython", 1e-3), groups="pq"), "cython on 4 layers, compared with nothing"),
    ],
)
def test_headline(results, headline):
    assert Summary(results).headline() == headline


def test_tables_mark_the_best():
    results = full()
    made = tables.layer_table(results, "small", results.layers("small")[0])
    column = next(column for column in made.columns if str(column.header).startswith("time"))
    assert [cell.style for cell in column.cells] == [tables.BEST, "", "", "", "", ""]


def test_comparison_compares():
    before, now = full(), full()
    now.rows = [dataclasses.replace(row, seconds=tuple(s / 2 for s in row.seconds)) for row in before.rows]
    now.rows[0] = before.rows[0]
    lines = rendered(tables.comparison_table(before, now), 120).splitlines()
    cells = next(line for line in lines if line.startswith("small") and "cython" in line).split()
    assert cells == ["small", "cython", "3", "1.59", "stem_7x7", "1.00"]
    assert "not equal" not in "".join(lines)


def test_comparison_names_what_is_not_equal():
    before, now = full(), full()
    before.settings = dataclasses.replace(before.settings, threads=1, layout="NHWC")
    before.config = {**before.config, "processor": "another"}
    text = rendered(tables.comparison_table(before, now), 120)
    assert text.count("not equal") == 3
    for words in ("threads 1 then, 2 now", "layout NHWC then, NCHW now", "processor another then"):
        assert words in text


def test_settings_lines_name_what_is_missing(results):
    text = "\n".join(tables.settings_lines(results))
    for name, reason in results.missing.items():
        assert re.search(f"missing {re.escape(name)} +{re.escape(reason)}", text)
    for warning in results.warnings:
        assert f"WARNING: {warning}" in text
    assert "noise" in text


def test_markdown_tables():
    lines = markdown.markdown_tables(full()).splitlines()
    widths = {line.replace("\\|", "").count("|") for line in lines if line.startswith("|")}
    assert widths == {
        11,
        7,
    }  # layers by runners with three ratios, and networks by runners that have all layers
    stem = next(line for line in lines if line.startswith("| stem"))
    assert stem == "| stem\\_7x7 | **110** | 220 | 3,300 | 165 | 440 | 330 | 1.50 | 0.75 | 0.050 |"
    small = next(line for line in lines if line.startswith("| small"))
    assert small.split(" | ")[1:] == ["**1.54**", "3.08", "46.2", "2.31", "6.16 |"]


def test_results_round_trip(results, tmp_path):
    path = tmp_path / "results.json"
    results.save(path)
    read = Results.load(path)
    assert read == results
    assert [hash(row.layer) for row in read.rows] == [hash(row.layer) for row in results.rows]


def damage_version(content):
    content["format"] = "another"


def damage_seconds(content):
    content["rows"][0]["seconds"] = []


def damage_sign(content):
    content["rows"][0]["seconds"][0] = -1.0


def damage_row(content):
    del content["rows"][0]["layer"]["shapes"]


def damage_settings(content):
    content["settings"]["unknown"] = 1


def damage_limits(content):
    content["limits"] = {"peaks": []}


@pytest.mark.parametrize(
    "damage", [damage_version, damage_seconds, damage_sign, damage_row, damage_settings, damage_limits]
)
def test_damaged_results_are_refused(damage, tmp_path):
    path = tmp_path / "results.json"
    full().save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    damage(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"results\.json is no file of"):
        Results.load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '"text"', "null", "\x00"])
def test_other_files_are_refused(text, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"results\.json is no file of"):
        Results.load(path)
