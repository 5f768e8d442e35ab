"""``fastconv bench`` as its users meet it: layers, networks, files, and what is refused."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import limits
from fastconv.bench.layers.layer import conv
from fastconv.bench.measure.results import Results
from fastconv.bench.oracle.check import WrongResult
from fastconv.bench.runners.backend import BackendRunner
from fastconv.cli import main

for package in ("jinja2", "matplotlib", "pandas", "rich", "threadpoolctl"):
    pytest.importorskip(package)
session = pytest.importorskip("fastconv.bench.measure.session")
command = pytest.importorskip("fastconv.bench.commands.run")
studies = pytest.importorskip("fastconv.bench.measure.studies")
summary = pytest.importorskip("fastconv.bench.report.summary")

LAYER = ["conv2d", "--x", "1,4,9,9", "--w", "6,4,3,3", "--padding", "1"]
QUICK = ["--rounds", "2", "--peers", "none"]


@pytest.fixture(autouse=True)
def known_limits(monkeypatch, tmp_path):
    """Measured once for all tests, and never written to the user's cache."""
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "cache"))
    peaks = tuple(limits.Peak("any", dtype, 1e11, 2e11) for dtype in ("float32", "float64"))
    level = limits.Bandwidth("memory", 1 << 28, 1e10, 2e10, 1e10, 2e10)
    made = limits.Limits("some processor", "0", "2026-01-01", 1024, "any", peaks, (level,), 0.02)
    monkeypatch.setattr("fastconv.bench.commands.run.cached_limits", lambda: made)


@pytest.mark.slow
def test_one_layer_on_every_backend_with_all_files(tmp_path, capsys):
    files = {name: tmp_path / f"run.{name}" for name in ("json", "html", "markdown")}
    output = [argument for name, path in files.items() for argument in (f"--{name}", str(path))]
    folder = tmp_path / "pictures"
    assert main(["bench", *LAYER, *QUICK, "--backends", "all", *output, "--pictures", str(folder)]) == 0
    shown = capsys.readouterr().out
    results = Results.load(files["json"])
    assert [row.runner for row in results.rows] == list(fastconv.available_backends())
    for row in results.rows:
        assert row.runner in shown
        assert row.layer.shapes == {"x": (1, 4, 9, 9), "weight": (6, 4, 3, 3), "bias": (6,)}
        assert row.flops == 2 * 6 * 81 * 36
        assert row.bytes == 4 * (4 * 81 + 6 * 36 + 6 + 6 * 81)
        work = row.operations, row.moved, "float32", results.settings.threads
        assert row.bound == pytest.approx(results.limits.attainable(*work), rel=1e-3)
        assert row.limit == results.limits.binding(*work)
        assert row.error < 1e-5
        assert len(row.seconds) == 2
    assert "GFLOP/s" in shown
    assert results.choice
    assert {point.threads for point in results.scaling} >= {1}
    assert {"direct_channels", "winograd2"} <= {point.algorithm for point in results.accuracy}
    assert "<html" in files["html"].read_text(encoding="utf-8")
    assert "| " in files["markdown"].read_text(encoding="utf-8")
    assert list(folder.glob("*.png"))


@pytest.mark.slow
def test_studies_use_the_threads_of_the_rest(monkeypatch, tmp_path):
    """In gradient mode, too, where they are those of forward calls."""
    seen = set()
    accuracy = studies.accuracy

    def watched(*arguments):
        seen.add(fastconv.get_num_threads())
        return accuracy(*arguments)

    monkeypatch.setattr(studies, "accuracy", watched)
    file = tmp_path / "run.json"
    arguments = [*LAYER, *QUICK, "--mode", "gradient", "--threads", "1", "--studies", "--json", str(file)]
    with fastconv.num_threads(2):
        assert main(["bench", *arguments]) == 0
    assert seen == {1}
    results = Results.load(file)
    assert results.accuracy
    assert results.settings.mode == "gradient"


