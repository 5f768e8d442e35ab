"""The directive ``picture``: what ``docs/pictures/<name>.py`` draws, once for light and once for dark pages.

Such a file has a function ``draw(theme)`` that returns a matplotlib figure; it runs when the documentation is built.
Loaded by ``conf.py``.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

mpl.use("agg")


@dataclass(frozen=True)
class Theme:
    """Colours: of letters, of thin lines, of quiet areas, four that are told apart, and of letters on those."""

    name: str
    ink: str
    line: str
    quiet: str
    blue: str
    orange: str
    green: str
    red: str
    on_colour: str


THEMES = (
    Theme("light", "#2b3038", "#aab1bb", "#e6e9ee", "#2f7fb5", "#e08a2c", "#3f9b62", "#c8493f", "#ffffff"),
    Theme("dark", "#d8dde3", "#6b7480", "#30363d", "#5aa7dc", "#f0a653", "#67bd86", "#e5766c", "#14181d"),
)


def style(theme):
    inks = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    return {
        **mpl.rcParamsDefault,
        **dict.fromkeys(inks, theme.ink),
        "axes.edgecolor": theme.line,
        "axes.facecolor": "none",
        "axes.titlesize": 11,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "none",
        "font.size": 11,
        "grid.color": theme.quiet,
        "legend.frameon": False,
        "lines.linewidth": 2,
        "svg.hashsalt": "fastconv",
    }


def draw_pictures(app):
    """Draw what has no picture yet, or one that is older than its program."""
    folder = Path(app.srcdir) / "_pictures"
    folder.mkdir(exist_ok=True)
    for program in sorted((Path(app.srcdir) / "pictures").glob("*.py")):
        targets = {theme: folder / f"{program.stem}-{theme.name}.svg" for theme in THEMES}
        changed = program.stat().st_mtime
        if all(target.exists() and target.stat().st_mtime > changed for target in targets.values()):
            continue
        specification = importlib.util.spec_from_file_location(f"picture_{program.stem}", program)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        for theme, target in targets.items():
            with mpl.rc_context(style(theme)):
                figure = module.draw(theme)
                figure.savefig(target, metadata={"Date": None})
                plt.close(figure)


class Picture(SphinxDirective):
    """``{picture} name`` with the option ``alt``; the content is the caption."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required, "width": directives.unchanged}  # noqa: RUF012
    has_content = True

    def run(self):
        name = self.arguments[0]
        program = Path(self.env.srcdir) / "pictures" / f"{name}.py"
        if not program.exists() or not self.options.get("alt"):
            raise self.error(f"picture: needs docs/pictures/{name}.py and an alt text")
        self.env.note_dependency(str(program))
        figure = nodes.figure(classes=["picture"])
        for theme in THEMES:
            image = nodes.image(uri=f"/_pictures/{name}-{theme.name}.svg", alt=self.options["alt"])
            image["classes"] = [f"only-{theme.name}"]
            if "width" in self.options:
                image["width"] = self.options["width"]
            figure += image
        if self.content:
            text, _ = self.state.inline_text(" ".join(self.content), self.lineno)
            figure += nodes.caption("", "", *text)
        return [figure]


def setup(app):
    app.connect("builder-inited", draw_pictures)
    app.add_directive("picture", Picture)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
