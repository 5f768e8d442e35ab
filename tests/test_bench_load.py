"""``fastconv bench --load`` of a stranger's file: shown as it is, or one sentence of error and exit status 2."""

import copy
import json

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
pytest.importorskip("pandas")
pytest.importorskip("rich")
pytest.importorskip("threadpoolctl")

from matplotlib.figure import Figure

from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure.results import Results
from fastconv.bench.measure.session import Session
from fastconv.bench.report.pictures import gallery
from fastconv.cli import main
from fastconv.commands.printable import printable
from made_up_results import full

RED = "\x1b[31mred\x07"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """That of a small file of our own."""
    results = full()
    results.rows = results.rows[:4]
    path = tmp_path_factory.mktemp("load") / "run.json"
    results.save(path)
    return json.loads(path.read_text(encoding="utf-8"))


def refused(path, capsys):
    """The one line that is said of a file, on the right stream, with nothing in it that a terminal obeys."""
    assert main(["bench", "--load", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.isprintable()
    return line


DEEP = "[" * 200_000
FILES = {
    "nothing": (b"", "no file of"),
    "not JSON": (b"{", "no file of"),
    "not UTF-8": (b'{"format": "\xff"}', "not UTF-8"),
    "deep": (DEEP.encode(), "nested too deeply"),
    "deep and closed": ((DEEP + "]" * len(DEEP)).encode(), "nested too deeply"),
    "deep objects": (b'{"a":' * 200_000, "nested too deeply"),
    "NaN": (b'{"format": NaN}', "NaN"),
    "infinity": (b"[-Infinity]", "Infinity"),
    "a float beyond all": (b"[1e999]", "inf"),
    "a long number": (b"[" + b"9" * 5000 + b"]", "5000 digits"),
    "escape in a string": (json.dumps({"format": RED}).encode(), "cannot be printed"),
    "escape in a name": (json.dumps({RED: 1}).encode(), "cannot be printed"),
    "lone surrogate": (b'["\\ud800"]', "cannot be printed"),
    "another": (b'{"format": "fastconv bench 0"}', "another format"),
    "a list": (b"[]", "another format"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_measurement(name, tmp_path, capsys):
    written, words = FILES[name]
    path = tmp_path / "run.json"
    path.write_bytes(written)
    assert words in refused(path, capsys)


CHANGES = {  # of one value: where it is, what stands there instead, and what is said
    "unknown field": (("rows", 0, "extra"), 1, "rows[0] has the unknown field 'extra'"),
    "unknown field of all": (("extra",), 1, "it has the unknown field 'extra'"),
    "rows": (("rows",), {}, "rows is {}, but needs a list"),
    "row": (("rows", 1), [], "rows[1] is [], but needs the fields of Row"),
    "text for a number": (("rows", 0, "flops"), "1", "rows[0].flops is '1', but needs a whole number"),
    "number for a text": (("rows", 0, "group"), 1, "rows[0].group is 1, but needs a text"),
    "true for a number": (("rows", 0, "count"), True, "rows[0].count is True, but needs a whole number"),
    "number for true": (("rows", 0, "peer"), 1, "rows[0].peer is 1, but needs true or false"),
    "negative": (("rows", 0, "flops"), -1, "rows[0].flops is -1, but needs at least 0"),
    "no bytes": (("rows", 0, "bytes"), 0, "rows[0].bytes is 0, but needs at least 1"),
    "no time": (("rows", 0, "seconds"), [1.0, 0], "rows[0].seconds[1] is 0, but needs at least 1e-12"),
    "no times": (("rows", 0, "seconds"), [], "has no times"),
    "far too large": (("rows", 0, "error"), 1e300, "not one that can have been measured"),
    "shape": (("rows", 0, "layer", "shapes", "x"), [1, "2"], "shapes.x[1] is '2', but needs a whole number"),
    "deep options": (("rows", 0, "layer", "options", "a"), json.loads("[" * 30 + "]" * 30), "nested too deeply"),
    "no name": (("rows", 0, "runner"), " ", "has no name"),
    "dtype": (("settings", "dtype"), "float16", "settings.dtype is 'float16', but needs one of 'float32', 'float64'"),
    "threads": (("settings", "threads"), 0, "settings.threads is 0, but needs at least 1"),
    "build": (("config", "build"), "gcc", "config.build is 'gcc', but needs names and values"),
    "limits": (("limits", "peaks"), [], "from_dict"),
    "limits of another dtype": (("settings", "dtype"), "float64", "was not measured"),
    "escape": (("rows", 0, "layer", "name"), RED, "cannot be printed"),
    "escape in a warning": (("warnings",), [RED], "cannot be printed"),
    "right to left": (("missing",), {"peer": "\u202e"}, "cannot be printed"),
    "new line": (("versions",), {"peer": "1\n2"}, "cannot be printed"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_files_in_which_one_value_is_wrong(name, content, tmp_path, capsys):
    (*way, last), value, words = CHANGES[name]
    changed = copy.deepcopy(content)
    place = changed
    for step in way:
        place = place[step]
    place[last] = value
    path = tmp_path / "run.json"
    path.write_text(json.dumps(changed), encoding="utf-8")
    assert words in refused(path, capsys)


@pytest.mark.parametrize(
    "way", [("settings",), ("rows", 0, "layer"), ("rows", 0, "layer", "shapes"), ("rows", 0, "runner")]
)
def test_a_missing_field_is_named(way, content, tmp_path, capsys):
    changed = copy.deepcopy(content)
    place = changed
    for step in way[:-1]:
        place = place[step]
    del place[way[-1]]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(changed), encoding="utf-8")
    assert f"lacks the field {way[-1]!r}" in refused(path, capsys)


def test_a_row_that_is_there_twice(content, tmp_path, capsys):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**content, "rows": content["rows"] + content["rows"][:1]}), encoding="utf-8")
    assert "is there twice" in refused(path, capsys)


def test_a_backend_that_is_another_library_as_well(content, tmp_path, capsys):
    other = {**content["rows"][0], "group": "another", "peer": True}
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**content, "rows": [*content["rows"], other]}), encoding="utf-8")
    assert "'cython' is a backend of fastconv and another library" in refused(path, capsys)


