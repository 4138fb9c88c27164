import math


class Bigram:
    def __init__(self, letters):
        self.counts = {a: {b: 1 for b in letters} for a in letters}

    def train(self, text):
        loss = 0.0
        for a, b in zip(text, text[1:]):
            row = self.counts[a]
            loss -= math.log(row[b] / sum(row.values()))
            row[b] += 1
        return loss / (len(text) - 1)
