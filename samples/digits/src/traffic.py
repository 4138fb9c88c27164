"""Users of the served model: they ask, and say later what the digit really was.

    python3 traffic.py 500 [--drift]
"""

import argparse
import json
import os
import random
import urllib.request

from stream import sample

NAME = os.environ.get("MODEL_NAME", "model")
URL = os.environ.get("SERVE_URL", "http://serve:8080")


def post(verb, content):
    request = urllib.request.Request(f"{URL}/v1/models/{NAME}:{verb}", json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--drift", action="store_true")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "11")))
    arguments = parser.parse_args()
    rng, correct = random.Random(arguments.seed), 0
    for start in range(0, arguments.count, 50):
        batch = [sample(i % 10, rng, arguments.drift) for i in range(start, min(start + 50, arguments.count))]
        post("predict", {"instances": [s["pixels"] for s in batch]})
        correct += post("feedback", {"instances": batch})["correct"]
    print(f"{correct} of {arguments.count} right", flush=True)


if __name__ == "__main__":
    main()