def test_a_run_that_is_stopped_says_so_and_shows_what_there_is(monkeypatch, tmp_path, capsys):
    row = session.Session._row

    def stop_at_second(self, *arguments):
        if self.results.rows:
            raise KeyboardInterrupt
        return row(self, *arguments)

    monkeypatch.setattr(session.Session, "_row", stop_at_second)
    file = tmp_path / "run.json"
    assert main(["bench", "--network", "dqn", *QUICK, "--json", str(file)]) == 130
    results = Results.load(file)
    assert len(results.rows) == 1
    assert results.rows[0].layer.name in capsys.readouterr().out
    assert any("stopped before its end" in warning for warning in results.warnings)


def test_a_loaded_file_is_not_written_over(tmp_path, capsys):
    file = tmp_path / "run.json"
    assert main(["bench", *LAYER, *QUICK, "--json", str(file)]) == 0
    before = file.read_text()
    for option in ("--html", "--markdown", "--json"):
        assert main(["bench", "--load", str(file), option, str(file)]) == 2
        assert "same file" in capsys.readouterr().err
    assert file.read_text() == before
    assert main(["bench", "--load", str(file), "--compare", str(file)]) == 0


def test_a_file_that_cannot_be_written_is_told_in_a_line(monkeypatch, tmp_path, capsys):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastconv.bench.commands.run.study", lambda *arguments: None)
    monkeypatch.setattr("fastconv.bench.commands.run.write_report", full)
    assert main(["bench", *LAYER, *QUICK, "--html", str(tmp_path / "r.html")]) == 2
    assert "No space left" in capsys.readouterr().err


def test_what_was_measured_is_kept_when_something_stops_it(monkeypatch, tmp_path):
    def broken(*arguments):
        raise RuntimeError("broken")

    monkeypatch.setattr("fastconv.bench.commands.run.study", broken)
    file = tmp_path / "run.json"
    with pytest.raises(RuntimeError, match="broken"):
        main(["bench", *LAYER, *QUICK, "--studies", "--json", str(file)])
    assert len(Results.load(file).rows) == 1


@pytest.mark.parametrize(
    ("arguments", "elements"),
    [
        (LAYER, 2 * (4 * 81 + 6 * 36 + 6) + 6 * 81),  # read and made; and the result's gradient
        (["avg_pool2d", "--x", "1,4,8,8", "--kernel-size", "2"], 4 * 64 + 4 * 16),  # made; and the result's
    ],
)
def test_bytes_of_gradients(arguments, elements, tmp_path):
    file = tmp_path / "run.json"
    assert main(["bench", *arguments, *QUICK, "--mode", "gradient", "--json", str(file)]) == 0
    (row,) = Results.load(file).rows
    assert row.bytes == 4 * elements


def test_limits_that_cannot_be_measured_are_a_warning(monkeypatch, tmp_path, capsys):
    def cannot(threads):
        raise RuntimeError("not together")

    monkeypatch.setattr("fastconv.bench.commands.run.cached_limits", lambda: None)
    monkeypatch.setattr("fastconv.bench.commands.run.measure_limits", cannot)
    file = tmp_path / "run.json"
    assert main(["bench", *LAYER, *QUICK, "--json", str(file)]) == 0
    assert "not together" in capsys.readouterr().out
    assert Results.load(file).limits is None


def test_limits_of_a_busy_machine_give_way_to_better_ones(monkeypatch, tmp_path):
    busy = replace(command.cached_limits(), noise=0.4)
    better, worse = replace(busy, noise=0.2, date="better"), replace(busy, noise=0.6, date="worse")
    saved = []
    monkeypatch.setattr("fastconv.bench.commands.run.save_limits", saved.append)
    monkeypatch.setattr("fastconv.bench.commands.run.cached_limits", lambda: busy)
    for again, expected in ((better, better), (worse, busy)):
        monkeypatch.setattr("fastconv.bench.commands.run.measure_limits", lambda threads, again=again: again)
        file = tmp_path / "run.json"
        assert main(["bench", *LAYER, *QUICK, "--json", str(file)]) == 0
        assert Results.load(file).limits == expected
    assert saved == [better]


