"""`nn.data`: what batches hold, in which order, by whom they are made, and that they go on to the same bits."""

import copy
import pickle
import threading
import time

import numpy as np
import pytest

import fastconv.nn as nn
from fastconv.nn import augment, data

pytestmark = pytest.mark.one_instruction_set

RNG = np.random.default_rng(0)
X = RNG.normal(size=(23, 1, 6, 5)).astype(np.float32)
Y = np.arange(23)


def changed(x, y, rng):
    """That can be pickled."""
    return augment.chain(augment.flip(), augment.noise(0.1))(x, y, rng)


def batches(**options):
    options = {"batch_size": 5, "seed": 4, "augment": changed} | options
    return data.Batches(data.Arrays(X, Y), **options)


def same(some, others):
    assert len(some) == len(others)
    for (x, y), (other_x, other_y) in zip(some, others, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)


def test_every_sample_comes_once_in_an_epoch_in_another_order():
    made = data.Batches(data.Arrays(X, Y), 5, seed=1)
    orders = []
    for _ in range(2):
        found = list(made)
        assert [len(y) for _, y in found] == [5, 5, 5, 5, 3]
        orders.append(np.concatenate([y for _, y in found]).tolist())
        assert sorted(orders[-1]) == Y.tolist()
        for x, y in found:
            np.testing.assert_array_equal(x, X[y])
    assert orders[0] != orders[1]
    assert orders[0] != Y.tolist()
    plain = data.Batches(data.Arrays(X, Y), 5, shuffle=False)
    assert np.concatenate([y for _, y in plain]).tolist() == Y.tolist()


def test_bits_do_not_depend_on_the_threads():
    one = list(batches(threads=1, ahead=1))
    same(one, list(batches(threads=4, ahead=9)))
    assert not np.array_equal(one[0][0], X[one[0][1]])  # it was changed
    assert not np.array_equal(one[0][1], next(iter(batches(seed=5)))[1])


def test_an_iteration_goes_on_where_another_one_was():
    whole = batches()
    expected = [*whole, *whole]
    for stop in (1, 4, 5, 7):
        first, found = batches(), []
        while len(found) < stop:
            for one in first:
                found.append(one)
                if len(found) == stop:
                    break
        second = batches(seed=0)
        second.load_state_dict(first.state_dict())
        while len(found) < 10:
            found += list(second)
        same(found, expected)
    with pytest.raises(ValueError, match="batch is 5, but there are 5"):
        whole.load_state_dict({"seed": 0, "epoch": 0, "batch": 5})


def test_shards_are_the_parts_of_the_batches():
    whole = list(batches(shards=4))
    shards = [list(batches(shards=4).shard(number)) for number in range(4)]
    for number, (x, y) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([shard[number][0] for shard in shards]), x)
        np.testing.assert_array_equal(np.concatenate([shard[number][1] for shard in shards]), y)
    assert [len(shard[-1][1]) for shard in shards] == [0, 1, 1, 1]  # of 3
    again = pickle.loads(pickle.dumps(batches(shards=4))).shard(2)
    same(list(again), shards[2])
    with pytest.raises(ValueError, match="there are 4 shards"):
        batches(shards=4).shard(4)


class Slow:
    """A source that takes a while and remembers who read it."""

    def __init__(self, seconds=0.0, fails=None):
        self.seconds, self.fails = seconds, fails
        self.readers, self.reads = set(), 0

    def __len__(self):
        return len(X)

    def take(self, places):
        self.reads += 1
        self.readers.add(threading.current_thread())
        time.sleep(self.seconds)
        if self.fails is not None and self.fails in places:
            raise OSError("the disk is gone")
        return X[places], Y[places]


def test_batches_are_made_ahead_but_not_far():
    source = Slow(0.001)
    made = iter(data.Batches(source, 2, threads=2, ahead=3))
    next(made)
    for _ in range(200):
        if source.reads == 3:
            break
        time.sleep(0.01)
    time.sleep(0.02)
    assert source.reads == 3  # that one and two more
    assert threading.current_thread() not in source.readers
    made.close()
    assert not any(thread.is_alive() for thread in source.readers)


def test_what_fails_in_a_thread_is_raised():
    with pytest.raises(OSError, match="the disk is gone"):
        list(data.Batches(Slow(fails=7), 2))


def test_arrays_in_files(tmp_path):
    zarr, h5py = pytest.importorskip("zarr"), pytest.importorskip("h5py")
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", offset=16, shape=(25, *X.shape[1:]))
    mapped[1:24] = X
    mapped.flush()
    stored = zarr.create_array(tmp_path / "x.zarr", shape=X.shape, chunks=(4, 1, 6, 5), dtype="f4")
    stored[...] = X
    file = h5py.File(tmp_path / "x.h5", "w")
    file["x"] = X
    file.close()
    with h5py.File(tmp_path / "x.h5", "r") as file:
        places = np.array([22, 3, 0, 3, 4, 21])
        for array in (mapped[1:24], stored, file["x"]):
            source = data.Arrays(array, Y)
            sent = pickle.dumps(source)
            assert len(sent) < 2000  # where it is, not what it holds
            for one in (source, pickle.loads(sent), copy.copy(source)):
                x, y = one.take(places)
                np.testing.assert_array_equal(x, X[places])
                np.testing.assert_array_equal(y, places)
    turned = pickle.loads(pickle.dumps(data.Arrays(mapped[1:24].transpose(0, 3, 2, 1))))
    np.testing.assert_array_equal(turned.x, X.transpose(0, 3, 2, 1))


