package agent

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/holders"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/usage"
)

const (
	// faultsPoll finds a change for which the node had no event to give.
	faultsPoll = 2 * time.Second
	// usePeriod is how often the kubelet is asked who holds GPUs and, if
	// anyone does, /proc what they do.
	usePeriod = 2 * time.Second
)

// watchFaults shows faults as soon as they are in the file.
func (a *Agent) watchFaults(ctx context.Context, r *readings) error {
	var events chan fsnotify.Event
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer func() { _ = watcher.Close() }()
		err = watcher.Add(a.StateDir)
		events = watcher.Events
	}
	if err != nil {
		a.Log.Warn("no events of the folder, polling", "dir", a.StateDir, "error", err)
	}
	tick := time.NewTicker(faultsPoll)
	defer tick.Stop()
	last := ""
	for {
		// Once before the first event: it may have been written meanwhile.
		switch faults, err := ReadFaults(a.StateDir); {
		case err == nil:
			if err := r.failed(faults); err != nil { // and with the next tick again
				a.Log.Error("faults are not shown", "error", err)
			}
			last = ""
		case err.Error() != last: // what was shown stays
			last = err.Error()
			a.Log.Error("the faults cannot be read", "error", err)
		}
		for changed := false; !changed; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				changed = true
			case e := <-events:
				changed = filepath.Base(e.Name) == faultsFile
			}
		}
	}
}

// watchUse shows who holds the GPUs and what they do with them.
func (a *Agent) watchUse(ctx context.Context, r *readings) error {
	sampler := &usage.Sampler{Proc: a.Proc}
	tick := time.NewTicker(usePeriod)
	defer tick.Stop()
	var last []model.Holder
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			// A kubelet that is away changes nothing: who held a GPU still does.
			if list, err := holders.List(ctx, a.PodResources); err == nil {
				last = list
			}
			load, err := a.sample(sampler, now, len(last) > 0)
			if err != nil {
				a.Log.Warn("what GPUs are used for is not known", "error", err)
			}
			if err := r.used(last, load); err != nil {
				a.Log.Error("what GPUs are used for is not shown", "error", err)
			}
		}
	}
}

// sample looks at the processes while some may hold a GPU.
func (a *Agent) sample(s *usage.Sampler, now time.Time, held bool) (usage.Load, error) {
	if !held || !a.State.Simulated {
		s.Reset()
		return nil, nil
	}
	return s.Sample(now)
}
