//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The samples learn: measured on what they did not train on, in one process
// and in the image that their pods have.
func TestSamplesReachTheirFloors(t *testing.T) {
	for _, s := range []struct {
		name, image string
		optional    bool // the image takes gigabytes; make host leaves it out
		env         []string
		metric      string
		reached     func(float64) bool
	}{
		{name: "digits", image: pythonImage, metric: "accuracy", reached: func(v float64) bool { return v >= 0.95 }},
		{name: "tune", image: pythonImage, metric: "accuracy", reached: func(v float64) bool { return v >= 0.97 }},
		{name: "char-lm", image: "char-lm:1", metric: "loss", reached: func(v float64) bool { return v <= 0.3 }},
		{
			name: "torch-ddp", image: "kubectl-ai/bench-torch:1", optional: true, metric: "accuracy",
			env:     []string{"RANK=0", "WORLD_SIZE=1", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=29500"},
			reached: func(v float64) bool { return v >= 0.95 },
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			if s.optional && exec.Command("docker", "image", "inspect", s.image).Run() != nil {
				t.Logf("not checked: no image %s here (test/host/host.sh torch makes it)", s.image)
				return
			}
			args := []string{
				"run", "--rm", "--user", "65532", "-e", "OUT_DIR=/tmp/out", "-e", "OPENBLAS_NUM_THREADS=1", "-w", "/app",
				"-v", filepath.Join(root, "samples", s.name, "src") + ":/app:ro",
			}
			for _, e := range s.env {
				args = append(args, "-e", e)
			}
			out, err := exec.CommandContext(t.Context(), "docker", append(args, s.image, "python3", "train.py")...).CombinedOutput()
			if err != nil {
				t.Fatalf("train: %v\n%s", err, out)
			}
			if v := lastMetric(string(out), s.metric); !s.reached(v) {
				t.Errorf("%s %v is not good enough\n%s", s.metric, v, out)
			}
		})
	}
}

// lastMetric is the last value of a metric that a program printed; NaN: none.
func lastMetric(said, name string) float64 {
	last := math.NaN()
	for line := range strings.Lines(said) {
		var report struct {
			Metrics []struct {
				Name  string
				Value float64
			}
		}
		if json.Unmarshal([]byte(line), &report) != nil {
			continue
		}
		for _, m := range report.Metrics {
			if m.Name == name {
				last = m.Value
			}
		}
	}
	return last
}

// A sample names no namespace for the sandbox: it goes where -n says.
func TestASampleGoesWhereItIsSent(t *testing.T) {
	const ns = "sent"
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), sandboxName, "", "delete", "namespace", ns, "--ignore-not-found", "--wait=false")
	})
	objects := func(namespace string) string {
		return strings.Join(strings.Fields(kubectl(t, sandboxName, "get", "jobs,services", "-n", namespace, "-l", "kubectl-ai.dev/project=digits", "-o", "name")), " ")
	}
	before := objects("default")
	sample := filepath.Join(root, "samples/digits")
	must(t, "dev", sample, "--once", "--context", "kind-"+sandboxName, "-n", ns, "--timeout", "2m")
	if there := objects(ns); there != "job.batch/digits service/digits" {
		t.Errorf("dev -n %s put there: %s", ns, there)
	}
	if now := objects("default"); now != before {
		t.Errorf("dev -n %s put into default: %s, where was: %s", ns, now, before)
	}
	must(t, "dev", sample, "--cleanup", "--yes", "--context", "kind-"+sandboxName, "-n", ns)
}
