"""
Vanishing gradients
===================

A deep network learns only as far down as its gradients reach. A sigmoid's slope is at most a quarter, and each layer
multiplies by it; ReLU's is one; a shortcut lets the gradient through unchanged (He et al., 2016). Twenty layers, before
any training:
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv.nn as nn

DEPTH, CHANNELS = 20, 16
rng = np.random.default_rng(0)
x, y = rng.standard_normal((32, 3, 16, 16)).astype(np.float32), rng.integers(10, size=32)


def network(activation, residual):
    """Convolutions that are all alike, but for what is asked."""
    init = "he" if activation == "relu" else "glorot"

    def layer():
        convolution = nn.Conv2D(CHANNELS, 3, padding=1, activation=activation, init=init)
        return nn.Residual(convolution) if residual else convolution

    body = nn.Sequential(*(layer() for _ in range(DEPTH)))
    parts = {"first": nn.Conv2D(CHANNELS, 3, padding=1), "body": body}
    return nn.Sequential(parts | {"pool": nn.GlobalAvgPool2D(keepdims=False), "head": nn.Dense(10)})


def gradient_sizes(net):
    """The root mean square of the gradient of each layer's weights, from the first to the last."""
    net.build(x.shape, rng=0)
    _, gradients = nn.value_and_grad(lambda net, x, y: nn.losses.cross_entropy(net(x), y))(net, x, y)
    names = [name for name in gradients if name.startswith("body.") and name.endswith("weight")]
    return np.array([np.sqrt(np.mean(gradients[name] ** 2)) for name in names])


# %%
# How much smaller the gradient of the first layer is than that of the last.

sizes = {
    "sigmoid, plain": gradient_sizes(network("sigmoid", residual=False)),
    "sigmoid, residual": gradient_sizes(network("sigmoid", residual=True)),
    "ReLU, plain": gradient_sizes(network("relu", residual=False)),
    "ReLU, residual": gradient_sizes(network("relu", residual=True)),
}
for name, values in sizes.items():
    print(f"{name:18} first layer / last layer: {values[0] / values[-1]:.1e}")

# %%
# A straight line downwards on a logarithmic scale is what vanishing looks like.

figure, axis = plt.subplots(figsize=(7, 4))
for name, values in sizes.items():
    axis.semilogy(np.arange(1, DEPTH + 1), values / values[-1], marker=".", label=name)
axis.set(xlabel="layer", ylabel="gradient, of the last layer's", title="What reaches the first layers")
axis.legend()
plt.show()
