"""What a sample has to look like, what it is called, and which split it falls into.

kubectl-ai.yaml says it under `data:` and kubectl ai hands it to every container
that gets the code, as JSON in DATA_CONTRACT.
"""

import hashlib
import json
import os

CONTRACT = json.loads(os.environ.get("DATA_CONTRACT", "{}"))
TRAIN, HELD_OUT = "train", "held-out"
TYPES = {"number": (int, float), "integer": int, "string": str, "boolean": bool}


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
    for column in CONTRACT.get("schema", []):
        value = sample.get(column["name"])
        if value is None:
            if column.get("required", True):
                return f"{column['name']} is missing"
            continue
        values = value if isinstance(value, list) else [value]
        if isinstance(value, list) != ("length" in column) or len(values) != column.get("length", 1):
            return f"{column['name']} has another shape"
        kind = TYPES[column["type"]]
        if not all(isinstance(v, kind) and (kind is bool or not isinstance(v, bool)) for v in values):
            return f"{column['name']} is no {column['type']}"
        low, high = column.get("min", float("-inf")), column.get("max", float("inf"))
        if column["type"] in ("number", "integer") and not all(low <= v <= high for v in values):
            return f"{column['name']} is out of range"
    labels = CONTRACT.get("labels")
    if labels and sample.get("label") not in labels:
        return "label is none of the set"
    return None
