package term

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// Progress reports the steps of a long operation on stderr. On a terminal the
// running step is one live line with its elapsed time; elsewhere a step is a
// line at its start and one at its end, and one every 30 s between. It is
// safe for concurrent use; steps themselves are sequential.
type Progress struct {
	streams Streams
	live    bool

	mu      sync.Mutex
	step    string
	started time.Time
	stop    chan struct{}
	stopped chan struct{}
}

// NewProgress returns a reporter that writes to the streams' stderr.
func NewProgress(s Streams) *Progress {
	return &Progress{streams: s, live: s.IsTerminal()}
}

const (
	redraw    = 100 * time.Millisecond // at most ten redraws a second
	heartbeat = 30 * time.Second
	clearLine = "\r\x1b[K"
)

// Start begins a step, ending the one before as done if nobody did.
func (p *Progress) Start(step string) {
	p.End(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.started = step, time.Now()
	p.stop, p.stopped = make(chan struct{}), make(chan struct{})
	switch {
	case p.streams.Events:
		p.streams.Emit(Event{Kind: "Started", Step: step})
	case p.live:
		p.draw()
	default:
		p.streams.Talk("• %s", step)
	}
	go p.tick(p.stop, p.stopped)
}

func (p *Progress) tick(stop <-chan struct{}, stopped chan<- struct{}) {
	defer close(stopped)
	every := heartbeat
	if p.live {
		every = redraw
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			p.mu.Lock()
			if p.step != "" {
				if p.live {
					p.draw()
				} else {
					p.streams.Talk("  %s: %s so far", p.step, elapsed(p.started))
				}
			}
			p.mu.Unlock()
		}
	}
}

// draw rewrites the live line; the caller holds the mutex.
func (p *Progress) draw() {
	_, _ = fmt.Fprintf(p.streams.ErrOut, "%s• %s %s", clearLine, p.step, elapsed(p.started))
}

// Note prints one line of talk without disturbing the live line.
func (p *Progress) Note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live && p.step != "" {
		_, _ = fmt.Fprint(p.streams.ErrOut, clearLine)
	}
	p.streams.Talk("  "+format, args...)
	if p.live && p.step != "" {
		p.draw()
	}
}

// End ends the running step; without one it does nothing.
func (p *Progress) End(err error) {
	p.mu.Lock()
	if p.step == "" {
		p.mu.Unlock()
		return
	}
	step, stop, stopped := p.step, p.stop, p.stopped
	p.step = ""
	mark := "✓"
	if err != nil {
		mark = "✗"
	}
	if p.live {
		_, _ = fmt.Fprint(p.streams.ErrOut, clearLine)
	}
	if p.streams.Events {
		e := Event{Kind: "Finished", Step: step, Seconds: time.Since(p.started).Seconds()}
		if err != nil {
			e.Error = err.Error()
		}
		p.streams.Emit(e)
	} else {
		p.streams.Talk("%s %s (%s)", mark, step, elapsed(p.started))
	}
	p.mu.Unlock()
	close(stop)
	<-stopped
}

func elapsed(since time.Time) string {
	d := time.Since(since)
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return duration.HumanDuration(d)
}
