"""`fastconv.limits`: the kept file, working sets, a real measurement, the command line."""

import dataclasses
import itertools
import json
import math
import os

import numpy as np
import pytest

import fastconv
from conftest import skip_unless_available
from fastconv import backends, limits
from fastconv.cli import main
from fastconv.limits import Limits, Peak
from fastconv.machine.processor import processor_name
from test_roofline import MADE_UP


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The file that limits are kept in."""
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "limits.json"


@pytest.fixture(scope="module")
def measured():
    skip_unless_available("cython")
    steps = []
    result = limits.measure_limits(quick=True, progress=steps.append)
    assert steps
    return result


def of_here(**changes):
    """Made-up limits that count as those of this machine."""
    skip_unless_available("cython")
    from fastconv.backends.cython import INSTRUCTION_SET

    here = {
        "processor": processor_name(),
        "version": fastconv.__version__,
        "threads": fastconv.get_num_threads(),
        "isa": INSTRUCTION_SET,
        "peaks": (
            Peak(INSTRUCTION_SET, "float32", 123e9, 234e9),
            Peak(INSTRUCTION_SET, "float64", 61e9, 117e9),
        ),
    }
    return dataclasses.replace(MADE_UP, **(here | changes))


# The file


def test_round_trip():
    assert Limits.from_dict(json.loads(json.dumps(MADE_UP.to_dict()))) == MADE_UP


def test_saved_limits_come_back(cache):
    assert limits.cached_limits() is None
    for here in (of_here(), of_here(noise=0.5)):
        assert limits.save_limits(here) == cache
        assert limits.cached_limits() == here
    assert os.listdir(cache.parent) == [cache.name]


@pytest.mark.parametrize("changes", [{"processor": "another"}, {"version": "0.0.1"}, {"threads": 1023}])
def test_limits_of_something_else_do_not_count(changes, cache):
    limits.save_limits(of_here(**changes))
    assert limits.cached_limits() is None


def test_limits_of_other_threads_or_another_instruction_set_do_not_count(cache):
    here = of_here()
    limits.save_limits(here)
    with fastconv.num_threads(here.threads + 1):
        assert limits.cached_limits() is None
    assert limits.cached_limits() == here
    other = next(name for name in ("baseline", "avx2") if name != here.isa)
    limits.save_limits(of_here(isa=other, peaks=(Peak(other, "float32", 1e9, 1e9),)))
    assert limits.cached_limits() is None


def damaged():
    good = json.dumps(MADE_UP.to_dict())
    yield from ("", "{", "[]", "null", "3", good[:-20], '{"peaks": 1}', "\N{SNOWMAN}")
    for path, value in [
        (("threads",), 0),
        (("threads",), 1.5),
        (("threads",), None),
        (("processor",), 3),
        (("date",), "\x1b[2J"),
        (("peaks",), []),
        (("peaks",), 3),
        (("peaks", 1), None),
        (("peaks", 1, "one"), "fast"),
        (("peaks", 1, "one"), 0),
        (("peaks", 1, "one"), math.nan),
        (("bandwidths",), []),
        (("bandwidths",), {}),
        (("bandwidths", 0, "level"), "memory"),
        (("bandwidths", 0, "bytes"), -1),
        (("bandwidths", 0, "read_all"), math.inf),
        (("bandwidths", 0, "more"), 1),
        (("noise",), -1),
    ]:
        fields = MADE_UP.to_dict()
        at = fields
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        yield json.dumps(fields)


@pytest.mark.parametrize("text", list(damaged()))
def test_a_damaged_file_counts_as_none(text, cache):
    skip_unless_available("cython")
    cache.parent.mkdir()
    cache.write_text(text, encoding="utf-16" if text == "\N{SNOWMAN}" else "utf-8")
    assert limits.cached_limits() is None
    with pytest.raises((ValueError, TypeError)):
        Limits.from_dict(json.loads(text))


def test_a_file_that_is_nested_too_deeply_counts_as_none(cache):
    skip_unless_available("cython")
    cache.parent.mkdir()
    cache.write_text("[" * 200_000)
    assert limits.cached_limits() is None


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="FASTCONV_CACHE_DIR") as caught:
        limits.save_limits(of_here())
    assert str(tmp_path / "file") in str(caught[0].message)
    assert limits.cached_limits() is None


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ("own", "shared", "own/limits.json"),
        ("", "shared", "shared/fastconv/limits.json"),
        ("", "", "home/.cache/fastconv/limits.json"),
    ],
)
def test_where_the_file_is(own, shared, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FASTCONV_CACHE_DIR", own and str(tmp_path / own))
    monkeypatch.setenv("XDG_CACHE_HOME", shared and str(tmp_path / shared))
    assert limits.save_limits(of_here()) == tmp_path / expected
    assert (tmp_path / expected).is_file()


# The working sets


def cpu_folder(root, caches):
    """A system's description of caches: (level, type, size, processors)."""
    folder = root / f"sys/devices/system/cpu/cpu{min(os.sched_getaffinity(0))}/cache"
    for i, texts in enumerate(caches):
        index = folder / f"index{i}"
        index.mkdir(parents=True)
        for name, text in zip(("level", "type", "size", "shared_cpu_list"), texts, strict=True):
            (index / name).write_text(f"{text}\n")


