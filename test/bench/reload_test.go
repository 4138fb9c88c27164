//go:build bench

// Package bench measures kubectl ai beside its peers in one run on one
// cluster and prints ratios. It gates on nothing but completeness: figures
// are for people, and tests never assert on times.
package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const sandbox = "kai-bench"

// rounds is how many saves each way is measured with.
const rounds = 40

type bench struct {
	t      *testing.T
	plugin string
	dir    string
	kubecl string // a kubectl, taken from the node
	config string
}

// TestReload measures save → verified and save → new process for dev, for
// kubectl cp with a signal, and for rsync over exec with a signal.
func TestReload(t *testing.T) {
	b := setUp(t)
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("load average %s", load)
	verified, running := b.dev()
	table := []row{{"kubectl ai dev", verified, running}}
	for name, way := range map[string]func(pod string) *exec.Cmd{
		"kubectl cp + signal": func(pod string) *exec.Cmd {
			return b.kubectl("cp", filepath.Join(b.dir, "src/generation.txt"), "peer/"+pod+":/code/generation.txt")
		},
		"rsync over exec + signal": func(pod string) *exec.Cmd {
			cmd := exec.Command("rsync", "-a", "--checksum", "--blocking-io", "--rsh", fmt.Sprintf("%s --kubeconfig %s --context kind-%s exec -i -n peer %s -- sh -c 'exec \"$@\"'", b.kubecl, b.config, sandbox, pod), filepath.Join(b.dir, "src")+"/", "pod:/code/")
			return cmd
		},
	} {
		verified, running, err := b.peer(name, way)
		if err != nil {
			fmt.Printf("%s: absent: %v\n", name, err)
			continue
		}
		table = append(table, row{name, verified, running})
	}
	slices.SortFunc(table[1:], func(a, b row) int { return strings.Compare(a.name, b.name) })
	printTable(table)
}

type row struct {
	name              string
	verified, running []time.Duration
}

func setUp(t *testing.T) *bench {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, plugin: filepath.Join(root, "bin/kubectl-ai"), dir: filepath.Join(t.TempDir(), "reload")}
	b.config = filepath.Join(t.TempDir(), "kubeconfig")
	t.Setenv("KUBECONFIG", b.config)
	_ = exec.Command(b.plugin, "sandbox", "delete", "--name", sandbox, "--yes").Run()
	b.run("sandbox", "create", "--name", sandbox, "--gpus", "none")
	t.Cleanup(func() { _ = exec.Command(b.plugin, "sandbox", "delete", "--name", sandbox, "--yes").Run() })
	b.kubecl = filepath.Join(t.TempDir(), "kubectl")
	if out, err := exec.Command("docker", "cp", sandbox+"-control-plane:/usr/bin/kubectl", b.kubecl).CombinedOutput(); err != nil {
		t.Fatalf("take kubectl from the node: %v\n%s", err, out)
	}
	b.write("kubectl-ai.yaml", "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nmetadata: {name: reload}\ncode: [{path: src, mountPath: /app}]\nenvironments: {sandbox: {context: kind-"+sandbox+", namespace: reload}}\n")
	b.write("overlays/sandbox/kustomization.yaml", "namespace: reload\nresources: [pod.yaml]\n")
	b.write("overlays/sandbox/pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: reload}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: main, image: \"python:3.11-slim\", workingDir: /app, command: [python3, train.py]}\n")
	b.write("src/train.py", "import time\nprint(open('generation.txt').read().strip(), flush=True)\nwhile True: time.sleep(1)\n")
	b.write("src/generation.txt", "generation 0\n")
	for i := range 500 {
		b.write(fmt.Sprintf("src/pkg%d/m%d.py", i%20, i), strings.Repeat(fmt.Sprintf("x = %d\n", i), 300))
	}
	return b
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

func (b *bench) write(name, content string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
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

// dev measures our own loop: from the save to the receipt's own times, and to
// the first line of the new process.
func (b *bench) dev() (verified, running []time.Duration) {
	cmd := exec.Command(b.plugin, "dev", b.dir, "-o", "json")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	said := newLines()
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() }()
	receipts := json.NewDecoder(stdout)
	var r struct {
		Committed time.Time `json:"committed"`
	}
	if err := receipts.Decode(&r); err != nil {
		b.t.Fatalf("no receipt: %v\n%s", err, said)
	}
	said.await(b.t, "generation 0")
	for i := 1; i <= rounds; i++ {
		start := time.Now()
		b.write("src/generation.txt", fmt.Sprintf("generation %d\n", i))
		if err := receipts.Decode(&r); err != nil {
			b.t.Fatal(err)
		}
		// Both clocks are this machine's. Committed is after every rank has
		// hashed its tree from disk.
		verified = append(verified, r.Committed.Sub(start))
		running = append(running, said.await(b.t, fmt.Sprintf("generation %d", i)).Sub(start))
	}
	return verified, running
}

