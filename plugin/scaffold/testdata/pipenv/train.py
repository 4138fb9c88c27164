import numpy as np
from sklearn.linear_model import SGDClassifier

if __name__ == "__main__":
    x, y = np.random.default_rng(0).normal(size=(100, 4)), np.arange(100) % 2
    model = SGDClassifier(loss="log_loss")
    for epoch in range(5):
        model.partial_fit(x, y, classes=[0, 1])
        print(epoch, model.score(x, y), flush=True)
