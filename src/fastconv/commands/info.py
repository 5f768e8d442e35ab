"""Prints measured limits: what ``fastconv info`` adds to the configuration. Called by `cli.py`."""

from __future__ import annotations

import sys
import time
import warnings

from fastconv import backends
from fastconv.config import MISTAKES, show_config
from fastconv.limits import Limits, cached_limits, measure_limits, save_limits

HINT = "limits of this machine: not measured; fastconv info --measure does"
NOISY = 0.1  # a spread from which on a second measurement may well give something else


def show_info(measure: bool) -> int:
    """All of ``fastconv info``; returns its exit status."""
    if measure:
        return _measure()
    show_config()
    try:
        limits = cached_limits()
        backends.load("cython")
    except MISTAKES:
        return 0  # show_config has said what is wrong
    print("\n".join(summary(limits)) if limits else HINT)
    return 0


def _measure() -> int:
    start = time.perf_counter()
    try:
        limits = measure_limits(progress=_progress)
    except (*MISTAKES, RuntimeError, MemoryError) as error:
        print(f"fastconv info: the limits cannot be measured: {error}", file=sys.stderr)
        return 2
    print("\n".join(table(limits)))
    print(f"measured in {time.perf_counter() - start:.1f} s")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = save_limits(limits)
    for warning in caught:
        print(f"fastconv info: {warning.message}", file=sys.stderr)
    if not caught:
        print(f"kept in {path}")
    return 0


def _progress(step: str) -> None:
    print(f"measuring: {step}", file=sys.stderr)


def table(limits: Limits) -> list[str]:
    """Lines with all that was measured."""
    everyone = f"{limits.threads} thread{'s' if limits.threads > 1 else ''}"
    lines = [f"{limits.processor}, fastconv {limits.version}, {limits.date}"]
    lines += [f"arithmetic, GFLOP/s{'':14}{'1 thread':>10}  {everyone:>10}"]
    for peak in limits.peaks:
        used = "  in use" if peak.isa == limits.isa else ""
        lines.append(f"  {peak.isa:<12}{peak.dtype:<19}{peak.one / 1e9:10.1f}  {peak.all / 1e9:10.1f}{used}")
    lines += [
        f"bandwidth with {limits.isa}, GB/s",
        f"  {'level':<9}{'of a thread':<22}{'1 thread':>10}  {everyone:>10}",
    ]
    for level in limits.bandwidths:
        for kind, one, all_ in (
            ("read", level.read_one, level.read_all),
            ("copy", level.copy_one, level.copy_all),
        ):
            lines.append(
                f"  {level.level:<9}{_size(level.bytes):<14}{kind:<8}{one / 1e9:10.1f}  {all_ / 1e9:10.1f}"
            )
    lines.append("  (copy: bytes read + bytes written, ordinary stores)")
    lines.append("ridge point, FLOP/byte of memory")
    for dtype in dict.fromkeys(peak.dtype for peak in limits.peaks):
        one, all_ = limits.ridge(dtype), limits.ridge(dtype, limits.threads)
        lines.append(f"  {limits.isa:<12}{dtype:<19}{one:10.1f}  {all_:10.1f}")
    lines.append(f"the median round took {limits.noise:.0%} longer than the best, which is shown")
    if limits.noise > NOISY:
        lines.append(
            "This machine is not quiet: something else uses it. Measure again for limits to rely on."
        )
    if any(peak.isa == "baseline" for peak in limits.peaks) and len(limits.peaks) > 2:
        lines.append("(baseline has no fused multiply-add: multiplications and additions count as one each)")
    return lines


def summary(limits: Limits) -> list[str]:
    """A few lines: the instruction set in use, and the largest bandwidths of each level."""
    n = limits.threads
    arithmetic = ", ".join(
        f"{dtype} {limits.peak(dtype, n) / 1e9:.0f} GFLOP/s"
        for dtype in dict.fromkeys(peak.dtype for peak in limits.peaks)
    )
    levels = ", ".join(f"{b.level} {max(b.read_all, b.copy_all) / 1e9:.0f} GB/s" for b in limits.bandwidths)
    return [
        f"limits of this machine, measured {limits.date[:10]}, {limits.isa}, {n} thread{'s' if n > 1 else ''}",
        f"  {arithmetic}",
        f"  {levels}",
    ]


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"
