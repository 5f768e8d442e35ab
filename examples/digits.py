"""A small convolutional network learns to read handwritten digits: `fastconv` computes, `autograd` differentiates.

    pip install "fastconv[autograd]" scikit-learn
    python examples/digits.py

The digits are scikit-learn's: 1797 real ones of 8x8 pixels, a quarter of them kept for the test. Nothing but the seed
decides the result.
"""

import time

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad
from autograd.scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastconv.autograd import conv2d, max_pool2d

BATCH, RATE, DECAY = 32, 3e-3, 0.03


def load():
    """Images (N, 1, 8, 8) and labels (N,), of training and test."""
    digits = load_digits()
    images = digits.images[:, np.newaxis].astype(np.float32) / 16
    return train_test_split(images, digits.target, test_size=0.25, random_state=0, stratify=digits.target)


def initial_parameters(rng):
    """Weights and biases, layer by layer: normal numbers that neither raise nor lower a signal's energy (He)."""
    parameters = []
    for shape, inputs in (((32, 1, 3, 3), 9), ((64, 32, 3, 3), 288), ((256, 10), 256)):
        outputs = shape[1] if len(shape) == 2 else shape[0]
        weight = rng.normal(scale=(2 / inputs) ** 0.5, size=shape).astype(np.float32)
        parameters += [weight, np.zeros(outputs, np.float32)]
    return parameters


def network(parameters, images):
    """Logarithms of the probabilities of the ten digits, (N, 10)."""
    weight1, bias1, weight2, bias2, weight3, bias3 = parameters
    x = conv2d(images, weight1, bias1, padding=1, activation="relu")
    x = max_pool2d(x, 2)  # (N, 32, 4, 4)
    x = conv2d(x, weight2, bias2, padding=1, activation="relu")
    x = max_pool2d(x, 2)  # (N, 64, 2, 2)
    scores = anp.dot(anp.reshape(x, (len(images), -1)), weight3) + bias3
    return scores - logsumexp(scores, axis=1, keepdims=True)  # softmax


def loss(parameters, images, labels):
    """Cross-entropy: how improbable the network finds the right digits."""
    return -anp.mean(network(parameters, images)[np.arange(len(labels)), labels])


def shifted(images, rng):
    """Every image moved by up to a pixel in each direction: in effect, more digits to learn from."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[2:], axis=(2, 3))
    rows, columns = rng.integers(3, size=(2, len(images)))
    return windows[np.arange(len(images)), :, rows, columns]


def fit(images, labels, seed=0, epochs=40):
    """The parameters that Adam finds (with decoupled weight decay), and the loss of every batch on the way."""
    rng = np.random.default_rng(seed)
    parameters = initial_parameters(rng)
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    losses, steps = [], epochs * (len(images) // BATCH)
    for _ in range(epochs):
        order = rng.permutation(len(images))[: len(images) // BATCH * BATCH]
        for batch in order.reshape(-1, BATCH):
            x = shifted(images[batch], rng)
            value, gradients = value_and_grad(loss)(parameters, x, labels[batch])
            losses.append(float(value))
            step = len(losses)
            rate = RATE * (1 - step / (steps + 1))
            for p, g, m, s in zip(parameters, gradients, means, squares, strict=True):
                m += 0.1 * (g - m)
                s += 0.001 * (g * g - s)
                p -= rate * (DECAY * p + m / (1 - 0.9**step) / (np.sqrt(s / (1 - 0.999**step)) + 1e-8))
    return parameters, losses


def train(seed=0, epochs=40):
    """Accuracy on the digits that were kept for the test."""
    train_images, test_images, train_labels, test_labels = load()
    parameters, _ = fit(train_images, train_labels, seed, epochs)
    predicted = np.argmax(network(parameters, test_images), axis=1)
    return float(np.mean(predicted == test_labels))


if __name__ == "__main__":
    start = time.perf_counter()
    accuracy = train()
    print(f"accuracy {accuracy:.2%} on the test digits, after {time.perf_counter() - start:.1f} s")
