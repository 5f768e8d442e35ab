"""The rooms of csrc: each uses only what stands before it, by what it includes and by what it links to; names."""

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
# What each room may use besides itself and the interface (fastconv.h, operations.def), which uses nothing.
ROOMS = {
    "base": set(),
    "conv": {"base"},
    "weight_gradient": {"base", "conv"},
    "deform": {"base", "conv", "weight_gradient"},
    "pool": {"base"},
    "move": {"base"},
    "filter": {"base"},
    "norm": {"base"},
    "network": {"base", "conv"},
}
INTERFACE = {"fastconv.h", "operations.def"}
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
USED = re.compile(r"FC_NAME\((\w+)\)")
DEFINED = re.compile(r"^ *\w[\w *]*FC_NAME\((\w+)\)(?:(?:\[\w+\])* = |\([^;{]*\) \{)", re.MULTILINE)

SOURCES = {
    str(path.relative_to(CSRC)): COMMENT.sub("", path.read_text())
    for path in sorted(CSRC.rglob("*"))
    if path.suffix in (".c", ".h", ".def")
}


def allowed(file, used):
    """May `file` use what stands in the file `used`? Files at the top may use every room."""
    room, other = file.rpartition("/")[0], used.rpartition("/")[0]
    if used in INTERFACE or room == other:
        return file not in INTERFACE or used in INTERFACE
    return other in ROOMS[room] if room else file not in INTERFACE


def test_every_file_is_in_a_room():
    assert {file.rpartition("/")[0] for file in SOURCES} == {"", *ROOMS}


def test_rooms_form_no_circle():
    order = list(ROOMS)
    for room, used in ROOMS.items():
        assert used <= set(order[: order.index(room)]), room


@pytest.mark.parametrize("file", SOURCES)
def test_includes_go_down(file):
    for used in INCLUDE.findall(SOURCES[file]):
        assert used in SOURCES, f"csrc/{file} includes {used!r}, which is no path from csrc"
        assert allowed(file, used), f"csrc/{file} includes {used}, which stands above it"


def test_includes_form_no_circle():
    """Not even within a room."""
    done = set()

    def visit(file, path):
        assert file not in path, " -> ".join([*path, file])
        if file not in done:
            for used in INCLUDE.findall(SOURCES[file]):
                visit(used, [*path, file])
            done.add(file)

    for file in SOURCES:
        visit(file, [])


def test_links_go_down():
    """A name that is compiled for each instruction set is used above the file that defines it, or beside it."""
    homes = {}
    for file, text in SOURCES.items():
        for name in DEFINED.findall(text):
            assert homes.setdefault(name, file) == file, f"{name} is defined in {homes[name]} and {file}"
    assert {"direct_pixels", "gradient_direct", "channel_tiles", "channel_sums", "table"} <= set(homes)
    for file, text in SOURCES.items():
        for name in set(USED.findall(text)) & set(homes):
            assert allowed(file, homes[name]), f"csrc/{file} uses {name}, defined above it in {homes[name]}"


def test_types_have_names_of_their_own():
    """Two files do not use one name for different types."""
    homes = {}
    for file, text in SOURCES.items():
        found = re.findall(r"^\} (\w+);|^typedef struct \w+ (\w+);", text, re.MULTILINE)
        for name in {first or second for first, second in found}:
            assert homes.setdefault(name, file) == file, f"{name} is a type in {homes[name]} and in {file}"
    assert len(homes) > 50
