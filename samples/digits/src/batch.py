"""Stage data: what came in is archived, checked against the contract, and split.

Shard 0 drains the topic into raw/. Then every shard takes the samples whose
hash is its own, so that any number of shards makes the same data.
"""

import json
import os
import socket

import contract
from bucket import Bucket
from stream import Bridge

SPLITS = (contract.TRAIN, contract.HELD_OUT)


def main():
    shard, shards = int(os.environ.get("JOB_COMPLETION_INDEX", "0")), int(os.environ.get("SHARDS", "1"))
    # The pods of an Indexed Job are called by its name and their index.
    work = "work/" + socket.gethostname().rsplit("-", 1)[0]
    bucket = Bucket()
    if shard == 0:
        print(f"collected {collect(bucket)} records from the topic", flush=True)
        bucket.put(work + "/collected", "")
    else:
        bucket.wait(work + "/collected")
    clean(bucket, shard, shards)
    bucket.put(f"{work}/done-{shard}", "")
    if shard == 0:
        for other in range(shards):
            bucket.wait(f"{work}/done-{other}")
        for key in bucket.list("clean/") + bucket.list("manifest/"):
            if int(key.rsplit("-", 1)[1].split(".")[0]) >= shards:
                bucket.delete(key)  # an earlier run had more shards
        report(bucket)


def collect(bucket):
    """Archives what nobody has read yet, under names made of the content: twice is once."""
    count = 0
    for records in Bridge().receive("batch"):
        text = "".join(contract.canonical(r) + "\n" for r in records)
        bucket.put(f"raw/{contract.name(text)[:16]}.jsonl", text)
        count += len(records)
    return count


def clean(bucket, shard, shards):
    kept, refused, seen = {s: {} for s in SPLITS}, [], set()
    for key in bucket.list("raw/"):
        for line in bucket.get(key).decode().splitlines():
            sample = json.loads(line)
            name = contract.name(sample)
            if int(name, 16) % shards != shard:
                continue
            fault = "a duplicate" if name in seen else contract.fault(sample)
            seen.add(name)
            if fault:
                refused.append({"fault": fault, "sample": sample})
            else:
                kept[contract.split(name)][name] = sample
    for split, samples in kept.items():
        names = sorted(samples)
        bucket.put(f"clean/{split}-{shard}.jsonl", "".join(contract.canonical(samples[n]) + "\n" for n in names))
        bucket.put(f"manifest/{split}-{shard}.sha256", "".join(n + "\n" for n in names))
    bucket.put(f"clean/refused-{shard}.jsonl", "".join(contract.canonical(r) + "\n" for r in refused))
    print(f"shard {shard} of {shards}: kept {sum(len(s) for s in kept.values())}, refused {len(refused)}", flush=True)


def names(bucket, split):
    return [n for key in bucket.list(f"manifest/{split}-") for n in bucket.get(key).decode().split()]


def report(bucket):
    splits, refused = {}, {}
    for split in SPLITS:
        of = names(bucket, split)
        splits[split] = {"count": len(of), "digest": contract.digest(of)}
    for key in bucket.list("clean/refused-"):
        for line in bucket.get(key).decode().splitlines():
            fault = json.loads(line)["fault"]
            refused[fault] = refused.get(fault, 0) + 1
    accepted = sum(s["count"] for s in splits.values())
    print(json.dumps({"data": {"splits": splits, "accepted": accepted, "refused": refused}}), flush=True)


if __name__ == "__main__":
    main()
