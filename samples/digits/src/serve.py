"""Serves the model by the V1 and V2 predict protocols, and counts what it sees.

The model is MODEL_FILE, or the one that the bucket calls current. Ready is who
holds a model, and with MODEL_DIGEST set that very one. The counters are what
drift is measured by.
"""

import bisect
import collections
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import artifacts
from bucket import Missing
from predict import Model, answer, instances

NAME = os.environ.get("MODEL_NAME", "model")
WANTED = os.environ.get("MODEL_DIGEST", "")
POLL_SECONDS = float(os.environ.get("MODEL_POLL_SECONDS", "2"))


class Counters:
    """What Prometheus asks for, in its text format."""

    def __init__(self):
        self.lock = threading.Lock()
        self.predictions, self.requests = collections.Counter(), collections.Counter()
        self.bins = [[0] * (len(artifacts.BOUNDS) + 1) for _ in range(64)]
        self.sums, self.seconds = [0.0] * 64, 0.0
        self.labelled = self.correct = 0

    def saw(self, samples, classes):
        with self.lock:
            self.predictions.update(classes)
            for pixels in samples:
                for i, ink in enumerate(pixels):
                    self.bins[i][bisect.bisect_left(artifacts.BOUNDS, ink)] += 1
                    self.sums[i] += ink

    def asked(self, code, seconds):
        with self.lock:
            self.requests[code] += 1
            self.seconds += seconds

    def learned(self, total, correct):
        with self.lock:
            self.labelled += total
            self.correct += correct

    def text(self, digest):
        with self.lock:
            lines = ["# TYPE predictions_total counter"]
            lines += [f'predictions_total{{class="{c}"}} {n}' for c, n in sorted(self.predictions.items())]
            lines.append("# TYPE feature_value histogram")
            for i, bins in enumerate(self.bins):
                below = 0
                for bound, n in zip([*artifacts.BOUNDS, "+Inf"], bins):
                    below += n
                    lines.append(f'feature_value_bucket{{feature="{i}",le="{bound}"}} {below}')
                lines += [f'feature_value_sum{{feature="{i}"}} {self.sums[i]}', f'feature_value_count{{feature="{i}"}} {below}']
            lines += ["# TYPE labelled_total counter", f"labelled_total {self.labelled}"]
            lines += ["# TYPE labelled_correct_total counter", f"labelled_correct_total {self.correct}"]
            lines.append("# TYPE http_requests_total counter")
            lines += [f'http_requests_total{{code="{c}"}} {n}' for c, n in sorted(self.requests.items())]
            lines += ["# TYPE http_request_duration_seconds summary"]
            lines += [f"http_request_duration_seconds_sum {self.seconds}", f"http_request_duration_seconds_count {sum(self.requests.values())}"]
            if digest:
                lines += ["# TYPE model_info gauge", f'model_info{{digest="{digest}"}} 1']
        return "\n".join(lines) + "\n"


class Served:
    """The model, and its successor when there is one."""

    def __init__(self):
        self.model = None
        if path := os.environ.get("MODEL_FILE"):
            with open(path, "rb") as f:
                self.take(f.read())
        else:
            threading.Thread(target=self.follow, daemon=True).start()

    def take(self, content):
        model = Model(content)
        if self.model is None or model.digest != self.model.digest:
            self.model = model
            print(f"serving {model.digest}", flush=True)

    def follow(self):
        said = None
        while True:
            try:
                self.take(artifacts.fetch(artifacts.CURRENT))
                said = None
            except (Missing, OSError, ValueError) as problem:
                if str(problem) != said:  # once, and not every time
                    print(f"no new model: {type(problem).__name__} {problem}", flush=True)
                said = str(problem)
            time.sleep(POLL_SECONDS)

    def ready(self):
        return self.model is not None and WANTED in ("", self.model.digest)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served, counters = None, None

    def do_GET(self):
        model = self.served.model
        if self.path == "/healthz":
            self.reply(200, {"alive": True})
        elif self.path in ("/readyz", f"/v2/models/{NAME}/ready", "/v2/health/ready"):
            self.reply(200 if self.served.ready() else 503, {"ready": self.served.ready(), "model": model.digest if model else None})
        elif self.path == "/metrics":
            self.reply(200, self.counters.text(model.digest if model else "").encode(), "text/plain; version=0.0.4")
        elif self.path in (f"/v1/models/{NAME}", f"/v2/models/{NAME}"):
            self.reply(200, {"name": NAME, "ready": self.served.ready(), "versions": [model.digest] if model else []})
        else:
            self.reply(404, {"error": f"no {self.path}"})

    def do_POST(self):
        began = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        code = self.respond(body)
        self.counters.asked(code, time.monotonic() - began)

    def respond(self, body):
        model = self.served.model
        if model is None:
            return self.reply(503, {"error": "no model yet"})
        try:
            if self.path == f"/v1/models/{NAME}:predict":
                found = instances(body)
                content, classes = answer(model, found)
                self.counters.saw(found, classes)
                return self.reply(200, content)
            if self.path == f"/v2/models/{NAME}/infer":
                return self.infer(model, json.loads(body))
            if self.path == f"/v1/models/{NAME}:feedback":
                labelled = json.loads(body)["instances"]
                hits = sum(model.classify(i["pixels"])[0] == i["label"] for i in labelled)
                self.counters.learned(len(labelled), hits)
                return self.reply(200, {"correct": hits, "of": len(labelled)})
        except (ValueError, KeyError, TypeError) as problem:
            return self.reply(400, {"error": str(problem)})
        return self.reply(404, {"error": f"no {self.path}"})

    def infer(self, model, request):
        tensor = request["inputs"][0]
        width = tensor["shape"][-1]
        samples = [tensor["data"][i : i + width] for i in range(0, len(tensor["data"]), width)]
        classes = [model.classify(s)[0] for s in samples]
        self.counters.saw(samples, classes)
        output = {"name": "class", "shape": [len(classes)], "datatype": "INT64", "data": classes}
        return self.reply(200, {"model_name": NAME, "model_version": model.digest, "id": request.get("id", ""), "outputs": [output]})

    def reply(self, code, content, kind="application/json"):
        content = content if isinstance(content, bytes) else json.dumps(content).encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return code

    def log_message(self, *_):
        pass  # the counters say it


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    Handler.served, Handler.counters = Served(), Counters()
    with Server(("", int(os.environ.get("PORT", "8080"))), Handler) as server:
        print(f"model {NAME} on port {server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a pod's first process ignores it otherwise
    main()
