//go:build bench

// Package bench measures kubectl ai beside its peers in one run on one
// cluster, a save of each in turn, and prints ratios. Figures are for people;
// what gates are ratios to a peer of the same run, and only where
// KUBECTL_AI_BENCH_GATE is set, because a loaded machine says little.
package bench

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	python = "python:3.11-slim"
	rsync  = "kubectl-ai/bench-rsync:1"
)

// sandbox is the cluster's name; another lets two runs share a machine.
var sandbox = cmp.Or(os.Getenv("KUBECTL_AI_BENCH_NAME"), "kai-bench")

// rounds is how many saves each way is measured with.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("KUBECTL_AI_BENCH_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return 200
}

// bench is one cluster and the tree that is saved into, once for us and once
// for the peers, so that neither sees the other's saves.
type bench struct {
	t      *testing.T
	plugin string
	ours   string // bundle; its code is in src
	theirs string // code
	kubecl string // a kubectl, taken from the node
	config string
}

// setUp makes the cluster and both trees.
func setUp(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.bundle(b.ours, python, 1)
	b.code(filepath.Join(b.ours, "src"))
	b.code(b.theirs)
	return b
}

// newBench makes the cluster.
func newBench(t *testing.T) *bench {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := &bench{t: t, plugin: filepath.Join(root, "bin/kubectl-ai"), ours: filepath.Join(dir, "reload"), theirs: filepath.Join(dir, "peers"), config: filepath.Join(dir, "kubeconfig")}
	t.Setenv("KUBECONFIG", b.config)
	_ = exec.Command(b.plugin, "sandbox", "delete", "--name", sandbox, "--yes").Run()
	b.run("sandbox", "create", "--name", sandbox, "--gpus", "none")
	t.Cleanup(func() { _ = exec.Command(b.plugin, "sandbox", "delete", "--name", sandbox, "--yes").Run() })
	b.kubecl = filepath.Join(dir, "kubectl")
	if out, err := exec.Command("docker", "cp", sandbox+"-control-plane:/usr/bin/kubectl", b.kubecl).CombinedOutput(); err != nil {
		t.Fatalf("take kubectl from the node: %v\n%s", err, out)
	}
	return b
}

