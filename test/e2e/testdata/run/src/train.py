# A training of two steps whose result depends on what it is given.
import json, os, time

lr, depth = float(os.environ.get("lr", "0.1")), int(os.environ.get("depth", "2"))
rank = int(os.environ["RANK"])
for step in (1, 2):
    value = round(1 - lr / depth - 0.1 / step, 4)
    print(json.dumps({"metrics": [{"name": "accuracy", "value": value}], "progressPercentage": 50 * step}), flush=True)
print("rank", rank, "of", os.environ["WORLD_SIZE"], "contract", os.environ["DATA_CONTRACT"], flush=True)
if rank == 0:
    print(json.dumps({"model": {"digest": "sha256:" + "ab" * 32, "bytes": 3}}), flush=True)
    print('{"metrics": [{"name": "acc', flush=True)  # cut
time.sleep(float(os.environ.get("SECONDS", "0")))
