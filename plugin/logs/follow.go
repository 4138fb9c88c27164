package logs

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Follower follows the logs of containers as they come and go.
type Follower struct {
	Open Opener
	// Heard gets every line, from several goroutines at once.
	Heard func(Line)

	running sync.WaitGroup
	mu      sync.Mutex // guards the rest
	voices  map[string]*voice
}

// voice is how far a container was heard.
type voice struct {
	last    time.Time // its last line
	reading bool
	whole   bool // heard to its end
	err     error
}

func (f *Follower) voice(instance string) *voice {
	if f.voices == nil {
		f.voices = map[string]*voice{}
	}
	v := f.voices[instance]
	if v == nil {
		v = &voice{}
		f.voices[instance] = v
	}
	return v
}

// Known says that a line was heard by others: what its container said up to
// there is not heard again.
func (f *Follower) Known(l Line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.voice(l.instance()).last = l.Time
}

// Listen follows those that are not followed yet, and those again whose log
// was cut off, until the context ends. It does not wait.
func (f *Follower) Listen(ctx context.Context, containers []Container) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range containers {
		v := f.voice(c.instance())
		if v.reading || v.whole {
			continue
		}
		v.reading = true
		since := v.last
		f.running.Go(func() {
			err := read(ctx, f.Open, c, since, !c.Ended, func(l Line) {
				f.mu.Lock()
				v.last = l.Time
				f.mu.Unlock()
				f.Heard(l)
			})
			f.mu.Lock()
			defer f.mu.Unlock()
			// A log that ends under a container that runs may have been cut off.
			v.reading, v.whole, v.err = false, err == nil && c.Ended && ctx.Err() == nil, err
			if gone(err) { // deleted after it was listed: it says nothing more
				v.whole, v.err = true, nil
			}
		})
	}
}

// Finish hears out containers that have all ended, and returns why some could
// not be.
func (f *Follower) Finish(ctx context.Context, containers []Container) error {
	f.running.Wait()
	f.Listen(ctx, containers) // what was opened before it ended
	f.running.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, v := range f.voices {
		errs = append(errs, v.err)
	}
	return errors.Join(errs...)
}
