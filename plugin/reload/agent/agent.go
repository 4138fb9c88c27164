// Package agent is what runs in a pod as PID 1 of the container: it receives
// generations over a socket, keeps them on the code volume and runs the
// container's own command in them. It links no Kubernetes library.
package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/generation"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Config says what the agent serves and runs.
type Config struct {
	Mount      string   // the code volume, where the container expects the code
	Socket     string   // where clients connect, on the agent's volume
	Argv       []string // the container's own command
	StopSignal syscall.Signal
	Grace      time.Duration // from the stop signal to SIGKILL
	Env        []string      // of the container
	Log        *log.Logger

	Pod, PodUID, Container string
}

// resumeGrace is how long a restarted container waits for a client that may
// hold something newer, before it runs what it has.
const resumeGrace = 2 * time.Second

// waitingEvery is how often a container that has no code says so.
const waitingEvery = 30 * time.Second

// Agent is one container's agent.
type Agent struct {
	Config
	store *generation.Store
	cwd   string // of the container, as its manifest gives it

	mu      sync.Mutex
	process *supervise.Process
	ending  *supervise.Process // being stopped: its exit is no news
	receipt *wire.Receipt
	client  *client // the one that delivers; nil: none
}

// New opens the code volume.
func New(c Config) (*Agent, error) {
	store, err := generation.Open(c.Mount)
	if err != nil {
		return nil, err
	}
	cwd, err := os.Getwd()
	if err != nil {
		cwd = c.Mount
	}
	return &Agent{Config: c, store: store, cwd: cwd}, nil
}

// Run serves clients until ctx ends, then stops the process. It returns the
// exit code of the container.
func (a *Agent) Run(ctx context.Context) int {
	if err := os.MkdirAll(filepath.Dir(a.Socket), 0o777); err != nil {
		a.Log.Printf("make the socket's folder: %v", err)
		return 1
	}
	_ = os.Remove(a.Socket)
	_ = os.Remove(ReadyFile(a.Socket))
	listener, err := net.Listen("unix", a.Socket)
	if err != nil {
		a.Log.Printf("listen: %v", err)
		return 1
	}
	supervise.Reap(a.owns)
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { a.serve(ctx, conn) })
		}
	})
	a.begin(ctx)
	<-ctx.Done()
	_ = listener.Close()
	a.stop()
	clients.Wait()
	return 128 + int(syscall.SIGTERM)
}

// begin resumes what the volume holds, or says what it waits for.
func (a *Agent) begin(ctx context.Context) {
	wait := waitingEvery
	number, digest := a.store.Current()
	if number != 0 {
		wait = resumeGrace
	} else {
		a.Log.Printf("waiting for code: kubectl ai dev brings it")
	}
	timer := time.NewTicker(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		a.mu.Lock()
		started, served := a.process != nil, a.client != nil
		if !started && number != 0 && !served {
			a.Log.Printf("resuming generation %d (%s)", number, digest.Short())
			a.startLocked(time.Time{})
			started = true
		}
		a.mu.Unlock()
		if started {
			return
		}
		if number == 0 {
			a.Log.Printf("still waiting for code: kubectl ai dev brings it")
		}
	}
}

// owns tells whether a process is the supervised one.
func (a *Agent) owns(pid int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.process != nil && a.process.PID == pid
}

// commit stops the process, flips to the staged generation and starts it.
func (a *Agent) commit(number uint64, received time.Time) (*wire.Receipt, error) {
	if current, _ := a.store.Current(); current == number {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.process == nil { // a restarted container: the tree is there, the process is not
			a.startLocked(received)
		}
		return a.receipt, nil
	}
	a.stop()
	if err := a.store.Commit(number); err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if n, _ := a.store.Current(); n != 0 {
			a.startLocked(received) // what ran before runs on
		}
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.startLocked(received)
	return a.receipt, nil
}

