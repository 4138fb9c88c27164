//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// overHTTP reports as the code of a TrainJob does, with Python's own library
// alone, and prints no line of metrics.
const overHTTP = `import json, os, ssl, time, urllib.error, urllib.request
from datetime import datetime, timezone

url = os.environ["KUBEFLOW_TRAINER_SERVER_URL"]
context = ssl.create_default_context(cafile=os.environ["KUBEFLOW_TRAINER_SERVER_CA_CERT"])
context.verify_flags |= ssl.VERIFY_X509_STRICT
token = open(os.environ["KUBEFLOW_TRAINER_SERVER_TOKEN"]).read()


def post(body, token=token, url=url):
    request = urllib.request.Request(url, body, {"Authorization": "Bearer " + token, "Content-Type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as problem:
        return problem.code


def report(percent, accuracy):
    while True:
        code = post(json.dumps({"trainerStatus": {
            "progressPercentage": percent, "estimatedRemainingSeconds": 600,
            "metrics": [{"name": "accuracy", "value": str(accuracy)}], "lastUpdatedTime": datetime.now(timezone.utc).isoformat(),
        }}).encode())
        if code < 500:  # more is a server that is busy: its own answer comes later
            return code
        time.sleep(0.2)


for _ in range(300):  # the server's pod may be ready a moment later
    try:
        first = report(10, 0.7)
        break
    except OSError:
        time.sleep(0.2)
print("codes", first, report(20, 0.8), post(b"{}", token="x"), post(b"{"), post(b" " * 70000),
      post(b"{}", url=url.replace("train-", "other-")), flush=True)
accuracy = 0.9
while True:  # it goes on when nobody listens
    try:
        assert report(30, accuracy) == 200
        time.sleep(0.1)
    except OSError as problem:
        print("nobody listens any more", flush=True)
        break
`

func TestARunReportsOverTheTrainJobEndpoint(t *testing.T) {
	const ns = "run-progress"
	dir := runBundle(t, ns, "{validation: {}}", "{metric: accuracy, from: sandbox}")
	write(t, dir, map[string]string{"src/train.py": overHTTP})
	must(t, "catalog", "add", "progress", dir)
	promote := func() result {
		return ai(t, "promote", dir, "--to", "production", "--into", filepath.Join(t.TempDir(), "live"))
	}
	if r := promote(); r.code != 5 || !strings.Contains(r.stderr, "PRO-040") {
		t.Errorf("code that never ran: exit %d, %s", r.code, r.stderr)
	}
	started := decodeRun[runRecord](t, must(t, "run", dir, "--ranks", "1", "-o", "json"))

	// While it goes on, status and runs show say what it posted.
	eventually(t, 2*time.Minute, func() error {
		got := decodeRun[runRecord](t, must(t, "runs", "show", started.ID, "--dir", dir, "-o", "json"))
		if got.Progress != 30 || got.Phase != "Running" {
			return fmt.Errorf("%s, %v %%", got.Phase, got.Progress)
		}
		return nil
	})
	if out := must(t, "status", dir).stdout; !strings.Contains(out, "30%") || !strings.Contains(out, "accuracy 0.9") || !strings.Contains(out, "9m") {
		t.Errorf("status does not say how far it is:\n%s", out)
	}

	remember(t, ns, "progress", "under the reports of one run")

	// The server dies in the middle: the run ends well, and what it had
	// reported is there.
	kubectl(t, sandboxName, "delete", "deployment", "-n", ns, "progress")
	kubectl(t, sandboxName, "delete", "pods", "-n", ns, "-l", "app.kubernetes.io/name=progress", "--grace-period=0", "--force", "--ignore-not-found")
	r := must(t, "runs", "wait", started.ID, "--dir", dir, "-o", "json")
	got := decodeRun[runRecord](t, r)
	if got.Phase != "Complete" || got.Progress != 30 || len(got.Metrics) != 1 || string(got.Metrics[0].Last) != "0.9" || got.Metrics[0].Count < 3 || got.Malformed != nil {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(r.stderr, "codes 200 200 403 422 413 403") || !strings.Contains(r.stderr, "nobody listens any more") {
		t.Errorf("the code saw other answers: %s", r.stderr)
	}

	// The gate reads it as it reads what is printed.
	if r := promote(); r.code != 0 || !strings.Contains(r.stderr, "ran as run "+started.ID) || !strings.Contains(r.stderr, "gate metric accuracy: passed") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}

	// All of it goes with the run, and with the component.
	must(t, "runs", "delete", started.ID, "--dir", dir, "--yes")
	kubectl(t, sandboxName, "delete", "serviceaccount", "-n", ns, "progress")
	eventually(t, 30*time.Second, func() error {
		if left := strings.TrimSpace(kubectl(t, sandboxName, "get", "configmaps,secrets,jobs,pods", "-n", ns, "-o", "name")); left != "configmap/kube-root-ca.crt" {
			return fmt.Errorf("left behind: %s", left)
		}
		return nil
	})
}