def test_a_name_of_a_file_is_not_obeyed(tmp_path, capsys):
    path = tmp_path / f"{RED}.json"
    path.write_text("{}")
    assert "\\x1b[31mred\\x07.json is no file of" in refused(path, capsys)
    assert r"\x1b[31mred" in refused(tmp_path / f"{RED} is not there", capsys)


def test_words_of_markup_and_markdown_stay_words(content, tmp_path, capsys):
    """A name may hold what rich, Markdown, HTML or a formula of matplotlib would read as theirs."""
    name = "[red]a[/red]\\ <b> | `c` &lt; $x$ {{ 7 * 7 }} [link=http://a]"
    changed = copy.deepcopy(content)
    for row in changed["rows"]:
        row["layer"]["name"] = name
    path, html, markdown = tmp_path / "run.json", tmp_path / "run.html", tmp_path / "run.md"
    path.write_text(json.dumps(changed), encoding="utf-8")
    files = ["--html", str(html), "--markdown", str(markdown), "--pictures", str(tmp_path / "pictures")]
    assert main(["bench", "--load", str(path), "--compare", str(path), *files]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert name in shown
    page = html.read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "{{ 7 * 7 }}" in page
    assert r"\[red\]a\[/red\]\\ \<b\> \| \`c\` \&lt;" in markdown.read_text(encoding="utf-8")


def test_what_others_say_is_made_printable_when_it_is_noted(monkeypatch, tmp_path):
    """So that our own files can be read: a library's message may have lines and colours."""
    monkeypatch.setattr(
        "fastconv.bench.runners.peers.available", lambda names: ([], {"a": "1\n2"}, {"b": f"{RED}\nlost"})
    )
    monkeypatch.setenv("FASTCONV_CACHE_DIR", f"/tmp/{RED}")
    session = Session(Settings(), ["numpy"])
    session._warn(f"{RED}\n\tand more")
    results = session.results
    assert results.versions == {"a": "1 2"}
    assert results.missing == {"b": r"\x1b[31mred\x07 lost"}
    assert results.warnings == [r"\x1b[31mred\x07 and more"]
    results.save(tmp_path / "run.json")
    assert Results.load(tmp_path / "run.json") == results


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain é 漢", "plain é 漢"), (" a\r\n b\t", "a b"), ("\x9b2J", r"\x9b2J"), ("\u202e", r"\u202e"),
     ("\ud800", r"\ud800"), ("\U000e0001", r"\U000e0001")],
)  # fmt: skip
def test_printable(text, shown):
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_a_picture_of_thousands_of_layers_can_be_written():
    """One that has more pixels than matplotlib draws is drawn with fewer."""
    figure = Figure(figsize=(0.1, 500))
    assert 500 * gallery.DPI > 1 << 16
    assert gallery.as_bytes(figure, "png").startswith(b"\x89PNG")
