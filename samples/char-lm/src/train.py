"""A character model: the next letter from the last few, one hidden layer, in numpy.

It prints its loss on text that it did not train on, and at the end what it
would write.
"""

import json
import os
import time

import numpy as np

from corpus import text

CONTEXT, WIDTH, HIDDEN = 8, 16, 96
STEPS = int(os.environ.get("STEPS", "400"))
BATCH = int(os.environ.get("BATCH", "64"))
LEARNING_RATE = float(os.environ.get("LEARNING_RATE", "0.01"))
SEED = int(os.environ.get("SEED", "1"))


class Adam:
    """Kingma and Ba, 2015, over a dictionary of arrays."""

    def __init__(self, weights, rate):
        self.weights, self.rate, self.step = weights, rate, 0
        self.first = {k: np.zeros_like(w) for k, w in weights.items()}
        self.second = {k: np.zeros_like(w) for k, w in weights.items()}

    def update(self, gradients):
        self.step += 1
        for k, g in gradients.items():
            self.first[k] = 0.9 * self.first[k] + 0.1 * g
            self.second[k] = 0.99 * self.second[k] + 0.01 * g * g
            first, second = self.first[k] / (1 - 0.9**self.step), self.second[k] / (1 - 0.99**self.step)
            self.weights[k] -= self.rate * first / (np.sqrt(second) + 1e-8)


class Model:
    def __init__(self, letters, rng):
        self.letters = letters
        scale = lambda *shape: rng.normal(0, 1 / np.sqrt(shape[0]), shape)
        self.weights = {
            "embedding": rng.normal(0, 1, (letters, WIDTH)),
            "inner": scale(CONTEXT * WIDTH, HIDDEN), "inner_bias": np.zeros(HIDDEN),
            "outer": scale(HIDDEN, letters), "outer_bias": np.zeros(letters),
        }

    def forward(self, contexts):
        w = self.weights
        x = w["embedding"][contexts].reshape(len(contexts), -1)
        h = np.tanh(x @ w["inner"] + w["inner_bias"])
        scores = h @ w["outer"] + w["outer_bias"]
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores)
        return x, h, p / p.sum(axis=1, keepdims=True)

    def loss(self, contexts, following):
        p = self.forward(contexts)[2]
        return -np.log(p[np.arange(len(following)), following] + 1e-12).mean()

    def gradients(self, contexts, following):
        w = self.weights
        x, h, p = self.forward(contexts)
        error = p.copy()
        error[np.arange(len(following)), following] -= 1
        error /= len(following)
        back = (error @ w["outer"].T) * (1 - h * h)
        embedding = np.zeros_like(w["embedding"])
        np.add.at(embedding, contexts, (back @ w["inner"].T).reshape(len(contexts), CONTEXT, WIDTH))
        return {
            "embedding": embedding, "inner": x.T @ back, "inner_bias": back.sum(0),
            "outer": h.T @ error, "outer_bias": error.sum(0),
        }

    def write(self, start, count, rng):
        out = list(start)
        for _ in range(count):
            p = self.forward(np.array([out[-CONTEXT:]]))[2][0]
            out.append(int(rng.choice(self.letters, p=p)))
        return out


def main():
    rng = np.random.default_rng(SEED)
    letters = sorted(set(text()))
    encoded = np.array([letters.index(c) for c in text()])
    contexts = np.lib.stride_tricks.sliding_window_view(encoded[:-1], CONTEXT)
    following = encoded[CONTEXT:]
    border = len(following) * 9 // 10  # the last tenth is held out
    model = Model(len(letters), rng)
    adam, began = Adam(model.weights, LEARNING_RATE), time.monotonic()
    for step in range(1, STEPS + 1):
        rows = rng.integers(0, border, BATCH)
        adam.update(model.gradients(contexts[rows], following[rows]))
        if step % 50 == 0 or step == STEPS:
            loss = model.loss(contexts[border:], following[border:])
            left = (time.monotonic() - began) / step * (STEPS - step)
            print(json.dumps({
                "metrics": [{"name": "loss", "value": round(float(loss), 4)}],
                "progressPercentage": 100 * step // STEPS, "estimatedRemainingSeconds": round(left),
            }), flush=True)
    print("it writes: " + "".join(letters[i] for i in model.write(encoded[:CONTEXT], 120, rng))[CONTEXT:], flush=True)


if __name__ == "__main__":
    main()