// peerPod runs the same program; a signal makes it start again, as an entr or
// a shell loop would.
const peerPod = `apiVersion: v1
kind: Namespace
metadata: {name: peer}
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: peer}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: %[2]s
    imagePullPolicy: IfNotPresent
    command: [bash, -c, "mkdir -p /code; echo generation -1 >/code/generation.txt; trap 'kill $pid' HUP; while true; do python3 -c \"print(open('/code/generation.txt').read().strip(), flush=True); import time; time.sleep(1e6)\" & pid=$!; wait $pid; wait $pid; done"]
`

// peer measures a way to copy: the time until the file's new content is read
// back from the pod counts as verified, the line of the new process as
// running.
func (b *bench) peer(name string, copyTo func(pod string) *exec.Cmd) (verified, running []time.Duration, err error) {
	image, pod := "python:3.11-slim", "cp"
	if strings.HasPrefix(name, "rsync") {
		image, pod = "kubectl-ai/bench-rsync:1", "rsync"
	}
	if out, err := exec.Command(b.plugin, "sandbox", "load", image, "--name", sandbox).CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("load %s: %s", image, bytes.TrimSpace(out))
	}
	apply := b.kubectl("apply", "-f", "-")
	apply.Stdin = strings.NewReader(fmt.Sprintf(peerPod, pod, image))
	if out, err := apply.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", err, out)
	}
	if out, err := b.kubectl("wait", "-n", "peer", "pod/"+pod, "--for=condition=Ready", "--timeout=60s").CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", err, out)
	}
	log := b.kubectl("logs", "-f", "-n", "peer", pod)
	said := newLines()
	log.Stdout = said
	if err := log.Start(); err != nil {
		return nil, nil, err
	}
	defer func() { _ = log.Process.Kill(); _ = log.Wait() }()
	said.await(b.t, "generation -1")
	for i := range rounds {
		content := fmt.Sprintf("generation %d\n", 1000+i)
		start := time.Now()
		b.write("src/generation.txt", content)
		if out, err := copyTo(pod).CombinedOutput(); err != nil {
			return nil, nil, fmt.Errorf("%w: %s", err, out)
		}
		copied := time.Now()
		out, err := b.kubectl("exec", "-n", "peer", pod, "--", "sh", "-c", "cat /code/generation.txt; kill -HUP 1").Output()
		if err != nil {
			return nil, nil, fmt.Errorf("read the file back: %w", err)
		}
		if string(out) != content {
			return nil, nil, fmt.Errorf("the pod holds %q", out)
		}
		verified = append(verified, copied.Sub(start))
		running = append(running, said.await(b.t, strings.TrimSpace(content)).Sub(start))
	}
	return verified, running, nil
}

// lines remembers when each line of a stream came.
type lines struct {
	came chan string
	rest []byte
}

func newLines() *lines { return &lines{came: make(chan string, 1<<16)} }

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.came <- string(l.rest[:i])
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) String() string {
	var b strings.Builder
	for {
		select {
		case line := <-l.came:
			_, _ = io.WriteString(&b, line+"\n")
		default:
			return b.String()
		}
	}
}

// await returns when the next line that ends with text came.
func (l *lines) await(t *testing.T, text string) time.Time {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		select {
		case line := <-l.came:
			if strings.HasSuffix(line, text) {
				return time.Now()
			}
		case <-deadline:
			t.Fatalf("no line ends with %q", text)
		}
	}
}

func printTable(table []row) {
	fmt.Printf("%-26s %4s  %22s  %22s  %s\n", "", "n", "save → verified", "save → new process", "ratio to ours (medians)")
	for _, r := range table {
		fmt.Printf("%-26s %4d  %22s  %22s  %.1f  %.1f\n", r.name, len(r.verified), spread(r.verified), spread(r.running),
			ratio(r.verified, table[0].verified), ratio(r.running, table[0].running))
	}
}

func quantile(d []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func spread(d []time.Duration) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.1f / %.1f ms", ms(quantile(d, 0.5)), ms(quantile(d, 0.95)))
}

func ratio(a, b []time.Duration) float64 {
	return float64(quantile(a, 0.5)) / float64(quantile(b, 0.5))
}
