//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// releases is what `history -o json` prints.
type releases struct {
	Current int `json:"current"`
	Items   []struct {
		Revision   int               `json:"revision"`
		Status     string            `json:"status"`
		TreeDigest string            `json:"treeDigest"`
		Images     map[string]string `json:"images"`
	} `json:"items"`
}

func history(t *testing.T, dir string) releases {
	t.Helper()
	var r releases
	if err := json.Unmarshal([]byte(must(t, "history", dir, "--to", "production", "-o", "json").stdout), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// strayImage is the runtime image with a file planted where the code goes.
func strayImage(t *testing.T) string {
	t.Helper()
	const ref = "kubectl-ai-e2e/stray:1"
	build := exec.Command("docker", "build", "-q", "-t", ref, "-")
	build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	build.Stdin = strings.NewReader("FROM " + pythonImage + "\nRUN mkdir -p /app && echo stray > /app/stray.py\n")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("docker build: %v\n%s", err, out)
	}
	return ref
}

func TestPromote(t *testing.T) {
	const ns = "promoted"
	files := job(ns, 2, "")
	stray := strayImage(t)
	files["base/job.yaml"] = strings.Replace(files["base/job.yaml"], "image: "+pythonImage, "image: "+stray, 1)
	files["base/kustomization.yaml"] = "resources: [job.yaml, service.yaml, config.yaml]\n"
	files["base/config.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: \"1\"}\n"
	// Ranks find each other by the Job's name, whatever that is.
	files["src/train.py"] = `import os, socket, time
print(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "generation.txt")).read().strip(), os.environ["RANK"], flush=True)
while True:
    try:
        print("found", socket.gethostbyname(os.environ["MASTER_ADDR"]), flush=True)
        break
    except OSError:
        time.sleep(0.2)
while True:
    time.sleep(1)
`
	dir := bundle(t, productionName, ns, files)
	want := digestHere(t, filepath.Join(dir, "src"))
	promote := func(t *testing.T) result {
		t.Helper()
		return must(t, "promote", dir, "--to", "production", "--yes", "--unproven")
	}

	t.Run("without a terminal and --yes nothing happens", func(t *testing.T) {
		if r := ai(t, "promote", dir, "--to", "production"); r.code != 2 || !strings.Contains(r.stderr, "--yes") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		if left := kubectl(t, productionName, "get", "jobs", "-n", ns, "-o", "name"); strings.TrimSpace(left) != "" {
			t.Errorf("something was applied: %s", left)
		}
	})

	t.Run("files of the runtime image that the code hides are named", func(t *testing.T) {
		if r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven"); r.code != 5 || !strings.Contains(r.stderr, "PRO-045") || !strings.Contains(r.stderr, "stray.py") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		save(t, filepath.Join(dir, "kubectl-ai.yaml"), strings.Replace(files["kubectl-ai.yaml"], "mountPath: /app", "mountPath: /app, hides: [stray.py]", 1))
	})

	promote(t)
	h := history(t, dir)
	if h.Current != 1 || h.Items[0].TreeDigest != want {
		t.Fatalf("history = %+v, want release 1 with %s", h, want)
	}

	t.Run("production holds exactly the code, by find, sort and sha256sum", func(t *testing.T) {
		running := pods(t, productionName, ns, "app="+ns)
		if len(running) != 2 {
			t.Fatalf("%d ranks run", len(running))
		}
		for rank, pod := range running {
			if got := digestIn(t, productionName, ns, pod, "/app"); got != want {
				t.Errorf("rank %s holds %s, the laptop %s:\n%s", rank, got, want, kubectl(t, productionName, "exec", "-n", ns, pod, "--", "find", "/app"))
			}
		}
	})

	t.Run("the same again writes nothing", func(t *testing.T) {
		versions := func() string {
			return kubectl(t, productionName, "get", "jobs,services,configmaps,secrets", "-n", ns, "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
		}
		before := versions()
		if r := promote(t); !strings.Contains(r.stderr, "nothing to do") {
			t.Errorf("it does not say so: %s", r.stderr)
		}
		if after := versions(); after != before {
			t.Errorf("something was written:\n%s\nwas\n%s", after, before)
		}
	})

	job1 := strings.TrimSpace(kubectl(t, productionName, "get", "jobs", "-n", ns, "-o", "jsonpath={.items[*].metadata.name}"))
	t.Run("changed code is another image and another Job, whose ranks find each other", func(t *testing.T) {
		save(t, filepath.Join(dir, "src/generation.txt"), "generation 1\n")
		r := promote(t)
		if !strings.Contains(r.stderr, job1) || !strings.Contains(r.stderr, "still runs") {
			t.Errorf("nothing is said of the earlier Job that runs: %s", r.stderr)
		}
		jobs := strings.Fields(kubectl(t, productionName, "get", "jobs", "-n", ns, "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[*].metadata.name}"))
		if len(jobs) != 2 || jobs[0] != job1 {
			t.Fatalf("jobs = %v: the earlier one runs on beside the new one", jobs)
		}
		h := history(t, dir)
		if h.Current != 2 || fmt.Sprint(h.Items[0].Images) == fmt.Sprint(h.Items[1].Images) {
			t.Errorf("history = %+v", h)
		}
		for rank, pod := range pods(t, productionName, ns, "job-name="+jobs[1]) {
			eventually(t, 30*time.Second, func() error {
				if log := kubectl(t, productionName, "logs", "-n", ns, pod); !strings.Contains(log, "generation 1 "+rank) || !strings.Contains(log, "found ") {
					return fmt.Errorf("rank %s says %s", rank, log)
				}
				return nil
			})
		}
		kubectl(t, productionName, "delete", "job", "-n", ns, job1)
	})

	t.Run("an image that cannot be pulled ends the wait, and history keeps the good release", func(t *testing.T) {
		broken := strings.Replace(files["base/job.yaml"], "      containers:\n", "      containers:\n      - {name: side, image: \"localhost:"+registryPort+"/none:1\"}\n", 1)
		save(t, filepath.Join(dir, "base/job.yaml"), broken)
		r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven", "--timeout", "3m")
		if r.code != 1 || !strings.Contains(r.stderr, "ImagePull") || !strings.Contains(r.stderr, "pod ") {
			t.Errorf("exit %d, want the pod and the reason: %s", r.code, r.stderr)
		}
		if h := history(t, dir); h.Current != 2 || h.Items[len(h.Items)-1].Status != "failed" {
			t.Errorf("history = %+v", h)
		}
		save(t, filepath.Join(dir, "base/job.yaml"), files["base/job.yaml"])
		for _, name := range strings.Fields(kubectl(t, productionName, "get", "jobs", "-n", ns, "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[*].metadata.name}"))[1:] {
			kubectl(t, productionName, "delete", "job", "-n", ns, name)
		}
	})

	t.Run("an object that left the bundle is pruned", func(t *testing.T) {
		save(t, filepath.Join(dir, "base/kustomization.yaml"), "resources: [job.yaml, service.yaml]\n")
		promote(t)
		if out, err := tryKubectl(t.Context(), productionName, "", "get", "configmap", "settings", "-n", ns); err == nil {
			t.Errorf("it is still there: %s", out)
		}
	})

	t.Run("an object that is not ours is refused", func(t *testing.T) {
		kubectl(t, productionName, "create", "configmap", "-n", ns, "foreign", "--from-literal=a=theirs")
		save(t, filepath.Join(dir, "base/kustomization.yaml"), "resources: [job.yaml, service.yaml, foreign.yaml]\n")
		save(t, filepath.Join(dir, "base/foreign.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: foreign}\ndata: {a: ours}\n")
		if r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven"); r.code != 1 || !strings.Contains(r.stderr, "ConfigMap/foreign") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		if got := kubectl(t, productionName, "get", "configmap", "foreign", "-n", ns, "-o", "jsonpath={.data.a}"); got != "theirs" {
			t.Errorf("it was changed to %q", got)
		}
		save(t, filepath.Join(dir, "base/kustomization.yaml"), "resources: [job.yaml, service.yaml]\n")
	})

	t.Run("rollback brings the former code back as a new run", func(t *testing.T) {
		must(t, "rollback", dir, "--to", "production", "--to-release", "1", "--yes")
		h := history(t, dir)
		last := h.Items[len(h.Items)-1]
		if h.Current != last.Revision || last.TreeDigest != want {
			t.Fatalf("history = %+v, want the first digest to be current", h)
		}
		name := strings.TrimSpace(kubectl(t, productionName, "get", "jobs", "-n", ns, "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[-1].metadata.name}"))
		running := pods(t, productionName, ns, "job-name="+name)
		if len(running) != 2 {
			t.Fatalf("%d ranks of %s run", len(running), name)
		}
		for rank, pod := range running {
			if got := digestIn(t, productionName, ns, pod, "/app"); got != want {
				t.Errorf("rank %s holds %s, want %s", rank, got, want)
			}
		}
	})

	t.Run("a deleted pod comes back after the cluster was stopped and started", func(t *testing.T) {
		must(t, "sandbox", "stop", "--name", productionName)
		must(t, "sandbox", "start", "--name", productionName)
		pod := ""
		eventually(t, 2*time.Minute, func() error {
			for _, pod = range pods(t, productionName, ns, "app="+ns) {
				return nil
			}
			return fmt.Errorf("no pod runs yet")
		})
		kubectl(t, productionName, "delete", "pod", "-n", ns, pod, "--wait=false")
		eventually(t, 2*time.Minute, func() error {
			running := pods(t, productionName, ns, "app="+ns)
			for _, name := range running {
				if name == pod {
					return fmt.Errorf("it has not gone yet")
				}
			}
			if len(running) < 2 {
				return fmt.Errorf("%d ranks run", len(running))
			}
			return nil
		})
	})
}

func TestPromoteRefusesTheSandboxItself(t *testing.T) {
	files := job("self", 1, "")
	files["kubectl-ai.yaml"] = strings.Replace(files["kubectl-ai.yaml"], "kind-"+productionName, "kind-"+sandboxName, 1)
	dir := filepath.Join(t.TempDir(), "self")
	write(t, dir, files)
	if r := ai(t, "promote", dir, "--to", "production", "--yes"); r.code != 3 || !strings.Contains(r.stderr, "PRO-001") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

func TestPromoteReportsMissingGPUsBeforeItWrites(t *testing.T) {
	files := job("greedy", 2, "")
	files["base/job.yaml"] = strings.Replace(files["base/job.yaml"], "memory: 128Mi}", "memory: 128Mi, nvidia.com/gpu: 8}", 1)
	dir := bundle(t, productionName, "greedy", files)
	if r := ai(t, "promote", dir, "--to", "production", "--yes", "--unproven"); r.code != 3 || !strings.Contains(r.stderr, "16 nvidia.com/gpu") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if left := kubectl(t, productionName, "get", "jobs", "-n", "greedy", "-o", "name"); strings.TrimSpace(left) != "" {
		t.Errorf("something was applied: %s", left)
	}
}
