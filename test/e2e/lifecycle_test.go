//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/test/browser"
)

// ran is what these tests read of a run.
type ran struct {
	ID         string `json:"id"`
	Job        string `json:"job"`
	Phase      string `json:"phase"`
	Reason     string `json:"reason"`
	CodeDigest string `json:"codeDigest"`
	// Data is what shards said of their samples, as JSON.
	Data    json.RawMessage `json:"data"`
	Metrics []struct {
		Name string  `json:"name"`
		Last float64 `json:"last"`
	} `json:"metrics"`
}

func (r ran) metric(name string) float64 {
	for _, m := range r.Metrics {
		if m.Name == name {
			return m.Last
		}
	}
	return math.NaN()
}

// TestTheWholeLifeOfAModel goes through the demo, as a user would, and then
// asks of what it left behind what the demo does not show.
func TestTheWholeLifeOfAModel(t *testing.T) {
	const ns = "digits-staging"
	dir := filepath.Join(t.TempDir(), "digits")
	t.Cleanup(func() {
		for cluster, namespace := range map[string]string{sandboxName: ns, productionName: "digits-live"} {
			if out, err := tryKubectl(context.Background(), cluster, "", "delete", "namespace", namespace, "--ignore-not-found", "--wait=false"); err != nil {
				t.Logf("delete namespace %s: %v\n%s", namespace, err, out)
			}
		}
	})
	began := time.Now()
	demo := ai(t, "demo", dir, "--name", sandboxName, "--production-name", productionName)
	if demo.code != 0 {
		t.Fatalf("exit %d\n%s\n%s", demo.code, demo.stdout, demo.stderr)
	}
	t.Logf("the demo took %s, two clusters there already", time.Since(began).Round(time.Second))
	for _, want := range []string{"label is missing", "the alert ModelDrift fires", "release 1 of digits is ready in kind-" + productionName} {
		if !strings.Contains(demo.stdout+demo.stderr, want) {
			t.Errorf("the demo does not say %q\n%s\n%s", want, demo.stdout, demo.stderr)
		}
	}
	staged := func(stage string, more ...string) ran {
		t.Helper()
		r := must(t, append([]string{"run", dir, "-e", "staging", "--stage", stage, "--wait", "-o", "json"}, more...)...)
		var run ran
		if err := json.Unmarshal([]byte(r.stdout), &run); err != nil {
			t.Fatalf("%v\n%s", err, r.stdout)
		}
		return run
	}

	t.Run("production answers with the code and the model that were tried", func(t *testing.T) {
		laptop := strings.TrimSpace(must(t, "digest", dir).stdout)
		if release := must(t, "history", dir, "--to", "live", "-o", "json").stdout; !strings.Contains(release, laptop) {
			t.Errorf("the release holds another tree than %s\n%s", laptop, release)
		}
		request := `{"instances": [` + pixels(3) + `, ` + pixels(8) + `]}`
		script := `import sys, urllib.request; print(urllib.request.urlopen("http://127.0.0.1:8080/v1/models/model:predict", sys.stdin.buffer.read()).read().decode(), end="")`
		pod, err := tryKubectl(t.Context(), productionName, request, "exec", "-i", "-n", "digits-live", "deploy/serve", "--", "python3", "-c", script)
		if err != nil {
			t.Fatalf("ask the pod: %v\n%s", err, pod)
		}
		predict := exec.CommandContext(t.Context(), "python3", filepath.Join(dir, "src/predict.py"), filepath.Join(dir, "overlays/live/model.json"))
		predict.Stdin = strings.NewReader(request)
		var said bytes.Buffer
		predict.Stderr = &said
		here, err := predict.Output()
		if err != nil {
			t.Fatalf("ask plain python: %v\n%s", err, said.Bytes())
		}
		if string(here) != pod {
			t.Errorf("the pod says   %splain python %s", pod, here)
		}
		if there := device(t, dir, "live", filepath.Join(dir, "overlays/live/model.json"), request); there != pod {
			t.Errorf("the pod says   %sthe device     %s", pod, there)
		}
	})

	t.Run("the dashboard shows the release and the drift", func(t *testing.T) {
		many := `{"instances": [` + strings.Repeat(pixels(3)+", ", 150) + pixels(8) + `]}`
		script := `import sys, urllib.request; urllib.request.urlopen("http://127.0.0.1:8080/v1/models/model:predict", sys.stdin.buffer.read())`
		if out, err := tryKubectl(t.Context(), sandboxName, many, "exec", "-i", "-n", ns, "deploy/serve", "--", "python3", "-c", script); err != nil {
			t.Fatalf("ask the pod: %v\n%s", err, out)
		}
		p := browser.Open(t)
		p.Go(startDashboard(t, dir, "-e", "staging"))
		p.Until(`[...document.querySelectorAll("#release-list .card")].some((e) => e.innerText.includes("Release 1") && e.innerText.includes("current"))`)
		p.Until(`[...document.querySelectorAll("#drift-list .card")].some((e) => /PSI \d/.test(e.innerText) && e.querySelectorAll(".features > span").length > 1)`)
		for _, width := range []int64{1280, 390} {
			p.See(width, "light")
			p.Judge(fmt.Sprint(width))
			p.Shot(fmt.Sprintf("life-%d", width))
		}
	})

	t.Run("any number of shards makes the same data", func(t *testing.T) {
		alone := staged("data", "--ranks", "1", "--set", "SHARDS=1")
		shared := staged("data", "--ranks", "3", "--set", "SHARDS=3")
		if len(alone.Data) == 0 || string(alone.Data) != string(shared.Data) {
			t.Errorf("one shard: %s\nthree:     %s", alone.Data, shared.Data)
		}
	})

	t.Run("one, two and four ranks learn the same", func(t *testing.T) {
		var reached []float64
		for _, ranks := range []string{"1", "2", "4"} {
			run := staged("train", "--ranks", ranks)
			reached = append(reached, run.metric("accuracy"))
		}
		for _, accuracy := range reached {
			if !(math.Abs(accuracy-reached[0]) <= 0.005) {
				t.Errorf("accuracies %v", reached)
			}
		}
		t.Logf("accuracies of 1, 2 and 4 ranks: %v", reached)
	})

	t.Run("a rank that is killed is a gang that starts again, and ends well", func(t *testing.T) {
		run := begin(t, dir, "--set", "STEP_SECONDS=0.2", "--set", "EPOCHS=40")
		await(t, ns, run, "epoch 10 ") // the checkpoint of epoch 5 is kept
		kubectl(t, sandboxName, "delete", "pod", "-n", ns, "-l", "batch.kubernetes.io/job-name="+run.Job+",batch.kubernetes.io/job-completion-index=1", "--grace-period=0", "--force")
		if end := finish(t, dir, run); end.Phase != "Complete" {
			t.Errorf("%+v", end)
		}
		if said := kubectl(t, sandboxName, "logs", "-n", ns, "-l", "batch.kubernetes.io/job-name="+run.Job, "--tail=-1"); !strings.Contains(said, "goes on after epoch") {
			t.Errorf("no rank went on from a checkpoint:\n%s", said)
		}
	})

	t.Run("a drained node's ranks go on elsewhere, with the same code", func(t *testing.T) {
		// The bucket's volume is on one node; ranks start on the other one, which
		// is drained under them.
		const taint = "node-role.kubernetes.io/control-plane:NoSchedule"
		bucket := strings.TrimSpace(kubectl(t, sandboxName, "get", "pods", "-n", ns, "-l", "app.kubernetes.io/name=storage", "-o", "jsonpath={.items[0].spec.nodeName}"))
		controlPlane, worker := sandboxName+"-control-plane", sandboxName+"-worker"
		drained := controlPlane
		if bucket == controlPlane {
			drained = worker
		}
		t.Cleanup(func() {
			for _, undo := range [][]string{{"uncordon", controlPlane, worker}, {"taint", "nodes", controlPlane, taint, "--overwrite"}} {
				if out, err := tryKubectl(context.Background(), sandboxName, "", undo...); err != nil {
					t.Errorf("kubectl %v: %v\n%s", undo, err, out)
				}
			}
		})
		kubectl(t, sandboxName, "taint", "nodes", controlPlane, taint+"-")
		kubectl(t, sandboxName, "cordon", bucket)
		run := begin(t, dir, "--set", "STEP_SECONDS=0.3", "--set", "EPOCHS=60")
		await(t, ns, run, "epoch 10 ") // the checkpoint of epoch 5 is kept
		kubectl(t, sandboxName, "uncordon", bucket)
		out, err := tryKubectl(t.Context(), sandboxName, "", "drain", drained, "--ignore-daemonsets", "--delete-emptydir-data", "--force",
			"--pod-selector=batch.kubernetes.io/job-name="+run.Job, "--timeout=60s")
		if err != nil {
			t.Fatalf("drain %s: %v\n%s", drained, err, out)
		}
		end := finish(t, dir, run)
		if end.Phase != "Complete" || end.CodeDigest != strings.TrimSpace(must(t, "digest", dir).stdout) {
			t.Errorf("%+v", end)
		}
		if said := kubectl(t, sandboxName, "logs", "-n", ns, "-l", "batch.kubernetes.io/job-name="+run.Job, "--tail=-1"); !strings.Contains(said, "goes on after epoch") {
			t.Errorf("no rank went on from a checkpoint:\n%s", said)
		}
	})
}

