"""The nodes of a graph in an order in which they can run: that of the file, or another where the file has none."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from fastconv.onnx.error import Path, model_error
from fastconv.onnx.wire import Record


def ordered(nodes: Sequence[Record], path: Path) -> Iterator[tuple[int, Record]]:
    """The nodes and their places, each after those whose outputs it reads, its graphs included."""
    maker = {name: place for place, node in enumerate(nodes) for name in node.get("output", ()) if name}
    read = [names_read(node) for node in nodes]
    if all(maker.get(name, -1) < place for place, names in enumerate(read) for name in names):
        return iter(enumerate(nodes))
    needs = [{maker[name] for name in names if name in maker} for names in read]
    return iter(_sorted(nodes, needs, path))


def _sorted(nodes: Sequence[Record], needs: list[set[int]], path: Path) -> list[tuple[int, Record]]:
    readers: list[list[int]] = [[] for _ in nodes]
    for place, of in enumerate(needs):
        for other in of:
            readers[other].append(place)
    missing = [len(of) for of in needs]
    ready = deque(place for place, count in enumerate(missing) if not count)
    order = []
    while ready:
        place = ready.popleft()
        order.append((place, nodes[place]))
        for reader in readers[place]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    if len(order) < len(nodes):
        place = next(place for place, count in enumerate(missing) if count)
        raise model_error(
            "it reads what it makes itself, or what follows from it", (path, "node", place), nodes[place]["@"]
        )
    return order


def names_read(node: Record) -> Sequence[str]:
    """All names that a node reads, and those that its graphs read of the graph around them: names that a graph gives
    to values of its own are no names of others within it."""
    found: Sequence[str] = node.get("input", ())
    for attribute in node.get("attribute", ()):
        if "g" in attribute:
            found = [*found, *_captured(attribute["g"])]
    return found


def _captured(graph: Record) -> set[str]:
    nodes = graph.get("node", ())
    read = {info.get("name", "") for info in graph.get("output", ())}.union(*map(names_read, nodes))
    own = {info.get("name", "") for part in ("input", "initializer") for info in graph.get(part, ())}
    return read - own.union(*(node.get("output", ()) for node in nodes))
