"""A small network that tells two moons apart, written out: what there is to tune is in the environment."""

import json
import math
import os
import random

LEARNING_RATE = float(os.environ.get("LEARNING_RATE", "0.1"))
HIDDEN = int(os.environ.get("HIDDEN", "8"))
EPOCHS = int(os.environ.get("EPOCHS", "60"))
SEED = int(os.environ.get("SEED", "3"))


def moons(count, rng, noise=0.15):
    """Returns points on two interleaved half circles, and which of the two each is on."""
    points = []
    for i in range(count):
        moon, angle = i % 2, math.pi * rng.random()
        x, y = math.cos(angle), math.sin(angle)
        if moon:
            x, y = 1.0 - x, 0.5 - y
        points.append(((x + rng.gauss(0, noise), y + rng.gauss(0, noise)), moon))
    return points


class Network:
    """Two inputs, one hidden layer of tanh, one probability."""

    def __init__(self, hidden, rng):
        self.inner = [[rng.gauss(0, 1), rng.gauss(0, 1), 0.0] for _ in range(hidden)]
        self.outer = [rng.gauss(0, 1 / math.sqrt(hidden)) for _ in range(hidden)] + [0.0]

    def forward(self, point):
        x, y = point
        h = [math.tanh(w[0] * x + w[1] * y + w[2]) for w in self.inner]
        z = self.outer[-1] + sum(w * a for w, a in zip(self.outer, h))
        return h, 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, z))))

    def learn(self, point, label, rate):
        """Makes one step of gradient descent and returns the loss before it."""
        h, p = self.forward(point)
        error = p - label
        for j, w in enumerate(self.inner):
            back = error * self.outer[j] * (1.0 - h[j] ** 2) * rate
            w[0] -= back * point[0]
            w[1] -= back * point[1]
            w[2] -= back
            self.outer[j] -= rate * error * h[j]
        self.outer[-1] -= rate * error
        return -math.log(max(1e-12, p if label else 1.0 - p))


def main():
    rng = random.Random(SEED)
    train, held_out = moons(400, rng), moons(400, rng)
    network = Network(HIDDEN, rng)
    for epoch in range(1, EPOCHS + 1):
        rng.shuffle(train)
        loss = sum(network.learn(point, label, LEARNING_RATE) for point, label in train) / len(train)
        if epoch % 10 == 0 or epoch == EPOCHS:
            accuracy = sum((network.forward(point)[1] > 0.5) == bool(label) for point, label in held_out) / len(held_out)
            metrics = [{"name": "loss", "value": round(loss, 4)}, {"name": "accuracy", "value": accuracy}]
            print(json.dumps({"metrics": metrics, "progressPercentage": 100 * epoch // EPOCHS}), flush=True)
    print(f"learning rate {LEARNING_RATE}, {HIDDEN} hidden: accuracy {accuracy:.4f}", flush=True)


if __name__ == "__main__":
    main()
