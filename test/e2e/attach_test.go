//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// reimporter is somebody's program: it reads its code again when it is told.
const reimporter = `import importlib, signal, sys, time
sys.path.insert(0, "/app")
model = None
def told(*_):
    global model
    importlib.invalidate_caches()
    model = importlib.reload(model) if model else importlib.import_module("model")
    print(model.text, flush=True)
signal.signal(signal.SIGHUP, told)
print("ready", flush=True)
while True:
    time.sleep(0.1)
`

// plainPods are pods that nobody has prepared for kubectl ai.
const plainPods = `apiVersion: v1
kind: Pod
metadata: {name: serve}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532}
  volumes: [{name: code, emptyDir: {}}, {name: fixed, configMap: {name: kube-root-ca.crt}}]
  containers:
  - {name: main, image: "%[1]s", workingDir: /app, command: [python3, -c, %[2]q], volumeMounts: [{name: code, mountPath: /app}, {name: fixed, mountPath: /fixed}]}
  - {name: side, image: "%[1]s", command: [sleep, infinity]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: code, emptyDir: {}}]
  containers:
  - {name: main, image: "%[3]s", workingDir: /app, volumeMounts: [{name: code, mountPath: /app}]}
`

func TestAttachToAPodThatIsNotPrepared(t *testing.T) {
	const ns, ref = "attached", "kubectl-ai-e2e/sleeper:1"
	namespace(t, sandboxName, ns)
	bareImage(t, ref, "package main\n\nimport \"time\"\n\nfunc main() { time.Sleep(time.Hour) }\n")
	must(t, "sandbox", "load", "--name", sandboxName, ref, pythonImage)
	for manifest := range strings.SplitSeq(fmt.Sprintf(plainPods, pythonImage, reimporter, ref), "---\n") {
		if out, err := tryKubectl(t.Context(), sandboxName, manifest, "apply", "-n", ns, "-f", "-"); err != nil {
			t.Fatalf("kubectl apply: %v\n%s", err, out)
		}
	}
	kubectl(t, sandboxName, "wait", "-n", ns, "--for=condition=Ready", "pod", "--all", "--timeout=2m")
	log := func(line string) {
		t.Helper()
		eventually(t, 20*time.Second, func() error {
			if s := kubectl(t, sandboxName, "logs", "-n", ns, "serve", "-c", "main"); !strings.HasSuffix(s, line+"\n") {
				return fmt.Errorf("the program has not said %q last: %s", line, s)
			}
			return nil
		})
	}
	log("ready")
	// The pod's restarts and when its first process was started.
	same := func() string {
		return identity(t, sandboxName, ns) + kubectl(t, sandboxName, "exec", "-n", ns, "serve", "-c", "main", "--", "cut", "-d", " ", "-f", "22", "/proc/1/stat") +
			kubectl(t, sandboxName, "get", "pod", "-n", ns, "serve", "-o", "jsonpath={.spec}{.metadata.labels}{.metadata.annotations}")
	}
	before := same()
	dir := filepath.Join(t.TempDir(), "code")
	write(t, dir, map[string]string{"model.py": "text = 'generation 0'\n", "pkg/__init__.py": ""})
	attach := func(pod string, args ...string) []string {
		return append([]string{"attach", pod, dir, "-n", ns, "--context", "kind-" + sandboxName}, args...)
	}

	t.Run("every save is there as one tree, and the program is told", func(t *testing.T) {
		d := start(t, attach("serve/main", "--signal", "HUP", "-o", "json")...)
		for i := range 20 {
			save(t, filepath.Join(dir, "model.py"), fmt.Sprintf("text = 'generation %d'\n", i))
			var r receipt
			for want := digestHere(t, dir); r.TreeDigest != want; { // the first may be of the code as it was
				r = d.next(1, 30*time.Second)[-1]
			}
			if r.State != "synced" || r.PID != 0 || r.Pod != "serve" || r.Container != "main" {
				t.Errorf("receipt %+v", r)
			}
			log(fmt.Sprintf("generation %d", i))
		}
		if got, want := digestIn(t, sandboxName, ns, "serve", "/app/.kubectl-ai/current/"), digestHere(t, dir); got != want {
			t.Errorf("the container has %s, the laptop %s", got, want)
		}
		if s := d.stderr.String(); !strings.Contains(s, "process 1 is told by SIGHUP; nothing is started or restarted") {
			t.Errorf("attach said: %s", s)
		}
	})

	t.Run("again, and nothing is told that is known", func(t *testing.T) {
		if r := must(t, attach("serve/main", "--signal", "HUP", "--once")...); !strings.Contains(r.stdout, "receipt: serve/main has "+digestHere(t, dir)) {
			t.Errorf("stdout: %s", r.stdout)
		}
		if s := kubectl(t, sandboxName, "logs", "-n", ns, "serve", "-c", "main"); strings.Count(s, "generation 19\n") != 1 {
			t.Errorf("the program was told twice: %s", s)
		}
	})

	for _, c := range []struct {
		name string
		code int
		want []string
		args []string
	}{
		{"no shell", 3, []string{"ATT-001", "no program in it can receive a file"}, attach("bare")},
		{"a read-only mount", 3, []string{"ATT-001", "volume fixed"}, attach("serve/main", "--into", "/fixed")},
		{"another user's folder", 3, []string{"ATT-001", "its user, 65532, may not write to /usr"}, attach("serve/side", "--into", "/usr")},
		{"no such folder", 3, []string{"ATT-001", "no folder /none"}, attach("serve/side", "--into", "/none")},
		{"which container", 2, []string{"ATT-002", "main, side"}, attach("serve")},
		{"a signal that ends a process", 2, []string{"USE-001"}, attach("serve/main", "--signal", "KILL")},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) {
			r := ai(t, append(c.args, "--once")...)
			if r.code != c.code {
				t.Errorf("exit %d, want %d", r.code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(r.stderr, w) {
					t.Errorf("it does not say %q: %s", w, r.stderr)
				}
			}
		})
	}

	t.Run("a signal that nobody catches is not sent, and that is said", func(t *testing.T) {
		save(t, filepath.Join(dir, "model.py"), "text = 'untold'\n")
		if r := must(t, attach("serve/main", "--signal", "USR1", "--once")...); !strings.Contains(r.stderr, "process 1 does not catch SIGUSR1") {
			t.Errorf("stderr: %s", r.stderr)
		}
	})

	if now := same(); now != before {
		t.Errorf("the pods changed:\n%s\nwas\n%s", now, before)
	}

	t.Run("a pod that is deleted ends it", func(t *testing.T) {
		d := start(t, attach("serve/main")...)
		eventually(t, 30*time.Second, func() error {
			if !strings.Contains(d.stderr.String(), "synced to /app") {
				return fmt.Errorf("not attached yet")
			}
			return nil
		})
		kubectl(t, sandboxName, "delete", "pod", "-n", ns, "serve", "--now")
		select {
		case <-d.done:
		case <-time.After(time.Minute):
			t.Fatal("attach goes on without its pod")
		}
		if !strings.Contains(d.stderr.String(), "the pod is gone") {
			t.Errorf("attach said: %s", d.stderr)
		}
	})
}
