import argparse

import numpy as np
from tqdm import trange


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    series = np.sin(np.arange(500) / 10)
    weight = 0.0
    for _ in trange(steps):
        gradient = np.mean(2 * (weight * series[:-1] - series[1:]) * series[:-1])
        weight -= 0.1 * gradient
    print("loss", float(np.mean((weight * series[:-1] - series[1:]) ** 2)))


if __name__ == "__main__":
    main()
