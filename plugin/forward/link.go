package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
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
	conn    httpstream.Connection
	said    string // what was last said of the pod
	next    int    // number of the next request
}

func newLink(dial Dial, say func(string, ...any)) *link {
	return &link{dial: dial, say: say, turn: make(chan struct{}, 1), changed: make(chan struct{})}
}

// lead makes the link lead to another pod, or to none.
func (l *link) lead(pod string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(l.conn)
	l.pod, l.said = pod, ""
	close(l.changed)
	l.changed = make(chan struct{})
}

// drop closes a connection; the next stream needs another. The caller holds
// the mutex.
func (l *link) drop(conn httpstream.Connection) {
	if conn != nil {
		_ = conn.Close()
	}
	if l.conn == conn {
		l.conn = nil
	}
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
func (l *link) connection(ctx context.Context) (httpstream.Connection, string, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	}
	defer func() { <-l.turn }()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		l.mu.Lock()
		pod, changed, conn := l.pod, l.changed, l.conn
		l.mu.Unlock()
		if conn != nil && !isClosed(conn) {
			return conn, pod, nil
		}
		if pod != "" {
			conn, err := l.dial(ctx, pod)
			var forbidden *ForbiddenError
			switch {
			case errors.As(err, &forbidden):
				return nil, pod, err
			case err == nil:
				l.mu.Lock()
				if l.pod == pod && ctx.Err() == nil {
					l.conn = conn
					l.mu.Unlock()
					return conn, pod, nil
				}
				l.mu.Unlock()
				_ = conn.Close() // another pod is first by now
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
		if ctx.Err() != nil {
			return nil, pod, context.Cause(ctx)
		}
	}
}

func isClosed(conn httpstream.Connection) bool {
	select {
	case <-conn.CloseChan():
		return true
	default:
		return false
	}
}

// serve carries every connection that is made to the listener to a port of the
// pod, until ctx ends.
func (l *link) serve(ctx context.Context, listener net.Listener, port int32) {
	var carrying sync.WaitGroup
	defer carrying.Wait()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.drop(l.conn)
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

// carry copies between a local connection and the pod's port until either ends.
func (l *link) carry(ctx context.Context, local net.Conn, port int32) {
	data, failed, conn, pod, err := l.open(ctx, port)
	if err != nil {
		return
	}
	remote := make(chan struct{}) // the pod has said all it had to say, or is gone
	broken := make(chan struct{}) // the local side is gone
	go func() {
		defer close(remote)
		_, _ = io.Copy(local, data)
	}()
	go func() {
		// That the local side says no more is told to the pod, which may answer.
		defer func() { _ = data.Close() }()
		if _, err := io.Copy(data, local); err != nil {
			close(broken)
		}
	}()
	select {
	case <-remote:
	case <-broken:
	}
	_ = data.Reset() // what was not sent must not hold up the error
	why := <-failed
	conn.RemoveStreams(data)
	if why == "" {
		return
	}
	// The kubelet's end may carry nothing more after an error.
	l.mu.Lock()
	l.drop(conn)
	l.mu.Unlock()
	if strings.Contains(why, "connection refused") {
		why = "nothing listens there yet"
	}
	l.once(pod, "port "+strconv.Itoa(int(port))+" of "+pod+": "+why)
}

// open returns the stream to a port, and where its error, or "", comes.
func (l *link) open(ctx context.Context, port int32) (data httpstream.Stream, failed <-chan string, conn httpstream.Connection, pod string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, pod, err = l.connection(ctx)
		if err != nil {
			return nil, nil, nil, pod, err
		}
		if data, failed, err = l.streams(conn, port); err == nil {
			return data, failed, conn, pod, nil
		}
		l.mu.Lock() // it was lost, and nobody had noticed
		l.drop(conn)
		l.mu.Unlock()
	}
}

// streams opens the pair of streams that make up one forwarded connection.
func (l *link) streams(conn httpstream.Connection, port int32) (httpstream.Stream, <-chan string, error) {
	l.mu.Lock()
	l.next++
	number := l.next
	l.mu.Unlock()
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(number))
	errs, err := conn.CreateStream(headers)
	if err != nil {
		return nil, nil, err
	}
	_ = errs.Close() // nothing is written to it
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(headers)
	if err != nil {
		conn.RemoveStreams(errs)
		return nil, nil, err
	}
	failed := make(chan string, 1)
	go func() {
		message, err := io.ReadAll(errs)
		conn.RemoveStreams(errs)
		if err != nil && len(message) == 0 && !isClosed(conn) {
			message = []byte(err.Error())
		}
		failed <- strings.TrimSpace(string(message))
	}()
	return data, failed, nil
}
