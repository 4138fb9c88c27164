//go:build e2e

// Package e2e runs the built kubectl-ai against real kind clusters: one
// sandbox of two nodes and a second cluster as production.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	sandboxName    = or("KUBECTL_AI_E2E_NAME", "kai-e2e") // another name and port let two runs share a machine
	productionName = sandboxName + "-prod"
	registryPort   = or("KUBECTL_AI_E2E_REGISTRY_PORT", "5051")

	root   string // the repository
	plugin string // bin/kubectl-ai
	config string // this run's kubeconfig
)

func or(variable, otherwise string) string {
	if s := os.Getenv(variable); s != "" {
		return s
	}
	return otherwise
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		panic(err)
	}
	plugin = filepath.Join(root, "bin", "kubectl-ai")
	dir, err := os.MkdirTemp("", "kubectl-ai-e2e")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config = filepath.Join(dir, "kubeconfig")
	// Clusters that are there already, by their kubeconfig: while one test is
	// written, nobody waits for new ones.
	reused := os.Getenv("KUBECTL_AI_E2E_REUSE")
	if reused != "" {
		config = reused
	}
	for key, value := range map[string]string{"KUBECONFIG": config, "XDG_CACHE_HOME": filepath.Join(dir, "cache")} {
		if err := os.Setenv(key, value); err != nil {
			panic(err)
		}
	}
	if reused != "" {
		return m.Run()
	}
	for _, name := range []string{sandboxName, productionName} {
		_ = exec.Command(plugin, "sandbox", "delete", "--name", name, "--yes").Run() // of a run that was killed
	}
	defer func() {
		if os.Getenv("KUBECTL_AI_E2E_KEEP") != "" {
			return
		}
		for _, name := range []string{sandboxName, productionName} {
			if out, err := exec.Command(plugin, "sandbox", "delete", "--name", name, "--yes").CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "delete %s: %v\n%s", name, err, out)
			}
		}
	}()
	for _, args := range [][]string{
		{"--name", sandboxName, "--nodes", "2", "--gpus", "fake", "--registry", "--registry-port", registryPort},
		{"--name", productionName, "--gpus", "fake", "--registry", "--registry-port", registryPort},
	} {
		create := exec.Command(plugin, append([]string{"sandbox", "create"}, args...)...)
		create.Stdout, create.Stderr = os.Stderr, os.Stderr
		if err := create.Run(); err != nil {
			fmt.Fprintf(os.Stderr, "sandbox create %v: %v\n", args, err)
			return 1
		}
	}
	return m.Run()
}

// result is what a command left behind.
type result struct {
	stdout, stderr string
	code           int
}

// ai runs kubectl-ai to its end.
func ai(t *testing.T, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), plugin, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("kubectl-ai %v: %v", args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must is ai for a command that has to succeed.
func must(t *testing.T, args ...string) result {
	t.Helper()
	r := ai(t, args...)
	if r.code != 0 {
		t.Fatalf("kubectl-ai %v: exit %d\n%s\n%s", args, r.code, r.stdout, r.stderr)
	}
	return r
}

// kubectl runs kubectl in the control plane of a cluster, so that the test
// needs no kubectl of its own and reads the cluster by another program's eyes.
func kubectl(t *testing.T, cluster string, args ...string) string {
	t.Helper()
	out, err := tryKubectl(t.Context(), cluster, "", args...)
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return out
}

func tryKubectl(ctx context.Context, cluster, stdin string, args ...string) (string, error) {
	all := append([]string{"exec", "-i", cluster + "-control-plane", "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"}, args...)
	cmd := exec.CommandContext(ctx, "docker", all...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		return stdout.String() + stderr.String(), err
	}
	return stdout.String(), nil
}

// apply applies manifests with kubectl.
func apply(t *testing.T, cluster, manifests string) {
	t.Helper()
	if out, err := tryKubectl(t.Context(), cluster, manifests, "apply", "-f", "-"); err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// eventually waits until check returns nil, else fails with its last error.
func eventually(t *testing.T, within time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// namespace makes a namespace that goes with the test.
func namespace(t *testing.T, cluster, name string) string {
	t.Helper()
	kubectl(t, cluster, "create", "namespace", name)
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), cluster, "", "delete", "namespace", name, "--wait=false")
	})
	return name
}

// write writes files of a tree, made of name and content.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		save(t, path, content)
	}
}

// save writes a file as editors do: beside it, then over it.
func save(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".tmp~", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp~", path); err != nil {
		t.Fatal(err)
	}
}

// receipt is what `dev -o json` and `verify -o json` print of a rank.
type receipt struct {
	Kind       string `json:"kind"`
	Generation uint64 `json:"generation"`
	TreeDigest string `json:"treeDigest"`
	Pod        string `json:"pod"`
	PodUID     string `json:"podUID"`
	Container  string `json:"container"`
	Rank       int    `json:"rank"`
	State      string `json:"state"`
	PID        int    `json:"pid"`
	Process    string `json:"process"`

	StartedGeneration uint64 `json:"startedGeneration"`
	StartedDigest     string `json:"startedDigest"`

	Running time.Time `json:"running"`
}

// devRun is a `dev` in the background, its receipts as they come.
type devRun struct {
	t        *testing.T
	cmd      *exec.Cmd
	stderr   *lockedBuffer
	receipts chan receipt
	done     chan struct{}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startDev starts `dev` and stops it, politely, with the test.
func startDev(t *testing.T, args ...string) *devRun {
	t.Helper()
	return start(t, append([]string{"dev", "-o", "json"}, args...)...)
}

// start starts a command that follows the code.
func start(t *testing.T, args ...string) *devRun {
	t.Helper()
	d := &devRun{t: t, stderr: &lockedBuffer{}, receipts: make(chan receipt, 1024), done: make(chan struct{})}
	d.cmd = exec.Command(plugin, args...)
	d.cmd.Stderr = d.stderr
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.done)
		lines := json.NewDecoder(stdout)
		for {
			var r receipt
			if lines.Decode(&r) != nil {
				break
			}
			if r.Kind == "Receipt" {
				d.receipts <- r
			}
		}
		_ = d.cmd.Wait()
	}()
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", args[0], d.stderr)
		}
	})
	return d
}

// stop ends dev with Ctrl-C and waits for it.
func (d *devRun) stop() {
	_ = d.cmd.Process.Signal(os.Interrupt)
	select {
	case <-d.done:
	case <-time.After(20 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.done
		d.t.Error("it did not end within 20 s of Ctrl-C")
	}
}

// next returns the receipts of the next generation once every rank has given
// its own, keyed by rank.
func (d *devRun) next(ranks int, within time.Duration) map[int]receipt {
	d.t.Helper()
	got := map[int]receipt{}
	deadline := time.After(within)
	for len(got) < ranks {
		select {
		case r := <-d.receipts:
			for rank, other := range got {
				if other.Generation < r.Generation {
					delete(got, rank)
				}
			}
			got[r.Rank] = r
		case <-d.done:
			d.t.Fatalf("it ended while waiting for receipts, has %d of %d", len(got), ranks)
		case <-deadline:
			d.t.Fatalf("%d of %d receipts within %v", len(got), ranks, within)
		}
	}
	return got
}
