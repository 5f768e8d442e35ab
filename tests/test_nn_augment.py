"""`fastconv.nn.augment`: each change in both layouts, of images whose changed form is known."""

import numpy as np
import pytest

import fastconv.nn as nn
from fastconv.nn import augment

pytestmark = pytest.mark.one_instruction_set

CHANGES = {
    "flip": augment.flip(),
    "flip vertical": augment.flip(vertical=True),
    "shift": augment.shift(2, fill=0.5),
    "crop": augment.crop((4, 6)),
    "rotate": augment.rotate(30),
    "scale": augment.scale(1.4),
    "colour_jitter": augment.colour_jitter(),
    "cutout": augment.cutout(3, fill=0.3),
    "chain": augment.chain(augment.flip(), augment.shift(1), augment.cutout(2)),
}


def images(n=6):
    return np.random.default_rng(0).standard_normal((n, 3, 7, 9)).astype(np.float32)


@pytest.mark.parametrize("name", CHANGES)
def test_layouts_agree(name):
    x, change = images(), CHANGES[name]
    before = x.copy()
    first = change(x, None, np.random.default_rng(1))
    with nn.scope.setting(layout="NHWC"):
        last = change(np.moveaxis(x, 1, -1), None, np.random.default_rng(1))
    assert first.dtype == last.dtype == np.float32
    np.testing.assert_allclose(np.moveaxis(last, -1, 1), first, atol=1e-6)
    np.testing.assert_array_equal(x, before)
    assert not np.array_equal(first, x)
    np.testing.assert_array_equal(first, change(x, None, np.random.default_rng(1)))


def test_shifts_and_crops_are_parts():
    x, rng = images(50), np.random.default_rng(0)
    places = set()
    for image, moved in zip(x, augment.shift(2)(x, None, rng), strict=True):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)))
        found = [
            (r, c)
            for r in range(5)
            for c in range(5)
            if np.array_equal(padded[:, r : r + 7, c : c + 9], moved)
        ]
        assert len(found) == 1
        places |= {*found}
    assert len(places) > 10
    for image, part in zip(x, augment.crop((4, 6))(x, None, rng), strict=True):
        assert any(np.array_equal(image[:, r : r + 4, c : c + 6], part) for r in range(4) for c in range(4))
    with pytest.raises(ValueError, match=r"crop: size is \(8, 8\), but the images have 7x9"):
        augment.crop(8)(x, None, rng)


class Fixed:
    """A generator whose uniform numbers are known."""

    def __init__(self, value):
        self.value = value

    def uniform(self, low, high, size):
        return np.full(size, self.value)


def test_a_quarter_turn():
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8))
    turned = augment.rotate(90)(x, None, Fixed(90.0))
    np.testing.assert_allclose(turned, np.rot90(x, -1, (2, 3)), atol=1e-12)
    np.testing.assert_allclose(augment.rotate(90)(x, None, Fixed(0.0)), x, atol=1e-12)


def test_twice_the_size():
    ramp = np.broadcast_to(np.arange(9.0), (1, 1, 9, 9)).copy()
    grown = augment.scale(2.0)(ramp, None, Fixed(np.log(2.0)))
    np.testing.assert_allclose(grown[0, 0, 4], 2 + np.arange(9) / 2, atol=1e-12)
    small = augment.scale(2.0, fill=-1.0)(ramp, None, Fixed(-np.log(2.0)))
    np.testing.assert_allclose(small[0, 0, 4, 2:7], [0, 2, 4, 6, 8], atol=1e-12)
    assert small[0, 0, 4, 0] == -1


def test_flips_noise_and_holes():
    x, rng = images(400), np.random.default_rng(0)
    flipped = augment.flip(0.25)(x, None, rng)
    mirrored = [np.array_equal(a[:, :, ::-1], b) for a, b in zip(x, flipped, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(x, flipped, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 70 < sum(mirrored) < 130
    added = augment.noise(0.1)(x, None, rng) - x
    assert abs(added.std() - 0.1) < 0.001
    assert added.dtype == np.float32
    holes = (augment.cutout(3, fill=9.0)(x, None, rng) == 9).sum(axis=(1, 2, 3)) / 3
    assert holes.max() == 9
    assert holes.min() >= 4


def test_colours_keep_what_they_should():
    x = images()
    grey = augment.colour_jitter(0, 0, 0.5)(x, None, np.random.default_rng(0))
    np.testing.assert_allclose(grey.mean(axis=1), x.mean(axis=1), atol=1e-6)
    sharper = augment.colour_jitter(0, 0.5, 0)(x, None, np.random.default_rng(0))
    np.testing.assert_allclose(sharper.mean(axis=(1, 2, 3)), x.mean(axis=(1, 2, 3)), atol=1e-6)
    ratio = sharper.std(axis=(1, 2, 3)) / x.std(axis=(1, 2, 3))
    assert 0.5 <= ratio.min() < 1 < ratio.max() <= 1.5
    brighter = augment.colour_jitter(0.5, 0, 0)(x, None, np.random.default_rng(0)) - x
    assert np.ptp(brighter, axis=(1, 2, 3)).max() < 1e-6


def test_mixup_mixes_images_and_targets_alike():
    x, y = images(40), np.arange(40) % 4
    x[:] = np.arange(40)[:, None, None, None]
    mixed, target = augment.mixup(1.0, classes=4)(x, y, np.random.default_rng(0))
    assert target.shape == (40, 4)
    np.testing.assert_allclose(target.sum(axis=1), 1)
    order = np.random.default_rng(0)
    shares, places = order.beta(1.0, 1.0, 40), order.permutation(40)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], shares * np.arange(40) + (1 - shares) * places, rtol=1e-5)
    np.testing.assert_allclose(
        target, np.eye(4)[y] * shares[:, None] + np.eye(4)[y[places]] * (1 - shares[:, None])
    )
    with pytest.raises(ValueError, match="mixup: y has labels, which needs classes="):
        augment.mixup()(x, y, np.random.default_rng(0))


def test_training_with_mixup_and_in_nhwc():
    x, y = np.moveaxis(images(20), 1, -1), np.arange(20) % 2
    net = nn.Sequential(nn.Conv2D(4, 3), nn.Flatten(), nn.Dense(2), layout="NHWC")
    change = augment.chain(augment.shift(1), augment.mixup(classes=2))
    history = net.fit(x, y, 3, 10, augment=change, rng=0)
    assert len(history["loss"]) == 3
