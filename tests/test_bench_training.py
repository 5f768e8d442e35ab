"""``fastconv bench --training``: steps of whole networks beside PyTorch's."""

import importlib.util
import json

import pytest

pytest.importorskip("threadpoolctl")

import fastconv
from fastconv.bench.commands.arguments import TRAINED
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
    assert own["difference"] < 1e-3
    assert own["ratio"] == pytest.approx(peers[0]["median"] / own["median"])
    assert "A training step with Adam" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_is_that_of_pytorch(network, tmp_path):
    pytest.importorskip("torch")
    out = tmp_path / "out.json"
    assert main(["bench", "--training", network, "--batch", "2", "--rounds", "2", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["rows"][0]["difference"] < 1e-3


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
