"""What `spam-train` does."""

from spam.model import train


def main():
    for epoch, loss in train(epochs=3):
        print(f"epoch {epoch} loss {loss:.4f}", flush=True)
    return 0
