"""Data-parallel training on 8x8 digits with the standard library alone.

Every rank trains on its own share of the samples; gradients are summed over
TCP after each step, so all ranks hold the same weights. Rank 0 reports the
accuracy on digits that no rank trained on, and writes a checkpoint.
"""

import json
import os
import time

from allreduce import Group
from digits import load
from model import Softmax

LEARNING_RATE = 2.0
EPOCHS = int(os.environ.get("EPOCHS", "40"))
OUT = os.environ.get("OUT_DIR", "out")


def main():
    rank = int(os.environ.get("RANK", "0"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    say = lambda text: print(text, flush=True)
    say(f"rank {rank} of {world} starts, GPUs: {os.environ.get('NVIDIA_VISIBLE_DEVICES', 'none')}")

    train, held_out = load(seed=7)
    share = train[rank::world]
    model = Softmax(inputs=64, classes=10)
    checkpoint = os.path.join(OUT, "checkpoint.json")

    with Group(rank, world) as group:
        for epoch in range(1, EPOCHS + 1):
            loss, gradient = model.gradient(share)
            gradient = group.sum(gradient + [loss, float(len(share))])
            loss, count = gradient[-2], gradient[-1]
            model.step(gradient[:-2], LEARNING_RATE / count)
            if rank == 0 and (epoch % 5 == 0 or epoch == EPOCHS):
                accuracy = model.accuracy(held_out)
                say(f"epoch {epoch} loss {loss / count:.4f} accuracy {accuracy:.4f}")
                save(checkpoint, {"epoch": epoch, "accuracy": accuracy, "weights": model.weights})
    say(f"rank {rank} done after {EPOCHS} epochs, weights {model.digest()}")
    time.sleep(float(os.environ.get("LINGER_SECONDS", "0")))


def save(path, state):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".tmp", "w") as f:
        json.dump(state, f)
    os.replace(path + ".tmp", path)


if __name__ == "__main__":
    main()
