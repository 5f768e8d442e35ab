"""Made-up results of benchmarks, for the tests of what shows them."""

import dataclasses

from fastconv.bench.layers.layer import conv, pool
from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure.results import AccuracyPoint, ChoicePoint, Results, Row, ScalingPoint
from fastconv.limits import Bandwidth, Limits, Peak

NASTY = '<script>alert("&$x_1$|`*")</script>'
LONG = "pytorch channels_last2"


def some_limits():
    return Limits(
        processor="made up", version="0", date="2026-01-01", threads=2, isa="avx2",
        peaks=(Peak("sse2", "float32", 10e9, 20e9), Peak("avx2", "float32", 40e9, 80e9)),
        bandwidths=(
            Bandwidth("L1", 32 << 10, 100e9, 200e9, 80e9, 160e9),
            Bandwidth("memory", 1 << 40, 10e9, 12e9, 6e9, 8e9),
        ),
        noise=1.05,
    )  # fmt: skip


def a_row(group, layer, runner, seconds, peer=False, **changes):
    given = {
        "count": 1, "detail": "", "seconds": tuple(seconds), "flops": 2_000_000, "bytes": 100_000, "bound": 1e-4,
        "error": 1e-7, "operations": 500_000, "limit": "L2",
    }  # fmt: skip
    return Row(group=group, layer=layer, runner=runner, peer=peer, **{**given, **changes})


def empty(**changes):
    config = {
        "version": "0.1.0", "python": "3.11", "numpy": "2.0", "blas": "some", "processor": f"Processor {NASTY}",
        "machine": "x86_64", "build": {"compiler": "gcc", "flags": "-O3", "instruction_set": "avx2"},
        "environment": {"FASTCONV_ISA": "avx2"},
    }  # fmt: skip
    return Results("2026-01-02T03:04:05+00:00", config, Settings(threads=2), None, **changes)


def full():
    """Two networks, three backends and three peers, of which one lacks a layer, and all studies."""
    results = empty(
        versions={"torch": "2.0", NASTY: "1.0"},
        missing={"opencv": f"not installed {NASTY}"},
        warnings=[f"The machine was not quiet {NASTY}"],
    )
    results.limits = some_limits()
    first, second = (
        conv("stem_7x7", (1, 3, 32, 32), 8, 7, stride=2, padding=3),
        conv(NASTY, (1, 8, 16, 16), 8, 3),
    )
    third = pool("pool", "max", (1, 8, 16, 16), 2, 2)
    runners = {"cython": 1, "numba": 2, "numpy": 30, LONG: 1.5, NASTY: 4, "openvino": 3}
    for group in ("small", f"{NASTY}, batch 8"):
        for count, layer in enumerate((first, second, third), 1):
            for index, (runner, factor) in enumerate(runners.items()):
                if runner == "openvino" and layer is third:
                    continue
                seconds = [factor * count * 1e-4 * noise for noise in (1.0, 1.25, 1.1)]
                changes = {"flops": 0, "error": 0.0} if layer is third else {"detail": NASTY}
                results.rows.append(a_row(group, layer, runner, seconds, index > 2, count=count, **changes))
    results.scaling = [ScalingPoint(NASTY, "cython", n, 1e-3 / n**0.9) for n in (1, 2, 3, 4, 12)]
    results.choice = [
        ChoicePoint(kernel, channels, size, "direct" if size > 7 else NASTY)
        for kernel in (1, 3, 5) for channels in (1, 8) for size in (7, 14) if (kernel, size) != (5, 7)
    ]  # fmt: skip
    results.accuracy = [
        AccuracyPoint(NASTY, name, 1e-3, 10**7, 1e-7) for name in ("direct", NASTY, "winograd4")
    ]
    results.accuracy.append(AccuracyPoint("exact", "direct", 1e-3, 10**7, 0.0))
    return results


def one_row(peer=False):
    layer = conv("conv2d", (1, 3, 8, 8), 4, 3, padding=((1, 0), (2, 1)))
    return empty(rows=[a_row("one layer", layer, "cython", [1e-6, 1e-6], peer)])


def many():
    """As many rows as a run over all networks has."""
    results = full()
    row = results.rows[0]
    results.rows = [
        dataclasses.replace(row, group=f"net{group}", layer=dataclasses.replace(row.layer, name=f"layer{layer}"),
                            runner=runner, peer=runner != "cython")
        for group in range(6) for layer in range(20) for runner in ("cython", "a", "b", "c", "d", "e", "f", "g", "h")
    ]  # fmt: skip
    return results


ALL = {"full": full, "one row": one_row, "only a peer": lambda: one_row(peer=True), "nothing": empty}
