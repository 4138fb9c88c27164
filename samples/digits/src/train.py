"""Data-parallel training on 8x8 digits with the standard library alone.

Every rank trains on its own share of the samples; gradients are summed over
TCP after each step, so all ranks hold the same weights. Rank 0 reports the
accuracy on samples that no rank trained on, and writes a checkpoint; where
there is a bucket the checkpoint and the model go there.
"""

import json
import os
import signal
import sys
import time

import artifacts
import contract
import samples
from allreduce import Group
from bucket import available
from model import Softmax

LEARNING_RATE = float(os.environ.get("LEARNING_RATE", "2.0"))
EPOCHS = int(os.environ.get("EPOCHS", "40"))
OUT = os.environ.get("OUT_DIR")  # without it, no checkpoint outside of the bucket
STEP_SECONDS = float(os.environ.get("STEP_SECONDS", "0"))


def main():
    rank = int(os.environ.get("RANK", "0"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    say = lambda text: print(text, flush=True)
    say(f"rank {rank} of {world} starts, GPUs: {os.environ.get('NVIDIA_VISIBLE_DEVICES', 'none')}")

    train, digest = samples.load(contract.TRAIN)
    # With a bucket the held-out split is for the stage validate alone.
    watched = train[::10] if available() else samples.load(contract.HELD_OUT)[0]
    share = train[rank::world]
    model, first = Softmax(inputs=64, classes=10), 1
    checkpoints = artifacts.Checkpoints(os.environ.get("JOB", ""))
    if (state := checkpoints.load()) and state["epoch"] < EPOCHS:
        model.weights, first = state["weights"], state["epoch"] + 1
        say(f"rank {rank} goes on after epoch {state['epoch']}")

    with Group(rank, world) as group:
        for epoch in range(first, EPOCHS + 1):
            loss, gradient = model.gradient(share)
            gradient = group.sum(gradient + [loss, float(len(share))])
            loss, count = gradient[-2], gradient[-1]
            model.step(gradient[:-2], LEARNING_RATE / count)
            if rank == 0 and (epoch % 5 == 0 or epoch == EPOCHS):
                accuracy = model.accuracy(watched)
                say(f"epoch {epoch} loss {loss / count:.4f} accuracy {accuracy:.4f}")
                report(epoch, loss / count, accuracy)
                state = {"epoch": epoch, "accuracy": accuracy, "weights": model.weights}
                if OUT:
                    save(os.path.join(OUT, "checkpoint.json"), state)
                checkpoints.save(state)
            time.sleep(STEP_SECONDS)
    if rank == 0 and available():
        content = artifacts.model_file(model, digest)
        published = artifacts.publish(content, artifacts.reference(train, model.classes, model.accuracy(watched)))
        say(json.dumps({"model": {"digest": published, "data": digest, "bytes": len(content)}}))
    say(f"rank {rank} done after {EPOCHS} epochs, weights {model.digest()}")
    time.sleep(float(os.environ.get("LINGER_SECONDS", "0")))


def report(epoch, loss, accuracy):
    """Tells kubectl ai how far it is and how good: one line of JSON."""
    metrics = [{"name": "loss", "value": round(loss, 4)}, {"name": "accuracy", "value": round(accuracy, 4)}]
    print(json.dumps({"metrics": metrics, "progressPercentage": 100 * epoch // EPOCHS}), flush=True)


def save(path, state):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".tmp", "w") as f:
        json.dump(state, f)
    os.replace(path + ".tmp", path)


if __name__ == "__main__":
    # A process that is a pod's first ignores SIGTERM unless it says otherwise:
    # a drained node would wait for the whole grace period.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
