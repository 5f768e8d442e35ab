"""Looking into networks of `fastconv.nn`: feature maps, Grad-CAM, pictures."""

import numpy as np
import pytest

import fastconv.nn as nn
from fastconv.nn import functional as F

pytestmark = pytest.mark.one_instruction_set


def net(layout=None):
    return nn.Sequential(
        {
            "body": nn.Sequential(
                nn.Conv2D(4, 3, padding=1), nn.Activation("tanh"), nn.Conv2D(5, 3, stride=2)
            ),
            "mean": nn.GlobalAvgPool2D(keepdims=False),
            "head": nn.Dense(3),
        },
        layout=layout,
    ).astype("float64")


X = np.random.default_rng(0).standard_normal((2, 1, 9, 8))


def test_feature_maps_are_what_the_layer_gives():
    one = net().build(X.shape, rng=0)
    expected = one["body"][1](one["body"][0](X))
    np.testing.assert_array_equal(nn.feature_maps(one, X, "body.1"), expected)
    np.testing.assert_array_equal(nn.feature_maps(one, X, one["body"][1]), expected)
    assert nn.feature_maps(one, X).shape == (2, 5, 4, 3)  # of the last convolution
    one.freeze()
    np.testing.assert_array_equal(nn.feature_maps(one, X, "body"), nn.feature_maps(one, X, "body.2"))


def test_parts_that_are_done_in_one_pass_are_seen_apart():
    one = nn.Sequential(
        nn.BatchNorm2D(), nn.Activation("relu"), nn.Residual(nn.BatchNorm2D(), activation="relu")
    )
    one.build(X.shape)
    normed = nn.feature_maps(one, X, "0")
    assert normed.min() < 0
    np.testing.assert_array_equal(nn.feature_maps(one, X, "1"), np.maximum(normed, 0))
    body = nn.feature_maps(one, X, "2.0")
    np.testing.assert_allclose(one(X), np.maximum(normed, 0) + np.maximum(body, 0), rtol=1e-12)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_grad_cam_is_its_formula(layout):
    """With the gradient as differences of the class score."""
    one = net(layout).build(X.shape if layout == "NCHW" else np.moveaxis(X, 1, -1).shape, rng=0)
    given = X if layout == "NCHW" else np.moveaxis(X, 1, -1)
    found = nn.grad_cam(one, given, target=[1, 2], layer="body.1")
    maps = nn.feature_maps(one, given, "body.1")
    maps = maps if layout == "NCHW" else np.moveaxis(maps, -1, 1)

    def scores(values):
        values = values if layout == "NCHW" else np.moveaxis(values, 1, -1)
        with nn.scope.setting(layout=layout, dtype=np.dtype("float64")):
            y = F.conv2d(values, one["body"][2].weight, one["body"][2].bias, stride=2)
            return F.dense(F.global_avg_pool2d(y, keepdims=False), one["head"].weight, one["head"].bias)

    for image, target in enumerate((1, 2)):
        slopes = np.zeros(4)
        for channel in range(
            4
        ):  # the mean of the gradient is the slope along all pixels at once, over their number
            step = np.zeros_like(maps)
            step[image, channel] = 1e-4
            rise = scores(maps + step) - scores(maps - step)
            slopes[channel] = rise[image, target] / 2e-4 / maps[0, 0].size
        expected = np.maximum(np.tensordot(slopes, maps[image], 1), 0)
        np.testing.assert_allclose(found[image], expected / expected.max(), atol=1e-8)


def test_grad_cam_finds_the_class():
    """Of a network that sees a bright square, where it is."""
    rng = np.random.default_rng(0)
    x = 0.3 * rng.standard_normal((120, 1, 16, 16))
    y, places = np.arange(120) % 2, rng.integers(1, 11, (120, 2))
    for image, label, (row, column) in zip(x, y, places, strict=True):
        if label:
            image[0, row : row + 4, column : column + 4] += 2
    one = nn.Sequential(
        nn.Conv2D(8, 3, padding=1, activation="relu"), nn.Conv2D(8, 3, padding=1, activation="relu"),
        nn.GlobalAvgPool2D(keepdims=False), nn.Dense(2),
    )  # fmt: skip
    one.fit(x, y, 12, 16, optimizer=nn.Adam(1e-2), rng=0)
    shown = nn.grad_cam(one, x[y == 1], target=1)
    centres = [np.argwhere(part > 0.5).mean(axis=0) for part in shown]
    assert np.abs(np.array(centres) - places[y == 1] - 1.5).mean() < 1.5


def test_nothing_that_speaks_for_a_class():
    one = nn.Sequential(nn.Conv2D(2, 1, activation="relu"), nn.GlobalAvgPool2D(keepdims=False), nn.Dense(2))
    one.build((1, 1, 4, 4), rng=0)
    one[2].weight[:] = -1
    np.testing.assert_array_equal(nn.grad_cam(one, np.ones((1, 1, 4, 4)), 0), np.zeros((1, 4, 4)))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda one: nn.feature_maps(one, X, "tail"),
            "feature_maps: layer is 'tail', but the network has 'body'",
        ),
        (lambda one: nn.grad_cam(one, X, 3), "target is 3, but needs classes from 0 to 2"),
        (
            lambda one: nn.grad_cam(one, X, 0, "head"),
            r"layer 'head' gives \(2, 3\), but needs to give images",
        ),
        (
            lambda one: nn.grad_cam(one["body"], X, 0),
            r"the network gives \(2, 5, 4, 3\), but needs \(N, classes\)",
        ),
        (lambda one: nn.feature_maps(one["head"], X[:, 0, 0]), "the network has no Conv2D"),
        (lambda one: nn.plot_filters(one, "head"), "layer 'head' has no filters of images"),
        (lambda one: nn.plot_feature_maps(one, X, "head"), "but needs to give images"),
        (lambda one: nn.plot_history({}), "plot_history: history is empty"),
    ],
)
def test_what_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call(net().build(X.shape, rng=0))


def test_pictures(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    one = net().build(X.shape, rng=0)
    history = {"loss": [2.0, 1.0, 0.5], "accuracy": [0.2, 0.5, 0.6], "val_loss": [3.0, 2.0, 1.0]}
    figure = nn.plot_history(history)
    lines = {(axis.get_title(), line.get_label()): line for axis in figure.axes for line in axis.lines}
    assert sorted(lines) == [("accuracy", "training"), ("loss", "training"), ("loss", "validation")]
    np.testing.assert_array_equal(lines["loss", "validation"].get_ydata(), [3, 2, 1])
    np.testing.assert_array_equal(lines["loss", "training"].get_xdata(), [1, 2, 3])
    maps = nn.feature_maps(one, X, "body.1")
    figure = nn.plot_feature_maps(one, X, "body.1", most=3, columns=2)
    drawn = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    np.testing.assert_allclose(drawn, maps[0, :3])
    figure = nn.plot_filters(one, "body.0")
    np.testing.assert_allclose([a.images[0].get_array() for a in figure.axes], one["body"][0].weight[:, 0])
    figure = nn.plot_grad_cam(one, X, target=1, layer="body.1")
    np.testing.assert_allclose(
        [axis.images[1].get_array() for axis in figure.axes], nn.grad_cam(one, X, 1, "body.1")
    )
    colours = nn.Sequential(nn.Conv2D(2, 3)).build((1, 3, 5, 5), rng=0)
    (first, second) = nn.plot_filters(colours).axes
    assert first.images[0].get_array().shape == second.images[0].get_array().shape == (3, 3, 3)
    plt.close("all")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"plot_history: needs matplotlib .* pip install"):
        nn.plot_history(history)
