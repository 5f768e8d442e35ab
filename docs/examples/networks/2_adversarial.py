"""
Attacks, and training against them
==================================

The gradient of the loss by the image says which way each pixel has to go to mislead a network. FGSM goes there in one
step (Goodfellow et al., 2015), PGD in several (Madry et al., 2018). A network that is trained on such images holds.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastconv.nn as nn

digits = load_digits()
images = digits.images[:, np.newaxis].astype(np.float32) / 16
x, x_test, y, y_test = train_test_split(images, digits.target, random_state=0, stratify=digits.target)
EPSILON = 0.15  # of the range from 0 to 1, for every pixel


def network():
    return nn.Sequential(
        nn.Conv2D(32, 3, padding=1, activation="relu"), nn.MaxPool2D(2),
        nn.Conv2D(64, 3, padding=1, activation="relu"), nn.Flatten(), nn.Dense(10),
    )  # fmt: skip


slope = nn.input_gradient(lambda net, x, y: nn.losses.cross_entropy(net(x), y))


def fgsm(net, x, y, epsilon=EPSILON):
    """One step of `epsilon` per pixel."""
    _, gradient = slope(net, x, y)
    return np.clip(x + epsilon * np.sign(gradient), 0, 1)


def pgd(net, x, y, epsilon=EPSILON, steps=7):
    """Several small steps, each brought back to within `epsilon` of the image."""
    moved = x
    for _ in range(steps):
        _, gradient = slope(net, moved, y)
        moved = moved + 2.5 * epsilon / steps * np.sign(gradient)
        moved = np.clip(moved, np.maximum(x - epsilon, 0), np.minimum(x + epsilon, 1))
    return moved


def accuracies(net):
    attacked = {"clean": x_test, "FGSM": fgsm(net, x_test, y_test), "PGD": pgd(net, x_test, y_test)}
    return {name: net.evaluate(given, y_test)["accuracy"] for name, given in attacked.items()}


# %%
# Trained as usual, the network reads nearly all digits, and few of those that were moved against it.

plain = network()
plain.fit(x, y, epochs=15, optimizer=nn.Adam(2e-3), rng=0)
results = {"trained as usual": accuracies(plain)}

# %%
# Adversarial training is an augmentation: half of each batch is attacked, with the network as it is at that moment.

robust = network().build(x.shape, rng=0)


def attacked(x, y, rng):
    half = len(x) // 2
    return np.concatenate([pgd(robust, x[:half], y[:half], steps=3), x[half:]]), y


robust.fit(x, y, epochs=25, optimizer=nn.Adam(2e-3), augment=attacked, rng=0)
results["trained on attacks"] = accuracies(robust)

for name, row in results.items():
    print(f"{name:20}", "  ".join(f"{kind} {share:.1%}" for kind, share in row.items()))

# %%
# What misleads the first network: eight digits, as they are and moved.

moved = fgsm(plain, x_test[:8], y_test[:8])
figure, axes = plt.subplots(2, 8, figsize=(9, 2.9))
for row, batch in zip(axes, (x_test[:8], moved), strict=True):
    for axis, image, label in zip(row, batch, plain.predict(batch).argmax(1), strict=True):
        axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"reads {label}")
        axis.axis("off")
plt.show()