func (a *Agent) stop() {
	a.mu.Lock()
	process := a.process
	a.ending = process
	a.mu.Unlock()
	if process == nil {
		return
	}
	process.Stop(a.StopSignal, a.Grace)
	a.mu.Lock()
	if a.process == process {
		a.process, a.receipt = nil, nil
	}
	a.mu.Unlock()
	_ = os.Remove(ReadyFile(a.Socket))
}

// startLocked starts the command in the current generation; the caller holds
// the mutex.
func (a *Agent) startLocked(received time.Time) {
	number, digest := a.store.Current()
	committed := time.Now()
	spec := a.spec(number, digest.String())
	process := supervise.Start(spec)
	a.process = process
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", process.PID))
	if err != nil {
		cwd = spec.Dir
	}
	a.receipt = &wire.Receipt{
		APIVersion: "kubectl-ai.dev/v1alpha1", Kind: "Receipt",
		Generation: number, TreeDigest: digest,
		Pod: a.Pod, PodUID: a.PodUID, Container: a.Container, Rank: -1,
		PID: process.PID, CWD: cwd,
		ArgvDigest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(strings.Join(spec.Argv, "\x00")))),
		Received:   received, Committed: committed, Running: time.Now(),
	}
	_ = os.WriteFile(ReadyFile(a.Socket), []byte(digest.String()), 0o644)
	go a.watch(process, number)
}

// watch tells the client when the process ends by itself. The agent stays:
// the next save starts the next process.
func (a *Agent) watch(process *supervise.Process, number uint64) {
	<-process.Done
	a.mu.Lock()
	own, client := a.process == process && a.ending != process, a.client
	a.mu.Unlock()
	exit := process.Exit()
	if !own {
		return // stopped for the next generation
	}
	how := fmt.Sprintf("code %d", exit.Code)
	if exit.Message != "" {
		how += " (" + exit.Message + ")"
	}
	a.Log.Printf("generation %d ended with %s: waiting for the next save", number, how)
	if client != nil {
		_ = client.conn.Write(wire.TypeExited, wire.Exited{Generation: number, PID: exit.PID, Code: exit.Code, Message: exit.Message})
	}
}

// spec maps the container's command into a generation: its working directory
// and the arguments below the mount become the resolved generation's, so that
// a process keeps its whole tree when the next one becomes current.
func (a *Agent) spec(number uint64, digest string) supervise.Spec {
	gen := a.store.Path(number)
	into := func(p string) string {
		if p == a.Mount {
			return gen
		}
		if rest, ok := strings.CutPrefix(p, a.Mount+"/"); ok && !strings.HasPrefix(rest, ".kubectl-ai/") {
			return gen + "/" + rest
		}
		return p
	}
	spec := supervise.Spec{Dir: into(a.cwd)}
	if _, err := os.Stat(spec.Dir); errors.Is(err, os.ErrNotExist) {
		spec.Dir = gen
	}
	for _, arg := range a.Argv {
		if strings.HasPrefix(arg, a.Mount) {
			arg = into(arg)
		}
		spec.Argv = append(spec.Argv, arg)
	}
	spec.Env = append(spec.Env, a.Env...)
	set := func(key, value string, always bool) {
		for _, e := range spec.Env {
			if strings.HasPrefix(e, key+"=") && !always {
				return
			}
		}
		spec.Env = append(spec.Env, key+"="+value)
	}
	set("KUBECTL_AI_GENERATION", fmt.Sprint(number), true)
	set("KUBECTL_AI_TREE_DIGEST", digest, true)
	// Logs are read while the process runs.
	set("PYTHONUNBUFFERED", "1", false)
	// Bytecode is checked by whole seconds and size, so that a cache shared by
	// generations could run stale code.
	set("PYTHONPYCACHEPREFIX", filepath.Join(filepath.Dir(a.Socket), "pycache", fmt.Sprint(number)), false)
	return spec
}

// ReadyFile returns the file that exists while a process of the current
// generation was started; the readiness probe looks for it.
func ReadyFile(socket string) string { return filepath.Join(filepath.Dir(socket), "ready") }
