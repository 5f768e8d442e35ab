"""The recipes of the gallery, `docs/examples/networks/`: each is run as it stands, and holds what it shows."""

import runpy
from pathlib import Path

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")

pytestmark = [pytest.mark.one_instruction_set, pytest.mark.slow]

FOLDER = Path(__file__).parent.parent / "docs" / "examples" / "networks"


@pytest.fixture
def recipe():
    """Runs one, and gives what it leaves."""
    matplotlib.use("agg")

    def run(name):
        pytest.importorskip("sklearn")
        (path,) = FOLDER.glob(f"*_{name}.py")
        return runpy.run_path(str(path))

    yield run
    import matplotlib.pyplot as plt

    plt.close("all")


def test_all_are_short_and_tested():
    names = {path.stem.partition("_")[2] for path in FOLDER.glob("*.py")}
    tested = {name.removeprefix("test_recipe_") for name in globals() if name.startswith("test_recipe_")}
    assert names == tested
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 100


def test_recipe_transfer_learning(recipe):
    curves = {name: curve[-1] for name, curve in recipe("transfer_learning")["curves"].items()}
    assert curves["taught body, new head"] > curves["random body, new head"] + 0.02
    assert curves["fine-tuned"] > curves["random body, new head"] + 0.1


def test_recipe_adversarial(recipe):
    ran = recipe("adversarial")
    plain, robust = ran["results"]["trained as usual"], ran["results"]["trained on attacks"]
    assert plain["clean"] > 0.96
    assert plain["FGSM"] < plain["clean"] - 0.3
    assert plain["PGD"] < plain["FGSM"]
    for attack in ("FGSM", "PGD"):  # training on attacks gives more than half of what they took back
        assert robust[attack] > plain[attack] + 0.5 * (plain["clean"] - plain[attack])
    assert robust["clean"] > plain["clean"] - 0.05
    x, moved = ran["x_test"][:8], ran["moved"]
    assert np.abs(moved - x).max() <= ran["EPSILON"] + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_recipe_grad_cam(recipe):
    ran = recipe("grad_cam")
    assert ran["accuracy"] > 0.95
    assert set(ran["by_shape"]) == {"disc", "square", "cross"}
    assert max(ran["by_shape"].values()) < 5  # each of them is seen where it is


def test_recipe_vanishing_gradients(recipe):
    shares = {name: values[0] / values[-1] for name, values in recipe("vanishing_gradients")["sizes"].items()}
    assert shares["sigmoid, plain"] < 1e-8
    assert min(shares["sigmoid, residual"], shares["ReLU, plain"], shares["ReLU, residual"]) > 1e-3


def test_recipe_dqn(recipe):
    ran = recipe("dqn")
    assert ran["by_chance"] < 0.4
    assert ran["learned"] > ran["by_chance"] + 0.4
    screens = ran["game"].screens()
    assert screens.shape == (1, 210, 160, 3)
    small = ran["preprocessed"](screens)
    assert small.shape == (1, 1, 84, 84)
    assert small.dtype == np.uint8
    red, green, blue = screens[0, 5 * 30 + 5, 80]
    assert abs(int(small[0, 0, 5 * 12 + 2, 42]) - (0.299 * red + 0.587 * green + 0.114 * blue)) < 1


def test_recipe_unet(recipe):
    assert recipe("unet")["dice"] > 0.9


def test_recipe_memory(recipe):
    ran = recipe("memory")
    estimates, found, saved = (np.array(ran[name]) for name in ("estimates", "found", "saved"))
    assert np.all(np.abs(found / estimates - 1) < 0.25)
    assert np.all(saved < 0.7 * found)


def test_recipe_shapes(recipe):
    assert recipe("shapes")["accuracy"] >= 0.97


def test_recipe_periodic_signal(recipe):
    ran = recipe("periodic_signal")
    assert ran["errors"].shape == (128,)
    assert ran["errors"][0] < 0.1 * ran["size"]
    assert ran["errors"][-16:].mean() < 0.4 * ran["size"]
