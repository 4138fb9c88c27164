"""Models and checkpoints in the bucket."""

import hashlib
import json

from bucket import Bucket, Missing, available

# The edges of the bins in which training and serving count each pixel.
BOUNDS = [0.05, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0]
CANDIDATE, CURRENT = "models/candidate", "models/current"


def model_file(softmax, data):
    """Returns the bytes of a model file: the same for the same weights and data."""
    state = {"inputs": softmax.inputs, "classes": softmax.classes, "weights": softmax.weights, "data": data}
    return json.dumps(state, sort_keys=True).encode()


def reference(samples, classes, accuracy):
    """Returns what drift is measured against: how often each pixel and class was what in training."""
    features = {str(i): {"bounds": BOUNDS, "counts": [0] * (len(BOUNDS) + 1)} for i in range(64)}
    labels = {str(c): 0 for c in range(classes)}
    for pixels, label in samples:
        labels[str(label)] += 1
        ink = dict(pixels)
        for i in range(64):
            features[str(i)]["counts"][bin_of(ink.get(i, 0.0))] += 1
    return json.dumps({"features": features, "classes": labels, "accuracy": accuracy}, sort_keys=True)


def bin_of(value):
    return next((i for i, bound in enumerate(BOUNDS) if value <= bound), len(BOUNDS))


def publish(content, described):
    """Puts a model beside its reference and makes it the candidate. Returns its digest."""
    digest = hashlib.sha256(content).hexdigest()
    bucket = Bucket()
    bucket.put(f"models/{digest}/reference.json", described)
    bucket.put(f"models/{digest}/model.json", content)
    bucket.put(CANDIDATE, digest)
    return "sha256:" + digest


def fetch(pointer):
    """Returns the bytes of the model that a pointer names, checked against the name."""
    bucket = Bucket()
    digest = bucket.get(pointer).decode().strip()
    content = bucket.get(f"models/{digest}/model.json")
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"models/{digest} holds something else")
    return content


class Checkpoints:
    """The state of a run, for ranks that come back on another node. Without a bucket there is none."""

    def __init__(self, run):
        self.key = f"checkpoints/{run}.json" if run and available() else ""

    def load(self):
        if not self.key:
            return None
        try:
            return json.loads(Bucket().get(self.key))
        except Missing:
            return None

    def save(self, state):
        if self.key:
            Bucket().put(self.key, json.dumps(state))
