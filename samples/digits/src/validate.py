"""Stage validate: the candidate against samples that training never saw.

A candidate that reaches what the project asks for is the one that is served
from then on. Whether it goes to other clusters is decided by who promotes.
"""

import json

import artifacts
import contract
import samples
from batch import names
from bucket import Bucket
from predict import Model


def main():
    bucket = Bucket()
    overlap = set(names(bucket, contract.TRAIN)) & set(names(bucket, contract.HELD_OUT))
    held_out, digest = samples.load(contract.HELD_OUT)
    model = Model(artifacts.fetch(artifacts.CANDIDATE))
    accuracy = model.softmax.accuracy(held_out)
    print(f"{model.digest} on {len(held_out)} samples held out: accuracy {accuracy:.4f}", flush=True)
    print(json.dumps({"metrics": [{"name": "accuracy", "value": round(accuracy, 4)}]}), flush=True)
    print(json.dumps({"validation": {"model": model.digest, "data": digest, "overlap": len(overlap)}}), flush=True)
    if overlap:
        raise SystemExit(f"{len(overlap)} samples are in both splits, such as {min(overlap)}")
    if contract.reached({"accuracy": accuracy}):
        bucket.put(artifacts.CURRENT, model.digest.removeprefix("sha256:"))
        print(f"{model.digest} is served from now on", flush=True)


if __name__ == "__main__":
    main()
