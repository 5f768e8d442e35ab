"""The rooms of the package: what each may use. An arrow that goes up, or a circle between two files, is a fault."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fastconv

PACKAGE = Path(fastconv.__file__).parent
# Lowest first. A room uses itself and the lines before its own; the rooms of one line do not use each other.
FLOORS = [
    ["_version", "shown", "text"],
    ["typing"],
    ["arguments", "caches", "first_use", "pieces", "progress"],
    ["pictures", "problem", "settings"],
    ["backends", "geometry"],
    ["execution", "machine"],
    ["tuning"],
    ["ops", "limits", "config"],
    ["grad"],
    ["__init__"],
    ["filtering"],
    ["ndimage", "signal"],
    ["graph"],
    ["nn", "onnx"],
    ["tiles"],
    ["dask", "sklearn"],
    ["autograd"],
    ["commands"],
    ["bench"],
    ["demo"],
    ["cli"],
    ["__main__"],
]
# The rooms within a room, where it has some.
INNER_FLOORS = {
    "bench": [["layers"], ["oracle", "runners"], ["measure"], ["report"], ["commands"]],
}


def by_room(floors: list[list[str]]) -> dict[str, int]:
    return {room: floor for floor, rooms in enumerate(floors) for room in rooms}


def modules() -> dict[str, Path]:
    """Every Python file of the package by its dotted name, without ``fastconv.``."""
    paths = {path.relative_to(PACKAGE).with_suffix(""): path for path in PACKAGE.rglob("*.py")}
    return {
        ".".join(p.parts if p.name != "__init__" else p.parts[:-1]) or "__init__": paths[p] for p in paths
    }


def names_rooms(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(path: Path, known: set[str]) -> set[str]:
    """The modules of the package that a file imports, at its top or inside a function."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path == PACKAGE / "__init__.py":  # which names the rooms above it for type checkers, and uses none
        tree.body = [node for node in tree.body if not names_rooms(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            # `from a import b` uses the module a.b where there is one, else a.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] != "fastconv":
                continue
            inner = name.removeprefix("fastconv").removeprefix(".")
            while inner and inner not in known:
                inner = inner.rpartition(".")[0]
            found.add(inner or "__init__")
    return found


MODULES = modules()
GRAPH = {name: imports(path, set(MODULES)) - {name} for name, path in MODULES.items()}


def within(outer: str) -> dict[str, set[str]]:
    """The modules of a room, and what each uses of it, by their names there."""
    prefix = f"{outer}."
    return {
        name.removeprefix(prefix): {u.removeprefix(prefix) for u in used if u.startswith(prefix)}
        for name, used in GRAPH.items()
        if name.startswith(prefix)
    }


HOUSES = {"": (GRAPH, FLOORS), **{name: (within(name), floors) for name, floors in INNER_FLOORS.items()}}


def room(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("house", HOUSES)
def test_every_room_has_its_floor(house):
    graph, floors = HOUSES[house]
    assert {room(name) for name in graph} == set(by_room(floors))


@pytest.mark.parametrize("house", HOUSES)
def test_no_arrow_goes_up(house):
    graph, floors = HOUSES[house]
    floor = by_room(floors)
    wrong = [
        f"{name} uses {used}"
        for name, uses in graph.items()
        for used in uses
        if room(used) != room(name) and floor[room(used)] >= floor[room(name)]
    ]
    assert not wrong


def test_there_are_no_circles():
    try:
        list(TopologicalSorter(GRAPH).static_order())
    except CycleError as circle:
        raise AssertionError(f"a circle of imports: {' -> '.join(circle.args[1])}") from None


def test_an_arrow_up_would_be_seen(tmp_path):
    source = tmp_path / "made_up.py"
    source.write_text(
        "def f():\n    from fastconv import grad\n    import fastconv.ops.conv as c\n    import numpy\n"
    )
    assert imports(source, set(GRAPH)) == {"grad", "ops.conv"}
