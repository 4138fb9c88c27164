package session_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/agent"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// journal is an agent's log, line by line.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// until waits until the log says something.
func (j *journal) until(t *testing.T, what string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		j.mu.Lock()
		text := j.text.String()
		j.mu.Unlock()
		if strings.Contains(text, what) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say %q:\n%s", what, text)
		}
	}
}

// startPython starts an agent of `python3 train.py` that says when it is
// ready to check, or nil where there is no Python.
func startPython(t *testing.T, preload ...string) (*pod, *journal) {
	t.Helper()
	interpreter, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no Python: %v", err)
		}
		fmt.Printf("%s: there is no python3 on this machine: not checked\n", t.Name())
		return nil, nil
	}
	dir, said := t.TempDir(), &journal{}
	p := &pod{rank: session.Rank{ID: "0", Name: "pod-0/main"}, mount: t.TempDir(), socket: filepath.Join(dir, "s"), done: make(chan struct{})}
	a, err := agent.New(agent.Config{
		Mount: p.mount, Socket: p.socket, StopSignal: syscall.SIGTERM, Grace: time.Second, Env: os.Environ(), Preload: preload,
		Argv: []string{strings.TrimSpace(string(interpreter)), p.mount + "/train.py", p.mount + ".log"},
		Log:  log.New(said, "", 0), Pod: p.rank.Name, PodUID: "uid", Container: "main",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = func() { cancel(); <-p.done }
	go func() { a.Run(ctx); close(p.done) }()
	t.Cleanup(p.stop)
	return p, said
}

// program notes which run it is, and whether json was imported before it.
func program(run int) string {
	return fmt.Sprintf("import sys, time\nwith open(sys.argv[1], 'a') as f: print(%d, 'json' in sys.modules, file=f)\ntime.sleep(600)\n", run)
}

// noted waits until a run has noted something.
func (p *pod) noted(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		raw, _ := os.ReadFile(p.mount + ".log")
		if strings.Contains(string(raw), want+"\n") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no run noted %q, but:\n%s", want, raw)
		}
	}
}

func TestCodeThatDoesNotCompileStopsNothing(t *testing.T) {
	p, _ := startPython(t)
	if p == nil {
		return
	}
	l := startLaptop(t, t.TempDir(), map[string]*pod{"0": p})
	var before wire.Receipt
	var refusal error
	for refusal == nil { // until the checker has started
		l.save("train.py", program(1))
		before = l.delivered(1)[0]
		l.save("train.py", "x = 1\ny = = 2\n")
		refusal, _ = (<-l.outcomes).(error)
	}
	if want := "train.py:2: invalid syntax"; !strings.Contains(refusal.Error(), want) {
		t.Errorf("err = %v, want %q", refusal, want)
	}
	if err := syscall.Kill(before.PID, 0); err != nil {
		t.Errorf("the process that ran is gone: %v", err)
	}
	l.save("train.py", program(2))
	if after := l.delivered(1)[0]; after.PID == before.PID {
		t.Error("the code that compiles again does not run")
	}
	p.noted(t, "2 False")
}

func TestRunsAreForkedFromWhatIsPreloaded(t *testing.T) {
	p, said := startPython(t, "json")
	if p == nil {
		return
	}
	said.until(t, "runs are forked from a Python that has imported json")
	l := startLaptop(t, t.TempDir(), map[string]*pod{"0": p})
	for run := 1; run <= 3; run++ {
		l.save("train.py", program(run))
		r := l.delivered(1)[0]
		p.noted(t, fmt.Sprint(run, " True"))
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", r.PID)); err != nil || cwd != r.CWD {
			t.Errorf("the process is in %s, %v; the receipt says %s", cwd, err, r.CWD)
		}
	}
}
