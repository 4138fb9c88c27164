package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/term/status"
)

// devStatus is what the status line tells. It belongs to the loop's mutex.
type devStatus struct {
	wanted     int                     // ranks
	running    int                     // of them, the tree that was delivered last
	pods       map[string]rankHolding  // ranks whose container runs, by ID
	lost       map[string]session.Rank // of them, those whose stream ended
	generation uint64                  // 0: none was delivered yet
	digest     string                  // short
	verified   time.Duration           // of the last save; 0: not known
	done       time.Duration
	are        string // what the ranks were then, such as running
	refused    bool   // the last save
	paused     bool
	changed    int // files, since it was paused
}

// rankHolding is what a rank's container has been given.
type rankHolding struct{ gpus int64 }

func newDevStatus(ranks int) devStatus {
	return devStatus{wanted: ranks, pods: map[string]rankHolding{}, lost: map[string]session.Rank{}}
}

// holding counts a container's GPUs: whole ones, of any maker.
func holding(pod *corev1.Pod, container string) rankHolding {
	var h rankHolding
	for _, c := range pod.Spec.Containers {
		if c.Name != container {
			continue
		}
		for name, quantity := range c.Resources.Requests {
			if strings.HasSuffix(string(name), ".com/gpu") {
				h.gpus += quantity.Value()
			}
		}
	}
	return h
}

// words returns the line: what needs attention, and the rest.
func (s *devStatus) words() (strong, rest string) {
	var states []string
	if len(s.lost) > 0 {
		var names []string
		for _, r := range slices.SortedFunc(maps.Values(s.lost), func(a, b session.Rank) int { return a.Index - b.Index }) {
			names = append(names, shortRankName(r))
		}
		states = append(states, "lost "+strings.Join(names, ", "))
	}
	if len(s.pods) < s.wanted {
		states = append(states, "waiting for pods")
	}
	if s.refused {
		states = append(states, "last save not delivered")
	}
	switch {
	case s.paused && s.changed > 0:
		states = append(states, fmt.Sprintf("paused, %s changed", files(s.changed)))
	case s.paused:
		states = append(states, "paused")
	}
	facts := []string{fmt.Sprintf("%d/%d ranks", s.running, s.wanted)}
	if s.generation > 0 {
		facts = append(facts, fmt.Sprintf("gen %d", s.generation), s.digest)
	}
	if s.done > 0 {
		facts = append(facts, fmt.Sprintf("verified %d ms, %s %d ms", s.verified.Milliseconds(), s.are, s.done.Milliseconds()))
	}
	gpus := int64(0)
	for _, h := range s.pods {
		gpus += h.gpus
	}
	switch {
	case gpus == 1:
		facts = append(facts, "1 GPU")
	case gpus > 1:
		facts = append(facts, fmt.Sprintf("%d GPUs", gpus))
	}
	rest = strings.Join(append(facts, "? keys"), " · ")
	if len(states) == 0 {
		return "", "following · " + rest
	}
	return strings.Join(states, " · "), " · " + rest
}

// shortRankName is how the log calls a rank.
func shortRankName(r session.Rank) string {
	if r.Index >= 0 {
		return fmt.Sprintf("rank %d", r.Index)
	}
	return r.Name
}

// openLine takes the terminal over for a status line and has everything that
// the loop says appear above it. Where there is no such terminal, or programs
// read what dev prints, dev prints plain lines.
func (l *loop) openLine() {
	in, out, ok := l.f.Streams.Terminal()
	if !ok || l.o.Once || l.o.Output != "" || l.o.Events != "" {
		return
	}
	line, err := status.Open(in, out, !l.f.Streams.Color())
	if err != nil {
		return
	}
	f := *l.f
	f.Streams.Out, f.Streams.ErrOut = line.Writer(), line.Writer()
	l.f, l.line = &f, line
	// A progress bar is cut to what it ended as before its rank is put in front.
	to := observe.LinesTo(f.Streams.Out)
	l.lines = func(r observe.Rank, text string) { to(r, status.Clean(text)) }
	l.show()
}

// show draws the status line; the caller holds the mutex, or is alone.
func (l *loop) show() {
	if l.line != nil {
		l.line.Set(l.status.words())
	}
}

// change draws the status line after a change.
func (l *loop) change(do func(*devStatus)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do(&l.status)
	if l.current != nil {
		l.status.running = l.runningNow()
	}
	l.show()
}

// closeLine gives the terminal back.
func (l *loop) closeLine() {
	if l.line != nil {
		l.line.Close()
	}
}

// sound gives the terminal back before a panic ends the process.
func (l *loop) sound(serve func() error) func() error {
	return func() error {
		returned := false
		defer func() {
			if !returned {
				l.closeLine()
			}
		}()
		err := serve()
		returned = true
		return err
	}
}

// Publish hands a save on to the gang, or keeps it while dev is paused.
func (l *loop) Publish(ctx context.Context, v *session.Version) {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	l.mu.Lock()
	paused := l.status.paused
	if paused {
		l.held = v
		l.status.changed = v.Index.Diff(l.last).Len()
		l.show()
	}
	l.mu.Unlock()
	if !paused {
		l.gang.Publish(ctx, v)
	}
}

// pause stops delivering, or delivers the newest save and goes on.
func (l *loop) pause(ctx context.Context) {
	l.publishing.Lock() // no save overtakes the one that is let go here
	defer l.publishing.Unlock()
	l.mu.Lock()
	l.status.paused = !l.status.paused
	v, paused := l.held, l.status.paused
	l.held, l.status.changed = nil, 0
	if v != nil {
		l.saved[v.Digest] = time.Now() // what it takes from here
	}
	l.show()
	l.mu.Unlock()
	if paused {
		l.f.Streams.Talk("paused: saves are not delivered until p is pressed again")
		return
	}
	l.f.Streams.Talk("following again")
	if v != nil {
		l.gang.Publish(ctx, v)
	}
}