def test_caches_are_divided_by_the_threads_that_share_them(tmp_path):
    skip_unless_available("cython")
    from fastconv.machine.probes import ASSUMED, caches

    cpus = sorted(os.sched_getaffinity(0))
    own, everyone = str(cpus[0]), ",".join(f"{cpu}-{cpu}" for cpu in cpus) + ",100000-100003"
    table = [(1, "Data", "48K", own), (1, "Instruction", "64K", own), (2, "Unified", "2048K", own)]
    cpu_folder(tmp_path, [*table, (3, "Unified", "32768K", everyone)])
    for threads in (1, len(cpus), 200):
        share = (32768 << 10) // min(threads, len(cpus))
        assert caches(threads, tmp_path) == {"L1": 48 << 10, "L2": 2 << 20, "L3": share}
    assert caches(1, tmp_path / "nothing") == ASSUMED


def test_working_sets():
    skip_unless_available("cython")
    from fastconv.machine.probes import levels

    kib, mib = 1 << 10, 1 << 20
    sizes = {"L1": 48 * kib, "L2": 2 * mib, "L3": 240 * mib}
    found = {name: (capacity, size) for name, capacity, size in levels(sizes, 512 * mib, 2**40)}
    assert found == {
        "L1": (48 * kib, 24 * kib),
        "L2": (2 * mib, mib),
        "L3": (240 * mib, 16 * mib),
        "memory": (0, 512 * mib),
    }
    # A small share of L3, no L3, and little memory.
    found = {name: (capacity, size) for name, capacity, size in levels(sizes | {"L3": mib}, 512 * mib, 2**40)}
    assert found["L3"] == (4 * mib, 4 * mib)
    assert found["memory"] == (0, 256 * mib)
    del sizes["L3"]
    assert [name for name, _, _ in levels(sizes, 512 * mib, 2**40)] == ["L1", "L2", "memory"]
    assert levels(sizes, 512 * mib, 20 * mib)[-1].size == 20 * mib
    assert levels(sizes, 512 * mib, 0)[-1].size == 2 * mib


