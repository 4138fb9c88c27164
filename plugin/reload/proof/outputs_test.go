package proof

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
)

// writer is a pod whose program does what do.sh in its code says, and then
// tells that it has.
type writer struct {
	*reloadtest.Laptop
	t    *testing.T
	pod  *reloadtest.Pod
	told string
	n    int
}

func newWriter(t *testing.T) *writer {
	t.Helper()
	told := filepath.Join(t.TempDir(), "told")
	w := &writer{t: t, told: told, pod: reloadtest.StartPod(t, reloadtest.PodOptions{
		Argv: reloadtest.Script(`sh ./do.sh; cat n > "$TOLD"; exec sleep 300`), Env: []string{"TOLD=" + told},
	})}
	w.Laptop = reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, w.pod)
	return w
}

// deliver makes files the whole tree, lets the program run its commands, and
// compares the code on the volume. What else is there is the program's.
func (w *writer) deliver(commands string, files ...string) {
	w.t.Helper()
	w.n++
	must(w.t, os.RemoveAll(w.Dir))
	for _, f := range files {
		save(w.t, w.Dir, f, fmt.Sprintf("%s %d", f, w.n))
	}
	save(w.t, w.Dir, "do.sh", commands)
	save(w.t, w.Dir, "n", fmt.Sprint(w.n))
	want := w.Publish()
	lost := w.Lost()
	reloadtest.Await(w.t, func() string {
		if errs := w.Refusals(); len(errs) > 0 {
			w.t.Fatalf("refused: %v", errs[0])
		}
		if w.Lost() > lost+3 {
			w.t.Fatal("the stream is lost again and again")
		}
		if r, ok := w.Receipt(w.pod); !ok || r.TreeDigest != want {
			return "the pod does not run " + want.Short()
		}
		if raw, err := os.ReadFile(w.told); err != nil || string(raw) != fmt.Sprint(w.n) {
			return "the program has not done its work"
		}
		return ""
	})
	code, err := reloadtest.Manifest(w.Dir)
	must(w.t, err)
	held := w.pod.Manifest()
	for _, line := range code {
		if !slices.Contains(held, line) {
			w.t.Fatalf("the pod does not hold\n%s", reloadtest.Differ(code, held))
		}
	}
}

// kept fails unless a file that a program wrote is there under the path that
// it was written to.
func (w *writer) kept(p, content string) {
	w.t.Helper()
	dir, err := w.pod.Current()
	must(w.t, err)
	for _, at := range []string{dir, w.pod.Mount()} {
		if raw, err := os.ReadFile(filepath.Join(at, p)); err != nil || strings.TrimSpace(string(raw)) != content {
			w.t.Errorf("%s in %s holds %q, want %q: %v", p, at, raw, content, err)
		}
	}
}

func TestWhatProgramsWroteNeverBlocksADelivery(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(w *writer)
	}{
		{"a folder of code where a program wrote a file", func(w *writer) {
			w.deliver("echo o > out")
			w.deliver("echo p > out/log", "out/x.py")
			w.deliver(":", "out/x.py")
			w.kept("out/log", "p")
		}},
		{"a file of code where a program wrote a folder", func(w *writer) {
			w.deliver("mkdir out; echo o > out/log")
			w.deliver(":", "out")
			w.deliver(":")
			w.deliver("mkdir -p out; echo q > out/log")
			w.deliver(":", "out/log.py")
		}},
		{"a deep folder of code where a program wrote a file", func(w *writer) {
			w.deliver("echo o > pkg/out", "pkg/a.py")
			w.deliver("echo p > pkg/out/log", "pkg/a.py", "pkg/out/x.py")
			w.deliver(":", "pkg/a.py", "pkg/out/x.py")
			w.kept("pkg/out/log", "p")
		}},
		{"a folder of code that goes and leaves what was written in it", func(w *writer) {
			w.deliver("echo o > pkg/log", "pkg/a.py")
			w.deliver(":")
			w.deliver("mkdir -p pkg; echo p > pkg/other")
			w.deliver(":", "pkg/a.py")
		}},
		{"a link that leads out", func(w *writer) {
			w.deliver("ln -s /etc out")
			w.deliver(":", "out/x.py")
			w.deliver("ln -s nowhere out", "pkg/a.py")
			w.deliver("ln -sf /etc pkg/out", "pkg/a.py")
			w.deliver(":", "pkg/out/x.py")
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(newWriter(t)) })
	}
}

// Code and outputs take each other's names at random. Code always wins.
func TestCodeAndOutputsMayHaveTheSameNames(t *testing.T) {
	for seed := range reloadtest.Size(4, 40) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 3))
			w := newWriter(t)
			name := func() string {
				p := string(rune('a' + rng.IntN(3)))
				for rng.IntN(2) == 0 {
					p += "/" + string(rune('a'+rng.IntN(3)))
				}
				return p
			}
			for range reloadtest.Size(25, 250) {
				var files []string
				for range rng.IntN(4) {
					p := name()
					if !slices.ContainsFunc(files, func(f string) bool {
						return f == p || strings.HasPrefix(f, p+"/") || strings.HasPrefix(p, f+"/")
					}) {
						files = append(files, p)
					}
				}
				var commands strings.Builder
				for range rng.IntN(4) {
					p := name()
					if slices.Contains(files, p) || slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, p+"/") }) {
						continue // its own code
					}
					fmt.Fprintf(&commands, "mkdir -p %s; echo %d > %s\n", filepath.Dir(p), rng.Uint32(), p)
				}
				w.deliver("{ "+commands.String()+":; } 2>/dev/null", files...)
				if t.Failed() {
					t.Fatalf("seed %d, delivery %d", seed, w.n)
				}
			}
		})
	}
}
