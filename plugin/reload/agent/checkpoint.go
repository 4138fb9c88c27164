package agent

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// Checkpoint says how a process is asked to save its state before it makes way
// for that of the next generation.
type Checkpoint struct {
	Path    string         // of a file or folder, as the process sees it: relative to the code
	Signal  syscall.Signal // asks for it
	Name    string         // of the signal, such as USR1
	Timeout time.Duration  // then the process is stopped without one
}

// A checkpoint is complete when what changed has stayed as it is for so long:
// frameworks write many files, and rename the last.
const (
	checkpointLook  = 50 * time.Millisecond
	checkpointQuiet = 400 * time.Millisecond
)

// saved asks the process for a checkpoint and waits until a newer one is
// there. It returns why there is none; nil is also for who asks for none, and
// for a process that has ended.
func (a *Agent) saved(ctx context.Context, process *supervise.Process, started uint64) error {
	c := a.Checkpoint
	if c == nil || process == nil || !a.alive(process) {
		return nil
	}
	path := c.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.store.Path(started), path)
	}
	before := snapshot(path)
	begun := time.Now()
	if process.Ask(c.Signal) == 0 {
		return fmt.Errorf("no checkpoint was asked for: no process catches SIG%s", c.Name)
	}
	timeout := time.NewTimer(c.Timeout)
	defer timeout.Stop()
	tick := time.NewTicker(checkpointLook)
	defer tick.Stop()
	last, since := before, begun
	for {
		select {
		case <-process.Done: // some programs save and end
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout.C:
			return fmt.Errorf("no newer checkpoint at %s within %v", c.Path, c.Timeout)
		case <-tick.C:
		}
		now := snapshot(path)
		switch {
		case !maps.Equal(now, last):
			last, since = now, time.Now()
		case newer(now, before) && time.Since(since) >= checkpointQuiet:
			a.Log.Printf("checkpoint at %s saved in %v", c.Path, time.Since(begun).Round(time.Millisecond))
			return nil
		}
	}
}

func (a *Agent) alive(p *supervise.Process) bool {
	select {
	case <-p.Done:
		return false
	default:
		return p.PID > 0
	}
}

// look is what tells a file from another of the same name, and from itself
// before it was written to.
type look struct {
	inode uint64
	size  int64
	ctime syscall.Timespec
}

// snapshot looks at every file at or below a path.
func snapshot(path string) map[string]look {
	files := map[string]look{}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	_ = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // what goes while it is looked at is gone
		}
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				files[p] = look{st.Ino, st.Size, st.Ctim}
			}
		}
		return nil
	})
	return files
}

// newer tells whether a file is there that was not, or not so. That one is
// gone is no checkpoint: programs keep the last few.
func newer(now, before map[string]look) bool {
	for p, l := range now {
		if before[p] != l {
			return true
		}
	}
	return false
}
