"""Training with `fastconv.nn`: steps, losses, optimisers and schedules beside PyTorch's, digits learned, callbacks."""

import gc
import weakref

import numpy as np
import pytest

import fastconv
import fastconv.nn as nn
from fastconv.nn import losses

pytestmark = pytest.mark.one_instruction_set


def small(rate=0.0):
    return nn.Sequential(
        nn.Conv2D(8, 3, padding=1), nn.BatchNorm2D(), nn.Activation("relu"), nn.MaxPool2D(2), nn.Flatten(),
        nn.Dropout(rate), nn.Dense(3),
    )  # fmt: skip


def data(samples=50, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, 2, 6, 6)).astype(np.float32), rng.integers(3, size=samples)


def shifted(x, y, rng):
    """Every image moved by up to a pixel."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, x.shape[2:], axis=(2, 3))
    rows, columns = rng.integers(3, size=(2, len(x)))
    return windows[np.arange(len(x)), :, rows, columns]


def digits():
    datasets = pytest.importorskip("sklearn.datasets")
    from sklearn.model_selection import train_test_split

    bunch = datasets.load_digits()
    images = bunch.images[:, np.newaxis].astype(np.float32) / 16
    return train_test_split(images, bunch.target, test_size=0.25, random_state=0, stratify=bunch.target)


def digit_net(layout=None):
    return nn.Sequential(
        nn.Conv2D(32, 3, padding=1, activation="relu"), nn.MaxPool2D(2),
        nn.Conv2D(64, 3, padding=1, activation="relu"), nn.MaxPool2D(2),
        nn.Flatten(), nn.Dense(10), layout=layout,
    )  # fmt: skip


def test_digits_are_learned():
    """To 99 % of those that were kept for the test."""
    x, x_test, y, y_test = digits()
    net, epochs = digit_net(), 40
    rate = nn.schedules.cosine(3e-3, steps=epochs * -(-len(x) // 32))
    optimizer = nn.AdamW(rate, weight_decay=0.03)
    history = net.fit(x, y, epochs, optimizer=optimizer, augment=shifted, rng=0)
    assert len(history["loss"]) == len(history["accuracy"]) == epochs
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    found = net.evaluate(x_test, y_test)
    assert found["accuracy"] >= 0.99
    program = net.compile((1, 1, 8, 8))
    labels = [int(program(image[np.newaxis]).argmax()) for image in x_test[:50]]
    assert labels == list(net.predict(x_test[:50]).argmax(1))


def test_training_goes_down_on_every_backend_and_layout(backend):
    x, y = data()
    for layout in ("NCHW", "NHWC"):
        net = small()
        net.__dict__["layout"] = layout
        given = np.moveaxis(x, 1, -1) if layout == "NHWC" else x
        history = net.fit(given, y, 6, 16, optimizer=nn.Adam(0.01), rng=0)
        assert history["loss"][-1] < 0.6 * history["loss"][0]


@pytest.mark.parametrize("threads", [1, 2])
def test_same_seed_same_bits(threads, threads_restored):
    x, y = data()
    states = []
    for count in (2, threads):
        fastconv.set_num_threads(count)
        net = small(0.3)
        history = net.fit(x, y, 2, 16, optimizer=nn.SGD(0.05, 0.9), rng=7, augment=shifted, validation=(x, y))
        states.append((history, net.state_dict()))
    assert states[0][0] == states[1][0]
    for one, other in zip(states[0][1].values(), states[1][1].values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_layouts_train_alike():
    x, y = data()
    nets = []
    for layout in ("NCHW", "NHWC"):
        net = small()
        net.__dict__["layout"] = layout
        net.astype("float64")
        net.fit(np.moveaxis(x, 1, -1) if layout == "NHWC" else x, y, 2, 16, optimizer="sgd", rng=3)
        nets.append(net.state_dict())
    for one, other in zip(*(net.values() for net in nets), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def torch_losses():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    rng = np.random.default_rng(0)
    scores, images = rng.standard_normal((5, 4)), rng.standard_normal((2, 4, 3, 2))
    labels, classes = rng.integers(4, size=5), rng.integers(4, size=(2, 3, 2))
    shares, mask = rng.dirichlet(np.ones(4), 5), rng.integers(2, size=(2, 4, 3, 2)).astype(float)
    t = torch.from_numpy

    def dice(x):
        p, axes = torch.sigmoid(x), (1, 2, 3)
        m = t(mask)
        return (1 - (2 * (p * m).sum(axes) + 1) / (p.sum(axes) + m.sum(axes) + 1)).mean()

    return {
        "labels": (losses.cross_entropy, scores, labels, {}, lambda x: F.cross_entropy(x, t(labels))),
        "smoothed": (
            losses.cross_entropy, scores, labels, {"label_smoothing": 0.2},
            lambda x: F.cross_entropy(x, t(labels), label_smoothing=0.2),
        ),
        "shares": (losses.cross_entropy, scores, shares, {}, lambda x: F.cross_entropy(x, t(shares))),
        "smoothed shares": (
            losses.cross_entropy, scores, shares, {"label_smoothing": 0.2},
            lambda x: F.cross_entropy(x, t(shares), label_smoothing=0.2),
        ),
        "pixels": (losses.cross_entropy, images, classes, {}, lambda x: F.cross_entropy(x, t(classes))),
        "logits": (
            losses.binary_cross_entropy, images, mask, {},
            lambda x: F.binary_cross_entropy_with_logits(x, t(mask)),
        ),
        "squares": (losses.mean_squared_error, images, mask, {}, lambda x: F.mse_loss(x, t(mask))),
        "huber": (losses.huber, images, mask, {"delta": 0.7}, lambda x: F.huber_loss(x, t(mask), delta=0.7)),
        "dice": (losses.dice, images, mask, {}, dice),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["labels", "smoothed", "shares", "smoothed shares", "pixels", "logits", "squares", "huber", "dice"],
)
def test_losses_are_those_of_pytorch(name):
    loss, x, target, options, theirs = torch_losses()[name]
    import torch

    given = torch.from_numpy(x.copy()).requires_grad_()
    expected = theirs(given)
    expected.backward()
    net = nn.Identity().astype("float64")
    value, slope = nn.input_gradient(lambda net, x: loss(net(x), target, **options))(net, x)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(slope, given.grad.numpy(), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(float(loss(x, target, **options)), value, rtol=1e-12)


def test_pixels_of_either_layout():
    rng = np.random.default_rng(0)
    x, classes = rng.standard_normal((2, 4, 3, 2)), rng.integers(4, size=(2, 3, 2))
    net = nn.Identity(layout="NHWC").astype("float64")
    expected = float(losses.cross_entropy(x, classes))
    found = net.evaluate(np.moveaxis(x, 1, -1), classes, loss="cross_entropy")
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-12)
    assert found["accuracy"] == np.mean(x.argmax(1) == classes)


OPTIMISERS = {
    "SGD": (lambda: nn.SGD(0.1), lambda o, p: o.SGD(p, 0.1)),
    "momentum": (
        lambda: nn.SGD(0.1, 0.9, weight_decay=0.1),
        lambda o, p: o.SGD(p, 0.1, 0.9, weight_decay=0.1),
    ),
    "Nesterov": (lambda: nn.SGD(0.1, 0.9, True), lambda o, p: o.SGD(p, 0.1, 0.9, nesterov=True)),
    "RMSprop": (lambda: nn.RMSprop(0.01), lambda o, p: o.RMSprop(p, 0.01)),
    "RMSprop momentum": (
        lambda: nn.RMSprop(0.01, momentum=0.9),
        lambda o, p: o.RMSprop(p, 0.01, momentum=0.9),
    ),
    "Adam": (lambda: nn.Adam(0.01, weight_decay=0.1), lambda o, p: o.Adam(p, 0.01, weight_decay=0.1)),
    "AdamW": (lambda: nn.AdamW(0.01, weight_decay=0.1), lambda o, p: o.AdamW(p, 0.01, weight_decay=0.1)),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}
    mine = {path: array.copy() for path, array in start.items()}
    theirs = {path: torch.nn.Parameter(torch.from_numpy(array.copy())) for path, array in start.items()}
    make, peer = OPTIMISERS[name]
    optimiser, other = make(), peer(torch.optim, theirs.values())
    for _ in range(6):
        gradients = {path: rng.standard_normal(array.shape) for path, array in start.items()}
        optimiser.step(mine, gradients)
        for path, parameter in theirs.items():
            parameter.grad = torch.from_numpy(gradients[path].copy())
        other.step()
    for path, array in mine.items():
        np.testing.assert_allclose(array, theirs[path].detach().numpy(), rtol=1e-10)


def test_clipping():
    weights = {"a": np.zeros(2), "b": np.zeros(1)}
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([4.0])}
    assert nn.SGD(1.0, clip_norm=1.0).step(weights, gradients) == 5
    np.testing.assert_allclose(np.concatenate([weights["a"], weights["b"]]), [-0.6, 0, -0.8])
    weights = {"a": np.zeros(2), "b": np.zeros(1)}
    nn.SGD(1.0, clip_value=3.5).step(weights, gradients)
    np.testing.assert_allclose(np.concatenate([weights["a"], weights["b"]]), [-3, 0, -3.5])


def test_an_optimisers_state_goes_on():
    gradients = [{"w": np.random.default_rng(seed).standard_normal(3)} for seed in range(4)]
    whole, weights = nn.Adam(0.1), {"w": np.ones(3)}
    for gradient in gradients:
        whole.step(weights, gradient)
    first, again = nn.Adam(0.1), {"w": np.ones(3)}
    for gradient in gradients[:2]:
        first.step(again, gradient)
    second = nn.Adam(0.1)
    second.load_state_dict(first.state_dict())
    for gradient in gradients[2:]:
        second.step(again, gradient)
    np.testing.assert_array_equal(weights["w"], again["w"])


def test_accumulated_batches_are_one_batch():
    x, y = data(20)
    nets = []
    for size, count in ((20, 1), (6, 4)):
        net = nn.Sequential(nn.Conv2D(4, 3), nn.Flatten(), nn.Dense(3)).astype("float64")
        net.fit(x, y, 3, size, optimizer=nn.SGD(0.1), accumulate=count, shuffle=False, rng=0)
        nets.append(net.state_dict())
    for one, other in zip(*(net.values() for net in nets), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


def test_numbers_of_a_short_last_batch_count_by_samples():
    x, y = data(10)
    net = nn.Sequential(nn.Flatten(), nn.Dense(3)).build(x.shape, rng=0)
    found = net.evaluate(x, y, batch_size=4)
    whole = net.evaluate(x, y, batch_size=10)
    assert found == pytest.approx(whole, rel=1e-6)
    assert net.predict(x, batch_size=3).shape == (10, 3)
    np.testing.assert_allclose(net.predict(x, batch_size=3), net(x), rtol=1e-5, atol=1e-6)


def test_validation_and_early_stopping_restore_the_best():
    x, y = data(60)
    net = small()
    seen = []

    class Watch(nn.Callback):
        def epoch_end(self, run):
            seen.append((run.history["val_loss"][-1], run.net.state_dict()))

    stop = nn.EarlyStopping(patience=2)
    history = net.fit(
        x, y, 40, 16, optimizer=nn.Adam(0.05), validation=data(30, 1), callbacks=[Watch(), stop], rng=0
    )
    assert len(history["val_loss"]) < 40
    best = min(seen, key=lambda pair: pair[0])
    assert np.argmin(history["val_loss"]) == len(history["val_loss"]) - 3
    for path, array in net.state_dict().items():
        np.testing.assert_array_equal(array, best[1][path])


def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path):
    x, y = data()
    path = tmp_path / "training.safetensors"

    class Interrupt(nn.Callback):
        def batch_end(self, run):
            if run.epoch == 2 and run.batch == 1:
                raise KeyboardInterrupt

    def train(net, **options):
        rate = nn.schedules.cosine(0.01, steps=20)
        return net.fit(
            x, y, 5, 16, optimizer=nn.Adam(rate), augment=shifted, rng=3, validation=(x, y), **options
        )

    whole = small(0.3)
    history = train(whole)
    broken = small(0.3)
    with pytest.raises(KeyboardInterrupt):
        train(broken, callbacks=[Interrupt()], checkpoint=path)
    assert broken(x).shape == (50, 3)  # usable all the same
    resumed = small(0.3)
    assert train(resumed, checkpoint=path, resume=True) == history
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert train(small(0.3), checkpoint=path, resume=True) == history  # nothing is left to do
    whole.save(path)
    with pytest.raises(ValueError, match="is no checkpoint of a training"):
        train(small(0.3), checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="resume=True needs checkpoint="):
        train(small(0.3), resume=True)


def test_on_plateau_lowers_the_rate():
    x, y = data(10)
    optimizer = nn.SGD(0.0)
    optimizer.schedule = nn.schedules.constant(1e-12)
    nn.Sequential(nn.Flatten(), nn.Dense(3)).fit(
        x, y, 5, 10, optimizer=optimizer, callbacks=[nn.OnPlateau("loss", 2, 0.5, least=0.1)], rng=0
    )
    assert optimizer.rate == pytest.approx(0.25e-12)


def test_frozen_parameters_stay():
    x, y = data()
    net = small().build(x.shape, rng=0)
    assert net.freeze("0") == 2
    before = net.state_dict()
    net.fit(x, y, 1, optimizer="sgd", rng=0)
    after = net.state_dict()
    same = [path for path in before if np.array_equal(before[path], after[path])]
    assert same == ["0.weight", "0.bias"]
    assert net.summary((1, 2, 6, 6)).trainable == net.summary((1, 2, 6, 6)).parameters - 152
    net.unfreeze()
    net.fit(x, y, 1, optimizer="sgd", rng=0)
    assert not np.array_equal(before["0.weight"], net.state_dict()["0.weight"])
    with pytest.raises(ValueError, match="freeze: no parameter's path begins with 'body'"):
        net.freeze("body")


def test_checkpoint_gives_the_same_gradients():
    def net(wrap):
        body = nn.Sequential(
            nn.Conv2D(6, 3, padding=1), nn.BatchNorm2D(), nn.Activation("relu"), nn.Dropout(0.3)
        )
        return nn.Sequential(nn.Conv2D(4, 3), wrap(body), nn.Flatten(), nn.Dense(2))

    x = np.random.default_rng(0).standard_normal((3, 2, 6, 6))
    results = []
    for layout in ("NCHW", "NHWC"):
        for wrap in (lambda part: part, nn.checkpoint):
            one = net(wrap).astype("float64")
            one.__dict__["layout"] = layout
            given = np.moveaxis(x, 1, -1) if layout == "NHWC" else x
            one.build(given.shape, rng=0)
            with nn.scope.setting(rng=np.random.default_rng(1)), nn.training():
                y = one.forward(given)
            slope = one.backward(np.ones_like(y))
            results.append([y, slope, *one.gradients.values(), *one.state_dict().values()])
        for first, second in zip(*results[-2:], strict=True):
            np.testing.assert_array_equal(first, second)


class Seen(nn.Module):
    """Gives on what it gets, and knows whether that is still there."""

    def forward(self, x):
        self.__dict__["is_there"] = weakref.ref(x.value)
        return x


def test_what_a_tape_keeps_is_freed():
    seen = [Seen() for _ in range(3)]
    net = nn.Sequential(
        nn.Dense(4), nn.BatchNorm2D(), seen[0], nn.Activation("relu"), seen[1], nn.Dense(2), seen[2]
    )
    with nn.training():
        y = net.forward(np.arange(6.0).reshape(2, 3))
    gc.collect()
    assert seen[0].is_there() is None  # a slope needs the output of ReLU, nothing else its input
    assert seen[1].is_there() is not None
    assert seen[2].is_there().shape == y.shape
    net.backward(np.ones((2, 2)))
    gc.collect()
    assert seen[1].is_there() is None
    with pytest.raises(ValueError, match="backward: needs a call of forward"):
        net.backward(np.ones((2, 2)))


def test_gradients_that_share_an_array_are_added_apart():
    """Sums hand on the array that they get; the parts of a checkpoint may be one array for two inputs."""

    class Both(nn.Module):
        def forward(self, x, y):
            return (x + y) * 3.0

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Dense(2, init="ones"), nn.Dense(2, init="ones")
            self.both = nn.checkpoint(Both())

        def forward(self, x):
            a, b = self.first(x), self.second(x)
            return (self.both(a, b) + a * 5.0 + (a + b) + b * 7.0).sum()

    _, gradients = nn.value_and_grad(lambda net, x: net(x))(Net(), np.ones((1, 2)))
    np.testing.assert_array_equal(gradients["first.bias"], 9.0)
    np.testing.assert_array_equal(gradients["second.bias"], 11.0)


def test_train_step_and_a_callable_loss():
    x, y = data()
    net = small()

    def loss(output, target):
        return losses.cross_entropy(output, target) * 2.0

    optimizer = nn.Adam(0.01)
    numbers = [net.train_step(x, y, loss=loss, optimizer=optimizer) for _ in range(20)]
    assert numbers[-1] < 0.5 * numbers[0]


def test_several_inputs_and_a_tuple_of_arrays():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Dense(4), nn.Dense(4)

        def __call__(self, a, b):
            return self.left(a) + self.right(b)

    a, b = np.random.default_rng(0).standard_normal((2, 12, 3)).astype(np.float32)
    y = a[:, :1] - b[:, 1:2] @ np.ones((1, 4), np.float32)
    net = Two()
    history = net.fit((a, b), y, 60, 4, loss="mse", optimizer=nn.Adam(0.05), rng=0)
    assert history["loss"][-1] < 0.01 * history["loss"][0]
    assert net.predict((a, b), batch_size=5).shape == (12, 4)
    graph = net.graph([(None, 3), (None, 3)])
    assert [value.name for value in graph.inputs] == ["x0", "x1"]
    net.forward(a, b)
    assert [part.shape for part in net.backward(np.ones((12, 4)))] == [(12, 3), (12, 3)]


def test_value_and_grad_refuses_what_is_no_number():
    with pytest.raises(ValueError, match=r"gave Variable \(2, 3\), but needs to give one number"):
        nn.value_and_grad(lambda net, x: net(x))(nn.Dense(3), np.ones((2, 2)))


def test_a_loss_that_is_not_finite_stops():
    x, y = data()
    net = small().build(x.shape, rng=0)
    net[6].weight[0, 0] = np.inf
    with pytest.raises(FloatingPointError, match="epoch 1, batch 1: the loss is nan; debug=True"):
        net.fit(x, y, rng=0)
    with pytest.raises(FloatingPointError, match=r"dense of layer 6 \(Dense\): the result is not finite"):
        net.fit(x, y, rng=0, debug=True)


def test_fit_refuses_what_does_not_fit():
    x, y = data(10)
    net = nn.Sequential(nn.Flatten(), nn.Dense(3))
    for match, options in {
        "loss is 'entropy', but needs a callable or one of": {"loss": "entropy"},
        "optimizer is 'adagrad', but needs": {"optimizer": "adagrad"},
        "fit: batch_size is 0": {"batch_size": 0},
        "metrics has 'recall'": {"metrics": "recall"},
        "fit: rng is 'seed'": {"rng": "seed"},
        "fit: validation needs to be a pair": {"validation": x},
        "fit: validation: x has 10 samples, but y has 9": {"validation": (x, y[:9])},
    }.items():
        with pytest.raises((ValueError, TypeError), match=match):
            net.fit(x, y, **options)
    with pytest.raises(ValueError, match="fit: x has 10 samples, but y has 9"):
        net.fit(x, y[:9])
    with pytest.raises(ValueError, match="labels 3 to 3, but there are 3 classes"):
        net.fit(x, np.full(10, 3))
    with pytest.raises(ValueError, match=r"target has shape \(10, 2\)"):
        net.fit(x, np.ones((10, 2)), loss="mse")
