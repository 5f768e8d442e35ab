"""
How much memory a training takes
================================

`Module.summary` sums up what each layer makes, before anything is computed. Training keeps most of that until the
gradients have been taken, so its memory grows with the batch; here the estimate stands beside what was measured.
``nn.checkpoint`` trades memory for time.
"""

import tracemalloc

import matplotlib.pyplot as plt
import numpy as np

import fastconv.nn as nn

SHAPE = (16, 48, 48)
BATCHES = (2, 4, 8, 16)


def network(wrap=lambda part: part):
    """Five stages of four convolutions each, all of one size."""

    def stage():
        return wrap(nn.Sequential(*(nn.Conv2D(16, 3, padding=1, activation="relu") for _ in range(4))))

    return nn.Sequential(*(stage() for _ in range(5)), nn.GlobalAvgPool2D(keepdims=False), nn.Dense(10))


def measured(net, batch):
    """Bytes that one step took at most; NumPy tells Python's tracer of its arrays."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((batch, *SHAPE)).astype(np.float32), rng.integers(10, size=batch)
    net.build(x.shape, rng=0).train_step(x, y)  # what is allocated once
    tracemalloc.start()
    net.train_step(x, y)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


# %%
# What the layers make, and the gradients of the parameters.

estimates, found, saved = [], [], []
for batch in BATCHES:
    summary = network().summary((batch, *SHAPE))
    estimates.append(summary.memory + 4 * summary.parameters)
    found.append(measured(network(), batch))
    saved.append(measured(network(nn.checkpoint), batch))
print("batch  estimated  measured  with checkpoints (MB)")
for row in zip(BATCHES, estimates, found, saved, strict=True):
    print(f"{row[0]:5}  " + "  ".join(f"{value / 1e6:9.1f}" for value in row[1:]))

# %%
figure, axis = plt.subplots(figsize=(7, 4))
for name, values in (("estimated", estimates), ("measured", found), ("with nn.checkpoint", saved)):
    axis.plot(BATCHES, np.array(values) / 1e6, marker="o", label=name)
axis.set(xlabel="batch", ylabel="MB", title="Memory of a training step")
axis.legend()
plt.show()
