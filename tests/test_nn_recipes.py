"""Networks that learn: segmentation, signals, capsules. Each under a minute on two cores."""

import numpy as np
import pytest

import fastconv.nn as nn
from test_nn_training import digits, shifted

pytestmark = [pytest.mark.one_instruction_set, pytest.mark.slow]


def cells(count, seed, size=32):
    """Bright discs on noise, and where they are."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    masks = np.zeros((count, 1, size, size), np.float32)
    for mask in masks:
        for _ in range(3):
            row, column, radius = *rng.uniform(4, size - 4, 2), rng.uniform(3, 6)
            mask[0] = np.maximum(mask[0], (rows - row) ** 2 + (columns - column) ** 2 < radius**2)
    return (masks + 0.5 * rng.standard_normal(masks.shape)).astype(np.float32), masks


def test_a_unet_segments_drawn_cells():
    x, y = cells(96, 0)
    net = nn.models.UNet(1, (8, 16, 32), norm=True)
    history = net.fit(x, y, 8, 8, loss="dice", optimizer=nn.Adam(3e-3), metrics="dice", rng=0)
    assert history["dice"][0] < 0.9
    assert net.evaluate(*cells(32, 1), metrics="dice")["dice"] > 0.9


def test_a_dilated_stack_learns_a_periodic_signal():
    """The next value of a sum of two sines, which the last one alone does not say."""
    time = np.arange(65)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (128, 2, 1))
    signal = np.sin(2 * np.pi * time / 16 + phases[:, 0]) + 0.5 * np.sin(2 * np.pi * time / 5 + phases[:, 1])
    x, y = signal[:, None, :-1].astype(np.float32), signal[:, None, 1:].astype(np.float32)
    net = nn.models.WaveNet(1, layers=5)
    net.fit(x[:96], y[:96], 25, 16, loss="mse", optimizer=nn.Adam(1e-2), rng=0)
    errors = (net.predict(x[96:]) - y[96:])[:, :, 32:]
    repeated = (x[96:] - y[96:])[:, :, 32:]
    assert np.mean(errors**2) < 0.02 * np.mean(repeated**2)


def test_capsules_read_digits():
    """How long is said by a part of the digits that are trained with, not by those that are kept for the test."""
    x, x_test, y, y_test = digits()
    net = nn.models.CapsNet(10, 3, filters=64, kernel_size=3, size=8)
    stop = nn.EarlyStopping("val_loss", patience=5)
    net.fit(
        x[270:], y[270:], 60, 32, loss="margin", optimizer=nn.Adam(2e-3), augment=shifted,
        validation=(x[:270], y[:270]), callbacks=[stop], rng=0,
    )  # fmt: skip
    assert net.evaluate(x_test, y_test, metrics="accuracy")["accuracy"] >= 0.97
