package reloadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/agent"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// PodOptions say what a pod is. The zero value is rank 0 with an empty volume
// and a process that sleeps.
type PodOptions struct {
	Rank      int
	Mount     string                      // the code volume; "": a new folder
	Argv      func(mount string) []string // the container's command; nil: it sleeps
	Env       []string                    // besides the test's own
	Grace     time.Duration               // from the stop signal to SIGKILL; 0: a second
	Heartbeat wire.Heartbeat
	FreshPort bool // each run has a MASTER_PORT of its own

	Checkpoint *agent.Checkpoint // that the process is asked for
}

// Script returns a command that runs a shell script in the generation it was
// started in, whatever becomes current later.
func Script(script string) func(mount string) []string {
	return func(mount string) []string {
		return []string{"sh", "-c", `cd "$0" || exit 1; ` + script, mount}
	}
}

// Sleep is a command that does nothing until it is stopped. Its working
// directory is the generation.
var Sleep = Script("exec sleep 300")

// Pod is an agent of this process with a volume, a socket and a line to it.
type Pod struct {
	Line *Line

	t    testing.TB
	o    PodOptions
	mark string       // of its processes
	made atomic.Int64 // incarnations, for IDs

	mu     sync.Mutex
	rank   session.Rank
	uid    string
	mount  string
	socket string
	stop   func()
}

// StartPod starts a pod; it ends with the test.
func StartPod(t testing.TB, o PodOptions) *Pod {
	t.Helper()
	if o.Argv == nil {
		o.Argv = Sleep
	}
	if o.Grace == 0 {
		o.Grace = time.Second
	}
	p := &Pod{t: t, o: o, Line: NewLine(), mount: o.Mount, mark: fmt.Sprintf("%d.%d", os.Getpid(), pods.Add(1))}
	if p.mount == "" {
		p.mount = t.TempDir()
	}
	p.newRank()
	p.start()
	t.Cleanup(func() {
		p.Line.Cut()
		p.Kill()
		for _, pid := range p.Processes() { // they would keep the test's output open
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return p
}

// owner is the variable that tells which pod a process belongs to.
const owner = "RELOADTEST_POD"

var pods atomic.Int64

// Processes returns the processes that the pod's agents started and that
// still live, children included.
func (p *Pod) Processes() []int {
	var alive []int
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, full := range environs {
		raw, err := os.ReadFile(full)
		if err != nil || !slices.Contains(strings.Split(string(raw), "\x00"), owner+"="+p.mark) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(full))); err == nil && Alive(pid) {
			alive = append(alive, pid)
		}
	}
	return alive
}

func (p *Pod) newRank() {
	n := p.made.Add(1)
	p.rank = session.Rank{ID: fmt.Sprintf("%d-%d", p.o.Rank, n), Name: fmt.Sprintf("pod-%d-%d/main", p.o.Rank, n), Index: p.o.Rank}
}

// start starts an agent on the volume. Every agent has a UID of its own, so
// that receipts of an earlier one do not count.
func (p *Pod) start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.socket == "" { // not t.TempDir: a socket's path is at most 107 bytes
		dir, err := os.MkdirTemp("", "reloadtest")
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { _ = os.RemoveAll(dir) })
		p.socket = filepath.Join(dir, "s")
	}
	p.uid = fmt.Sprintf("%s-%d", p.rank.ID, p.made.Add(1))
	a, err := agent.New(agent.Config{
		Mount: p.mount, Socket: p.socket, Argv: p.o.Argv(p.mount), StopSignal: syscall.SIGTERM, Grace: p.o.Grace,
		Env: append(append(os.Environ(), p.o.Env...), owner+"="+p.mark), Log: log.New(io.Discard, "", 0), Heartbeat: p.o.Heartbeat, FreshPort: p.o.FreshPort,
		Pod: p.rank.Name, PodUID: p.uid, Container: "main", Checkpoint: p.o.Checkpoint,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	Await(p.t, func() string {
		if _, err := os.Lstat(p.socket); err != nil {
			return "the agent does not listen"
		}
		return ""
	})
}

// Kill ends the agent and its process.
func (p *Pod) Kill() {
	p.mu.Lock()
	stop := p.stop
	p.mu.Unlock()
	stop()
}

// Restart ends the agent and starts another on the same volume, as when a
// container is restarted.
func (p *Pod) Restart() {
	p.t.Helper()
	p.Kill()
	p.start()
}

// Replace ends the agent and starts another on an empty volume, as when a pod
// is deleted and made again. The gang has to be told of the new rank.
func (p *Pod) Replace() {
	p.t.Helper()
	p.Kill()
	p.mu.Lock()
	p.mount = p.t.TempDir()
	p.newRank()
	p.mu.Unlock()
	p.start()
}

// Rank returns the rank that the pod is now.
func (p *Pod) Rank() session.Rank {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rank
}

// UID returns the UID that receipts of the pod carry now.
func (p *Pod) UID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.uid
}

// Mount returns the code volume.
func (p *Pod) Mount() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mount
}

// Dial opens a connection to the agent, through the pod's line.
func (p *Pod) Dial(ctx context.Context) (io.ReadWriteCloser, error) {
	p.mu.Lock()
	socket := p.socket
	p.mu.Unlock()
	return p.Line.Dial(ctx, socket)
}

// Current returns the resolved folder of the current generation.
func (p *Pod) Current() (string, error) {
	return filepath.EvalSymlinks(filepath.Join(p.Mount(), tree.Reserved, "current"))
}

// Sum returns the digest of what is on the volume as the current generation,
// hashed from disk. A generation that was replaced meanwhile is read anew.
func (p *Pod) Sum() (tree.Digest, error) {
	for {
		dir, err := p.Current()
		if err != nil {
			return tree.Digest{}, err
		}
		sum, err := Sum(dir)
		if now, nerr := p.Current(); nerr == nil && now != dir {
			continue
		}
		return sum, err
	}
}

// Manifest returns the lines of what is on the volume as the current
// generation.
func (p *Pod) Manifest() []string {
	dir, err := p.Current()
	if err != nil {
		return []string{err.Error() + "\n"}
	}
	lines, err := Manifest(dir)
	if err != nil {
		return []string{err.Error() + "\n"}
	}
	return lines
}

// BreakStaging makes the volume refuse new generations; running processes
// keep their folder. The function that it returns mends it.
func (p *Pod) BreakStaging() (mend func()) {
	p.t.Helper()
	gens := filepath.Join(p.Mount(), tree.Reserved, "gen")
	must := func(err error) {
		p.t.Helper()
		if err != nil {
			p.t.Fatal(err)
		}
	}
	must(os.Rename(gens, gens+".away"))
	must(os.WriteFile(gens, nil, 0o644))
	return func() {
		p.t.Helper()
		must(os.Remove(gens))
		must(os.Rename(gens+".away", gens))
	}
}

// WorkingDir returns the folder that a process runs in, "" when there is no
// such process. The path of a folder that is gone ends in " (deleted)".
func WorkingDir(pid int) string {
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return ""
	}
	return dir
}

// Alive tells whether a process runs; a zombie does not.
func Alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH)
	}
	return !strings.Contains(string(stat), ") Z ")
}
