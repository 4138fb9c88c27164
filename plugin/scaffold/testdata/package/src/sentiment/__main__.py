from .data import SENTENCES
from .model import Perceptron


def main():
    model = Perceptron()
    for epoch in range(10):
        errors = sum(model.learn(text, label) for text, label in SENTENCES)
        print(f"epoch {epoch} accuracy {1 - errors / len(SENTENCES):.2f}", flush=True)


if __name__ == "__main__":
    main()
