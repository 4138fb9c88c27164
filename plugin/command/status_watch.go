package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/live"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/plugin/term/status"
)

// statusWatch shows the live state until it ends.
type statusWatch struct {
	*runSet
	only   string // ID of the run that it ends with; "": it does not end
	output string

	block *term.Block // nil: plain lines
	told  map[string]string
	heard map[string]time.Time
	done  map[string]bool // runs that have ended, whose records are complete

	mu    sync.Mutex // guards the rest
	state live.State
	known bool
}

// errEnded ends the watch: the run that it was about has.
var errEnded = errors.New("the run has ended")

// watchStatus follows a bundle's environment. A run that waits is let go when
// it finds room, and the record of one that ends is completed, as by everyone
// who waits for a run.
func (o *RunsOptions) watchStatus(ctx context.Context, f *Factory, only string, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("status -w: %w", context.DeadlineExceeded))
		defer cancel()
	}
	t, err := openTarget(ctx, f, o.Dir, o.Environment, &o.allow)
	if err != nil {
		return err
	}
	r := t.runs(f)
	r.progress, r.said = term.NewProgress(f.Streams), f.Streams.Out
	if only != "" {
		if _, err := r.store.Get(ctx, only); err != nil {
			return err
		}
	}
	watcher, err := t.watcher(ctx, f, false)
	if err != nil {
		return err
	}
	w := &statusWatch{runSet: r, only: only, output: o.Output, told: map[string]string{}, heard: map[string]time.Time{}, done: map[string]bool{}}
	if o.Output == "" {
		w.block, _ = term.NewBlock(f.Streams)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { w.tend(ctx) })
	if w.block != nil {
		beside.Go(func() { quitOnKey(ctx, f, cancel) })
	}
	err = watcher.Run(ctx, func(s live.State) error { return w.show(ctx, s) })
	cancel(err)
	beside.Wait()
	switch {
	case errors.Is(err, errQuit):
		return nil
	case !errors.Is(err, errEnded):
		return err
	}
	ctx = context.WithoutCancel(ctx) // the watch has ended, not the command
	record, err := r.store.Get(ctx, only)
	if err == nil {
		record, err = r.refresh(ctx, record) // as it stands, for who may not write it
	}
	if err == nil && record.Phase != apply.Complete {
		err = &run.FailedError{Record: record}
	}
	return err
}

// quitOnKey ends the watch on q. What is typed is not echoed into the tree
// meanwhile. The line stays empty: the tree is all that is drawn.
func quitOnKey(ctx context.Context, f *Factory, cancel context.CancelCauseFunc) {
	in, out, ok := f.Streams.Terminal()
	if !ok {
		return
	}
	line, err := status.Open(in, out, true)
	if err != nil {
		return
	}
	defer line.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-line.Keys():
			if key == 'q' {
				cancel(errQuit)
			}
		}
	}
}

// tend lets go what waits, and draws again what time alone changes.
func (w *statusWatch) tend(ctx context.Context) {
	for breathe(ctx) == nil {
		w.mu.Lock()
		waits := false
		for _, r := range w.state.Runs {
			waits = waits || r.Phase == string(apply.Queued)
		}
		w.draw()
		w.mu.Unlock()
		if waits {
			w.tryPass(ctx)
		}
	}
}

// show takes in a state. It returns errEnded after the run has.
func (w *statusWatch) show(ctx context.Context, s live.State) error {
	ended := false
	for _, r := range s.Runs {
		if !r.Done {
			continue
		}
		if !w.done[r.ID] && (w.known || r.ID == w.only) {
			if err := w.complete(ctx, r.ID); err != nil {
				return err
			}
		}
		w.done[r.ID] = true
		ended = ended || r.ID == w.only
	}
	w.mu.Lock()
	w.state, w.known = s, true
	w.draw()
	w.mu.Unlock()
	var err error
	switch {
	case w.output == "json":
		err = json.NewEncoder(w.f.Streams.Out).Encode(s)
	case w.block == nil:
		for _, line := range w.news(s, time.Now()) {
			if _, err = fmt.Fprintln(w.f.Streams.Out, line); err != nil {
				break
			}
		}
	}
	if err == nil && ended {
		err = errEnded
	}
	return err
}

// complete brings the record of a run that has ended up to date.
func (w *statusWatch) complete(ctx context.Context, id string) error {
	record, err := w.store.Get(ctx, id)
	if err != nil {
		return err
	}
	_, err = w.refresh(ctx, record)
	return err
}

// draw draws on a terminal; the caller holds the mutex.
func (w *statusWatch) draw() {
	if w.block == nil || !w.known {
		return
	}
	t := liveTree{width: w.block.Width(), color: w.f.Streams.Color(), now: time.Now()}
	_ = w.block.Draw(t.draw(w.state, w.only)) // a terminal that is gone takes the process with it
}

// news are lines for what changed since they were last asked for: phases and
// troubles at once, how far a run is now and then.
func (w *statusWatch) news(s live.State, now time.Time) (lines []string) {
	say := func(key, words string) {
		if w.told[key] != words {
			w.told[key] = words
			lines = append(lines, words)
		}
	}
	for _, r := range s.Runs {
		if w.only != "" && r.ID != w.only || r.Done && w.told[r.ID] == "" && r.ID != w.only {
			continue
		}
		say(r.ID, strings.TrimSuffix(fmt.Sprintf("run %s: %s: %s", r.ID, r.Phase, r.Reason), ": "))
		if facts := advanced(r, now); facts != "" && (r.Done || now.Sub(w.heard[r.ID]) >= tellEvery) {
			w.heard[r.ID] = now
			say(r.ID+" ", "run "+r.ID+": "+facts)
		}
		for _, rank := range r.Ranks {
			key := fmt.Sprintf("%s/%d/%s", r.ID, rank.Index, rank.Container)
			words := fmt.Sprintf("run %s: rank %d: %s", r.ID, rank.Index, rank.Phase)
			if rank.Trouble != "" {
				words += ": " + rank.Trouble
			}
			if rank.Faulty {
				words += ": its GPU is broken"
			}
			say(key, words)
		}
	}
	for _, n := range s.Nodes {
		for _, g := range n.GPUs {
			if key := "gpu " + g.UUID; g.Fault != "" || w.told[key] != "" {
				words := fmt.Sprintf("node %s: GPU %d: %s", n.Name, g.Index, g.Fault)
				if g.Fault == "" {
					words += "healthy"
				}
				say(key, words)
			}
		}
	}
	return lines
}

// advanced is how far a run is, "" where its code does not say.
func advanced(r live.Run, now time.Time) string {
	var facts []string
	if r.Progress != nil {
		facts = append(facts, fmt.Sprintf("%.0f %%", float64(*r.Progress)))
	}
	if r.Step > 0 {
		facts = append(facts, fmt.Sprintf("step %d", r.Step))
	}
	for _, m := range r.Metrics[:min(len(r.Metrics), 3)] {
		facts = append(facts, fmt.Sprintf("%s %.4g", m.Name, float64(m.Last)))
	}
	if r.ETA != nil && !r.Done {
		facts = append(facts, fmt.Sprintf("about %s left", r.ETA.Sub(now).Round(time.Second)))
	}
	return strings.Join(facts, ", ")
}
