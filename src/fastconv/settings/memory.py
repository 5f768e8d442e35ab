"""How much memory there is in all: what no array can be larger than. Asked by `execution/memory.py`."""

from __future__ import annotations

from pathlib import Path

from fastconv.settings.threads import cgroup_folders


def total_memory(root: Path = Path("/")) -> int | None:
    """Bytes that the system and all cgroups allow this process, swap space included; None where nobody tells."""
    sizes = {}
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, value, *_ = line.split()
            sizes[name] = int(value) * 1024
        memory, swap = sizes["MemTotal:"], sizes["SwapTotal:"]
    except (OSError, ValueError, KeyError):
        return None
    names = {1: "memory.limit_in_bytes", 2: "memory.max"}
    for version, folder in cgroup_folders(root, "memory"):
        try:
            memory = min(memory, int((folder / names[version]).read_text()))
        except (OSError, ValueError):  # ValueError: "max"
            continue
    return memory + swap
