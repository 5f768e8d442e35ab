"""
A network that plays
====================

A pixel falls, and a paddle of one block catches it or does not. The network sees four frames of 84x84 pixels and learns
the worth of each move from its own play, with a memory of what happened and a second network that lags behind: the DQN
of Mnih et al., 2015, on a game that takes half a minute to learn. Of 100 pixels it has to catch 40 more than chance.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv.nn as nn

CELLS, BLOCK, GAMES, STEPS = 7, 12, 16, 420
rng = np.random.default_rng(0)


class Falling:
    """Many games at a time, on 7x7 blocks of 12x12 pixels; each lasts six moves."""

    def __init__(self, count):
        self.count = count
        self.begin()

    def begin(self):
        self.row = 0
        self.column, self.paddle = rng.integers(CELLS, size=(2, self.count))
        self.frames = np.repeat(self.drawn()[:, np.newaxis], 4, axis=1)

    def drawn(self):
        blocks = np.zeros((self.count, CELLS, CELLS), np.uint8)
        blocks[np.arange(self.count), self.row, self.column] = 255
        blocks[np.arange(self.count), CELLS - 1, self.paddle] = 255
        return blocks.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)

    def move(self, actions):
        """The reward, 1 or -1 at the end, and whether it is the end."""
        self.paddle = np.clip(self.paddle + actions - 1, 0, CELLS - 1)
        self.row += 1
        self.frames = np.concatenate([self.frames[:, 1:], self.drawn()[:, np.newaxis]], axis=1)
        ended = self.row == CELLS - 1
        return (np.where(self.column == self.paddle, 1.0, -1.0) if ended else np.zeros(self.count)), ended


def seen(frames):
    return frames.astype(np.float32) / 255


def caught(choose, games=400):
    """The share of games that end well."""
    game, ended = Falling(games), False
    while not ended:
        reward, ended = game.move(choose(game.frames))
    return float(np.mean(reward > 0))


# %%
# A step: the worth of the move that was made should be its reward, and the worth of the best move after it.


def loss(output, target):
    made, worth = target[:, :3], target[:, 3]
    return nn.losses.huber((output * made).sum(axis=1), worth)


net, lagging = (nn.models.dqn(3, hidden=64).build((1, 4, 84, 84), rng=0) for _ in range(2))
optimizer = nn.Adam(5e-4)
memory, curve, game = [], [], Falling(GAMES)
for step in range(STEPS):
    before, explore = game.frames, rng.random(GAMES) < max(0.1, 1 - step / 200)
    actions = np.where(explore, rng.integers(3, size=GAMES), net(seen(before)).argmax(axis=1))
    reward, ended = game.move(actions)
    memory += [(*part, ended) for part in zip(before, actions, reward, game.frames, strict=True)]
    if ended:
        game.begin()
    batch = [memory[place] for place in rng.integers(len(memory), size=32)]
    states, moves, rewards, after, ends = (np.array(part) for part in zip(*batch, strict=True))
    worth = rewards + 0.95 * ~ends * lagging(seen(after)).max(axis=1)
    target = np.column_stack([np.eye(3)[moves], worth]).astype(np.float32)
    curve.append(net.train_step(seen(states), target, loss=loss, optimizer=optimizer))
    if step % 30 == 29:
        lagging.load_state_dict(net.state_dict())

# %%
by_chance = caught(lambda frames: rng.integers(3, size=len(frames)))
learned = caught(lambda frames: net.predict(seen(frames)).argmax(axis=1))
print(f"caught: {by_chance:.0%} by chance, {learned:.0%} by the network")

figure, axes = plt.subplots(1, 5, figsize=(9, 2.2))
game = Falling(1)
for axis in axes:
    axis.imshow(game.frames[0, -1], cmap="gray")
    axis.axis("off")
    game.move(net(seen(game.frames)).argmax(axis=1))
plt.show()
