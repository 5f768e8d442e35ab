"""How much memory there is in all: what no array can be larger than. Asked by `execution/memory.py`."""

from __future__ import annotations

from fastconv.settings.threads import StrPath, cgroup_folders, read_text


def total_memory(root: StrPath = "/") -> int | None:
    """Bytes that the system and all cgroups allow this process, swap space included; None where nobody tells."""
    sizes = {}
    try:
        for line in read_text(root, "proc/meminfo").splitlines():
            name, value, *_ = line.split()
            sizes[name] = int(value) * 1024
        memory, swap = sizes["MemTotal:"], sizes["SwapTotal:"]
    except (OSError, ValueError, KeyError):
        return None
    names = {1: "memory.limit_in_bytes", 2: "memory.max"}
    for version, folder in cgroup_folders(root, "memory"):
        try:
            memory = min(memory, int(read_text(folder, names[version])))
        except (OSError, ValueError):  # ValueError: "max"
            continue
    return memory + swap
