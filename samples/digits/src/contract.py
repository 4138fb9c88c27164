"""What a sample has to look like, what it is called, and which split it falls into.

kubectl-ai.yaml says it under `data:` and `metrics:`, and kubectl ai hands it to
every container that gets the code, as JSON in DATA_CONTRACT and METRICS_CONTRACT.
"""

import hashlib
import json
import os

CONTRACT = json.loads(os.environ.get("DATA_CONTRACT", "{}"))
METRICS = json.loads(os.environ.get("METRICS_CONTRACT", "[]"))
TRAIN, HELD_OUT = "train", "held-out"
TYPES = {"number": (int, float), "integer": int, "string": str, "boolean": bool, "array": (int, float)}


def canonical(sample):
    """Returns a sample as JSON that is the same for the same sample everywhere."""
    return json.dumps(sample, sort_keys=True, separators=(",", ":"))


def name(sample):
    """Returns the hash by which a sample is known."""
    return hashlib.sha256(canonical(sample).encode()).hexdigest()


def split(sample_name):
    """Says which split a sample belongs to: always the same one, whoever asks."""
    rule = CONTRACT.get("split", {})
    at = hashlib.sha256(f"{rule.get('seed', 0)}:{sample_name}".encode()).hexdigest()[:8]
    return HELD_OUT if int(at, 16) / 2**32 < rule.get("heldOut", 0.25) else TRAIN


def digest(names):
    """Identifies a set of samples, in whatever order and files they are kept."""
    text = "".join(name + "\n" for name in sorted(names))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def fault(sample):
    """Says what keeps a sample out of the data; None: nothing."""
    if not isinstance(sample, dict):
        return "no object"
    for column in CONTRACT.get("schema", {}).get("columns", []):
        called, kind = column["name"], column["type"]
        value = sample.get(called)
        if value is None:
            if column.get("required"):
                return f"{called} is missing"
            continue
        if isinstance(value, list) != (kind == "array"):
            return f"{called} is no {kind}"
        values = value if isinstance(value, list) else [value]
        if column.get("length", len(values)) != len(values):
            return f"{called} has another length"
        if not all(isinstance(v, TYPES[kind]) and isinstance(v, bool) == (kind == "boolean") for v in values):
            return f"{called} is no {kind}"
        low, high = column.get("min", float("-inf")), column.get("max", float("inf"))
        if kind in ("number", "integer", "array") and not all(low <= v <= high for v in values):
            return f"{called} is out of range"
    labels = CONTRACT.get("labels")
    if labels and str(sample.get("label")) not in labels:
        return "label is none of the set"
    return None


def reached(measured):
    """Says whether every metric that has a threshold was measured, and is good enough."""
    for metric in METRICS:
        if "threshold" in metric:
            value = measured.get(metric["name"], float("nan"))
            if not (value >= metric["threshold"] if metric["goal"] == "maximize" else value <= metric["threshold"]):
                return False
    return True
