package python

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// TestMain reaps as the agent does, which as PID 1 is the parent of orphans.
func TestMain(m *testing.M) {
	supervise.Reap(nil)
	os.Exit(m.Run())
}

// python returns an interpreter: KUBECTL_AI_PYTHON, else the machine's. Its
// absence fails where CI says that there is one.
func python(t testing.TB) string {
	t.Helper()
	name := os.Getenv("KUBECTL_AI_PYTHON")
	if name == "" {
		name = "python3"
	}
	out, err := exec.Command(name, "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no Python: %v", err)
		}
		fmt.Printf("%s: there is no %s on this machine: not checked\n", t.Name(), name)
		return ""
	}
	return strings.TrimSpace(string(out))
}

// tree writes files into a new folder.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	return dir
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// journal is a log that tests read.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Printf(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, l := range j.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

// until waits for a condition, which has a minute.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so within a minute: %s", what)
		}
	}
}

// bench is a fork server under test, and where its runs write.
type bench struct {
	*ForkServer
	t   testing.TB
	out *os.File
	log *journal
	env []string
	dir string
}

// environment is a container's.
func environment(more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/", "LANG=C.UTF-8", "PYTHONHASHSEED=1"}, more...)
}

// newBench starts a fork server in dir, whose code lies below dir.
func newBench(t testing.TB, dir string, argv, env, preload []string) *bench {
	t.Helper()
	out, err := os.OpenFile(filepath.Join(t.TempDir(), "out"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, out: out, log: &journal{}, env: env, dir: dir}
	b.ForkServer = NewForkServer(supervise.Spec{Argv: argv, Dir: dir, Env: env}, Options{
		Preload: preload, Mount: dir, Dir: t.TempDir(), Log: b.log, Stdout: out, Stderr: out,
	})
	t.Cleanup(func() { b.Close(); _ = out.Close() })
	return b
}

// settled waits until the modules are imported, or cannot be.
func (b *bench) settled() *bench {
	b.t.Helper()
	b.mu.Lock()
	w := b.warm
	b.mu.Unlock()
	if w == nil {
		b.t.Fatal("no interpreter was started")
	}
	until(b.t, "the modules are imported", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.why == nil || !strings.HasPrefix(w.why.Error(), "still importing")
	})
	return b
}

// outcome is what is seen of a run.
type outcome struct {
	Output string
	Exit   supervise.Exit
}

// seen waits for a run and returns what it wrote.
func (b *bench) seen(start func() *supervise.Process) outcome {
	b.t.Helper()
	from, err := b.out.Seek(0, io.SeekEnd)
	if err != nil {
		b.t.Fatal(err)
	}
	p := start()
	<-p.Done
	written, err := io.ReadAll(io.NewSectionReader(b.out, from, 1<<20))
	if err != nil {
		b.t.Fatal(err)
	}
	exit := p.Exit()
	exit.PID = 0
	return outcome{string(written), exit}
}

func (b *bench) spec(argv ...string) supervise.Spec {
	return supervise.Spec{Argv: argv, Dir: b.dir, Env: b.env}
}

// forked runs a command in a fork, or fails the test.
func (b *bench) forked(spec supervise.Spec) outcome {
	b.t.Helper()
	return b.seen(func() *supervise.Process {
		p, err := b.fork(spec)
		if err != nil {
			b.t.Fatalf("%v was not forked: %v", spec.Argv, err)
		}
		return p
	})
}

// cold runs a command as if there were no fork server.
func (b *bench) cold(spec supervise.Spec) outcome {
	b.t.Helper()
	return b.seen(func() *supervise.Process {
		null, err := os.Open(os.DevNull)
		if err != nil {
			b.t.Fatal(err)
		}
		defer func() { _ = null.Close() }()
		return supervise.StartWith(spec, null, b.out, b.out)
	})
}