def test_pooling_counts_bytes(tmp_path, capsys):
    file = tmp_path / "run.json"
    arguments = ["max_pool2d", "--x", "2,8,16,16", "--kernel-size", "3", "--stride", "2", "--padding", "1"]
    assert main(["bench", *arguments, *QUICK, "--layout", "NHWC", "--threads", "1", "--json", str(file)]) == 0
    (row,) = Results.load(file).rows
    assert row.flops == 0
    assert row.bytes == 4 * 2 * 8 * (256 + 64)
    assert "GB/s" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["plan", "call", "gradient"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_transposed_in_groups_in_every_mode(mode, layout, tmp_path):
    file = tmp_path / "run.json"
    arguments = ["conv_transpose2d", "--x", "1,4,5,5", "--w", "4,3,4,4", "--groups", "2", "--stride", "2"]
    arguments += [*QUICK, "--mode", mode, "--layout", layout, "--dtype", "float64", "--json", str(file)]
    assert main(["bench", *arguments]) == 0
    (row,) = Results.load(file).rows
    assert row.flops == (2 if mode == "gradient" else 1) * 2 * 4 * 25 * 3 * 16
    assert row.error < 1e-12


def test_network(tmp_path, capsys):
    file = tmp_path / "run.json"
    assert main(["bench", "--network", "dqn", "--batch", "1,2", *QUICK, "--json", str(file)]) == 0
    results = Results.load(file)
    assert results.groups == ["dqn", "dqn, batch 2"]
    assert {row.layer.batch for row in results.of("dqn, batch 2")} == {2}
    assert summary.Summary(results).sums_of("dqn")[fastconv.get_backend()] > 0
    assert "dqn, batch 2" in capsys.readouterr().out


def test_a_summary_opens_what_is_shown(tmp_path, capsys):
    """Who is fastest by how much, in all and for each network, before the table of the first layer."""
    file = tmp_path / "run.json"
    names = ",".join(fastconv.available_backends()[:2])
    arguments = ["--network", "dqn", *QUICK, "--backends", names, "--threads", "1", "--json", str(file)]
    assert main(["bench", *arguments]) == 0
    measured = capsys.readouterr().out
    assert main(["bench", "--load", str(file)]) == 0
    for shown in (measured, capsys.readouterr().out):
        lines = [line for line in shown.splitlines() if line.strip()]
        assert " for dqn" in lines[0]
        assert lines[1].startswith("Who is fastest")
        first_layer = next(i for i, line in enumerate(lines) if "conv1 8x8/4" in line)
        assert any(line.startswith("dqn ") for line in lines[2:first_layer])


def test_load_shows_what_was_measured_and_compares(tmp_path, capsys):
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    for path in (before, after):
        assert main(["bench", *LAYER, *QUICK, "--json", str(path)]) == 0
    content = json.loads(after.read_text())
    content["rows"][0]["seconds"] = [2 * s for s in json.loads(before.read_text())["rows"][0]["seconds"]]
    after.write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["bench", "--load", str(after), "--compare", str(before)]) == 0
    assert "0.50" in capsys.readouterr().out


def test_a_wrong_result_is_not_timed(monkeypatch, tmp_path, capsys):
    def wrong(*arguments):
        raise WrongResult("off by one")

    monkeypatch.setattr("fastconv.bench.measure.session.check", wrong)
    file = tmp_path / "run.json"
    assert main(["bench", *LAYER, *QUICK, "--json", str(file)]) == 1
    assert "off by one" in capsys.readouterr().out
    assert Results.load(file).rows == []


