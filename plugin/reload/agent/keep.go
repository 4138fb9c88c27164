package agent

import (
	"fmt"
	"syscall"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// runsOn tells whether a commit leaves the process that there is. One that has
// ended is started for a signal, as nobody else would take note of the save,
// and left alone by a save that is nothing to it.
func (a *Agent) runsOn(m wire.Commit) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.process == nil || m.Action == wire.Restart:
		return false
	case m.Action == wire.Keep:
		return true
	}
	select {
	case <-a.process.Done:
		return false
	default:
		return true
	}
}

// commitUnder flips to the staged generation while the process runs on in the
// one that it was started in, and sends it the commit's signals. The process
// sees the new tree below the mount, and its own by relative paths.
func (a *Agent) commitUnder(c *client, m wire.Commit) (*wire.Receipt, error) {
	signals := make([]syscall.Signal, len(m.Signals))
	for i, name := range m.Signals {
		var err error
		if signals[i], err = supervise.Signal(name); err != nil {
			return nil, fmt.Errorf("commit generation %d: %w", m.Generation, err)
		}
	}
	if err := a.store.CommitUnder(m.Generation); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return nil, errClosing
	}
	r := *a.receipt // the client's may still be on its way
	r.Generation, r.TreeDigest = a.store.Current()
	r.Received, r.Staged, r.Committed = c.received, c.staged, time.Now()
	r.Process = wire.Unchanged
	for _, s := range signals {
		if a.process.Signal(s) {
			r.Process = wire.Signalled
		}
	}
	a.receipt, a.run.Generation = &r, m.Generation // where it is started again, in this one
	a.settle.Reset(settleAfter)
	return a.receipt, nil
}
