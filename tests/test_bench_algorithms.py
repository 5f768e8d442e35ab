"""``fastconv bench`` by algorithms, beside busy neighbours, and with threads of both layers."""

from pathlib import Path

import pytest

import fastconv
from conftest import skip_unless_available
from fastconv.bench.measure import neighbours
from fastconv.bench.measure.results import Results, ThreadingPoint
from fastconv.cli import main
from test_bench_cli import LAYER, QUICK, known_limits, studies

__all__ = ["known_limits"]  # a fixture of every test here, too


def test_algorithms_are_related_to_what_they_compute(tmp_path, capsys):
    skip_unless_available("cython")
    file = tmp_path / "run.json"
    layer = ["conv2d", "--x", "1,32,28,28", "--w", "32,32,3,3", "--padding", "1"]
    names = "unfold,direct_channels,im2col,winograd4,depthwise"
    assert (
        main(["bench", *layer, *QUICK, "--backends", "cython", "--algorithms", names, "--json", str(file)])
        == 0
    )
    rows = {row.detail: row for row in Results.load(file).rows[1:]}
    assert list(rows) == ["unfold", "direct_channels", "im2col", "winograd4"]  # `depthwise` cannot do it
    textbook = 2 * 32 * 32 * 9 * 28 * 28
    for name, row in rows.items():
        assert row.flops == textbook
        assert row.operations == (textbook // 4 if name == "winograd4" else textbook)
        assert row.limit == "arithmetic"
    assert rows["winograd4"].moved > rows["unfold"].moved == rows["unfold"].bytes
    shown = capsys.readouterr().out
    assert "cython depthwise" in shown.partition("Without times")[2]
    assert "arithmetic" in shown


def test_a_call_names_the_algorithm_that_it_takes(tmp_path):
    skip_unless_available("cython")
    file = tmp_path / "run.json"
    assert main(["bench", *LAYER, *QUICK, "--backends", "cython", "--mode", "call", "--json", str(file)]) == 0
    (row,) = Results.load(file).rows
    assert row.detail in fastconv.algorithms("cython")
    assert row.moved == row.bytes


def test_busy_neighbours_end_with_the_measurement(tmp_path, monkeypatch):
    started = []
    popen = neighbours.subprocess.Popen

    def watched(*arguments):
        started.append(popen(*arguments))
        return started[-1]

    monkeypatch.setattr(neighbours.subprocess, "Popen", watched)
    file = tmp_path / "run.json"
    assert main(["bench", *LAYER, *QUICK, "--busy", "2", "--json", str(file)]) == 0
    assert Results.load(file).settings.neighbours == 2
    assert [process.poll() is not None for process in started] == [True, True]


def test_threads_of_both_layers_are_shown(tmp_path, monkeypatch, capsys):
    points = [
        ThreadingPoint("quiet", "a layer", name, 2, n * 1e-6) for name, n in (("pool", 2), ("openmp", 5))
    ]
    monkeypatch.setattr(studies, "threading_layers", lambda settings, progress: points)
    files = [str(tmp_path / name) for name in ("run.json", "run.md")]
    arguments = [*LAYER, *QUICK, "--studies", "threading", "--json", files[0], "--markdown", files[1]]
    assert main(["bench", *arguments]) == 0
    assert Results.load(Path(files[0])).threading == points
    assert main(["bench", "--load", files[0]]) == 0
    line = "| a layer | 2.00 | 5.00 | 2.50 |"
    assert capsys.readouterr().out.count(line) == 2
    assert line in Path(files[1]).read_text(encoding="utf-8")


def test_unknown_studies_are_named(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--studies", "weather"])
    assert (
        "unknown study 'weather': choose from choice, scaling, accuracy, threading" in capsys.readouterr().err
    )
