package supervise

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// waited holds the children that a Process waits for: the reaper leaves them
// alone, whoever started them. A child is entered before the reaper can see
// it end, so that nobody takes another's exit.
var waited = struct {
	sync.Mutex
	pids map[int]struct{}
}{pids: map[int]struct{}{}}

// again asks the reaper for another look: an orphan that ended behind a
// child of ours shows up only when that child was taken.
var again = make(chan struct{}, 1)

// forget gives a child that was taken back.
func forget(pid int) {
	waited.Lock()
	delete(waited.pids, pid)
	waited.Unlock()
	select {
	case again <- struct{}{}:
	default: // it will look anyway
	}
}

// take takes an orphan that has ended, unless somebody waits for it.
func take(pid int) bool {
	waited.Lock()
	defer waited.Unlock()
	if _, ok := waited.pids[pid]; ok {
		return false
	}
	_, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return err == nil
}

// StartWith starts a process with the given files as its descriptors from 0
// on; the caller keeps its own. It differs from Start in nothing else.
func StartWith(spec Spec, files ...*os.File) *Process {
	p := &Process{Done: make(chan struct{})}
	path, err := look(spec)
	if err == nil {
		var child *os.Process
		waited.Lock()
		child, err = os.StartProcess(path, spec.Argv, &os.ProcAttr{
			Dir: spec.Dir, Env: spec.Env, Files: files,
			Sys: &syscall.SysProcAttr{Setpgid: true},
		})
		if err == nil {
			waited.pids[child.Pid] = struct{}{}
		}
		waited.Unlock()
		if err == nil {
			p.PID = child.Pid
			go p.wait(child)
			return p
		}
	}
	p.fail(err)
	return p
}

// Adopt makes a Process of an orphan that this program became the parent of
// (see Subreaper), and which leads a process group. One that has ended
// already, and was taken, ends with code 1.
func Adopt(pid int) *Process {
	p := &Process{PID: pid, Done: make(chan struct{})}
	waited.Lock()
	waited.pids[pid] = struct{}{}
	waited.Unlock()
	child, err := os.FindProcess(pid)
	if err != nil {
		forget(pid)
		p.fail(err)
		return p
	}
	go p.wait(child)
	return p
}

// Subreaper makes this program the parent of its orphaned descendants, as it
// is where it is PID 1; in a pod whose containers share a PID namespace it is
// not. The program has to Reap.
func Subreaper() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// Look returns the file that a spec's program is.
func Look(spec Spec) (string, error) { return look(spec) }
