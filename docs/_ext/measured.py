"""What ``fastconv bench --json`` measured, on the page "Benchmarks": tables, pictures, and the whole report.

The directives ``measured-table`` (a network, or ``sums``) and ``measured-picture`` (a name of
`fastconv.bench.report.pictures.gallery`) show parts of the file `NAME`; the report is written beside the
pages as ``report.html``. Loaded by ``conf.py``.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from fastconv.bench.measure.results import Results
from fastconv.bench.report.facts import command, facts
from fastconv.bench.report.html import write_report
from fastconv.bench.report.markdown import markdown_tables
from fastconv.bench.report.pictures.gallery import PICTURES, as_bytes

NAME = "measured/intel-xeon/networks.json"
SUMS = "sums"
THEMES = ("light", "dark")


def load(app):
    """Read the results; write the pictures, and the tables by their headings."""
    path = Path(app.srcdir) / NAME
    app.measured = Results.load(path)
    parts = re.split(r"^### (.*)\n", markdown_tables(app.measured), flags=re.MULTILINE)[1:]
    app.measured_tables = dict(zip(parts[::2], parts[1::2], strict=True))
    *_, last = app.measured_tables
    app.measured_tables[SUMS] = app.measured_tables.pop(last)
    folder = Path(app.srcdir) / "_pictures"
    folder.mkdir(exist_ok=True)
    (folder / "measured.md").write_text("\n".join(facts_lines(app.measured)) + "\n", encoding="utf-8")
    for picture in PICTURES:
        for theme in THEMES:
            figure = picture.draw(app.measured, theme)
            if figure is not None:
                (folder / f"measured-{picture.name}-{theme}.svg").write_bytes(as_bytes(figure, "svg"))


def facts_lines(results):
    """The machine and the settings as a list, then the warnings."""
    yield from (f"- {name}: {text}" for name, text in facts(results).items())
    yield "- to measure the same:"
    yield f"  `{command(results)}`"
    yield from (f"\n:::{{warning}}\n{warning}\n:::" for warning in results.warnings)


def report(app, exception):
    if exception is None and app.builder.format == "html":
        write_report(app.measured, Path(app.outdir) / "report.html")


class MeasuredTable(SphinxDirective):
    """``{measured-table} resnet50``: times of every layer; ``{measured-table} sums``: of whole networks."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        self.env.note_dependency(str(Path(self.env.srcdir) / NAME))
        tables = self.env.app.measured_tables
        if self.arguments[0] not in tables:
            raise self.error(f"measured-table: {self.arguments[0]!r} is not among {', '.join(tables)}")
        lines = tables[self.arguments[0]].split("\nNoise: ")[0].splitlines()
        table = nodes.container(classes=["measured"])
        table += self.parse_text_to_nodes("\n".join(lines))
        return [table]


class MeasuredPicture(SphinxDirective):
    """``{measured-picture} roofline``, with the caption that the report has."""

    required_arguments = 1

    def run(self):
        self.env.note_dependency(str(Path(self.env.srcdir) / NAME))
        picture = next((p for p in PICTURES if p.name == self.arguments[0]), None)
        if picture is None:
            raise self.error(
                f"measured-picture: {self.arguments[0]!r} is not among {[p.name for p in PICTURES]}"
            )
        figure = nodes.figure(classes=["picture"])
        for theme in THEMES:
            image = nodes.image(uri=f"/_pictures/measured-{picture.name}-{theme}.svg", alt=picture.title)
            image["classes"] = [f"only-{theme}"]
            figure += image
        figure += nodes.caption("", picture.caption)
        return [figure]


def setup(app):
    app.connect("builder-inited", load)
    app.connect("build-finished", report)
    app.add_directive("measured-table", MeasuredTable)
    app.add_directive("measured-picture", MeasuredPicture)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
