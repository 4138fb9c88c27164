"""Stage validate: the candidate against samples that training never saw.

Whether it is good enough is said by the thresholds in kubectl-ai.yaml; this
program measures. A candidate that is at least as good as THRESHOLD, if that is
set, becomes the model that is served.
"""

import json
import os

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
    if "THRESHOLD" in os.environ and accuracy >= float(os.environ["THRESHOLD"]):
        bucket.put(artifacts.CURRENT, model.digest.removeprefix("sha256:"))
        print(f"{model.digest} is served from now on", flush=True)


if __name__ == "__main__":
    main()
