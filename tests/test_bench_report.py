"""The tables, pictures and report of a benchmark, from made-up results."""

import base64
import dataclasses
import io
import json
import math
import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from rich.console import Console

from fastconv.bench import pictures, report, style, summary, table
from fastconv.bench.layer import conv, pool
from fastconv.bench.results import AccuracyPoint, ChoicePoint, Results, Row, ScalingPoint, Settings
from fastconv.limits import Bandwidth, Limits, Peak

NASTY = '<script>alert("&$x_1$|`*")</script>'
LONG = "pytorch channels_last2"
VOID = {"meta", "source", "img", "br", "link"}


def some_limits():
    return Limits(
        processor="made up", version="0", date="2026-01-01", threads=2, isa="avx2",
        peaks=(Peak("sse2", "float32", 10e9, 20e9), Peak("avx2", "float32", 40e9, 80e9)),
        bandwidths=(
            Bandwidth("L1", 32 << 10, 100e9, 200e9, 80e9, 160e9),
            Bandwidth("memory", 1 << 40, 10e9, 12e9, 6e9, 8e9),
        ),
        noise=1.05,
    )  # fmt: skip


def a_row(group, layer, runner, seconds, peer=False, **changes):
    given = {
        "count": 1, "detail": "", "seconds": tuple(seconds), "flops": 2_000_000, "bytes": 100_000, "bound": 1e-4,
        "error": 1e-7,
    }  # fmt: skip
    return Row(group=group, layer=layer, runner=runner, peer=peer, **{**given, **changes})


def empty(**changes):
    config = {
        "version": "0.1.0", "python": "3.11", "numpy": "2.0", "blas": "some", "processor": f"Processor {NASTY}",
        "machine": "x86_64", "build": {"compiler": "gcc", "flags": "-O3", "instruction_set": "avx2"},
        "environment": {"FASTCONV_ISA": "avx2"},
    }  # fmt: skip
    return Results("2026-01-02T03:04:05+00:00", config, Settings(threads=2), None, **changes)


def full():
    """Two networks, three backends and three peers, of which one lacks a layer, and all studies."""
    results = empty(
        versions={"torch": "2.0", NASTY: "1.0"},
        missing={"opencv": f"not installed {NASTY}"},
        warnings=[f"The machine was not quiet {NASTY}"],
    )
    results.limits = some_limits()
    first, second = (
        conv("stem_7x7", (1, 3, 32, 32), 8, 7, stride=2, padding=3),
        conv(NASTY, (1, 8, 16, 16), 8, 3),
    )
    third = pool("pool", "max", (1, 8, 16, 16), 2, 2)
    runners = {"cython": 1, "numba": 2, "numpy": 30, LONG: 1.5, NASTY: 4, "openvino": 3}
    for group in ("small", f"{NASTY}, batch 8"):
        for count, layer in enumerate((first, second, third), 1):
            for index, (runner, factor) in enumerate(runners.items()):
                if runner == "openvino" and layer is third:
                    continue
                seconds = [factor * count * 1e-4 * noise for noise in (1.0, 1.25, 1.1)]
                changes = {"flops": 0, "error": 0.0} if layer is third else {"detail": NASTY}
                results.rows.append(a_row(group, layer, runner, seconds, index > 2, count=count, **changes))
    results.scaling = [ScalingPoint(NASTY, "cython", n, 1e-3 / n**0.9) for n in (1, 2, 3, 4, 12)]
    results.choice = [
        ChoicePoint(kernel, channels, size, "direct" if size > 7 else NASTY)
        for kernel in (1, 3, 5) for channels in (1, 8) for size in (7, 14) if (kernel, size) != (5, 7)
    ]  # fmt: skip
    results.accuracy = [
        AccuracyPoint(NASTY, name, 1e-3, 10**7, 1e-7) for name in ("direct", NASTY, "winograd4")
    ]
    results.accuracy.append(AccuracyPoint("exact", "direct", 1e-3, 10**7, 0.0))
    return results


def one_row(peer=False):
    layer = conv("conv2d", (1, 3, 8, 8), 4, 3, padding=((1, 0), (2, 1)))
    return empty(rows=[a_row("one layer", layer, "cython", [1e-6, 1e-6], peer)])


