"""Softmax regression on plain lists."""

import hashlib
import math
import struct


class Softmax:
    """A linear layer and a softmax; weights are one flat list, inputs + 1 (bias) per class."""

    def __init__(self, inputs, classes):
        self.inputs, self.classes = inputs, classes
        self.weights = [0.0] * ((inputs + 1) * classes)

    def probabilities(self, pixels):
        row = self.inputs + 1
        w = self.weights
        scores = []
        for c in range(self.classes):
            base = c * row
            score = w[base + self.inputs]
            for i, x in pixels:
                score += w[base + i] * x
            scores.append(score)
        top = max(scores)
        exps = [math.exp(s - top) for s in scores]
        total = sum(exps)
        return [e / total for e in exps]

    def gradient(self, samples):
        """Returns the summed loss and the summed gradient over the samples."""
        row = self.inputs + 1
        gradient = [0.0] * len(self.weights)
        loss = 0.0
        for pixels, label in samples:
            p = self.probabilities(pixels)
            loss -= math.log(max(p[label], 1e-12))
            p[label] -= 1.0
            for c, error in enumerate(p):
                base = c * row
                gradient[base + self.inputs] += error
                for i, x in pixels:
                    gradient[base + i] += error * x
        return loss, gradient

    def step(self, gradient, rate):
        self.weights = [w - rate * g for w, g in zip(self.weights, gradient)]

    def accuracy(self, samples):
        hits = 0
        for pixels, label in samples:
            p = self.probabilities(pixels)
            hits += p.index(max(p)) == label
        return hits / len(samples)

    def digest(self):
        """Identifies the weights: equal on all ranks, or the sum went wrong."""
        return hashlib.sha256(struct.pack(f"<{len(self.weights)}d", *self.weights)).hexdigest()[:12]
