"""The README's Python blocks run as they stand, and each ``# -> value`` in them is what the line gives."""

import ast
import re
import warnings
from pathlib import Path
from typing import Any

import fastconv

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
CLAIM = re.compile(r"^\s*(?P<expression>[^#\n]+?)  # -> (?P<value>.+)$")


def recording(block: str, claims: list[tuple[str, Any, str]], namespace: dict[str, Any]) -> str:
    """Turn each ``expression  # -> value`` of the block into a call that records what it gives."""
    namespace["__record__"] = lambda source, value, expected: claims.append((source, value, expected))
    lines = []
    for line in block.splitlines():
        claim = CLAIM.match(line)
        if claim:
            indent = line[: len(line) - len(line.lstrip())]
            expression, value = claim["expression"], claim["value"]
            line = f"{indent}__record__({expression!r}, {expression}, {value!r})"
        lines.append(line)
    return "\n".join(lines)


def run_blocks(blocks: list[str]) -> None:
    """One after the other, in one namespace; every claim must hold."""
    namespace: dict[str, Any] = {}
    claims: list[tuple[str, Any, str]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in blocks:
            exec(recording(block, claims, namespace), namespace)
    assert len(claims) == sum(block.count("# -> ") for block in blocks)
    for expression, value, expected in claims:
        assert value == ast.literal_eval(expected), expression


def test_python_blocks_of_the_readme(threads_restored):
    assert len(BLOCKS) >= 6
    run_blocks(BLOCKS)


def test_quick_start_is_short():
    for block in BLOCKS[:2]:  # pictures, networks
        assert len([line for line in block.splitlines() if line.strip()]) <= 10


def test_readme_opens_with_the_two_commands():
    first = re.search(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert first is not None
    assert first[1].splitlines() == [
        'pip install ".[demo]" && fastconv demo',
        'pip install ".[test]" && pytest',
    ]


def test_table_of_operations_names_public_functions():
    table = README.read_text(encoding="utf-8").partition("## Operations")[2].partition("\n\nConvolutions")[0]
    names = re.findall(r"`([a-z0-9_.]+)`", table)
    assert len(names) > 20
    for name in names:
        target: Any = fastconv
        for part in name.removeprefix("fastconv.").split("."):
            target = getattr(target, part)
