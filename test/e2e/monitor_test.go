//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/sandbox/metricsserver"
)

const (
	servicesImage   = "kubectl-ai/services:local"
	prometheusImage = "prom/prometheus:v3.16.0"
)

// makeModel trains the samples' model for a second, with what serves it.
const makeModel = `
import json, random
import artifacts
from model import Softmax
from samples import dense
from stream import sample

rng = random.Random(7)
train = [dense(sample(i % 10, rng)) for i in range(1200)]
model = Softmax(64, 10)
for _ in range(20):
    _, gradient = model.gradient(train)
    model.step(gradient, 2.0 / len(train))
print(json.dumps({
    "model": artifacts.model_file(model, "sha256:e2e").decode(),
    "reference": artifacts.reference(train, 10, model.accuracy(train)),
}))
`

// trained is a model of the samples, and the reference of what it was trained on.
func trained(t *testing.T) (model, reference string) {
	t.Helper()
	src := filepath.Join(root, "samples", "digits", "src")
	out, err := exec.CommandContext(t.Context(), "docker", "run", "--rm", "-v", src+":/app:ro", "-w", "/app", pythonImage, "python3", "-B", "-c", makeModel).Output()
	if err != nil {
		t.Fatalf("train: %v", err)
	}
	var made struct{ Model, Reference string }
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	return made.Model, made.Reference
}

// monitored brings a bundle of the components serve and monitor, as a user has
// them after `catalog add`, with windows of seconds. It returns its folder.
func monitored(t *testing.T, ns string) string {
	t.Helper()
	src := filepath.Join(root, "samples", "digits", "src")
	model, reference := trained(t)
	dir := t.TempDir()
	write(t, dir, map[string]string{"model.json": model, "reference.json": reference})
	code, err := filepath.Glob(filepath.Join(src, "*.py"))
	if err != nil {
		t.Fatal(err)
	}
	var files strings.Builder
	for _, name := range code {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, map[string]string{filepath.Base(name): string(content)})
		fmt.Fprintf(&files, "  - %s\n", filepath.Base(name))
	}
	for _, name := range []string{"serve", "monitor"} {
		c, err := components.Embedded().Get(name)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := c.Files()
		if err != nil {
			t.Fatal(err)
		}
		for path, content := range tree {
			text := string(content)
			switch path {
			case "local/prometheus.yml":
				text = strings.ReplaceAll(text, "_interval: 5s", "_interval: 1s")
			case "local/rules.yml":
				text = strings.ReplaceAll(text, "for: 1m", "for: 0s")
			}
			write(t, dir, map[string]string{filepath.Join("components", name, path): text})
		}
	}
	write(t, dir, map[string]string{"kubectl-ai.yaml": `apiVersion: kubectl-ai.dev/v1alpha1
kind: Project
metadata: {name: monitored}
code: [{path: ., mountPath: /app}]
environments:
  sandbox: {overlay: ., context: kind-` + sandboxName + `}
`, "kustomization.yaml": `namespace: ` + ns + `
components:
- components/serve/local
- components/monitor/local
configMapGenerator:
- name: code
  files:
` + files.String() + `- name: model
  files: [model.json, reference.json]
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: serve}
    spec:
      template:
        spec:
          containers:
          - name: serve
            env:
            - {name: MODEL_NAME, value: digits}
            - {name: MODEL_FILE, value: /model/model.json}
            volumeMounts: [{name: code, mountPath: /app}, {name: model, mountPath: /model}]
          volumes:
          - {name: code, configMap: {name: code}}
          - {name: model, configMap: {name: model}}
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: drift}
    spec:
      template:
        spec:
          containers:
          - name: drift
            args: [drift, --targets=serve-pods:8080, --window=30s, --every=1s, --reference=/model/reference.json]
            volumeMounts: [{name: model, mountPath: /model}]
          volumes:
          - {name: model, configMap: {name: model}}
- patch: |
    apiVersion: batch/v1
    kind: CronJob
    metadata: {name: retrain}
    spec:
      jobTemplate:
        spec:
          template:
            spec:
              containers:
              - name: retrain
                command: [python3, -c, "print('trained anew')"]
`})
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := tryKubectl(t.Context(), sandboxName, string(manifests), "apply", "--server-side", "-f", "-"); err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
	return dir
}

// prometheus asks the Prometheus of a namespace.
func prometheus(t *testing.T, ns, path string, result any) error {
	t.Helper()
	out, err := tryKubectl(t.Context(), sandboxName, "", "get", "--raw", "/api/v1/namespaces/"+ns+"/services/prometheus:http/proxy/api/v1/"+path)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, out)
	}
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, out)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return json.Unmarshal(answer.Data, result)
}

