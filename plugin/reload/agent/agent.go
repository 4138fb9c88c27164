// Package agent is what runs in a pod as PID 1 of the container: it receives
// generations over a socket, keeps them on the code volume and runs the
// container's own command in them. It links no Kubernetes library.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/generation"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/python"
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
	Preload    []string      // Python modules to import once
	FreshPort  bool          // MASTER_PORT is another one in each run
	Checkpoint *Checkpoint   // nil: processes are stopped without asking
	Log        *log.Logger

	Pod, PodUID, Container string

	// Attached is set where the agent starts nothing.
	Attached *Attached

	// Heartbeat says how long a silent client is taken for alive.
	Heartbeat wire.Heartbeat
}

// resumeGrace is how long a restarted container waits for a client that may
// hold something newer, before it runs what it has.
const resumeGrace = 2 * time.Second

// waitingEvery is how often a container that has no code says so.
const waitingEvery = 30 * time.Second

// settleAfter is how long a process is left alone with the machine before the
// volume is made ready for the next save.
const settleAfter = 50 * time.Millisecond

// restAfter is how long after that an agent with nothing to do gives the
// memory back that a save has needed: it is the pod's, and counts against its
// limit. Chosen so that saves in a row do not pay for it.
const restAfter = 3 * time.Second

// Agent is one container's agent.
type Agent struct {
	Config
	store  *generation.Store
	cwd    string // of the container, as its manifest gives it
	settle *time.Timer
	rest   *time.Timer
	check  *python.Checker    // from Run on
	runs   *python.ForkServer // from Run on

	mu      sync.Mutex
	process *supervise.Process
	ending  *supervise.Process // being stopped: its exit is no news
	receipt *wire.Receipt
	run     wire.Commit // how the current process was started
	owner   *client     // the one that delivers; nil: none
	closing bool        // nothing is started any more
	full    bool        // it was said that the volume fills
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
	c.Heartbeat = c.Heartbeat.OrDefault()
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
	if err := os.WriteFile(MountFile(a.Socket), []byte(a.Mount), 0o644); err != nil {
		a.Log.Printf("note where the code is: %v", err)
		return 1
	}
	listener, err := net.Listen("unix", a.Socket)
	if err != nil {
		a.Log.Printf("listen: %v", err)
		return 1
	}
	supervise.Reap(a.owns)
	a.rest = time.AfterFunc(restAfter, debug.FreeOSMemory)
	defer a.rest.Stop()
	command := supervise.Spec{Argv: a.Argv, Dir: a.cwd, Env: a.spec(wire.Commit{}, "").Env}
	a.check = python.NewChecker(command, a.Log)
	defer a.check.Close()
	a.runs = python.NewForkServer(command, python.Options{Preload: a.Preload, Mount: a.Mount, Dir: filepath.Dir(a.Socket), Log: a.Log})
	defer a.runs.Close()
	a.settle = time.AfterFunc(settleAfter, a.settleNow)
	defer a.settle.Stop()
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
	a.mu.Lock()
	a.closing = true
	a.mu.Unlock()
	a.stop()
	clients.Wait()
	return 128 + int(syscall.SIGTERM)
}

// settleNow readies the volume between saves.
func (a *Agent) settleNow() {
	if err := a.store.Settle(); err != nil {
		a.Log.Printf("%v", err) // the next save meets the same and refuses
	}
	free, full := a.store.Room()
	a.mu.Lock()
	owner, said := a.owner, a.full
	a.full = full
	a.mu.Unlock()
	if full && !said && owner != nil {
		_ = owner.out.Send(&wire.Notice{Text: fmt.Sprintf("the volume at %s is filling up, %d MiB are free: a save that does not fit is refused", a.Mount, free>>20)})
	}
	a.rest.Reset(restAfter)
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
		started, served := a.process != nil, a.owner != nil
		if !started && number != 0 && !served && !a.closing {
			a.Log.Printf("resuming generation %d (%s)", number, digest.Short())
			a.startLocked(wire.Commit{Generation: number}, time.Time{}, time.Time{})
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
func (a *Agent) commit(ctx context.Context, c *client, m wire.Commit) (*wire.Receipt, error) {
	if current, _ := a.store.Current(); current == m.Generation {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.closing {
			return nil, errClosing
		}
		if a.process == nil { // a restarted container: the tree is there, the process is not
			a.startLocked(m, c.received, c.staged)
		}
		return a.receipt, nil
	}
	a.settle.Stop()
	a.rest.Stop()
	if a.runsOn(m) {
		return a.commitUnder(c, m)
	}
	a.mu.Lock()
	process, started := a.process, a.run.Generation
	a.mu.Unlock()
	if err := a.saved(ctx, process, started); err != nil {
		_ = c.out.Send(&wire.Notice{Text: fmt.Sprintf("%v; restarting without it", err)})
	}
	a.stop()
	if err := a.store.Commit(m.Generation); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return nil, errClosing
	}
	a.startLocked(m, c.received, c.staged)
	a.settle.Reset(settleAfter)
	return a.receipt, nil
}

// errClosing says that the agent ends: it starts nothing any more.
var errClosing = errors.New("the container ends")

// resume starts what ran before a commit that came to nothing.
func (a *Agent) resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n, _ := a.store.Current(); n != 0 && !a.closing && a.process == nil && a.Attached == nil {
		if a.run.Generation != n { // of an agent before this one
			a.run = wire.Commit{Generation: n}
		}
		a.startLocked(a.run, time.Time{}, time.Time{})
	}
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

// ReadyFile returns the file that exists while a process of the current
// generation was started; the readiness probe looks for it.
func ReadyFile(socket string) string { return filepath.Join(filepath.Dir(socket), "ready") }

// MountFile returns the file that holds the path of the code volume, for other
// programs in the container.
func MountFile(socket string) string { return filepath.Join(filepath.Dir(socket), "mount") }
