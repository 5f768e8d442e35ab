"""The report and the pictures of a benchmark, from made-up results."""

import base64
import dataclasses
import math
import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
pytest.importorskip("pandas")

from fastconv.bench.report import html
from fastconv.bench.report.pictures import gallery, style
from fastconv.text import digits
from made_up_results import ALL, LONG, NASTY, empty, full, many, one_row

VOID = {"meta", "source", "img", "br", "link"}


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
    html.write_report(results, path)
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
    rows = [row for row in Page(written(results, tmp_path)).rows if len(row) == len(html.COLUMNS)]
    expected = [[row.layer.name, row.runner, digits(1e6 * row.time)] for row in results.rows]
    assert [row[:3] for row in rows if row[0] != "layer"] == expected
    last = next(row for row in rows if row[:2] == ["pool", "cython"])
    assert dict(zip(rows[0], last, strict=True)) == {
        "layer": "pool", "runner": "cython", "µs": "330", "peer": "1.50", "reached": "30 %", "bound by": "L2",
        "rate": "0.30 GB/s",
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
    assert rows[0] == ["network", "cython", "numba", "numpy", LONG, NASTY,  # openvino lacks a layer of both
                       "peer / cython", "peer / numba", "peer / numpy"]  # fmt: skip
    assert rows[1] == ["small", "1.54", "3.08", "46.2", "2.31", "6.16", "1.50", "0.75", "0.050"]


def test_report_opens_with_the_useful_fact(tmp_path):
    """And says in the next line on what it was measured."""
    text = written(full(), tmp_path)
    fact = "cython is 1.50 times as fast as the best of 3 others, over 6 layers"
    assert f"<title>{fact}: fastconv bench</title>" in text
    assert f"<h1>{fact}</h1>" in text
    assert f"fastconv bench on Processor {NASTY}, 2 threads" in "".join(Page(text).text)


def test_report_of_no_limits_and_no_peers(tmp_path):
    results = one_row()
    results.rows = [dataclasses.replace(results.rows[0], bound=0.0, limit="", error=math.nan)]
    text = written(results, tmp_path)
    (head, cells) = Page(text).rows[2:4]
    assert head == ["layer", "runner", "µs", "rate", "spread", "count", "shapes"]
    assert cells[:3] == ["conv2d", "cython", "1.00"]
    assert Page(text).rows[0] == ["network", "cython"]
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
    assert len(light) == len(dark) == len(gallery.PICTURES) + 2
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


@pytest.mark.slow
def test_report_is_small(tmp_path):
    assert len(written(many(), tmp_path)) < 5_000_000


@pytest.mark.parametrize("theme", style.THEMES)
def test_pictures_are_png(results, theme, tmp_path):
    paths = gallery.save_pictures(results, tmp_path / "new" / "folder", theme)
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert content.endswith(b"IEND\xaeB`\x82")
    assert len({path.name for path in paths}) == len(paths)


def test_pictures_hold_what_there_is():
    def names(results):
        everything = (*gallery.PICTURES, *gallery.pictures_of_layers(results).values())
        return [picture.name for picture in everything if picture.draw(results, "light") is not None]

    assert names(empty()) == []
    assert names(one_row()) == ["networks"]
    assert names(full())[:5] == ["networks", "roofline", "scaling", "choice", "accuracy"]
    assert len(names(full())) == 7


def test_pictures_refuse_themes():
    with pytest.raises(ValueError, match="theme must be one of light, dark, got 'blue'"):
        gallery.PICTURES[0].draw(full(), "blue")


def test_looks_are_the_same_for_parts():
    for theme in style.THEMES.values():
        looks = style.looks(full(), theme)
        assert len({(look.colour, look.marker) for look in looks.values()}) == len(looks)
        assert [look.peer for look in looks.values()] == [False] * 3 + [True] * 3
        assert looks["cython"].colour == theme.backends["cython"]


def test_no_algorithm_has_a_colour_that_the_dark_theme_replaces():
    light, dark = (style.colours(style.THEMES[name]) for name in ("light", "dark"))
    assert len(light) == len(dark)
    assert not set(style.ALGORITHMS) & set(light)
