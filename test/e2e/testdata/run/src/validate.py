# Says what it is told to.
import json, os

say = os.environ.get("accuracy", "0.95")
if say:
    print('{"metrics": [{"name": "accuracy", "value": %s}]}' % say)
print(json.dumps({"validation": {"model": "sha256:" + "ab" * 32, "data": "sha256:" + "cd" * 32, "overlap": int(os.environ.get("overlap", "0"))}}))
