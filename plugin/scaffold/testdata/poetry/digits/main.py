import numpy as np


class cli:
    @staticmethod
    def run():
        weights = np.zeros(4)
        for epoch in range(3):
            loss = float(np.square(weights - 1).mean())
            weights += 0.1
            print(epoch, loss, flush=True)