def test_results_that_do_not_agree_are_wrong(monkeypatch, tmp_path, capsys):
    """One element far from all that are sampled, by the second backend."""
    if len(fastconv.available_backends()) < 2:
        pytest.skip("needs two backends")
    prepare = BackendRunner.prepare

    def off_by_one(self, layer, arrays, settings):
        prepared = prepare(self, layer, arrays, settings)
        if self.backend == "numpy":

            def run(run=prepared.run):
                result = run()
                result[0, 3, 517, 411] += 1
                return result

            return replace(prepared, run=run)
        return prepared

    monkeypatch.setattr(BackendRunner, "prepare", off_by_one)
    file = tmp_path / "run.json"
    layer = ["conv2d", "--x", "1,1,900,900", "--w", "6,1,3,3", "--padding", "1"]
    names = f"{fastconv.available_backends()[0]},numpy"
    assert main(["bench", *layer, *QUICK, "--backends", names, "--json", str(file)]) == 1
    assert "numpy is wrong" in capsys.readouterr().out
    assert [row.runner for row in Results.load(file).rows] == [names.split(",")[0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["conv2d", "--w", "6,4,3,3"], "--x"),
        (["conv2d", "--x", "1,4,9,9"], "--w"),
        (["max_pool2d", "--x", "1,4,9,9"], "--kernel-size"),
        (["max_pool2d", "--x", "1,4,9,9", "--kernel-size", "2", "--w", "1,1,2,2"], "no weights"),
        (["conv2d", "--x", "1,4,9,9", "--w", "6,5,3,3"], "weight has 5 input channels"),
        (["conv2d", "--x", "1,4,9,9", "--w", "6,4,3,3", "--kernel-size", "3"], "has no kernel_size"),
        (["--x", "1,4,9,9"], "needs an operation"),
        (["--stride", "2"], "needs an operation"),
        ([*LAYER, "--network", "dqn"], "--network"),
        (["--load", "no such file.json"], "there is no file no such file.json"),
        (["--load", "."], "--load needs a file, but . is a folder"),
        (["--compare", os.devnull], "is a device or a pipe"),
        ([*LAYER, "--json", "no such folder/run.json"], "no folder"),
        ([*LAYER, "--html", "."], "a folder"),
        ([*LAYER, "--html", "a", "--json", "./a"], "same file"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments, *QUICK]) == 2
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) in ([], ["cache"])


@pytest.mark.parametrize(
    "arguments",
    [["conv3d"], ["--network", "lenet"], ["--backends", "torch"], ["--peers", "cudnn"], ["--threads", "0"],
     ["--batch", "0"], ["conv2d", "--x", "1,4,9"], ["--layout", "CHWN"], ["--rounds", "1"]],
)  # fmt: skip
def test_bad_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", *arguments])
    assert stop.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_all_and_none_of_the_peers_stand_alone(capsys):
    assert main(["bench", *LAYER, "--peers", "none,pytorch"]) == 2
    assert "stand alone" in capsys.readouterr().err


def test_load_refuses_what_says_what_to_measure(tmp_path, capsys):
    file = tmp_path / "run.json"
    assert main(["bench", *LAYER, *QUICK, "--json", str(file)]) == 0
    assert main(["bench", "--load", str(file), "--network", "dqn"]) == 2
    assert "network is not for it" in capsys.readouterr().err


def test_peers_that_cannot_do_a_layer_are_named(capsys):
    pytest.importorskip("scipy")
    assert main(["bench", *LAYER, "--rounds", "2", "--peers", "scipy"]) == 0
    assert "scipy.ndimage, scipy.signal" in capsys.readouterr().out
    image = ["depthwise_conv2d", "--x", "1,2,30,40", "--w", "2,1,5,5", "--padding", "same", "--no-bias"]
    assert main(["bench", *image, "--rounds", "2", "--peers", "scipy"]) == 0
    assert "Without times" not in capsys.readouterr().out


def test_a_file_that_is_not_ours(tmp_path, capsys):
    path = Path(tmp_path / "other.json")
    path.write_text("{}")
    assert main(["bench", "--load", str(path)]) == 2
    assert "other.json" in capsys.readouterr().err


def test_arrays_depend_on_the_layer_alone():
    layer = conv("a", (1, 3, 5, 5), 4, 3)
    for first, second in zip(layer.arrays().values(), layer.arrays().values(), strict=True):
        np.testing.assert_array_equal(first, second)
