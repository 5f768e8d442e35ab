"""What `Module.fit` shows while it trains, and the numbers that callbacks get."""

import io
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastconv.nn as nn
from fastconv.nn.training import progress

pytestmark = pytest.mark.one_instruction_set


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((10, 2, 6, 6)).astype(np.float32), rng.integers(3, size=10)


def test_progress_in_lines(capsys):
    x, y = data()
    net = nn.Sequential(nn.Flatten(), nn.Dense(3))
    net.fit(x, y, 2, rng=0, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2/2  loss ")
    net.fit(x, y, 1, rng=0, progress=False)
    assert capsys.readouterr().err == ""


class Watched(io.StringIO):
    def isatty(self):
        return True


def test_progress_in_a_bar(monkeypatch):
    """Loss and metrics of the epoch so far."""
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")  # where it is dumb there is no bar
    monkeypatch.setattr(sys, "stderr", Watched())
    x, y = data()
    nn.Sequential(nn.Flatten(), nn.Dense(3)).fit(x, y, 1, rng=0)
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", sys.stderr.getvalue())
    assert re.search(r"epoch 1/1 ━+ loss \d\.\d{4}  accuracy \d\.\d{4} ", text)
    assert re.search(r"\repoch 1/1  loss \d\.\d{4}  accuracy \d\.\d{4}\n", text)


def test_means_are_those_of_the_epoch_so_far():
    told = []

    class Told(nn.Callback):
        def batch_end(self, run):
            told.append((run.loss, run.means["loss"], run.means["accuracy"]))

    x, y = data()
    history = nn.Sequential(nn.Flatten(), nn.Dense(3)).fit(x, y, 2, 4, callbacks=[Told()], rng=0)
    losses, means, accuracies = np.array(told).reshape(2, 3, 3).transpose(2, 0, 1)
    samples = np.array([4, 4, 2])
    np.testing.assert_allclose(means, (losses * samples).cumsum(axis=1) / samples.cumsum())
    assert [*means[:, -1]] == history["loss"]
    assert [*accuracies[:, -1]] == history["accuracy"]


def test_the_time_left_is_that_of_the_epochs_of_this_call(tmp_path, monkeypatch, capsys):
    clock = SimpleNamespace(perf_counter=iter([0.0, 10.0, 20.0]).__next__)
    monkeypatch.setattr(progress, "time", clock)
    x, y = data()
    net, path = nn.Sequential(nn.Flatten(), nn.Dense(3)), tmp_path / "state.safetensors"
    net.fit(x, y, 2, rng=0, checkpoint=path, progress=False)
    net.fit(x, y, 4, rng=0, checkpoint=path, resume=True, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[-1] for line in lines] == ["10.0 s, 10 s left", "20.0 s, 0 s left"]
