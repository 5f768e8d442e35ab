"""
Transfer learning
=================

A network that has learned some digits knows strokes and corners. Its body, frozen, lets a new head learn other digits
from a few examples; fine-tuning then trains all of it at a low rate. A random body shows what that is worth.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import fastconv.nn as nn

digits = load_digits()
images, labels = digits.images[:, np.newaxis].astype(np.float32) / 16, digits.target
rng = np.random.default_rng(0)

# %%
# The first task: the digits 0 to 5, of which there are enough.


def network(classes):
    body = nn.Sequential(
        nn.Conv2D(16, 3, padding=1, activation="relu"), nn.MaxPool2D(2),
        nn.Conv2D(32, 3, padding=1, activation="relu"), nn.MaxPool2D(2),
        nn.Flatten(), nn.Dense(24, activation="relu"),
    )  # fmt: skip
    return nn.Sequential({"body": body, "head": nn.Dense(classes)})


first = labels < 6
taught = network(6)
taught.fit(images[first], labels[first], epochs=15, optimizer=nn.Adam(3e-3), rng=0)

# %%
# The second task: 6 to 9, with five examples of each; the others are for the test.

few = np.concatenate([rng.permutation(np.flatnonzero(labels == digit))[:5] for digit in range(6, 10)])
test = np.setdiff1d(np.flatnonzero(labels >= 6), few)
x, y = images[few], labels[few] - 6
x_test, y_test = images[test], labels[test] - 6


def accuracies(net, epochs, rate):
    """On the test digits, after each epoch."""
    optimizer = nn.Adam(rate)
    history = net.fit(x, y, epochs, 8, optimizer=optimizer, validation=(x_test, y_test), rng=0)
    return history["val_accuracy"]


# %%
# A new head in the place of the old: everything else is frozen, and stays as it is.

taught["head"] = nn.Dense(4)
taught.freeze("body")
curves = {"taught body, new head": accuracies(taught, 40, 1e-2)}

random = network(4).build(x.shape, rng=1)
random.freeze("body")
curves["random body, new head"] = accuracies(random, 40, 1e-2)

# %%
# Fine-tuning: the body may follow, slowly.

taught.unfreeze("body")
curves["fine-tuned"] = accuracies(taught, 20, 5e-4)

figure, axis = plt.subplots(figsize=(7, 3.6))
axis.plot(np.arange(40), curves["random body, new head"], label="random body, new head")
axis.plot(np.arange(40), curves["taught body, new head"], label="taught body, new head")
axis.plot(np.arange(40, 60), curves["fine-tuned"], label="fine-tuned")
axis.set(xlabel="epoch", ylabel="accuracy on other digits", title="Twenty examples of four new digits")
axis.legend()
plt.show()

# %%
for name, curve in curves.items():
    print(f"{name:22} {curve[-1]:.1%}")
