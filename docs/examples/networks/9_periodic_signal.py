"""
A signal that goes on
=====================

Dilated causal convolutions see far into the past with few weights: 1, 2, 4, ... places between the taps of one layer
after the other, as in WaveNet (van den Oord et al., 2016). The network learns the next value of a sum of two sines,
which the last value alone does not say, and then goes on by itself: what it said last is what it hears next.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv.nn as nn

PERIODS, STRENGTHS = np.array([[16], [5]]), np.array([[1.0], [0.5]])
LENGTH = 65
rng = np.random.default_rng(0)


def signals(count, length):
    """Sums (N, 1, length) of the two sines at random phases."""
    phases = rng.uniform(0, 2 * np.pi, (count, 2, 1))
    waves = STRENGTHS * np.sin(2 * np.pi * np.arange(length) / PERIODS + phases)
    return waves.sum(axis=1, keepdims=True).astype(np.float32)


# %%
# Six layers of two taps each see 64 values.

net = nn.models.wavenet(layers=6)
print(f"sees {net.summary((1, 1, 64)).rows[-1].receptive_field[-1]} values")

# %%
# Each value's target is the next one. Noise on what it hears makes it forgive its own small mistakes later.

clean = signals(160, LENGTH)
x, y = clean[:, :, :-1] + 0.05 * rng.standard_normal((160, 1, LENGTH - 1)).astype(np.float32), clean[:, :, 1:]
rate = nn.schedules.cosine(1e-2, steps=60 * 10)
history = net.fit(x, y, 60, 16, loss="mse", optimizer=nn.Adam(rate), rng=0)

# %%
# It hears 64 values of new signals and goes on for 128: eight periods of the slow sine.

HEARD, AHEAD = 64, 128
truth = signals(20, HEARD + AHEAD)
said = truth[:, :, :HEARD]
program = net.compile((20, 1, HEARD))
for _ in range(AHEAD):
    said = np.concatenate([said, program(np.ascontiguousarray(said[:, :, -HEARD:]))[:, :, -1:]], axis=2)
errors = np.sqrt(np.mean((said - truth) ** 2, axis=(0, 1)))[HEARD:]
size = np.sqrt(np.mean(truth**2))
print(
    f"error, of the signal's size: {errors[0] / size:.1%} at first, {errors[-16:].mean() / size:.1%} at the end"
)

# %%
figure, axes = plt.subplots(2, 1, figsize=(9, 4.5), layout="constrained", sharex=True)
time = np.arange(HEARD + AHEAD)
axes[0].plot(time, truth[0, 0], color="0.7", linewidth=4, label="the signal")
axes[0].plot(time[HEARD:], said[0, 0, HEARD:], label="what the network says")
axes[0].axvspan(0, HEARD - 1, alpha=0.1, label="what it heard")
axes[0].legend(loc="lower left", ncols=3)
axes[1].plot(time[HEARD:], errors / size)
axes[1].set(xlabel="time", ylabel="error, of the signal's size", ylim=(0, None))
plt.show()