// number is what an expression evaluates to, for the first series of it.
func number(t *testing.T, ns, expr string) (float64, error) {
	t.Helper()
	var data struct {
		Result []struct {
			Value [2]any `json:"value"`
		} `json:"result"`
	}
	if err := prometheus(t, ns, "query?query="+url.QueryEscape(expr), &data); err != nil {
		return 0, err
	}
	if len(data.Result) == 0 {
		return 0, fmt.Errorf("%s has no data", expr)
	}
	var n float64
	_, err := fmt.Sscan(fmt.Sprint(data.Result[0].Value[1]), &n)
	return n, err
}

// withMetricsServer adds metrics-server for the length of a test: other tests
// count what a cluster serves.
func withMetricsServer(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if out, err := tryKubectl(context.Background(), sandboxName, string(metricsserver.Manifest()), "delete", "--ignore-not-found", "--wait=false", "-f", "-"); err != nil {
			t.Errorf("remove metrics-server: %v\n%s", err, out)
		}
	})
	for range 2 { // the second time it is there
		must(t, "sandbox", "add", "metrics-server", "--name", sandboxName)
	}
}

// What users ask changes; the alert fires, and one Job is made of it.
func TestMonitor(t *testing.T) {
	must(t, "sandbox", "load", "--name", sandboxName, pythonImage, prometheusImage, servicesImage)
	withMetricsServer(t)
	ns := namespace(t, sandboxName, "monitor")
	dir := monitored(t, ns)
	for _, name := range []string{"serve", "drift", "retrain", "prometheus"} {
		kubectl(t, sandboxName, "rollout", "status", "deployment", name, "-n", ns, "--timeout=90s")
	}

	t.Run("targets are up", func(t *testing.T) {
		eventually(t, 30*time.Second, func() error {
			var targets struct {
				ActiveTargets []struct {
					Labels    map[string]string `json:"labels"`
					Health    string            `json:"health"`
					LastError string            `json:"lastError"`
				} `json:"activeTargets"`
			}
			if err := prometheus(t, ns, "targets?state=active", &targets); err != nil {
				return err
			}
			jobs := map[string]bool{}
			for _, target := range targets.ActiveTargets {
				if target.Health != "up" {
					return fmt.Errorf("%v is %s: %s", target.Labels, target.Health, target.LastError)
				}
				jobs[target.Labels["job"]] = true
			}
			if !jobs["serve"] || !jobs["drift"] || !jobs["gpu"] {
				return fmt.Errorf("targets of %v", jobs)
			}
			return nil
		})
	})

	ask := func(settings ...string) {
		t.Helper()
		args := append([]string{"exec", "-n", ns, "deploy/serve", "--", "env", "SERVE_URL=http://localhost:8080"}, settings...)
		kubectl(t, sandboxName, append(args, "python3", "-B", "traffic.py")...)
	}
	t.Run("what the model was trained on is calm", func(t *testing.T) {
		eventually(t, 30*time.Second, func() error {
			_, err := number(t, ns, "drift_samples")
			return err
		})
		ask("COUNT=400")
		eventually(t, 30*time.Second, func() error {
			if n, err := number(t, ns, "drift_samples"); err != nil || n < 400 {
				return fmt.Errorf("%v of 400 requests in the window, %w", n, err)
			}
			psi, err := number(t, ns, "drift_psi_mean")
			if err != nil || psi > 0.1 {
				return fmt.Errorf("mean PSI %v, %w", psi, err)
			}
			return nil
		})
		if r := ai(t, "drift", dir, "--accuracy", "0.5"); r.code != 0 || !strings.Contains(r.stderr, "no drift") || !strings.Contains(r.stdout, "PSI, mean") {
			t.Errorf("exit %d\n%s\n%s", r.code, r.stdout, r.stderr)
		}
	})

	t.Run("drifted requests fire the alert, which makes one Job", func(t *testing.T) {
		ask("COUNT=1200", "DRIFT=1")
		eventually(t, 30*time.Second, func() error {
			_, err := number(t, ns, `ALERTS{alertname="ModelDrift", alertstate="firing"}`)
			return err
		})
		jobs := func() []string {
			return strings.Fields(kubectl(t, sandboxName, "get", "jobs", "-n", ns, "-l", "kubectl-ai.dev/run", "-o", "name"))
		}
		eventually(t, 30*time.Second, func() error {
			if n := len(jobs()); n != 1 {
				return fmt.Errorf("%d Jobs", n)
			}
			return nil
		})
		// The alert as it fires: it may have stopped when the Job ends.
		var firing struct {
			Alerts []struct {
				Labels   map[string]string `json:"labels"`
				ActiveAt time.Time         `json:"activeAt"`
			} `json:"alerts"`
		}
		if err := prometheus(t, ns, "alerts", &firing); err != nil {
			t.Fatal(err)
		}
		kubectl(t, sandboxName, "wait", "-n", ns, "--for=condition=Complete", "--timeout=60s", jobs()[0])
		// Prometheus sends it again every minute; here it is sent at once.
		var again []map[string]any
		for _, a := range firing.Alerts {
			again = append(again, map[string]any{"labels": a.Labels, "startsAt": a.ActiveAt})
		}
		body, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		out, err := tryKubectl(t.Context(), sandboxName, string(body), "create", "--raw", "/api/v1/namespaces/"+ns+"/services/retrain:http/proxy/api/v2/alerts", "-f", "-")
		if err != nil || !strings.Contains(out, `"created":false`) {
			t.Errorf("sent again: %v %s", err, out)
		}
		if all := jobs(); len(all) != 1 {
			t.Errorf("one alert, and %v", all)
		}
	})

	t.Run("drift says so, and makes a Job when it is told to", func(t *testing.T) {
		ask("COUNT=200", "DRIFT=1")
		eventually(t, 30*time.Second, func() error {
			if r := ai(t, "drift", dir); r.code != 5 || !strings.Contains(r.stderr, "DRF-001") {
				return fmt.Errorf("exit %d\n%s\n%s", r.code, r.stdout, r.stderr)
			}
			return nil
		})
		r := ai(t, "drift", dir, "--retrain", "-o", "json")
		var report struct {
			Kind       string
			PSIMean    float64
			Exceeded   []string
			Retraining struct {
				Job     string
				Created bool
			}
		}
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
			t.Fatalf("%v\n%s\n%s", err, r.stdout, r.stderr)
		}
		if r.code != 5 || report.Kind != "DriftReport" || report.PSIMean <= 0.25 || len(report.Exceeded) != 1 || !report.Retraining.Created {
			t.Fatalf("exit %d: %+v\n%s", r.code, report, r.stderr)
		}
		kubectl(t, sandboxName, "get", "job", "-n", ns, report.Retraining.Job)
	})

	t.Run("the autoscaler knows the load", func(t *testing.T) {
		eventually(t, 60*time.Second, func() error {
			const active = `{.status.conditions[?(@.type=="ScalingActive")].status} {.status.currentMetrics[0].resource.current.averageUtilization}`
			fields := strings.Fields(kubectl(t, sandboxName, "get", "hpa", "serve", "-n", ns, "-o", "jsonpath="+active))
			if len(fields) != 2 || fields[0] != "True" {
				return fmt.Errorf("scaling active, utilization: %v", fields)
			}
			return nil
		})
	})

	t.Run("kubectl top shows the pods", func(t *testing.T) {
		eventually(t, 60*time.Second, func() error {
			out, err := tryKubectl(t.Context(), sandboxName, "", "top", "pods", "-n", ns)
			if err == nil && !strings.Contains(out, "serve-") {
				err = fmt.Errorf("no serve in %s", out)
			}
			return err
		})
	})

	t.Run("every panel has data", func(t *testing.T) {
		var list struct {
			Items []struct {
				Data map[string]string `json:"data"`
			} `json:"items"`
		}
		if err := json.Unmarshal([]byte(kubectl(t, sandboxName, "get", "configmaps", "-n", ns, "-l", "grafana_dashboard=1", "-o", "json")), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 3 {
			t.Fatalf("%d dashboards", len(list.Items))
		}
		// What Grafana puts in place of its variables.
		variables := strings.NewReplacer("$namespace", ns, "$__rate_interval", "1m")
		for _, item := range list.Items {
			for file, content := range item.Data {
				var board struct {
					Panels []struct {
						Title   string
						Targets []struct{ Expr string }
					}
				}
				if err := json.Unmarshal([]byte(content), &board); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				for _, panel := range board.Panels {
					for _, target := range panel.Targets {
						if _, err := number(t, ns, variables.Replace(target.Expr)); err != nil {
							t.Errorf("%s, panel %q: %v", file, panel.Title, err)
						}
					}
				}
			}
		}
	})
}
