"""The networks of `fastconv.nn.models` as tables: the directive ``models-table``, of the files in ``docs/models/``.

`bench/models.py` writes these. Loaded by ``conf.py``.
"""

import json
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

BACKENDS = ("cython", "numba", "numpy")
HEAD = ("network", "input", "parameters", "GFLOP", "sees", "activations", *BACKENDS, "torchvision")


def rows(told):
    """Of one machine, as cells."""
    for name, entry in sorted(told["networks"].items(), key=lambda pair: pair[1]["flops"]):
        times = (milliseconds(entry["seconds"].get(backend)) for backend in BACKENDS)
        sees = "x".join(map(str, dict.fromkeys(entry["sees"])))
        yield (
            f"{{py:func}}`~fastconv.nn.models.{name}`",
            "x".join(map(str, entry["shape"][1:])),
            f"{entry['parameters']:,}",
            f"{entry['flops'] / 1e9:.3g}",
            sees,
            f"{entry['memory'] / 1e6:.3g} MB",
            *times,
            f"{entry['error']:.1e}" if "error" in entry else "",
        )


def milliseconds(seconds):
    return "" if seconds is None else f"{1e3 * seconds:.3g} ms"


class ModelsTable(SphinxDirective):
    """``{models-table}``: for each file, its processor and a table."""

    def run(self):
        made = []
        for path in sorted((Path(self.env.srcdir) / "models").glob("*.json")):
            self.env.note_dependency(str(path))
            told = json.loads(path.read_text(encoding="utf-8"))
            beside = f", beside torchvision {told['torchvision']}" if "torchvision" in told else ""
            lines = [f"On an {told['processor']}, {told['threads']} threads{beside}:", ""]
            lines += ["| " + " | ".join(HEAD) + " |", "|---|---|" + "--:|" * (len(HEAD) - 2)]
            for cells in rows(told):
                lines.append("| " + " | ".join(cells) + " |")
            container = nodes.container(classes=["measured"])
            container += self.parse_text_to_nodes("\n".join(lines))
            made.append(container)
        return made


def setup(app):
    app.add_directive("models-table", ModelsTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