// bundle writes a bundle of a Deployment that prints the generation it finds.
func (b *bench) bundle(dir, image string, replicas int) {
	name := filepath.Base(dir)
	b.write(dir, "kubectl-ai.yaml", "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nmetadata: {name: "+name+"}\ncode: [{path: src, mountPath: /app}]\nenvironments: {sandbox: {context: kind-"+sandbox+", namespace: "+name+"}}\n")
	b.write(dir, "overlays/sandbox/kustomization.yaml", "namespace: "+name+"\nresources: [work.yaml]\n")
	b.write(dir, "overlays/sandbox/work.yaml", fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: %[3]q, workingDir: /app, command: [python3, train.py]}
`, name, replicas, image))
}

// code writes 5,000 files, 50 MB, of text that compresses as code does.
func (b *bench) code(dir string) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"self", "return ", "import ", "def ", "    ", "loss", " = ", "(x", "):\n", "torch.", "for i in range", "\n", "optimizer", "\n        "}
	for i := range 5000 {
		var text bytes.Buffer
		for text.Len() < 10<<10 {
			text.WriteString(words[r.IntN(len(words))])
			fmt.Fprint(&text, r.IntN(1000))
		}
		b.write(dir, fmt.Sprintf("pkg%d/sub%d/m%d.py", i%50, i%4, i), text.String())
	}
	b.program(dir)
	var model bytes.Buffer
	for i := range 400 {
		fmt.Fprintf(&model, "    layer%d = block(%d, heads=%d)\n", i, r.IntN(1000), r.IntN(64))
	}
	b.write(dir, "model.py", model.String())
}

// program writes what the pods run.
func (b *bench) program(dir string) {
	b.write(dir, "train.py", "import time\nprint(open('generation.txt').read().strip(), flush=True)\nwhile True: time.sleep(1000)\n")
	b.write(dir, "generation.txt", "generation 0\n")
}

func (b *bench) run(args ...string) {
	b.t.Helper()
	if out, err := exec.Command(b.plugin, args...).CombinedOutput(); err != nil {
		b.t.Fatalf("kubectl-ai %v: %v\n%s", args, err, out)
	}
}

func (b *bench) kubectl(args ...string) *exec.Cmd {
	return exec.Command(b.kubecl, append([]string{"--kubeconfig", b.config, "--context", "kind-" + sandbox}, args...)...)
}

// write saves a file as editors do: beside it, then over it.
func (b *bench) write(dir, name, content string) {
	b.t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp~", []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(path+".tmp~", path); err != nil {
		b.t.Fatal(err)
	}
}

// lines remembers when each line of a stream came.
type lines struct {
	came chan line
	rest []byte
}

type line struct {
	text string
	at   time.Time
}

func newLines() *lines { return &lines{came: make(chan line, 1<<16)} }

func (l *lines) Write(p []byte) (int, error) {
	now := time.Now()
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.came <- line{string(l.rest[:i]), now}
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) String() string {
	var b strings.Builder
	for {
		select {
		case line := <-l.came:
			_, _ = io.WriteString(&b, line.text+"\n")
		default:
			return b.String()
		}
	}
}

// await returns the next line that fits, and when it came.
func (l *lines) await(t *testing.T, what string, fits func(string) bool) line {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	var seen []string
	for {
		select {
		case line := <-l.came:
			if fits(line.text) {
				return line
			}
			seen = append(seen, line.text)
		case <-deadline:
			t.Fatalf("%s did not come, but:\n%s", what, strings.Join(seen[max(0, len(seen)-20):], "\n"))
		}
	}
}

func endsWith(text string) func(string) bool {
	return func(line string) bool { return strings.HasSuffix(line, text) }
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func spread(d []time.Duration) string {
	return fmt.Sprintf("%.1f / %.1f", ms(quantile(d, 0.5)), ms(quantile(d, 0.95)))
}

// report prints one measure: ours and each peer's, and what ours is of theirs.
// Where a bound is given for a peer, ours must not be more than that part of
// the peer's at the quantile.
type report struct {
	what    string
	ours    []time.Duration
	bound   float64 // of rsync's
	at      float64 // quantile that the bound is for
	theirs  map[string][]time.Duration
	remarks string
}

func (r report) print(t *testing.T) {
	t.Helper()
	fmt.Printf("%-30s %-22s n %3d  %16s ms  %s\n", r.what, "kubectl ai", len(r.ours), spread(r.ours), r.remarks)
	for _, name := range []string{"kubectl cp", "rsync over exec"} {
		d := r.theirs[name]
		if len(d) == 0 {
			continue
		}
		fmt.Printf("%-30s %-22s n %3d  %16s ms  ours is 1/%.1f, p95 1/%.1f\n", "", name, len(d), spread(d),
			ms(quantile(d, 0.5))/ms(quantile(r.ours, 0.5)), ms(quantile(d, 0.95))/ms(quantile(r.ours, 0.95)))
	}
	peer := r.theirs["rsync over exec"]
	if r.bound == 0 || len(peer) == 0 {
		return
	}
	got := ms(quantile(r.ours, r.at)) / ms(quantile(peer, r.at))
	verdict := "met"
	if got > r.bound {
		verdict = "missed"
		if os.Getenv("KUBECTL_AI_BENCH_GATE") != "" {
			t.Errorf("%s: ours is %.3f of rsync's, at most %.3f wanted", r.what, got, r.bound)
		}
	}
	fmt.Printf("%-30s wanted at most 1/%.0f of rsync's at p%.0f: %s\n", "", 1/r.bound, 100*r.at, verdict)
}