def test_pictures(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    for place, name in enumerate(("a", "b", "empty")):
        (tmp_path / name / "inner").mkdir(parents=True)
        for number in range(2 * (name != "empty")):
            pixels = np.full((20, 30 + number, 3), 50 * place, np.uint8)
            pixels[:, :3] = 255  # is cropped
            pillow.fromarray(pixels).save(tmp_path / name / "inner" / f"{number}.png")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    source = data.Pictures(tmp_path, (8, 8), mean=0.5, std=(0.5, 0.25, 0.5))
    assert (source.classes, len(source)) == (["a", "b", "empty"], 4)
    x, y = pickle.loads(pickle.dumps(source)).take(np.array([3, 0]))
    assert (x.shape, x.dtype, y.tolist()) == ((2, 3, 8, 8), np.float32, [1, 0])
    np.testing.assert_allclose(x[0, :, 4, 4], (50 / 255 - 0.5) / np.array([0.5, 0.25, 0.5]), rtol=1e-5)
    assert np.ptp(x[0], axis=(1, 2)).max() == 0  # margins are cropped
    stretched, _ = data.Pictures(tmp_path, 8, fit="stretch", layout="NHWC").take(np.array([2]))
    assert stretched.shape == (1, 8, 8, 3)
    assert stretched.max() > 0.5
    files = data.Pictures(sorted((tmp_path / "a").rglob("*.png")), 4, channels=1)
    assert files.take(np.array([1]))[1] is None
    (tmp_path / "a" / "inner" / "broken.png").write_bytes(b"no picture")
    broken = data.Pictures(tmp_path / "a", 8)
    with pytest.raises(ValueError, match=r"broken\.png"):
        list(data.Batches(broken, 4))
    for wrong, message in (
        ({"channels": 2}, "channels is 2"), ({"mean": (1, 2)}, "mean has 2"), ({"std": 0}, "above 0"),
        ({"fit": "pad"}, "fit"), ({"size": 0}, "size"), ({"where": tmp_path / "nowhere"}, "no folder"),
        ({"where": tmp_path / "empty"}, "no pictures"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            data.Pictures(**({"where": tmp_path, "size": 8} | wrong))


def test_pictures_of_many_threads_leave_pillows_limit_alone(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    before = pillow.MAX_IMAGE_PIXELS
    for number in range(12):
        pillow.new("RGB", (40, 40), (number, 0, 0)).save(tmp_path / f"{number:02}.png")
    found = list(data.Batches(data.Pictures(tmp_path, 4), 1, shuffle=False, threads=6))
    assert [round(float(x[0, 0, 0, 0] * 255)) for x, _ in found] == list(range(12))
    assert before == pillow.MAX_IMAGE_PIXELS


def net():
    return nn.Sequential(nn.Conv2D(4, 3), nn.BatchNorm2D(), nn.Flatten(), nn.Dropout(0.2), nn.Dense(23))


def test_fit_takes_batches_and_goes_on_to_the_same_bits(tmp_path):
    whole, parts = net(), net()
    options = {"rng": 3, "optimizer": nn.SGD(0.05, momentum=0.9)}
    history = whole.fit(batches(), epochs=3, **options)
    assert len(history["loss"]) == 3
    path = tmp_path / "kept.safetensors"
    parts.fit(batches(), epochs=1, checkpoint=path, **options | {"optimizer": nn.SGD(0.05, momentum=0.9)})
    parts = net()
    again = parts.fit(
        batches(seed=9), epochs=3, checkpoint=path, resume=True,
        **options | {"optimizer": nn.SGD(0.05, momentum=0.9)},
    )  # fmt: skip
    assert again == history
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(array, parts.state_dict()[name])


def test_fit_goes_on_within_an_epoch():
    made, seen = batches(), []

    class Watch(nn.Callback):
        def batch_end(self, run):
            seen.append((run.batch, run.batches))

    made.load_state_dict({"seed": 4, "epoch": 1, "batch": 3})
    net().fit(made, epochs=1, rng=0, callbacks=[Watch()])
    assert seen == [(3, 5), (4, 5)]
    assert (made.epoch, made.batch) == (2, 0)


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="augment needs to be None"):
        net().fit(batches(), augment=augment.flip())
    with pytest.raises(ValueError, match="y needs to be None"):
        net().fit(batches(), Y)
    with pytest.raises(ValueError, match="without what they should give"):
        net().fit(data.Batches(data.Arrays(X)))
    with pytest.raises(ValueError, match="23 samples, but y has 22"):
        data.Arrays(X, Y[1:])
    with pytest.raises(ValueError, match="no samples"):
        data.Arrays(X[:0])
    with pytest.raises(TypeError, match="x is list"):
        data.Arrays(X.tolist())
    with pytest.raises(TypeError, match="take"):
        data.Batches(X)
    for option in ("batch_size", "threads", "ahead", "shards"):
        with pytest.raises(ValueError, match=option):
            batches(**{option: 0})
    with pytest.raises(TypeError, match="augment is 3"):
        batches(augment=3)
