"""Users of the served model: they ask, and say later what the digit really was.

    COUNT=500 DRIFT=0 python3 traffic.py
"""

import json
import os
import urllib.request

from stream import draw_samples

NAME = os.environ.get("MODEL_NAME", "model")
URL = os.environ.get("SERVE_URL", "http://serve:8080")


def post(verb, content):
    request = urllib.request.Request(f"{URL}/v1/models/{NAME}:{verb}", json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def main():
    drawn, correct = draw_samples(500, 11), 0
    for start in range(0, len(drawn), 50):
        batch = drawn[start : start + 50]
        post("predict", {"instances": [s["pixels"] for s in batch]})
        correct += post("feedback", {"instances": batch})["correct"]
    print(f"{correct} of {len(drawn)} right", flush=True)


if __name__ == "__main__":
    main()
