//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// edits is how many saves the long test awaits: all of them by hand, a sample
// with the same assertions otherwise.
func edits() int {
	if os.Getenv("KUBECTL_AI_SOAK") != "" {
		return 1000
	}
	return 100
}

func TestDevDeliversEachEditToEachRank(t *testing.T) {
	dir := bundle(t, sandboxName, "edits", job("edits", 2, ""))
	dev := startDev(t, dir)
	first := dev.next(2, 3*time.Minute)
	before := identity(t, sandboxName, "edits")
	eventually(t, 20*time.Second, func() error {
		if s := dev.stderr.String(); !strings.Contains(s, "generation 0 0\n") || !strings.Contains(s, "generation 0 1\n") {
			return fmt.Errorf("the first generation has not printed")
		}
		return nil
	})

	digests, pids := map[string]bool{}, map[string]bool{}
	generation := first[0].Generation
	for i := 1; i <= edits(); i++ {
		save(t, filepath.Join(dir, "src/generation.txt"), fmt.Sprintf("generation %d\n", i))
		got := dev.next(2, 30*time.Second)
		want := strings.TrimSpace(must(t, "digest", dir).stdout)
		for rank, r := range got {
			if r.TreeDigest != want {
				t.Fatalf("edit %d: rank %d runs %s, the laptop has %s", i, rank, r.TreeDigest, want)
			}
			if r.Generation <= generation {
				t.Fatalf("edit %d: rank %d reports generation %d after %d", i, rank, r.Generation, generation)
			}
			pids[fmt.Sprintf("%d/%d", rank, r.PID)] = true
		}
		generation = got[0].Generation
		digests[want] = true
		eventually(t, 20*time.Second, func() error {
			for rank := range 2 {
				if line := fmt.Sprintf("generation %d %d\n", i, rank); !strings.Contains(dev.stderr.String(), line) {
					return fmt.Errorf("rank %d has not printed generation %d", rank, i)
				}
			}
			return nil
		})
	}
	if len(digests) != edits() || len(pids) != 2*edits() {
		t.Errorf("%d digests and %d processes for %d edits of 2 ranks", len(digests), len(pids), edits())
	}
	if after := identity(t, sandboxName, "edits"); after != before {
		t.Errorf("the workload changed:\n%s\nwas\n%s", after, before)
	}
	// The processes printed each generation from their own file.
	for rank, pod := range pods(t, sandboxName, "edits", "app=edits") {
		var log string
		eventually(t, 20*time.Second, func() error {
			log = kubectl(t, sandboxName, "logs", "-n", "edits", pod, "-c", "main")
			if !strings.Contains(log, fmt.Sprintf("generation %d %s", edits(), rank)) {
				return fmt.Errorf("rank %s has not printed generation %d", rank, edits())
			}
			return nil
		})
		for i := 0; i <= edits(); i++ {
			if !strings.Contains(log, fmt.Sprintf("generation %d %s\n", i, rank)) {
				t.Errorf("rank %s never printed generation %d", rank, i)
			}
		}
	}

	t.Run("the digest is recomputed by find, sort and sha256sum", func(t *testing.T) {
		want := digestHere(t, filepath.Join(dir, "src"))
		if got := strings.TrimSpace(must(t, "digest", dir).stdout); got != want {
			t.Fatalf("kubectl ai digest = %s, sha256sum says %s", got, want)
		}
		for rank, pod := range pods(t, sandboxName, "edits", "app=edits") {
			if got := digestIn(t, sandboxName, "edits", pod, "/app/.kubectl-ai/current/"); got != want {
				t.Errorf("rank %s holds %s, the laptop %s", rank, got, want)
			}
		}
	})

	t.Run("a second dev on the same ranks is refused", func(t *testing.T) {
		r := ai(t, "dev", "--once", "--timeout", "20s", dir)
		if r.code == 0 || !strings.Contains(r.stderr, "another") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
	})

	t.Run("back returns both ranks to an earlier generation and forth again", func(t *testing.T) {
		listed := generations(t, dir)
		if len(listed) < edits() || listed[len(listed)-1].TreeDigest != digestHere(t, filepath.Join(dir, "src")) {
			t.Fatalf("%d generations are listed, the last %+v", len(listed), listed[len(listed)-1])
		}
		for _, g := range []receipt{listed[len(listed)-3], listed[len(listed)-1]} {
			must(t, "back", fmt.Sprint(g.Generation), dir)
			for rank, r := range dev.next(2, 30*time.Second) {
				if r.TreeDigest != g.TreeDigest {
					t.Errorf("rank %d runs %s, want %s of generation %d", rank, r.TreeDigest, g.TreeDigest, g.Generation)
				}
			}
		}
		if r := ai(t, "back", "999999", dir); r.code == 0 || !strings.Contains(r.stderr, "999999") {
			t.Errorf("back to a generation that never was: exit %d: %s", r.code, r.stderr)
		}
	})

	t.Run("a replaced pod never runs an older generation", func(t *testing.T) {
		victim := pods(t, sandboxName, "edits", "app=edits")["1"]
		kubectl(t, sandboxName, "delete", "pod", "-n", "edits", victim, "--wait=false")
		var replacement string
		eventually(t, 90*time.Second, func() error {
			if replacement = pods(t, sandboxName, "edits", "app=edits")["1"]; replacement == "" || replacement == victim {
				return fmt.Errorf("no replacement yet")
			}
			if log := kubectl(t, sandboxName, "logs", "-n", "edits", replacement, "-c", "main"); !strings.Contains(log, fmt.Sprintf("generation %d 1", edits())) {
				return fmt.Errorf("the new pod has not printed the current generation:\n%s", log)
			}
			return nil
		})
		log := kubectl(t, sandboxName, "logs", "-n", "edits", replacement, "-c", "main")
		for i := range edits() {
			if strings.Contains(log, fmt.Sprintf("generation %d 1\n", i)) {
				t.Errorf("the new pod ran generation %d", i)
			}
		}
	})

	t.Run("verify hashes what each rank has and names what differs", func(t *testing.T) {
		dev.stop()
		if r := must(t, "verify", dir, "-o", "json"); strings.Count(r.stdout, "sha256:") < 2 {
			t.Errorf("verify says too little: %s", r.stdout)
		}
		pod := pods(t, sandboxName, "edits", "app=edits")["0"]
		kubectl(t, sandboxName, "exec", "-n", "edits", pod, "-c", "main", "--", "bash", "-c", "echo '# tampered' >> /app/train.py")
		r := ai(t, "verify", dir)
		if r.code != 5 || !strings.Contains(r.stdout+r.stderr, "train.py") {
			t.Errorf("verify after tampering: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		listed := generations(t, dir)
		must(t, "back", fmt.Sprint(listed[len(listed)-1].Generation), dir)
		must(t, "verify", dir)
		if got, want := digestIn(t, sandboxName, "edits", pod, "/app/.kubectl-ai/current/"), digestHere(t, filepath.Join(dir, "src")); got != want {
			t.Errorf("back did not restore the original bytes: %s, want %s", got, want)
		}
	})
}

// generations returns what `generations` lists, the oldest first.
func generations(t *testing.T, dir string) []receipt {
	t.Helper()
	var list struct{ Items []receipt }
	if err := json.Unmarshal([]byte(must(t, "generations", dir, "--limit", "0", "-o", "json").stdout), &list); err != nil || len(list.Items) < 3 {
		t.Fatalf("%d generations: %v", len(list.Items), err)
	}
	return list.Items
}

func TestDevKeepsWhatAProgramWritesBesideItsCode(t *testing.T) {
	files := job("outputs", 1, "")
	files["src/train.py"] = `import os, time
seen = open("out/ckpt").read() if os.path.exists("out/ckpt") else "0"
os.makedirs("out", exist_ok=True)
with open("out/ckpt.tmp", "w") as f:
    f.write(str(int(seen) + 1))
os.replace("out/ckpt.tmp", "out/ckpt")
print(open("generation.txt").read().strip(), "checkpoint", seen, flush=True)
while True:
    time.sleep(1)
`
	dir := bundle(t, sandboxName, "outputs", files)
	dev := startDev(t, dir)
	dev.next(1, 3*time.Minute)
	printed := func(line string) func() error {
		return func() error {
			pod := pods(t, sandboxName, "outputs", "app=outputs")["0"]
			if log := kubectl(t, sandboxName, "logs", "-n", "outputs", pod, "-c", "main"); !strings.Contains(log, line) {
				return fmt.Errorf("%q is not in the log:\n%s", line, log)
			}
			return nil
		}
	}
	for i := 1; i <= 10; i++ {
		eventually(t, 20*time.Second, printed(fmt.Sprintf("generation %d checkpoint %d", i-1, i-1)))
		save(t, filepath.Join(dir, "src/generation.txt"), fmt.Sprintf("generation %d\n", i))
		dev.next(1, 30*time.Second)
	}
	eventually(t, 20*time.Second, printed("generation 10 checkpoint 10"))

	// The container restarts in the same pod: PID 1 is the agent.
	pod := pods(t, sandboxName, "outputs", "app=outputs")["0"]
	_, _ = tryKubectl(t.Context(), sandboxName, "", "exec", "-n", "outputs", pod, "-c", "main", "--", "python3", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
	eventually(t, 90*time.Second, printed("generation 10 checkpoint 11"))
}

func TestDevInALockedDownNamespace(t *testing.T) {
	files := job("locked", 1, `        livenessProbe: {exec: {command: ["false"]}, periodSeconds: 1, failureThreshold: 1}
`)
	dir := bundle(t, sandboxName, "locked", files)
	kubectl(t, sandboxName, "label", "namespace", "locked", "pod-security.kubernetes.io/enforce=restricted")
	apply(t, sandboxName, `{apiVersion: v1, kind: ResourceQuota, metadata: {name: q, namespace: locked}, spec: {hard: {requests.cpu: "1", requests.memory: 1Gi, limits.cpu: "2", limits.memory: 1Gi}}}`)
	r := must(t, "dev", "--once", dir)
	if !strings.Contains(r.stderr, "livenessProbe") {
		t.Errorf("dev does not say that the liveness probe is gone:\n%s", r.stderr)
	}
	if !strings.Contains(r.stderr+r.stdout, "running") {
		t.Errorf("no receipt:\n%s%s", r.stdout, r.stderr)
	}
}

func TestDevOnceLeavesTheWorkloadAndAsksBeforeItReplacesAJob(t *testing.T) {
	files := job("once", 1, "")
	dir := bundle(t, sandboxName, "once", files)
	r := must(t, "dev", "--once", "-o", "json", dir)
	var got receipt
	if err := json.Unmarshal([]byte(strings.Split(r.stdout, "\n")[0]), &got); err != nil || got.TreeDigest != digestHere(t, filepath.Join(dir, "src")) {
		t.Errorf("receipt %q: %v", r.stdout, err)
	}
	uid := kubectl(t, sandboxName, "get", "job", "once", "-n", "once", "-o", "jsonpath={.metadata.uid}")

	must(t, "dev", "--once", dir) // nothing changed: the same Job
	if now := kubectl(t, sandboxName, "get", "job", "once", "-n", "once", "-o", "jsonpath={.metadata.uid}"); now != uid {
		t.Error("an unchanged manifest replaced the Job")
	}
	save(t, filepath.Join(dir, "base/job.yaml"), strings.Replace(files["base/job.yaml"], "cpu: 10m", "cpu: 20m", 1))
	r = ai(t, "dev", "--once", dir)
	if r.code != 2 || !strings.Contains(r.stderr, "Job/once") {
		t.Errorf("a changed Job without a terminal: exit %d\n%s", r.code, r.stderr)
	}
	if now := kubectl(t, sandboxName, "get", "job", "once", "-n", "once", "-o", "jsonpath={.metadata.uid}"); now != uid {
		t.Error("the Job was replaced unasked")
	}
	must(t, "dev", "--once", "--yes", dir)
	if now := kubectl(t, sandboxName, "get", "job", "once", "-n", "once", "-o", "jsonpath={.metadata.uid}"); now == uid {
		t.Error("--yes did not replace the Job")
	}
	must(t, "dev", "--cleanup", "--yes", dir)
	if left := kubectl(t, sandboxName, "get", "jobs,services", "-n", "once", "-o", "name"); strings.TrimSpace(left) != "" {
		t.Errorf("--cleanup left %s", left)
	}
}
