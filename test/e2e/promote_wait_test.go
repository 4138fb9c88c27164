//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// judged is a bundle whose code goes as a ConfigMap, so that nothing is pushed.
func judged(t *testing.T, ns, program string) (string, map[string]string) {
	t.Helper()
	files := job(ns, 1, "")
	files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "registry: \"localhost:"+registryPort+"/e2e\"", "codeFormat: configMap", 1)
	files["base/job.yaml"] = strings.Replace(files["base/job.yaml"], "  completionMode:", "  backoffLimit: 0\n  completionMode:", 1)
	files["base/job.yaml"] = strings.Replace(files["base/job.yaml"], "restartPolicy: OnFailure", "restartPolicy: Never", 1)
	files["src/train.py"] = program
	dir := bundle(t, productionName, ns, files)
	must(t, "sandbox", "load", pythonImage, "--name", productionName)
	return dir, files
}

// record is what `promote -o json` prints.
type record struct {
	Revision, RollbackTo int
	Workloads            []struct{ Phase string }
	Gates                []struct {
		Kind, Name, Detail string
		Passed             bool
		Metric             struct {
			Value *float64
			Pod   string
		}
	}
}

func TestPromoteJudgesJobs(t *testing.T) {
	const ns = "judged"
	dir, files := judged(t, ns, "import time\ntime.sleep(3600)\n")
	promote := func(extra ...string) result {
		t.Helper()
		return ai(t, append([]string{"promote", dir, "--to", "production", "--yes", "--unproven"}, extra...)...)
	}
	program := func(text string) { save(t, filepath.Join(dir, "src/train.py"), text) }
	names := func() []string {
		return strings.Fields(kubectl(t, productionName, "get", "jobs", "-n", ns, "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[*].metadata.name}"))
	}

	t.Run("a Job that is held back is queued, not there", func(t *testing.T) {
		save(t, filepath.Join(dir, "base/job.yaml"), strings.Replace(files["base/job.yaml"], "  backoffLimit: 0\n", "  backoffLimit: 0\n  suspend: true\n", 1))
		if r := promote("--timeout", "3s"); r.code != 124 || !strings.Contains(r.stderr, "Queued: suspended") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		save(t, filepath.Join(dir, "base/job.yaml"), files["base/job.yaml"])
	})

	t.Run("a Job that runs is there and not complete", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), plugin, "promote", dir, "--to", "production", "--yes", "--unproven", "--until", "complete")
		said := &lockedBuffer{}
		cmd.Stderr = said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, func() error {
			if !strings.Contains(said.String(), "Running: 1 of 1 ranks ready") {
				return fmt.Errorf("it says %s", said)
			}
			return nil
		})
		_ = cmd.Process.Signal(os.Interrupt) // it would wait as long as the Job runs
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 130 || strings.Contains(said.String(), "is ready") {
			t.Errorf("exit %d: %s", cmd.ProcessState.ExitCode(), said)
		}
		if r := promote(); r.code != 0 {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
	})
	good := history(t, dir).Current
	running := pods(t, productionName, ns, "app="+ns)

	t.Run("a Job that fails ends the wait with what its process ended with", func(t *testing.T) {
		program("raise SystemExit(7)\n")
		if r := promote("--until", "complete", "--timeout", "5m"); r.code != 1 || !strings.Contains(r.stderr, "APPLY-005") || !strings.Contains(r.stderr, "exit 7") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		if h := history(t, dir); h.Current != good {
			t.Errorf("history = %+v", h)
		}
	})

	t.Run("--atomic brings the current release back and touches none of its pods", func(t *testing.T) {
		program("raise SystemExit(9)\n")
		before := names()
		r := promote("--until", "complete", "--atomic", "--timeout", "5m")
		if r.code != 1 || !strings.Contains(r.stderr, "exit 9") || !strings.Contains(r.stderr, fmt.Sprintf("release %d of %s is back", good, ns)) {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		h := history(t, dir)
		last := h.Items[len(h.Items)-1]
		if h.Current != last.Revision || last.TreeDigest != h.Items[good-1].TreeDigest || h.Items[len(h.Items)-2].Status != "failed" {
			t.Errorf("history = %+v", h)
		}
		if after := names(); len(after) > len(before) {
			t.Errorf("jobs %v, were %v: what failed is still there", after, before)
		}
		if after := pods(t, productionName, ns, "app="+ns); fmt.Sprint(after) != fmt.Sprint(running) {
			t.Errorf("%v run, and %v ran before", after, running)
		}
	})

	t.Run("a Job that ends well is complete", func(t *testing.T) {
		program("print('done')\n")
		var got record
		r := promote("--until", "complete", "-o", "json")
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 || len(got.Workloads) != 1 || got.Workloads[0].Phase != "Complete" {
			t.Errorf("exit %d, %v: %+v\n%s", r.code, err, got, r.stderr)
		}
	})
}

