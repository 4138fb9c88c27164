"""Logistic regression on two clouds of points.

import numpy was how this began; the standard library is enough.
"""
import argparse
import json
import math
import random

try:
    import wandb
except ImportError:
    wandb = None


def points(n, rng):
    for _ in range(n):
        label = rng.random() < 0.5
        centre = 1.0 if label else -1.0
        yield (rng.gauss(centre, 1), rng.gauss(-centre, 1)), int(label)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()
    rng = random.Random(7)
    data = list(points(400, rng))
    w, b = [0.0, 0.0], 0.0
    for epoch in range(args.epochs):
        loss = 0.0
        for x, y in data:
            p = 1 / (1 + math.exp(-(w[0] * x[0] + w[1] * x[1] + b)))
            loss -= math.log(p if y else 1 - p)
            for i in range(2):
                w[i] -= args.lr * (p - y) * x[i]
            b -= args.lr * (p - y)
        print(json.dumps({"epoch": epoch, "loss": loss / len(data)}), flush=True)


if __name__ == "__main__":
    main()
