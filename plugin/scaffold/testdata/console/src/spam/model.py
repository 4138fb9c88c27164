"""Logistic regression on word counts, by hand."""

import math

MESSAGES = [("win money now", 1), ("meeting at noon", 0), ("free money", 1), ("lunch at noon", 0)]


def train(epochs, learning_rate=0.5):
    weights = {}
    for epoch in range(epochs):
        loss = 0.0
        for text, label in MESSAGES:
            p = 1 / (1 + math.exp(-sum(weights.get(w, 0.0) for w in text.split())))
            loss -= math.log(p if label else 1 - p)
            for w in text.split():
                weights[w] = weights.get(w, 0.0) - learning_rate * (p - label)
        yield epoch, loss / len(MESSAGES)