def test_free_memory_is_that_of_the_container(tmp_path):
    skip_unless_available("cython")
    from fastconv.machine.probes import free_memory

    assert free_memory(tmp_path) == 1 << 30
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 99999 kB\nMemAvailable:   50000 kB\n")
    assert free_memory(tmp_path) == 50000 * 1024
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    for folder, limit, used in [("", "max", 5), ("a", "9000000", 1000000), ("a/b", "max", 1000000)]:
        (tmp_path / "sys/fs/cgroup" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/fs/cgroup" / folder / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "sys/fs/cgroup" / folder / "memory.current").write_text(f"{used}\n")
    assert free_memory(tmp_path) == 8000000


# A measurement


def better(a, b):
    """The higher rates of two measurements."""

    def highest(rows):
        return tuple(
            dataclasses.replace(
                x, **{k: max(v, getattr(y, k)) for k, v in vars(x).items() if type(v) is float}
            )
            for x, y in rows
        )

    return dataclasses.replace(
        a,
        peaks=highest(zip(a.peaks, b.peaks, strict=True)),
        bandwidths=highest(zip(a.bandwidths, b.bandwidths, strict=True)),
    )


def plausible(found):
    """By factors that are far below those of any processor."""
    sets = [peak.isa for peak in found.peaks if peak.dtype == "float32"]
    cache, memory = found.bandwidths[0], found.bandwidths[-1]
    return (
        all(1e8 < peak.one < 1e12 and peak.all < 4 * found.threads * peak.one for peak in found.peaks)
        and all(found.peak(isa=b) > 0.7 * found.peak(isa=a) for a, b in itertools.pairwise(sets))
        and all(found.peak("float32", isa=isa) > 0.7 * found.peak("float64", isa=isa) for isa in sets)
        and cache.read_one > 1.2 * memory.read_one
        and cache.copy_one > 1.2 * memory.copy_one
    )


def test_a_quick_measurement_is_plausible(measured):
    from fastconv.backends import cython

    assert measured.isa == cython.INSTRUCTION_SET
    assert measured.threads == fastconv.get_num_threads()
    sets = cython.instruction_sets()
    assert [(p.isa, p.dtype) for p in measured.peaks] == [
        (i, d) for i in sets for d in ("float32", "float64")
    ]
    assert [b.level for b in measured.bandwidths][:2] == ["L1", "L2"]
    assert measured.bandwidths[-1].level == "memory"
    sizes = [b.bytes for b in measured.bandwidths]
    assert sizes == sorted(sizes)
    assert measured.noise >= 0
    assert Limits.from_dict(json.loads(json.dumps(measured.to_dict()))) == measured
    # Other processes only make it slower: the best of several measurements tends to what it should be.
    for _ in range(20):
        if plausible(measured):
            break
        measured = better(measured, limits.measure_limits(quick=True))
    assert plausible(measured), measured


def test_threads_are_counted_together():
    """The work of a probe is that of all threads, and each has memory of its own."""
    skip_unless_available("cython")
    from fastconv.backends.cython import _engine
    from fastconv.machine.probes import ARITHMETIC, COPY, READ, WRITE, aligned

    memory = aligned(3 * 8192)
    memory[:] = 7
    assert memory.ctypes.data % 4096 == 0
    for dtype, one in enumerate((np.float32(1), np.float64(1))):
        work, seconds = _engine.probe(0, dtype, WRITE, memory, 8192, 4096, 1, 3)
        assert (work, seconds > 0) == (3 * 4096, True)
        for thread in range(3):
            assert (memory[8192 * thread :][:4096].view(one.dtype) == one).all()
            assert (memory[8192 * thread + 4096 :][:4096] == 7).all()
        assert _engine.probe(0, dtype, READ, memory, 8192, 4096, 5, 3)[0] == 3 * 5 * 4096
    memory[:2048] = np.arange(2048) % 251
    assert _engine.probe(0, 0, COPY, memory, 8192, 4096, 5, 1)[0] == 5 * 4096
    assert (memory[2048:4096] == memory[:2048]).all()
    assert (memory[4096:8192] == 7).all()
    one, three = (_engine.probe(0, 0, ARITHMETIC, None, 0, 0, 5, threads)[0] for threads in (1, 3))
    assert three == 3 * one > 0


def test_a_measurement_leaves_the_process_as_it_was():
    skip_unless_available("cython")
    from fastconv.backends.cython import _engine

    before = os.sched_getaffinity(0)
    for _ in range(20):
        _engine.probe(0, 0, 0, None, 0, 0, 1, 2)
    for thread in os.listdir("/proc/self/task"):
        assert os.sched_getaffinity(int(thread)) == before


# The command line


def test_info_measures_and_keeps(measured, cache, capsys, monkeypatch):
    monkeypatch.setattr("fastconv.commands.info.measure_limits", lambda progress: measured)
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert "fastconv info --measure" in text.splitlines()[-1]
    assert main(["info", "--measure"]) == 0
    text = capsys.readouterr().out
    for word in [
        "GFLOP/s",
        "GB/s",
        "ridge point",
        "L1",
        "memory",
        str(cache),
        measured.isa,
        measured.processor,
    ]:
        assert word in text
    for peak in measured.peaks:
        assert f"{peak.one / 1e9:.1f}" in text
    for level in measured.bandwidths:
        assert f"{level.copy_all / 1e9:.1f}" in text
    assert ("not quiet" in text) == (measured.noise > 0.1)
    assert limits.cached_limits() == measured
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert "--measure" not in text
    assert measured.date[:10] in text
    assert f"{measured.peak('float32', measured.threads) / 1e9:.0f} GFLOP/s" in text


@pytest.mark.parametrize("noise", [0.02, 0.4])
def test_a_busy_machine_is_said_to_be_one(noise, cache, capsys, monkeypatch):
    here = of_here(noise=noise)
    monkeypatch.setattr("fastconv.commands.info.measure_limits", lambda progress: here)
    assert main(["info", "--measure"]) == 0
    assert ("not quiet" in capsys.readouterr().out) == (noise == 0.4)


def test_info_measures_where_nothing_can_be_kept(tmp_path, capsys, monkeypatch):
    here = of_here()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr("fastconv.commands.info.measure_limits", lambda progress: here)
    assert main(["info", "--measure"]) == 0
    output = capsys.readouterr()
    assert "123.0" in output.out
    assert "FASTCONV_CACHE_DIR" in output.err


def test_info_without_the_compiled_backend(cache, capsys, monkeypatch):
    load = backends.load

    def without_cython(name):
        if name == "cython":
            raise fastconv.BackendUnavailableError("cython was not built: do that")
        return load(name)

    monkeypatch.setattr(backends, "load", without_cython)
    assert main(["info", "--measure"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("fastconv info: ")
    assert "cython was not built: do that" in output.err
    assert limits.cached_limits() is None
    assert main(["info"]) == 0
    assert "--measure" not in capsys.readouterr().out


def test_threads_that_cannot_run_together_are_an_error(capsys, monkeypatch):
    skip_unless_available("cython")

    def alone(*arguments):
        raise RuntimeError("not at the same time")

    monkeypatch.setattr("fastconv.machine.probes._engine.probe", alone)
    assert main(["info", "--measure"]) == 2
    assert "not at the same time" in capsys.readouterr().err
