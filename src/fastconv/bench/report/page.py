"""The means of the report: escaped HTML elements, tables, and the page around them. Called by `report.py`."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


class Html(str):
    """Text that is HTML already."""


@dataclass(frozen=True)
class Cell:
    """Of a table: what it shows, what it is sorted by where that is a number, and its class."""

    text: str
    value: float = math.nan
    kind: str = ""


def tag(name: str, *children: str, **attributes: str) -> Html:
    """An element; children that are not `Html`, and all attributes, are escaped. Their names are
    written with ``_`` for ``-`` and after those that are words of Python."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()
    )
    inner = "".join(child if isinstance(child, Html) else escape(child) for child in children)
    return Html(f"<{name}{given}>{inner}</{name}>")


def join(parts: Iterable[str]) -> Html:
    """One after the other."""
    return Html("\n".join(part if isinstance(part, Html) else escape(part) for part in parts))


def section(identifier: str, title: str, *children: str) -> Html:
    """A part of the page, with its heading."""
    return tag("section", tag("h2", title), *children, id=identifier)


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Html:
    """A table in a box of its own, in which it scrolls; the first cell of a row is its heading."""
    lines = list(rows)
    kinds = [cell.kind for cell in lines[0]] if lines else [""] * len(columns)
    sides = ({"class_": "number"} if kind.startswith(("number", "best")) else {} for kind in kinds)
    head = tag(
        "tr", *(tag("th", name, scope="col", **side) for name, side in zip(columns, sides, strict=True))
    )
    body = join(tag("tr", *(_cell(cell, index == 0) for index, cell in enumerate(line))) for line in lines)
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", body))
    return tag("div", whole, class_="box", tabindex="0", role="region", aria_label=caption)


def _cell(cell: Cell, heading: bool) -> Html:
    attributes = {"class_": cell.kind} if cell.kind else {}
    if not math.isnan(cell.value):
        attributes["data_v"] = f"{cell.value:.6g}"
    return tag("th", cell.text, scope="row", **attributes) if heading else tag("td", cell.text, **attributes)


def picture(light: bytes, dark: bytes, text: str, caption: str) -> Html:
    """A picture in SVG that follows the reader's theme; `text` is for those who do not see it.

    No caption where it is empty.
    """
    source = Html(f'<source media="(prefers-color-scheme: dark)" srcset="{_address(dark)}">')
    image = Html(f'<img src="{_address(light)}" alt="{escape(text)}">')
    below = tag("figcaption", caption) if caption else Html("")
    return tag("figure", tag("picture", source, image), below)


def _address(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def page(title: str, contents: Sequence[tuple[str, str]], *children: str) -> str:
    """The whole file; `contents` are identifiers and titles."""
    links = join(tag("li", tag("a", name, href=f"#{identifier}")) for identifier, name in contents)
    menu = tag("nav", tag("h2", "Contents"), tag("ol", links), aria_label="Contents")
    head = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
"""
    main = tag("main", join(children))
    top = tag("header", tag("h1", title))
    return f"{head}{top}\n{menu}\n{main}\n<script>{SORTING}</script>\n</body>\n</html>\n"


STYLE = """
:root { --paper: #ffffff; --ink: #1b2330; --quiet: #5b6570; --line: #dfe3e8; --soft: #f5f7f9; --link: #0064a0;
  --good: #007a3d; --warn: #8a4b00; --warnsoft: #fff5e5; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12171f; --ink: #e4e9f0; --quiet: #98a3b0; --line: #2b333e; --soft: #1a212b; --link: #6cb8f0;
    --good: #4fd08a; --warn: #ffc272; --warnsoft: #2c2316; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p, li, dd, figcaption { max-width: 46rem; }
a { color: var(--link); }
nav { background: var(--soft); border-radius: .5rem; padding: .75rem 1rem; }
nav h2 { font-size: 1rem; margin: 0; padding: 0; border: 0; }
nav ol { margin: .25rem 0 0; padding-left: 1.5rem; columns: 14rem; }
.warning { background: var(--warnsoft); border-left: .3rem solid var(--warn); padding: .6rem 1rem; margin: 1rem 0; }
.warning strong { color: var(--warn); }
.warning ul { margin: .25rem 0; padding-left: 1.2rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.cards div { background: var(--soft); border-radius: .5rem; padding: .75rem 1rem; }
.cards dt { color: var(--quiet); font-size: .9rem; }
.cards dd { margin: 0; font-size: .9rem; }
.cards dd:first-of-type { font-size: 1.9rem; line-height: 1.2; }
.box { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; margin: .75rem 0; max-width: 100%;
  width: fit-content; }
table { border-collapse: collapse; font-size: .84rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: .25rem .6rem; text-align: left; white-space: nowrap; vertical-align: top; }
thead th { border-bottom: 1px solid var(--line); vertical-align: bottom; color: var(--quiet); font-weight: 600; }
thead th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
  text-align: inherit; }
thead th[aria-sort=ascending] button::after { content: " \\2191"; }
thead th[aria-sort=descending] button::after { content: " \\2193"; }
tbody th { font-weight: 400; position: sticky; left: 0; background: var(--paper); }
tbody tr:nth-child(even) > * { background: var(--soft); }
td.wide { white-space: normal; min-width: 14rem; overflow-wrap: break-word; }
.start > * { border-top: 1px solid var(--line); }
.number { text-align: right; }
.own { font-weight: 600; }
.best { font-weight: 700; color: var(--good); text-align: right; }
.again { color: var(--quiet); opacity: .75; }
.sorted .again { color: inherit; opacity: 1; }
figure { margin: 1rem 0 2rem; }
figure img { display: block; width: 100%; max-width: 40rem; height: auto; }
.picture { break-inside: avoid; padding-top: .1rem; }
.picture h3 { margin-top: .5rem; }
@media (min-width: 64rem) { #pictures { columns: 2; column-gap: 2.5rem; } #pictures > h2 { column-span: all; } }
figcaption { color: var(--quiet); font-size: .9rem; margin-top: .4rem; }
details { margin: .75rem 0; }
summary { cursor: pointer; }
pre { background: var(--soft); border-radius: .4rem; padding: .75rem 1rem; white-space: pre-wrap; }
dl.terms dt { font-weight: 600; margin-top: .6rem; }
dl.terms dd { margin: 0; }
@media (max-width: 40rem) { body { padding: .75rem; } th, td { padding: .25rem .45rem; }
  tbody th { min-width: 6.5rem; max-width: 9.5rem; white-space: normal; } }
@media print { details > * { display: block; } }
"""

SORTING = """
for (const head of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  head.append(button);
  button.onclick = () => {
    const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.classList.add("sorted");
    const key = row => {
      const cell = row.cells[column];
      return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
    };
    const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
    const rows = [...body.rows].map(row => [key(row), row]);
    rows.sort((a, b) => typeof a[0] === typeof b[0] && down ? order(b[0], a[0]) : order(a[0], b[0]));
    body.append(...rows.map(pair => pair[1]));
  };
}
"""
