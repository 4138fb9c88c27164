"""Answers with a trained model: the same bytes in a pod and on a device without containers.

    python3 predict.py model.json < request.json      # a request of the V1 predict protocol
"""

import hashlib
import json
import sys

from model import Softmax


class Model:
    def __init__(self, content):
        """Takes the bytes of a model file."""
        self.digest = "sha256:" + hashlib.sha256(content).hexdigest()
        state = json.loads(content)
        self.softmax = Softmax(state["inputs"], state["classes"])
        self.softmax.weights = state["weights"]

    def classify(self, pixels):
        """Returns the class of one sample and how sure the model is."""
        if not isinstance(pixels, list) or len(pixels) != self.softmax.inputs or not all(isinstance(p, (int, float)) for p in pixels):
            raise ValueError(f"want {self.softmax.inputs} numbers an instance")
        p = self.softmax.probabilities([(i, ink) for i, ink in enumerate(pixels) if ink > 0.05])
        top = max(p)
        return p.index(top), round(top, 6)


def instances(body):
    """Returns the samples of a V1 request. It raises ValueError."""
    request = json.loads(body)
    found = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(found, list) or not found:
        raise ValueError("want an object with a list of instances")
    return [i["pixels"] if isinstance(i, dict) and "pixels" in i else i for i in found]


def answer(model, samples):
    """Returns the bytes of a V1 answer, and the classes in it."""
    found = [model.classify(s) for s in samples]
    predictions = [{"class": c, "probability": p} for c, p in found]
    return json.dumps({"predictions": predictions, "model": model.digest}).encode() + b"\n", [c for c, _ in found]


def main():
    with open(sys.argv[1], "rb") as f:
        model = Model(f.read())
    try:
        sys.stdout.buffer.write(answer(model, instances(sys.stdin.buffer.read()))[0])
    except ValueError as problem:
        raise SystemExit(f"predict: {problem}")


if __name__ == "__main__":
    main()