def many():
    """As many rows as a run over all networks has."""
    results = full()
    row = results.rows[0]
    results.rows = [
        dataclasses.replace(row, group=f"net{group}", layer=dataclasses.replace(row.layer, name=f"layer{layer}"),
                            runner=runner, peer=runner != "cython")
        for group in range(6) for layer in range(20) for runner in ("cython", "a", "b", "c", "d", "e", "f", "g", "h")
    ]  # fmt: skip
    return results


ALL = {"full": full, "one row": one_row, "only a peer": lambda: one_row(peer=True), "nothing": empty}


@pytest.fixture(params=ALL)
def results(request):
    return ALL[request.param]()


class Page(HTMLParser):
    """Elements, addresses, and the texts of the cells of each table; complains about what is not balanced."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.addresses, self.rows, self.text = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.addresses += [value for name, value in attributes if name in ("src", "srcset", "href")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def attributes(self, tag):
        return [given for name, given in self.tags if name == tag]


def written(results, tmp_path):
    path = tmp_path / "report.html"
    report.write_report(results, path)
    return path.read_text(encoding="utf-8")


def test_report_needs_nothing_else(results, tmp_path):
    text = written(results, tmp_path)
    page = Page(text)
    identifiers = {given["id"] for _, given in page.tags if "id" in given}
    for address in page.addresses:
        assert address.startswith(("data:image/svg+xml;base64,", "#"))
        assert address[0] != "#" or address[1:] in identifiers
    assert not re.search(r"https?://|@import|url\(", text)
    assert [tag for tag, _ in page.tags].count("script") == 1


def test_report_escapes(tmp_path):
    text = written(full(), tmp_path)
    assert "<script>alert" not in text
    assert NASTY in "".join(Page(text).text)


def test_report_holds_every_row(tmp_path):
    results = full()
    rows = [row for row in Page(written(results, tmp_path)).rows if len(row) == len(report.COLUMNS)]
    expected = [[row.layer.name, row.runner, summary.digits(1e6 * row.time)] for row in results.rows]
    assert [row[:3] for row in rows if row[0] != "layer"] == expected
    last = next(row for row in rows if row[:2] == ["pool", "cython"])
    assert dict(zip(rows[0], last, strict=True)) == {
        "layer": "pool", "runner": "cython", "µs": "330", "peer": "1.50", "limit": "30 %", "rate": "0.30 GB/s",
        "spread": "1.25", "algorithm": "-", "error": "0", "count": "3",
        "shapes": "1x8x16x16, kernel_size 2, stride 2",
    }  # fmt: skip


def test_report_marks_the_best_and_sorts_by_numbers(tmp_path):
    cells = Page(written(full(), tmp_path)).attributes("td")
    best = [float(cell["data-v"]) for cell in cells if cell.get("class") == "best"]
    assert best == pytest.approx(
        [1.54, 1.54, 110, 220, 330, 110, 220, 330]
    )  # two networks, three layers of each
    values = [float(cell["data-v"]) for cell in cells if "data-v" in cell][-8:]
    pool_on_the_slowest = [4 * 330, 1.5 / 4, 0.1 / 1.32, 1e5 / 1.32e-3, 1.25, 0, 3]
    assert values[1:] == pytest.approx(pool_on_the_slowest, rel=1e-4)


def test_report_sums_networks(tmp_path):
    rows = Page(written(full(), tmp_path)).rows
    assert rows[0] == ["network", "cython", "numba", "numpy", LONG, NASTY, "openvino",
                       "peer / cython", "peer / numba", "peer / numpy"]  # fmt: skip
    assert rows[1] == ["small", "1.54", "3.08", "46.2", "2.31", "6.16", "-", "1.50", "0.75", "0.050"]


def test_report_of_no_limits_and_no_peers(tmp_path):
    results = one_row()
    results.rows = [dataclasses.replace(results.rows[0], bound=0.0, error=math.nan)]
    text = written(results, tmp_path)
    (cells,) = [row for row in Page(text).rows if row[:2] == ["conv2d", "cython"]]
    assert (cells[3], cells[4], cells[8]) == ("-", "-", "-")
    assert "compared with no other library" in text
    assert "nan" not in "".join(Page(text).text).lower()


def test_report_says_what_is_wrong(tmp_path):
    text = "".join(Page(written(full(), tmp_path)).text)
    for words in ("The machine was not quiet", "missing opencv", "not installed", "noise", "1.25"):
        assert words in text


def test_report_pictures_are_light_and_dark(tmp_path):
    page = Page(written(full(), tmp_path))
    light = [decoded(given["src"]) for given in page.attributes("img")]
    dark = [decoded(given["srcset"]) for given in page.attributes("source")]
    assert len(light) == len(dark) == len(pictures.PICTURES) + 2
    assert all(given["media"] == "(prefers-color-scheme: dark)" for given in page.attributes("source"))
    assert all(given["alt"] for given in page.attributes("img"))
    themes = style.THEMES
    for theme, images in (("light", light), ("dark", dark)):
        other = themes["dark" if theme == "light" else "light"]
        for image in images:
            assert themes[theme].paper in image
            assert other.paper not in image
            assert other.ink not in image


def decoded(address):
    text = base64.b64decode(address.partition(",")[2]).decode()
    Page(re.sub(r"<\?xml.*?>|<!DOCTYPE.*?>", "", text, flags=re.DOTALL))
    return text


def test_report_is_small(tmp_path):
    assert len(written(many(), tmp_path)) < 5_000_000


@pytest.mark.parametrize("theme", style.THEMES)
def test_pictures_are_png(results, theme, tmp_path):
    paths = pictures.save_pictures(results, tmp_path / "new" / "folder", theme)
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert content.endswith(b"IEND\xaeB`\x82")
    assert len({path.name for path in paths}) == len(paths)


def test_pictures_hold_what_there_is():
    def names(results):
        everything = (*pictures.PICTURES, *pictures.pictures_of_layers(results).values())
        return [picture.name for picture in everything if picture.draw(results, "light") is not None]

    assert names(empty()) == []
    assert names(one_row()) == ["networks"]
    assert names(full())[:5] == ["networks", "roofline", "scaling", "choice", "accuracy"]
    assert len(names(full())) == 7


def test_pictures_refuse_themes():
    with pytest.raises(ValueError, match="theme must be one of light, dark, got 'blue'"):
        pictures.PICTURES[0].draw(full(), "blue")


def test_looks_are_the_same_for_parts():
    for theme in style.THEMES.values():
        looks = style.looks(full(), theme)
        assert len({(look.colour, look.marker) for look in looks.values()}) == len(looks)
        assert [look.peer for look in looks.values()] == [False] * 3 + [True] * 3
        assert looks["cython"].colour == theme.backends["cython"]


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
    assert results.best_peer(first) is best
    assert results.ratio(first) == pytest.approx(1.5)
    assert results.ratio(second) == pytest.approx(0.5)
    ratios = {first: 1.5, slow: 0.75, best: 1, second: 0.5, fast: 1}
    assert results.ratios() == pytest.approx(ratios)
    assert results.total("net", "cython") == pytest.approx(2 * 2e-3 + 3 * 1e-3)
    assert results.total("net", "x") == pytest.approx(2 * 4e-3 + 3 * 5e-4)
    assert math.isnan(results.total("net", "y"))
    assert results.noise == pytest.approx(1.1)
    (standing,) = summary.standings(results)
    assert (standing.mean, standing.worst_ratio) == pytest.approx((math.sqrt(0.75), 0.5))
    assert (standing.layers, standing.ahead, standing.worst) == (2, 1, second)
    sums = {entry.runner: entry.ratio for entry in summary.network_sums(results, "net")}
    assert sums == pytest.approx({"cython": 9.5 / 7, "x": 1, "y": math.nan}, nan_ok=True)


def test_same_name_is_not_the_same_layer():
    small, large = conv("a", (1, 8, 8, 8), 8, 3), conv("a", (1, 8, 16, 16), 8, 3)
    results = empty(rows=[a_row("net", small, "cython", [1]), a_row("net", large, "x", [1], True)])
    assert math.isnan(results.ratio(results.rows[0]))
    assert results.layers("net") == [small, large]


def test_no_rows_are_no_noise():
    assert empty().noise == 1
    assert summary.standings(empty()) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "-"), (0, "0.00"), (0.00123, "0.001"), (0.0512, "0.051"), (0.3, "0.30"), (9.994, "9.99"),
        (9.996, "10.0"), (99.96, "100"), (12345.6, "12,346"),
    ],
)  # fmt: skip
def test_digits(value, text):
    assert summary.digits(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (4e-6, "4.00 µs"), (math.nan, "-")]
)
def test_duration(seconds, text):
    assert summary.duration(seconds) == text


def test_command_repeats_networks_and_layers():
    results = full()
    results.rows = [
        dataclasses.replace(row, group=f"net{end}") for end in ("", ", batch 8") for row in results.rows
    ]
    assert summary.command(results).startswith(
        "fastconv bench --network net --batch 1,8 --backends cython,numba,numpy --threads 2 --layout NCHW"
    )
    assert summary.command(one_row()).startswith(
        "fastconv bench conv2d --x 1,3,8,8 --w 4,3,3,3 --padding 1,0,2,1 --backends cython --peers none --threads 2"
    )


def rendered(renderable, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_tables_fit_a_terminal():
    results = full()
    tables = [table.network_table(results), table.comparison_table(results, results)]
    tables += [
        table.layer_table(results, group, layer)
        for group in results.groups
        for layer in results.layers(group)
    ]
    for made in tables:
        text = rendered(made)
        assert max(map(len, text.splitlines())) <= 80
        assert LONG in rendered(made, 100)


def test_layer_table_shows_all_that_was_measured():
    results = full()
    layer = results.layers("small")[0]
    lines = rendered(table.layer_table(results, "small", layer), 120).splitlines()
    assert "stem_7x7  1x3x32x32 * 8x3x7x7, stride 2, padding 3" in lines[0]
    own = next(line for line in lines if "cython" in line)
    assert own.split()[:6] == [
        "cython",
        "110",
        "1.25",
        "18.2",
        "91",
        "1.50",
    ]
    assert next(line for line in lines if LONG in line).split()[2:7] == ["165", "1.25", "12.1", "61", "1.00"]


def test_tables_mark_the_best():
    results = full()
    made = table.layer_table(results, "small", results.layers("small")[0])
    column = next(column for column in made.columns if str(column.header).startswith("time"))
    assert [cell.style for cell in column.cells] == [table.BEST, "", "", "", "", ""]


def test_comparison_compares():
    before, now = full(), full()
    now.rows = [dataclasses.replace(row, seconds=tuple(s / 2 for s in row.seconds)) for row in before.rows]
    now.rows[0] = before.rows[0]
    lines = rendered(table.comparison_table(before, now), 120).splitlines()
    cells = next(line for line in lines if line.startswith("small") and "cython" in line).split()
    assert cells == ["small", "cython", "3", "1.59", "stem_7x7", "1.00"]


def test_settings_lines_name_what_is_missing(results):
    text = "\n".join(table.settings_lines(results))
    for name, reason in results.missing.items():
        assert re.search(f"missing {re.escape(name)} +{re.escape(reason)}", text)
    for warning in results.warnings:
        assert f"WARNING: {warning}" in text
    assert "noise" in text


def test_markdown_tables():
    lines = table.markdown_tables(full()).splitlines()
    widths = {line.replace("\\|", "").count("|") for line in lines if line.startswith("|")}
    assert widths == {11, 8}  # layers by runners with three ratios, and networks by runners
    stem = next(line for line in lines if line.startswith("| stem"))
    assert stem == "| stem\\_7x7 | **110** | 220 | 3,300 | 165 | 440 | 330 | 1.50 | 0.75 | 0.050 |"
    small = next(line for line in lines if line.startswith("| small"))
    assert small.split(" | ")[1:] == ["**1.54**", "3.08", "46.2", "2.31", "6.16", "- |"]


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
