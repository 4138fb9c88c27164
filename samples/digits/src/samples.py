"""Where training and validation get their samples: the bucket, or drawn on the spot."""

import json

import contract
from bucket import Bucket, available
from digits import load as drawn


def dense(sample):
    """Returns a sample of the bucket as the model takes it: pixels that are not blank, and the label."""
    return [(i, ink) for i, ink in enumerate(sample["pixels"]) if ink > 0.05], sample["label"]


def load(split):
    """Returns the samples of a split in an order of their own, and the split's digest."""
    if not available():
        train, held_out = drawn(seed=7)
        chosen = train if split == contract.TRAIN else held_out
        return chosen, contract.digest(contract.name(s) for s in chosen)
    bucket, found = Bucket(), {}
    for key in bucket.list(f"clean/{split}-"):
        for line in bucket.get(key).decode().splitlines():
            sample = json.loads(line)
            found[contract.name(sample)] = dense(sample)
    if not found:
        raise SystemExit(f"the bucket holds no samples of the split {split}: run the stage data first")
    return [found[n] for n in sorted(found)], contract.digest(found)
