// Package supervise runs one process of a container, and its next, and its
// next: it starts a command in a process group of its own, stops the whole
// group, reaps orphans as PID 1 has to, and outlives every exit.
package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec is a process to start.
type Spec struct {
	Argv []string
	Dir  string
	Env  []string
}

// Exit is how a process ended.
type Exit struct {
	PID     int
	Code    int // 128 + signal for a signal, as shells say it
	Message string
}

// Process is a running process. Done is closed when it has ended.
type Process struct {
	PID  int
	Done chan struct{}
	exit Exit
}

// Exit returns how the process ended; only after Done.
func (p *Process) Exit() Exit { return p.exit }

// Start starts a process whose output is the container's own and whose input
// is empty. A command that does not exist ends at once with code 127, as in a
// shell; it is no error of the caller's.
func Start(spec Spec) *Process {
	null, err := os.Open(os.DevNull)
	if err == nil {
		defer func() { _ = null.Close() }()
	}
	return StartWith(spec, null, os.Stdout, os.Stderr) //nolint:forbidigo // the child speaks on the container's own streams
}

// fail ends a process that never was.
func (p *Process) fail(err error) {
	p.exit = Exit{Code: 127, Message: err.Error()}
	if errors.Is(err, fs.ErrPermission) {
		p.exit.Code = 126
	}
	close(p.Done)
}

// look finds the program the way execvp does, in the PATH of the process.
func look(spec Spec) (string, error) {
	name := spec.Argv[0]
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			return filepath.Join(spec.Dir, name), nil
		}
		return name, nil
	}
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range spec.Env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", fmt.Errorf("%s: %w in PATH", name, exec.ErrNotFound)
}

func (p *Process) wait(child *os.Process) {
	defer close(p.Done)
	state, err := child.Wait()
	forget(p.PID)
	p.exit = Exit{PID: p.PID}
	if err != nil {
		p.exit.Code, p.exit.Message = 1, err.Error()
		return
	}
	p.exit.Code = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		p.exit.Code = 128 + int(status.Signal())
		p.exit.Message = status.Signal().String()
	}
	// What the process left in its group must not live beside the next one.
	_ = syscall.Kill(-p.PID, syscall.SIGKILL)
}

// Signal sends a signal to the whole group. It returns false when the process
// has ended.
func (p *Process) Signal(sig syscall.Signal) bool {
	select {
	case <-p.Done: // its number may be another's by now
		return false
	default:
		return p.PID != 0 && syscall.Kill(-p.PID, sig) == nil
	}
}

// Stop ends the whole group: the signal first, SIGKILL when grace is over.
// It returns when the process is gone.
func (p *Process) Stop(sig syscall.Signal, grace time.Duration) {
	if p.PID == 0 {
		return
	}
	select {
	case <-p.Done: // its number may be another's by now
		return
	default:
	}
	_ = syscall.Kill(-p.PID, sig)
	_ = syscall.Kill(-p.PID, syscall.SIGCONT) // one that was stopped hears nothing else
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.Done:
	case <-timer.C:
		_ = syscall.Kill(-p.PID, syscall.SIGKILL)
		<-p.Done
	}
}

// Signal returns the signal of a name such as TERM or SIGUSR1.
func Signal(name string) (syscall.Signal, error) {
	if s := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("unknown signal %q", name)
}

// Reap takes orphans that end, for as long as the program lives. Only PID 1
// and a Subreaper get any. A child that a Process waits for is left to it, and
// so is one that is mine.
func Reap(mine func(pid int) bool) {
	ended := make(chan os.Signal, 16)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for {
			select {
			case <-ended:
			case <-again:
			}
			for reapOne(mine) {
			}
		}
	}()
}

// reapOne looks at a child that has ended without taking it (WNOWAIT), and
// takes it when it is an orphan.
func reapOne(mine func(pid int) bool) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		return false
	}
	pid := siginfoPID(&info)
	if pid == 0 || (mine != nil && mine(pid)) {
		return false
	}
	return take(pid)
}
