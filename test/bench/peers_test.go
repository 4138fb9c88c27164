//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// peer is a way to copy code into a pod whose process a signal starts again,
// as entr or a shell loop would.
type peer struct {
	b    *bench
	name string
	pod  string
	said *lines
	// command copies a path of the tree, or with "." all of it.
	command func(what string) *exec.Cmd
}

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
    volumeMounts: [{name: code, mountPath: /code}]
  volumes: [{name: code, emptyDir: {}}]
`

// peers starts the pods of those that can be measured here.
func (b *bench) peers() []*peer {
	b.t.Helper()
	copier := &peer{b: b, name: "kubectl cp", pod: "cp"}
	copier.command = func(what string) *exec.Cmd {
		if what == "." {
			return b.kubectl("cp", b.theirs+"/.", "peer/cp:/code")
		}
		return b.kubectl("cp", filepath.Join(b.theirs, what), "peer/cp:/code/"+strings.TrimSuffix(what, "burst"))
	}
	syncer := &peer{b: b, name: "rsync over exec", pod: "rsync"}
	// Without the window rsync compares whole seconds, and misses the second of
	// two saves of the same size within one.
	syncer.command = func(string) *exec.Cmd {
		shell := fmt.Sprintf("%s --kubeconfig %s --context kind-%s exec -i -n peer rsync -- sh -c 'exec \"$@\"'", b.kubecl, b.config, sandbox)
		return exec.Command("rsync", "-a", "--modify-window=-1", "--blocking-io", "--rsh", shell, b.theirs+"/", "pod:/code/")
	}
	var up []*peer
	for p, image := range map[*peer]string{copier: python, syncer: rsync} {
		if out, err := exec.Command(b.plugin, "sandbox", "load", image, "--name", sandbox).CombinedOutput(); err != nil {
			fmt.Printf("%s: absent: load %s: %s\n", p.name, image, bytes.TrimSpace(out))
			continue
		}
		b.start(p, image)
		up = append(up, p)
	}
	return up
}

func (b *bench) start(p *peer, image string) {
	b.t.Helper()
	apply := b.kubectl("apply", "-f", "-")
	apply.Stdin = strings.NewReader(fmt.Sprintf(peerPod, p.pod, image))
	if out, err := apply.CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	if out, err := b.kubectl("wait", "-n", "peer", "pod/"+p.pod, "--for=condition=Ready", "--timeout=60s").CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	p.said = newLines()
	log := b.kubectl("logs", "-f", "-n", "peer", p.pod)
	log.Stdout = p.said
	if err := log.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = log.Process.Kill(); _ = log.Wait() })
	p.said.await(b.t, "the first process", endsWith("generation -1"))
	p.copy(".")
}

func (p *peer) copy(what string) {
	p.b.t.Helper()
	if out, err := p.command(what).CombinedOutput(); err != nil {
		p.b.t.Fatalf("%s: %v: %s", p.name, err, out)
	}
}

// signal starts the process again.
func (p *peer) signal() { p.exec("kill -HUP 1") }

func (p *peer) exec(script string) {
	p.b.t.Helper()
	if out, err := p.b.kubectl("exec", "-n", "peer", p.pod, "--", "sh", "-c", script).CombinedOutput(); err != nil {
		p.b.t.Fatalf("%s: %v: %s", p.name, err, out)
	}
}

// reader reads a file in a pod again and again and counts what is not whole.
type reader struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bytes.Buffer
}

const readLoop = `
import os, select, sys, time
torn = reads = 0
worst = begun = 0.0
while not select.select([sys.stdin], [], [], 0.002)[0]:
    reads += 1
    try:
        whole = os.stat(sys.argv[1]).st_size == 20 << 20
    except OSError:
        whole = False
    now = time.monotonic()
    if whole:
        begun = 0.0
        continue
    torn += 1
    begun = begun or now
    worst = max(worst, now - begun)
print(f"{torn} torn of {reads} looks, for {1000 * worst:.0f} ms at most")
`

func (b *bench) reader(namespace, pod, path string) *reader {
	b.t.Helper()
	r := &reader{cmd: b.kubectl("exec", "-i", "-n", namespace, pod, "--", "python3", "-c", readLoop, path), out: &bytes.Buffer{}}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// torn ends the reader and returns what it found.
func (r *reader) torn(t *testing.T) string {
	t.Helper()
	_, _ = r.stdin.Write([]byte("end\n"))
	_ = r.stdin.Close()
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("reader: %v: %s", err, r.out)
	}
	return strings.TrimSpace(r.out.String())
}
