"""``fastconv bench --training``: steps of whole networks beside PyTorch's."""

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("threadpoolctl")

import fastconv
from fastconv.bench.commands.arguments import TRAINED
from fastconv.bench.commands.training_check import check_training
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.training import NETWORKS
from fastconv.cli import main

pytestmark = pytest.mark.one_instruction_set


def test_the_help_names_the_networks():
    assert (*NETWORKS, "all") == TRAINED


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_step_beside_pytorch(layout, tmp_path, capsys):
    out = tmp_path / "out.json"
    words = ["--training", "lenet", "--batch", "4", "--rounds", "2", "--threads", "1", "--layout", layout]
    assert main(["bench", *words, "--json", str(out)]) == 0
    told = json.loads(out.read_text())
    own, *peers = told["rows"]
    assert (own["network"], own["batch"], own["runner"]) == ("lenet", 4, fastconv.get_backend())
    assert own["median"] > 0
    if importlib.util.find_spec("torch") is None:
        assert not peers
        assert "is not installed" in told["left_out"]["pytorch"]
        return
    assert own["difference"] < 1e-12
    assert own["rounding"] < 1e-5
    assert peers[0]["rounding"] < 1e-5
    assert own["ratio"] == pytest.approx(peers[0]["median"] / own["median"])
    assert "A training step with Adam" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_is_that_of_pytorch(network, tmp_path):
    pytest.importorskip("torch")
    out = tmp_path / "out.json"
    assert main(["bench", "--training", network, "--batch", "2", "--rounds", "2", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["rows"][0]["difference"] < 1e-10


class Made:
    """A runner whose losses are off by so much in float64, and by so much more in float32, draw by draw."""

    def __init__(self, name, exact, single):
        self.name, self.exact, self.single = name, exact, list(single)

    def prepare(self, what, arrays, settings):
        off = self.exact + (self.single[arrays["seed"]] if settings.dtype == "float32" else 0)
        found = SimpleNamespace(outputs=[np.array([1.0, 2 * (1 + off)])])
        return SimpleNamespace(run=lambda: (found,))


@pytest.mark.parametrize(
    ("exact", "single", "peers", "wrong"),
    [
        (1e-13, [1e-5] * 3, [1e-6] * 3, False),
        (1e-8, [1e-5] * 3, [1e-6] * 3, True),  # another network, however near float32 is to it
        (0, [1e-2, 1e-5, 1e-5], [1e-6] * 3, False),  # a jump that PyTorch has not
        (0, [1e-2, 1e-2, 1e-5], [1e-6] * 3, True),
        (0, [1e-2] * 3, [5e-3] * 3, False),  # jumps in both
        (0, [1e-2] * 3, [1e-3] * 3, True),
        (np.nan, [0] * 3, [0] * 3, True),
        (0, [np.nan] * 3, [0] * 3, True),
    ],
)
def test_what_is_wrong(exact, single, peers, wrong):
    own, peer = Made("cython", exact, single), Made("pytorch", 0, peers)
    found = check_training([own], peer, lambda seed: {"seed": seed}, str, Settings())
    assert (found["cython"].wrong, found["pytorch"].wrong) == (wrong, False)


def test_one_draw_is_enough_where_float32_agrees():
    own, peer = Made("cython", 0, [1e-5]), Made("pytorch", 0, [1e-2])
    assert check_training([own], peer, lambda seed: {"seed": seed}, str, Settings())["cython"].rounding < 1e-4


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--shape", "1,3,8,8"], "--shape is not for it"),
        (["--network", "resnet50"], "network is not for it"),
        (["--training", "lenet5"], "choose from lenet"),
    ],
)
def test_what_is_refused(more, words, capsys):
    try:
        status = main(["bench", "--training", "lenet", *more])
    except SystemExit as end:  # argparse's own
        status = end.code
    assert status == 2
    assert words in capsys.readouterr().err
