//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// startRuns is how often each command is run, in turn with kubectl's.
const startRuns = 50

// TestStartup measures how long commands take that people wait for with their
// eyes on the prompt, beside kubectl's own: the median of 50, in turn.
func TestStartup(t *testing.T) {
	b := newBench(t)
	b.bundle(b.ours, python, 1)
	b.program(filepath.Join(b.ours, "src"))
	if out, err := b.kubectl("create", "namespace", filepath.Base(b.ours)).CombinedOutput(); err != nil {
		t.Fatalf("create namespace: %v\n%s", err, out)
	}
	context := "--context=kind-" + sandbox
	list := []string{b.kubecl, context, "get", "pods"}
	for _, m := range []struct {
		what         string
		ours, theirs []string
		most         float64
	}{
		{"version", []string{b.plugin, "version"}, []string{b.kubecl, "version", "--client"}, 1.2},
		{"status", []string{b.plugin, "status", b.ours}, list, 2},
		{"completion of a run", []string{b.plugin, "__complete", "why", "--dir", b.ours, ""}, list, 2},
		{"completion of a namespace", []string{b.plugin, "__complete", "status", context, "-n", ""}, list, 2},
	} {
		var ours, theirs []time.Duration
		for range startRuns {
			ours, theirs = append(ours, b.took(m.ours)), append(theirs, b.took(m.theirs))
		}
		ratio := ms(quantile(ours, 0.5)) / ms(quantile(theirs, 0.5))
		fmt.Printf("%-26s %6.1f ms, kubectl's %6.1f ms: %.2f of it, %.1f wanted\n", m.what, ms(quantile(ours, 0.5)), ms(quantile(theirs, 0.5)), ratio, m.most)
		if ratio > m.most && os.Getenv("KUBECTL_AI_BENCH_GATE") != "" {
			t.Errorf("%s takes %.2f of kubectl's time, %.1f wanted", m.what, ratio, m.most)
		}
	}
}

// took runs a command that has to succeed.
func (b *bench) took(args []string) time.Duration {
	b.t.Helper()
	start := time.Now()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return time.Since(start)
}

// mostBytes is how large the program may be.
const mostBytes = 90_000_000

// TestSize lists what is in the binary, and fails where it has grown too much.
func TestSize(t *testing.T) {
	const binary = "../../bin/kubectl-ai"
	whole, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	rest := whole.Size()
	row := func(size int64, what string) { fmt.Printf("%7.1f MB  %s\n", float64(size)/1e6, what) }
	for _, arch := range []string{"amd64", "arm64"} {
		archive, err := os.Stat("../../cmd/kubectl-ai/payload/programs/linux-" + arch + ".tar.zst")
		if err != nil {
			t.Fatal(err)
		}
		rest -= archive.Size()
		row(archive.Size(), "programs for linux/"+arch+", of")
		programs, _ := filepath.Glob("../../bin/linux-" + arch + "/*")
		for _, program := range programs {
			if info, err := os.Stat(program); err == nil {
				row(info.Size(), "    "+filepath.Base(program))
			}
		}
	}
	row(rest, "kubectl-ai itself, of which code of")
	for _, m := range codeOf(t, binary) {
		row(m.size, "    "+m.name)
	}
	row(whole.Size(), "in all, at most 90 wanted")
	if whole.Size() > mostBytes {
		t.Errorf("%s has %d bytes, at most %d wanted", binary, whole.Size(), mostBytes)
	}
}

type module struct {
	name string
	size int64 // bytes of machine code
}

// codeOf returns the modules with most code, by the functions that the
// binary's own table for tracebacks lists.
func codeOf(t *testing.T, binary string) []module {
	t.Helper()
	sizes := map[string]int64{}
	for f, size := range functions(t, binary) {
		f = strings.TrimPrefix(strings.TrimPrefix(f, "type:.eq."), "type:.hash.")
		f, _, _ = strings.Cut(f, "[")
		f, _, _ = strings.Cut(f, "(")
		name := "Go's library"
		if host, _, _ := strings.Cut(f, "/"); strings.Contains(host, ".") && strings.Contains(f, "/") {
			parts := strings.SplitN(f, "/", 4)
			name = strings.Join(parts[:min(len(parts), 3)], "/")
			if strings.HasPrefix(f, "k8s.io/") || len(parts) < 3 {
				name = strings.Join(parts[:2], "/")
			}
			name, _, _ = strings.Cut(name, "@")
		}
		sizes[name] += size
	}
	var all []module
	for name, size := range sizes {
		if size > 200_000 {
			all = append(all, module{name, size})
		}
	}
	slices.SortFunc(all, func(a, b module) int { return int(b.size - a.size) })
	return all
}
