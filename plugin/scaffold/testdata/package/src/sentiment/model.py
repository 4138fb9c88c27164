from collections import Counter


class Perceptron:
    def __init__(self):
        self.weights = Counter()

    def learn(self, text, label):
        words = text.replace(",", "").split()
        wrong = label * sum(self.weights[w] for w in words) <= 0
        if wrong:
            for w in words:
                self.weights[w] += label
        return wrong
