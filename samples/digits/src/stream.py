"""Digits come in by a Kafka topic, here through Strimzi's HTTP bridge to it.

    COUNT=1600 python3 stream.py             # sends so many digits
    COUNT=400 DRIFT=1 python3 stream.py      # … as another camera would see them
    BROKEN=12 python3 stream.py              # … so many of them without a label
"""

import json
import os
import random
import socket
import time
import urllib.error
import urllib.request

from digits import draw

JSON = "application/vnd.kafka.json.v2+json"
CONTROL = "application/vnd.kafka.v2+json"


class Bridge:
    def __init__(self):
        self.url = os.environ["KAFKA_BRIDGE_URL"].rstrip("/")
        self.topic = os.environ["KAFKA_TOPIC"]

    def send(self, samples):
        self.call("POST", f"/topics/{self.topic}", {"records": [{"value": s} for s in samples]}, kind=JSON)

    def receive(self, group):
        """Returns batches of what the group has not seen; what was returned counts as seen when the next batch is asked for."""
        me = f"{socket.gethostname()}-{os.getpid()}"
        self.call("POST", f"/consumers/{group}", {"name": me, "format": "json", "auto.offset.reset": "earliest", "enable.auto.commit": False})
        at = f"/consumers/{group}/instances/{me}"
        try:
            self.call("POST", at + "/subscription", {"topics": [self.topic]})
            silent = 0
            while silent < 3:
                records = self.call("GET", at + "/records?timeout=1000", accept=JSON) or []
                silent = 0 if records else silent + 1
                if records:
                    yield [r["value"] for r in records]
                    self.call("POST", at + "/offsets")
        finally:
            self.call("DELETE", at)

    def call(self, method, path, body=None, kind=CONTROL, accept=CONTROL, attempts=8):
        """Asks the bridge. A broker that is down for a moment is asked again."""
        data = None if body is None else json.dumps(body).encode()
        for attempt in range(1, attempts + 1):
            request = urllib.request.Request(self.url + path, data, {"Content-Type": kind, "Accept": accept}, method=method)
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    content = response.read()
                    return json.loads(content) if content else None
            except urllib.error.HTTPError as problem:
                if problem.code < 500 or attempt == attempts:
                    raise OSError(f"{method} {path}: the bridge says {problem.code}: {problem.read()[:200].decode(errors='replace')}") from problem
            except OSError:
                if attempt == attempts:
                    raise
            time.sleep(min(2.0, 0.1 * 2**attempt))


def sample(digit, rng, drift=False):
    """Returns a digit as the topic carries it."""
    pixels = [0.0] * 64
    for i, ink in draw(digit, rng):
        pixels[i] = round(ink, 3)
    if drift:  # grey paper, and a camera that sees less of the ink
        pixels = [round(0.3 + 0.6 * p, 3) for p in pixels]
    return {"pixels": pixels, "label": digit}


def draw_samples(default_count, default_seed):
    """Draws what the environment asks for."""
    env = os.environ.get
    rng, count, drift = random.Random(int(env("SEED", default_seed))), int(env("COUNT", default_count)), env("DRIFT", "0") != "0"
    return [sample(i % 10, rng, drift) for i in range(count)]


def main():
    drawn, bridge = draw_samples(1600, 7), Bridge()
    for broken in drawn[: int(os.environ.get("BROKEN", "0"))]:
        del broken["label"]
    for start in range(0, len(drawn), 200):
        bridge.send(drawn[start : start + 200])
        print(f"sent {min(start + 200, len(drawn))} of {len(drawn)}", flush=True)


if __name__ == "__main__":
    main()
