"""
A network that plays
====================

A pixel falls, and a paddle of one block catches it or does not. Frames in colours, of 210x160 pixels, are made grey,
shrunk to 84x84 and stacked by four. A network learns the worth of each move from its own play, with a memory of what
happened and a second network that lags behind: the DQN of Mnih et al., 2015, on a game that takes half a minute to
learn. Of 100 pixels it has to catch 40 more than chance.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv
import fastconv.nn as nn

CELLS, GAMES, STEPS = 7, 16, 480
ROWS, COLUMNS = np.arange(210) * CELLS // 210, np.arange(160) * CELLS // 160  # the block of each pixel
GREY = np.array([0.299, 0.587, 0.114], np.float32)
rng = np.random.default_rng(0)


def preprocessed(screens):
    """Bytes (N, 210, 160, 3) as grey ones (N, 1, 84, 84)."""
    grey = (screens @ GREY)[:, np.newaxis]
    return np.rint(fastconv.resize2d(grey, 84, mode="linear", antialias=True)).astype(np.uint8)


class Falling:
    """Many games at a time, on 7x7 blocks; each lasts six moves."""

    def __init__(self, count):
        self.count = count
        self.row, (self.column, self.paddle) = 0, rng.integers(CELLS, size=(2, self.count))
        self.frames = preprocessed(self.screens())[:, [0] * 4]

    def screens(self):
        blocks = np.zeros((self.count, CELLS, CELLS, 3), np.uint8)
        blocks[np.arange(self.count), self.row, self.column] = 240, 220, 90
        blocks[np.arange(self.count), CELLS - 1, self.paddle] = 90, 230, 120
        return blocks[:, ROWS][:, :, COLUMNS]

    def move(self, actions):
        """The reward, 1 or -1 at the end, and whether it is the end."""
        self.paddle, self.row = np.clip(self.paddle + actions - 1, 0, CELLS - 1), self.row + 1
        self.frames = np.concatenate([self.frames[:, 1:], preprocessed(self.screens())], axis=1)
        ended = self.row == CELLS - 1
        return ended * np.where(self.column == self.paddle, 1.0, -1.0), ended


def caught(choose, games=200):
    """The share of games that end well."""
    game, ended = Falling(games), False
    while not ended:
        reward, ended = game.move(choose(game.frames))
    return float(np.mean(reward > 0))


def seen(frames):
    return frames.astype(np.float32) / 255


# %%
# A step: the worth of the move that was made should be its reward, and the worth of the best move after it.
def loss(output, target):
    made, worth = target[:, :3], target[:, 3]
    return nn.losses.huber((output * made).sum(axis=1), worth)


net, lagging = (nn.models.dqn(3, hidden=64).build((1, 4, 84, 84), rng=0) for _ in range(2))
optimizer, memory, game = nn.Adam(5e-4), [], Falling(GAMES)
for step in range(STEPS):
    before, explore = game.frames, rng.random(GAMES) < max(0.1, 1 - step / 200)
    actions = np.where(explore, rng.integers(3, size=GAMES), net(seen(before)).argmax(axis=1))
    reward, ended = game.move(actions)
    memory += [(*part, ended) for part in zip(before, actions, reward, game.frames, strict=True)]
    game = Falling(GAMES) if ended else game
    batch = [memory[place] for place in rng.integers(len(memory), size=32)]
    states, moves, rewards, after, ends = (np.array(part) for part in zip(*batch, strict=True))
    worth = rewards + 0.95 * ~ends * lagging(seen(after)).max(axis=1)
    target = np.column_stack([np.eye(3)[moves], worth]).astype(np.float32)
    net.train_step(seen(states), target, loss=loss, optimizer=optimizer)
    if step % 30 == 29:
        lagging.load_state_dict(net.state_dict())

# %%
by_chance = caught(lambda frames: rng.integers(3, size=len(frames)))
learned = caught(lambda frames: net.predict(seen(frames)).argmax(axis=1))
print(f"caught: {by_chance:.0%} by chance, {learned:.0%} by the network")

# Screens, and what the network sees of them, move by move.
_, axes = plt.subplots(2, 5, figsize=(9, 4.5), subplot_kw={"xticks": [], "yticks": []})
game = Falling(1)
for screen, frame in axes.T:
    screen.imshow(game.screens()[0])
    frame.imshow(game.frames[0, -1], cmap="gray")
    game.move(net(seen(game.frames)).argmax(axis=1))
plt.show()
