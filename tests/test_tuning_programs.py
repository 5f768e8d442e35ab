"""Compiled networks whose kernels are chosen by measuring, and ``fastconv tune`` with a model."""

import pickle

import numpy as np
import pytest

import fastconv
import fastconv.nn as nn
from checks import normal
from conftest import skip_unless_available
from fastconv import tuning
from fastconv.cli import main
from fastconv.tuning import choice
from tuned import content

pytestmark = pytest.mark.usefixtures("tuning_file")

SHAPE = (2, 8, 12, 13)


def network():
    """Convolutions of all kinds, one of them twice, and a dense layer."""
    net = nn.Sequential(
        nn.Conv2D(24, 3, padding="same", activation="relu"),
        nn.Residual(nn.Conv2D(24, 3, padding="same")),
        nn.Conv2D(24, 3, padding="same"),
        nn.DepthwiseConv2D(3, stride=2, padding=1),
        nn.ConvTranspose2D(5, 2, stride=2),
        nn.Flatten(),
        nn.Dense(7),
    )
    return net.build(SHAPE, rng=0)


def compiled(tune=True, **options):
    with fastconv.use_backend("cython"):
        return network().compile(SHAPE, tune=tune, **options)


def algorithms(program):
    return [step.algorithm for step in program.steps() if step.weight_bytes]


def test_steps_take_the_kernels_that_were_measured(races):
    plain, program = compiled(tune=False), compiled()
    assert "tune:" not in plain.explain()
    assert "tune: 6 of 6 steps" in program.explain()
    assert len(races.entrants) == len(tuning.entries()) == 5  # one problem twice
    assert algorithms(program) != algorithms(plain)
    problems = [problem for _, problem in program.convolutions()]
    assert [problem.algorithm for problem in problems] == algorithms(program)
    assert {one[-1] for one in races.entrants} == set(algorithms(program))
    x = normal(SHAPE, dtype=np.float32)
    expected = plain(x)
    np.testing.assert_allclose(program(x), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_results_depend_on_the_file_alone(races, monkeypatch):
    x = normal(SHAPE, dtype=np.float32)
    first = compiled()
    monkeypatch.setattr(choice, "race", None)  # cannot be called
    with fastconv.num_threads(1):
        second = compiled()
    third = pickle.loads(pickle.dumps(first))
    assert algorithms(first) == algorithms(second) == algorithms(third)
    for program in (second, third):
        np.testing.assert_array_equal(program(x), first(x))


def test_a_layer_is_the_same_problem_in_plans_and_in_programs(races):
    weight = normal((24, 8, 3, 3), dtype=np.float32)
    net = nn.Sequential(nn.Conv2D(24, 3, padding=1)).build(SHAPE)
    with fastconv.use_backend("cython"):
        program = net.compile(SHAPE, tune=True)
        ((_, problem),) = program.convolutions()
        fastconv.plan_conv2d(
            weight if problem.layout == "NCHW" else weight.transpose(2, 3, 1, 0),
            padding=1, tune=True, input_shape=problem.input_shape, layout=problem.layout,
        )  # fmt: skip
    assert len(races.entrants) == 1


def test_strict_programs_choose_among_sums(races):
    with fastconv.use_precision("strict"):
        program = compiled()
    assert not any(name.startswith(("winograd", "fft")) for one in races.entrants for name in one)
    assert not any(name.startswith(("winograd", "fft")) for name in algorithms(program))


def test_what_a_file_cannot_keep_is_said(races, tuning_file):
    tuning_file.touch()
    tuning_file.chmod(0o444)
    program = compiled()
    assert algorithms(program) == algorithms(compiled(tune=False))
    assert "tune: 0 of 6 steps" in program.explain()
    assert "tune: 6 not measured, as it could not be kept" in program.explain()
    assert not races.entrants


def test_branches_and_parts_are_tuned(races):
    net = network()
    graph = net.graph((None, *SHAPE[1:]))
    model = fastconv.onnx.Model(graph, "cython")
    name = model.inputs[0].name
    program = model.compile({name: (64, *SHAPE[1:])}, tune=True)
    assert len({problem.batch for _, problem in program.convolutions()}) == 1
    x = normal((64, *SHAPE[1:]), dtype=np.float32)
    np.testing.assert_allclose(program(x), model(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_backends_with_one_algorithm_cannot_be_tuned(name, races):
    skip_unless_available(name)
    with (
        fastconv.use_backend(name),
        pytest.raises(ValueError, match=f"compile: tune is True, but the {name}"),
    ):
        network().compile(SHAPE, tune=True)
    with pytest.raises(TypeError, match="compile: tune is 'yes'"):
        network().compile(SHAPE, tune="yes")


# ---- the command ----


def tune(*arguments):
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    return main(["tune", *map(str, arguments)])


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "model.onnx"
    fastconv.onnx.save(network(), made, input_shape=(None, *SHAPE[1:]))
    return made


def test_what_the_command_measures_is_what_programs_want(path, races, capsys, tuning_file):
    assert tune(path, "--shape", "2,8,12,13", "--threads", 1) == 0
    shown = capsys.readouterr().out
    assert "1 more" in shown
    assert len(races.entrants) == 5
    known = content(tuning_file)
    model = fastconv.onnx.load(path, backend="cython")
    program = model.compile({model.inputs[0].name: SHAPE}, tune=True)
    assert len(races.entrants) == 5
    assert content(tuning_file) == known
    assert "tune: 6 of 6 steps" in program.explain()
    assert tune(path, "--precision", "strict") == 0
    assert len(races.entrants) > 5  # one image, and fewer kernels


def test_networks_by_name(races, capsys):
    assert tune("lenet5", "--shape", "1,1,28,28") == 0
    count = len(races.entrants)
    assert count > 1
    with fastconv.use_backend("cython"):
        program = nn.models.lenet5().compile((1, 1, 28, 28), tune=True)
    assert len(races.entrants) == count
    assert f"tune: {len(program.convolutions())} of " in program.explain()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.onnx"], "there is no file nowhere.onnx"),
        ([__file__ + ".onnx"], "there is no file"),
        (["lenet5"], "lenet5 needs one --shape"),
        (["lenet5", "--shape", "1,1,2,2"], "lenet5 cannot be run on this"),
        (["lenet5", "--shape", "1,1,28,28", "--layout", "NHWC"], "--layout is for layers, not for a model"),
        (["lenet5", "--shape", "1,1,28,28", "--x", "1,1,28,28"], "--x is for layers"),
        (["lenet5", "--shape", "1,1,28,28", "--network", "dqn"], "--network is for layers"),
        (["conv2d", "--shape", "1,1,28,28"], "--shape is that of an input of a model"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments, words, capsys, races):
    assert tune(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastconv tune: ")
    assert words in error
    assert error.count("\n") == 1
    assert not races.entrants


def test_what_is_no_model_is_a_wrong_argument(capsys):
    with pytest.raises(SystemExit) as exit_:
        tune("resnet51")
    assert exit_.value.code == 2
    assert "'resnet51' is none of conv2d" in capsys.readouterr().err
