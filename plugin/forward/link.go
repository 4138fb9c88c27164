package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	firstPause = 100 * time.Millisecond // before dialling again; doubles
	lastPause  = 5 * time.Second
	// patience is how long a connection waits for a pod, and for a way to it.
	patience = time.Minute
)

// link is the way to a workload's first pod. It is safe for concurrent use.
type link struct {
	dial Dial
	say  func(format string, args ...any)
	turn chan struct{} // held by the one who dials

	mu      sync.Mutex
	pod     string        // "": there is none
	changed chan struct{} // closed when pod changes
	tunnel  *tunnel       // to the pod
	said    string        // what was last said of the pod
}

func newLink(dial Dial, say func(string, ...any)) *link {
	return &link{dial: dial, say: say, turn: make(chan struct{}, 1), changed: make(chan struct{})}
}

// lead makes the link lead to another pod, or to none.
func (l *link) lead(pod string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tunnel != nil {
		l.tunnel.drop()
		l.tunnel = nil
	}
	l.pod, l.said = pod, ""
	close(l.changed)
	l.changed = make(chan struct{})
}

// current returns the pod, the channel that tells that it changed, and the
// connection that was made last; nil if none was made to this pod.
func (l *link) current() (pod string, changed <-chan struct{}, t *tunnel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pod, l.changed, l.tunnel
}

// once says what is wrong with the pod, unless it was said last.
func (l *link) once(pod, what string) {
	l.mu.Lock()
	again := l.said == what || l.pod != pod
	if !again {
		l.said = what
	}
	l.mu.Unlock()
	if !again {
		l.say("%s", what)
	}
}

// connection returns a connection to the pod that is first by now, made anew
// where the last one was lost. It waits until there is one or ctx ends; a
// *ForbiddenError is permanent.
func (l *link) connection(ctx context.Context) (*tunnel, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-l.turn }()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		pod, changed, t := l.current()
		if t != nil && t.usable() {
			return t, nil
		}
		if pod != "" {
			dialling, cancel := until(ctx, changed)
			conn, err := l.dial(dialling, pod)
			cancel()
			var forbidden *ForbiddenError
			switch {
			case errors.As(err, &forbidden):
				return nil, err
			case err == nil:
				t := newTunnel(conn, pod)
				if l.keep(ctx, t, changed) {
					return t, nil
				}
				t.drop() // another pod is first by now, or nobody needs one
				continue
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-changed:
			pause = firstPause / 2
		case <-timer.C:
		}
		timer.Stop()
	}
}

// keep makes a connection everybody's, unless the pod is another one by now, which
// may have the same name.
func (l *link) keep(ctx context.Context, t *tunnel, changed <-chan struct{}) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != changed || ctx.Err() != nil {
		return false
	}
	l.tunnel = t
	return true
}

// serve carries every connection that is made to the listener to a port of the
// pod, until ctx ends.
func (l *link) serve(ctx context.Context, listener net.Listener, port int32) {
	var carrying sync.WaitGroup
	defer carrying.Wait()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	defer func() {
		if _, _, t := l.current(); t != nil {
			t.drop()
		}
	}()
	for {
		local, err := listener.Accept()
		if err != nil {
			return
		}
		carrying.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = local.Close() })()
			defer func() { _ = local.Close() }()
			l.carry(ctx, local, port)
		})
	}
}

// carry copies between a local connection and the pod's port until either ends,
// or the pod is another one.
func (l *link) carry(ctx context.Context, local net.Conn, port int32) {
	p, err := l.open(ctx, port)
	if err != nil {
		return
	}
	defer p.end()
	remote := make(chan struct{}) // the pod has said all it had to say, or is gone
	broken := make(chan struct{}) // the local side is gone
	go func() {
		defer close(remote)
		_, _ = io.Copy(local, p.data)
	}()
	go func() {
		// That the local side says no more is told to the pod, which may answer.
		defer func() { _ = p.data.Close() }()
		if _, err := io.Copy(p.data, local); err != nil {
			close(broken)
		}
	}()
	// Not for a lost connection: what had come before is still to be read.
	select {
	case <-remote:
	case <-broken:
	case <-p.dropped:
		return
	case <-ctx.Done():
		return
	}
	go func() { _ = p.data.Reset() }() // what was not sent must not hold up the error
	var why string
	select {
	case why = <-p.failed:
	case <-p.dropped:
	case <-ctx.Done():
	}
	if why == "" {
		return
	}
	p.drop() // the kubelet's end may carry nothing more after an error
	if strings.Contains(why, "connection refused") {
		why = "nothing listens there yet"
	}
	l.once(p.pod, "port "+strconv.Itoa(int(port))+" of "+p.pod+": "+why)
}

// open opens the streams to a port, on the pod that is first by now.
func (l *link) open(ctx context.Context, port int32) (*pair, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		t, err := l.connection(ctx)
		if err != nil {
			return nil, err
		}
		p, err := t.open(ctx, port)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, err // which says nothing of the connection, and others may use it
		}
		t.drop() // it was lost, and nobody had noticed
	}
}
