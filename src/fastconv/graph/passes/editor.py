"""A graph while it is rewritten: who makes and who reads each value, through every change. Used by passes."""

from __future__ import annotations

from collections.abc import Iterator

from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.pages import Blocks
from fastconv.graph.passes.types import learn


def told(node: Node) -> str:
    """A node for people."""
    return f"{node.operation} {name_of(node)}".rstrip()


def name_of(node: Node) -> str:
    """Its name, or that of what it makes."""
    return node.name or next((value.name for value in node.outputs if value is not None), "")


class Editor:
    """Changes a graph in place. New nodes stand where the one stood that they replace, and graph outputs keep their
    names. It holds for one graph as long as nobody else changes that. New weights lie in `blocks`.
    """

    def __init__(self, graph: Graph, blocks: Blocks | None = None) -> None:
        self.graph = graph
        self.blocks = blocks or Blocks(0)
        self._lines: list[str] = []
        self._results = set(graph.outputs)
        self._is_changed = False
        self._slots = [[node] for node in graph.nodes]
        self._slot_of: dict[Node, list[Node]] = {}
        self._maker: dict[Value, Node] = {}
        self._readers: dict[Value, list[Node]] = {}
        for slot in self._slots:
            self._enter(slot[0], slot)

    def nodes(self) -> Iterator[Node]:
        """In their order; what is put in a later place meanwhile is among them, what is removed is not."""
        for slot in self._slots:
            if len(slot) == 1:  # most, and all passes walk them
                yield slot[0]
                continue
            for node in list(slot):
                if node in self._slot_of:
                    yield node

    def __contains__(self, node: Node) -> bool:
        return node in self._slot_of

    def maker(self, value: Value | None) -> Node | None:
        return None if value is None else self._maker.get(value)

    def is_read(self, value: Value) -> bool:
        return bool(self._readers.get(value)) or self.is_output(value)

    def readers(self, value: Value) -> list[Node]:
        """One for each time that it is read."""
        return self._readers.get(value, [])

    def is_output(self, value: Value) -> bool:
        return value in self._results

    def only_reader(self, value: Value | None) -> Node | None:
        """Of a value that is read once, and is no output of the graph."""
        if value is None or self.is_output(value):
            return None
        readers = self.readers(value)
        return readers[0] if len(readers) == 1 else None

    def inner(self, value: Value | None, *operations: str) -> Node | None:
        """The maker of a value that is read once, if it is one of these operations."""
        node = self.maker(value)
        if node is None or node.operation not in operations or self.only_reader(value) is None:
            return None
        return node

    def replace(self, node: Node, *new: Node, line: str = "") -> None:
        """Let nodes stand in a node's place; the last ones make what it made and is still read."""
        slot = self._slot_of[node]
        place = slot.index(node)
        self._leave(node)
        slot[place : place + 1] = new
        for added in new:
            added.place = added.place or node.place
            self._enter(added, slot)
            learn(added)
        self.say(line)

    def remove(self, *nodes: Node, line: str = "") -> None:
        for node in nodes:
            self._slot_of[node].remove(node)
            self._leave(node)
        self.say(line)

    def bypass(self, node: Node, value: Value, line: str = "") -> bool:
        """Let a value stand for what a node makes (its first output). False where nothing could be changed."""
        output = node.outputs[0]
        assert output is not None
        if not self.is_output(output):
            self.redirect(output, value)
        elif value.is_constant:
            self.substitute(output, Value.of(output.name, value.constant, output.element))
        elif self.maker(value) is not None and not self.is_output(value):
            value.name, value.element = output.name, output.element
            self.substitute(output, value)
        elif node.operation == "Identity":
            return False
        else:  # an input, or what has a name already
            self.replace(node, Node("Identity", [value], [output], name=node.name), line=line)
            return True
        self.remove(node, line=line)
        return True

    def substitute(self, old: Value, new: Value) -> None:
        """Let one value stand for another, in the graph's outputs, too."""
        self.redirect(old, new)
        if old in self._results:
            self.graph.outputs[:] = [new if output is old else output for output in self.graph.outputs]
            self._results = set(self.graph.outputs)

    def redirect(self, old: Value, new: Value) -> None:
        """Let all nodes that read one value read another."""
        for node in self._readers.pop(old, []):
            node.inputs[:] = [new if value is old else value for value in node.inputs]
            for values in node.captures.values():
                values[:] = [new if value is old else value for value in values]
            if not new.is_constant:
                self._readers.setdefault(new, []).append(node)

    def finish(self) -> list[str]:
        """Write the nodes back; what was done since the last time."""
        if self._is_changed:
            self._slots = [slot for slot in self._slots if slot]
            self.graph.nodes[:] = [node for slot in self._slots for node in slot]
            self._is_changed = False
        done, self._lines = self._lines, []
        return done

    def say(self, line: str) -> None:
        """Tell people what was done."""
        if line:
            self._lines.append(line)

    def _enter(self, node: Node, slot: list[Node]) -> None:
        self._slot_of[node] = slot
        for value in node.reads():
            if value.constant is None:
                self._readers.setdefault(value, []).append(node)
        for output in node.outputs:
            if output is not None:
                self._maker[output] = node

    def _leave(self, node: Node) -> None:
        self._is_changed = True
        del self._slot_of[node]
        for value in node.reads():
            if value.constant is None:
                self._readers[value].remove(node)
        for output in node.outputs:
            if output is not None and self._maker.get(output) is node:
                del self._maker[output]
