import argparse
import random

from bigram import Bigram


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    letters = open("/opt/vocabulary/letters.txt").read().split()
    rng, model = random.Random(1), Bigram(letters)
    for step in range(args.steps):
        loss = model.train("".join(rng.choices(letters, k=20)))
        if step % 10 == 0:
            print(f"step {step} loss {loss:.3f}", flush=True)


if __name__ == "__main__":
    main()