// What the code reports after it has started decides whether the release is up.
func TestPromoteUntilMetric(t *testing.T) {
	const ns = "metered"
	reports := func(end string, values ...string) string {
		return `import json, time
for value in [` + strings.Join(values, ", ") + `]:
    print(json.dumps({"metrics": [{"name": "accuracy", "value": value}]}), flush=True)
    time.sleep(0.2)
` + end + "\n"
	}
	dir, files := judged(t, ns, reports("time.sleep(3600)", "0.5", "0.95"))
	promote := func(extra ...string) result {
		t.Helper()
		return ai(t, append([]string{"promote", dir, "--to", "production", "--yes", "--unproven", "--until", "metric"}, extra...)...)
	}
	if r := promote(); r.code != 2 || !strings.Contains(r.stderr, "no metric a threshold") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	save(t, filepath.Join(dir, "kubectl-ai.yaml"), files["kubectl-ai.yaml"]+"metrics: [{name: accuracy, goal: maximize, threshold: 0.9}]\n")
	var got record
	r := promote("-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 || len(got.Gates) != 1 || *got.Gates[0].Metric.Value != 0.95 {
		t.Fatalf("exit %d, %v: %+v\n%s", r.code, err, got, r.stderr)
	}
	running := pods(t, productionName, ns, "app="+ns)
	refused := func(words string, args ...string) {
		t.Helper()
		if r := promote(args...); r.code != 1 || !strings.Contains(r.stderr, "PRO-025") || !strings.Contains(r.stderr, words) {
			t.Errorf("exit %d, want %q: %s", r.code, words, r.stderr)
		}
		if after := pods(t, productionName, ns, "app="+ns); fmt.Sprint(after) != fmt.Sprint(running) {
			t.Errorf("%v run, and %v ran before", after, running)
		}
	}
	save(t, filepath.Join(dir, "src/train.py"), reports("time.sleep(3600)", "0.5", "float('nan')"))
	refused("accuracy: NaN", "--atomic")
	save(t, filepath.Join(dir, "src/train.py"), reports("", "0.5", "0.6"))
	refused("it ended: metric accuracy: 0.6; at least 0.9 is wanted")
}

// A TrainJob keeps what its code posts in its status. Its operator is not here:
// the test writes what that would.
func TestPromoteUntilAMetricThatIsPostedToATrainJob(t *testing.T) {
	const ns = "posted"
	crds := definitions(t)
	if len(crds) == 0 {
		return // it was said
	}
	dir, files := judged(t, ns, "print('nobody runs it')\n")
	install(t, productionName, [][]byte{crds["trainer.kubeflow.org/TrainJob"], crds["trainer.kubeflow.org/TrainingRuntime"]})
	for _, name := range []string{"trainjob.yaml", "runtime.yaml"} {
		form := read(t, filepath.Join(root, "kustomize/components/train/production-trainjob", name))
		save(t, filepath.Join(dir, "base", name), strings.Replace(form, ", nvidia.com/gpu: 1", "", 1))
	}
	save(t, filepath.Join(dir, "base/kustomization.yaml"), "resources: [trainjob.yaml, runtime.yaml]\n")
	save(t, filepath.Join(dir, "kubectl-ai.yaml"), files["kubectl-ai.yaml"]+"metrics: [{name: accuracy, goal: maximize, threshold: 0.9}]\n")
	promoted := make(chan result)
	go func() {
		promoted <- ai(t, "promote", dir, "--to", "production", "--yes", "--unproven", "--until", "metric", "--timeout", "2m", "-o", "json")
	}()
	var name string
	eventually(t, time.Minute, func() error {
		select {
		case r := <-promoted:
			t.Fatalf("exit %d before anything was posted: %s", r.code, r.stderr)
		default:
		}
		if name = strings.TrimSpace(kubectl(t, productionName, "get", "trainjobs", "-n", ns, "-o", "jsonpath={.items[*].metadata.name}")); name == "" {
			return errors.New("no TrainJob")
		}
		return nil
	})
	for _, accuracy := range []string{"0.5", "0.97"} {
		status := fmt.Sprintf(`{"status": {"jobsStatus": [{"name": "node", "active": 1, "ready": 1, "succeeded": 0, "failed": 0, "suspended": 0}],
			"trainerStatus": {"lastUpdatedTime": %q, "progressPercentage": 40, "metrics": [{"name": "accuracy", "value": %q}]}}}`, time.Now().UTC().Format(time.RFC3339), accuracy)
		kubectl(t, productionName, "patch", "trainjob", name, "-n", ns, "--subresource=status", "--type=merge", "-p", status)
	}
	var got record
	r := <-promoted
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 || len(got.Gates) != 1 || *got.Gates[0].Metric.Value != 0.97 || got.Gates[0].Metric.Pod != ns+"/TrainJob/"+name {
		t.Errorf("exit %d, %v: %+v\n%s", r.code, err, got, r.stderr)
	}
}

