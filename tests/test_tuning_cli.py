"""``fastconv tune`` as its users meet it."""

import numpy as np
import pytest

import fastconv
from checks import normal, to_layout, weight_to_layout
from fastconv import tuning
from fastconv.cli import main
from fastconv.tuning import choice
from tuned import X, rewrite

pytestmark = pytest.mark.usefixtures("tuning_file")


LAYER = ["conv2d", "--x", "2,8,9,10", "--w", "8,8,3,3", "--padding", "1"]


def tune(*arguments):
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    return main(["tune", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "make", "options"),
    [
        (["conv2d", "--w", "16,4,3,1", "--stride", "1,2", "--groups", "2"], "plan_conv2d",
         {"stride": (1, 2), "groups": 2}),
        (["depthwise_conv2d", "--w", "8,1,5,5", "--padding", "same"], "plan_depthwise_conv2d", {"padding": "same"}),
        (
            ["conv_transpose2d", "--w", "8,5,3,3", "--stride", "2", "--output-padding", "1"],
            "plan_conv_transpose2d",
            {"stride": 2, "output_padding": 1},
        ),
    ],
)  # fmt: skip
def test_what_the_command_measures_is_what_plans_want(arguments, make, options, layout, dtype, races, capsys):
    kernel = tuple(map(int, arguments[2].split(",")))
    how = ["--layout", layout, "--dtype", dtype.name, "--precision", "strict", "--threads", 1]
    assert tune(*arguments, "--x", "2,8,9,10", *how) == 0
    shown = capsys.readouterr().out
    (entrants,) = races.entrants
    assert entrants[0] in shown
    assert entrants[-1] in shown
    assert str(tuning.location()) in shown.replace("\n", "")
    assert tuning.entries()[0].threads == 1
    weight = weight_to_layout(normal(kernel, dtype=dtype), layout)
    shape = to_layout(np.empty(X), layout).shape
    plan = getattr(fastconv, make)(
        weight, tune=True, input_shape=shape, layout=layout, precision="strict", backend="cython", **options
    )
    assert len(races.entrants) == 1
    assert plan.algorithm() == entrants[-1]


def test_networks_are_tuned_layer_by_layer(races, capsys):
    assert tune("--network", "dqn", "--batch", "1,2") == 0
    assert len(races.entrants) == len(tuning.entries()) == 6
    assert capsys.readouterr().out.count("conv3") == 2
    assert tune("--network", "dqn") == 0
    assert len(races.entrants) == 6
    assert tune("--network", "dqn", "--again") == 0
    assert len(races.entrants) == 9


def test_the_seconds_are_those_of_the_race(monkeypatch):
    given = []
    monkeypatch.setattr(
        choice, "race", lambda entrants, seconds: given.append(seconds) or dict.fromkeys(entrants, 1.0)
    )
    assert tune(*LAYER, "--seconds", "0.25") == 0
    assert tune(*LAYER, "--again") == 0
    assert given == [0.25, choice.SECONDS]


def test_entries_are_listed_exported_merged_and_cleared(races, tmp_path, capsys):
    other = tmp_path / "other.json"
    assert tune(*LAYER, "--list", "--export", other) == 0
    shown = capsys.readouterr().out
    assert "1 measured on this machine" in shown
    assert "2x8x9x10" in shown
    assert tune("--clear", "--list") == 0
    assert "0 measured on this machine" in capsys.readouterr().out
    assert tune("--merge", other) == 0
    assert "Added 1 of this machine" in capsys.readouterr().out
    assert len(tuning.entries()) == 1


def test_the_command_says_what_it_ignores(races, tuning_file, capsys):
    assert tune(*LAYER) == 0
    rewrite(tuning_file, lambda entry: entry.update(processor="another"))
    assert tune("--list") == 0
    assert capsys.readouterr().err.startswith("fastconv tune: entries of the tuning file ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "needs an operation"),
        (["conv2d", "--x", "1,8,9,9"], "needs --w"),
        (["--x", "1,8,9,9", "--list"], "--x needs an operation, such as `fastconv tune conv2d`"),
        ([*LAYER[:4], "8,7,3,3"], "conv2d: weight has 7 input channels"),
        ([*LAYER, "--batch", "2"], "--batch are not for it"),
        (["--merge", "nowhere.json"], "there is no file nowhere.json"),
        (["--merge", __file__], "is no tuning file: it is not JSON"),
        (["--export", "."], "is a folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments, words, capsys, tuning_file):
    assert tune(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastconv tune: ")
    assert words in error
    assert error.count("\n") == 1
    assert not tuning_file.exists()


def test_the_command_refuses_a_file_that_is_read_only(tuning_file, capsys):
    tuning_file.touch()
    tuning_file.chmod(0o444)
    assert tune(*LAYER) == 2
    assert f"{tuning_file} is read-only" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["max_pool2d"], ["conv2d", "--seconds", "0"], ["conv2d", "--seconds", "nan"]]
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        tune(*arguments)
    assert exit_.value.code == 2
    assert "usage: fastconv tune" in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as exit_:
        tune("--help")
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for word in [
        "--export",
        "--merge",
        "--list",
        "--clear",
        "--again",
        "--seconds",
        "FASTCONV_TUNING",
        "exit status",
    ]:
        assert word in text


@pytest.mark.parametrize("asked", [LAYER, ["--network", "dqn"]])
def test_another_backend_is_not_tuned(asked, races, capsys):
    """As plans with tune=True refuse it."""
    with fastconv.use_backend("numpy"):
        assert tune(*asked) == 2
        assert "the numpy backend is in use" in capsys.readouterr().err
        assert tune("--list") == 0  # which measures nothing
    assert not races.entrants
    assert tuning.entries() == ()