// begin makes a training run and does not wait for it.
func begin(t *testing.T, dir string, more ...string) ran {
	t.Helper()
	r := must(t, append([]string{"run", dir, "-e", "staging", "--stage", "train", "-o", "json"}, more...)...)
	var run ran
	if err := json.Unmarshal([]byte(r.stdout), &run); err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	return run
}

// await waits until a run said something.
func await(t *testing.T, namespace string, run ran, said string) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		out, err := tryKubectl(t.Context(), sandboxName, "", "logs", "-n", namespace, "-l", "batch.kubernetes.io/job-name="+run.Job, "--tail=-1")
		if err == nil && !strings.Contains(out, said) {
			err = errors.New("not yet")
		}
		if err != nil {
			return fmt.Errorf("it does not say %q: %w\n%s", said, err, out)
		}
		return nil
	})
}

// finish waits for the end of a run.
func finish(t *testing.T, dir string, run ran) (end ran) {
	t.Helper()
	eventually(t, 4*time.Minute, func() error {
		r := must(t, "runs", "show", run.ID, "--dir", dir, "-e", "staging", "-o", "json")
		if err := json.Unmarshal([]byte(r.stdout), &end); err != nil {
			return err
		}
		if end.Phase != "Complete" && end.Phase != "Failed" {
			return fmt.Errorf("%s: %s %s", end.ID, end.Phase, end.Reason)
		}
		return nil
	})
	return end
}

// pixels are those of some sample.
func pixels(seed int) string {
	ink := make([]string, 64)
	for i := range ink {
		ink[i] = fmt.Sprintf("%.2f", float64((i*seed)%11)/10)
	}
	return "[" + strings.Join(ink, ", ") + "]"
}