func TestAFirstReleaseThatFailsLeavesItsDataAlone(t *testing.T) {
	const ns = "atomic"
	dir, files := judged(t, ns, "raise SystemExit(3)\n")
	save(t, filepath.Join(dir, "base/kustomization.yaml"), "resources: [job.yaml, service.yaml, claim.yaml]\n")
	save(t, filepath.Join(dir, "base/claim.yaml"), "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n")
	r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven", "--atomic", "--until", "complete")
	if r.code != 1 || !strings.Contains(r.stderr, "exit 3") || !strings.Contains(r.stderr, "PersistentVolumeClaim/data in atomic stays") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	eventually(t, 30*time.Second, func() error {
		left := strings.Fields(kubectl(t, productionName, "get", "jobs,services,pvc,configmaps", "-n", ns, "-l", "kubectl-ai.dev/project="+ns, "-o", "name"))
		if want := "[persistentvolumeclaim/data configmap/kubectl-ai-atomic]"; fmt.Sprint(left) != want {
			return fmt.Errorf("left are %v, want %s", left, want)
		}
		return nil
	})
	if h := history(t, dir); h.Current != 0 || h.Items[0].Status != "failed" {
		t.Errorf("history = %+v", h)
	}
	// And it is no obstacle to the next one.
	save(t, filepath.Join(dir, "base/job.yaml"), files["base/job.yaml"])
	save(t, filepath.Join(dir, "src/train.py"), "print('done')\n")
	must(t, "promote", dir, "--to", "production", "--yes", "--unproven", "--until", "complete")
}

// What the code itself reported in the sandbox decides, and only what this
// very code reported.
func TestAMetricOfTheSandboxIsAGate(t *testing.T) {
	const ns = "measured"
	namespace(t, sandboxName, ns) // dev leaves what it applied
	report := func(value string) string {
		return `import json, os, time
print(json.dumps({"metrics": [{"name": "accuracy", "value": ` + value + `}]}), flush=True)
while True:
    time.sleep(1)
`
	}
	dir, files := judged(t, ns, report("0.97"))
	save(t, filepath.Join(dir, "kubectl-ai.yaml"), strings.Replace(files["kubectl-ai.yaml"], "codeFormat: configMap", "codeFormat: configMap, gates: [{metric: accuracy}, {approval: [ann]}]", 1)+
		"metrics: [{name: accuracy, goal: maximize, threshold: 0.9}]\n")
	promote := func(extra ...string) result {
		t.Helper()
		return ai(t, append([]string{"promote", dir, "--to", "production", "--yes", "--unproven"}, extra...)...)
	}
	refused := func(r result, words string) {
		t.Helper()
		if r.code != 5 || !strings.Contains(r.stderr, "GATE-001") || !strings.Contains(r.stderr, words) {
			t.Errorf("exit %d, want %q: %s", r.code, words, r.stderr)
		}
		if left := kubectl(t, productionName, "get", "jobs,configmaps,secrets", "-n", ns, "-l", "kubectl-ai.dev/project", "-o", "name"); strings.TrimSpace(left) != "" {
			t.Errorf("something was applied: %s", left)
		}
	}
	refused(promote(), "never reported")

	d := startDev(t, dir)
	d.next(1, 3*time.Minute)
	refused(promote(), "gate approval by ann: 0 of 1 approved")

	save(t, filepath.Join(dir, "src/train.py"), report("0.5"))
	d.next(1, time.Minute)
	eventually(t, time.Minute, func() error { // the line is on its way to the log
		if r := promote("--approve-by", "ann"); r.code != 5 || !strings.Contains(r.stderr, "gate metric accuracy: 0.5; at least 0.9") {
			return fmt.Errorf("exit %d: %s", r.code, r.stderr)
		}
		return nil
	})
	save(t, filepath.Join(dir, "src/train.py"), report("float('nan')"))
	d.next(1, time.Minute)
	eventually(t, time.Minute, func() error {
		if r := promote("--approve-by", "ann"); r.code != 5 || !strings.Contains(r.stderr, "gate metric accuracy: NaN") {
			return fmt.Errorf("exit %d: %s", r.code, r.stderr)
		}
		return nil
	})
	save(t, filepath.Join(dir, "src/train.py"), report("0.98"))
	d.next(1, time.Minute)
	var got record
	eventually(t, 30*time.Second, func() error {
		r := promote("--approve-by", "ann", "-o", "json")
		if r.code != 0 {
			return fmt.Errorf("exit %d: %s", r.code, r.stderr)
		}
		return json.Unmarshal([]byte(r.stdout), &got)
	})
	if len(got.Gates) != 2 || !got.Gates[0].Passed || *got.Gates[0].Metric.Value != 0.98 || !strings.HasPrefix(got.Gates[0].Metric.Pod, ns+"/") {
		t.Errorf("the release keeps no evidence: %+v", got)
	}
}
