package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
)

// lateReply is when a connection counts as lost on which a pair of streams is not
// answered: what httpstream gives a single one once its frame is written.
const lateReply = 30 * time.Second

var errLost = errors.New("the connection to the pod was lost")

// tunnel is a connection to a pod. All that is done with one writes to it, Close
// and Reset too, and a write stands still for as long as the other end does not
// read: spdystream knows no deadline, and a new stream it awaits for 30 s even on
// a connection that is lost. So a goroutine does it, and nobody waits for that
// one longer than he needs the connection. If it never ends, what it holds is a
// dead connection.
type tunnel struct {
	conn     httpstream.Connection
	pod      string
	requests atomic.Int64 // their last number

	once    sync.Once
	dropped chan struct{} // closed when nobody needs the connection any more
}

func newTunnel(conn httpstream.Connection, pod string) *tunnel {
	return &tunnel{conn: conn, pod: pod, dropped: make(chan struct{})}
}

// drop closes the connection, without waiting for it.
func (t *tunnel) drop() {
	t.once.Do(func() {
		close(t.dropped)
		go func() { _ = t.conn.Close() }()
	})
}

// usable says whether streams may be opened.
func (t *tunnel) usable() bool {
	select {
	case <-t.dropped:
		return false
	case <-t.conn.CloseChan():
		return false
	default:
		return true
	}
}

// pair is the two streams that make up one forwarded connection.
type pair struct {
	*tunnel
	data, errs httpstream.Stream
	failed     <-chan string // gets the kubelet's error, "" for none
}

// end resets both streams, without waiting for it. Whoever reads from them is
// woken before anything is written.
func (p *pair) end() {
	go func() {
		_ = p.data.Reset()
		p.forget(p.errs)
		p.conn.RemoveStreams(p.data)
	}()
}

// forget resets a stream. A connection is not closed while it has one that is
// neither ended nor reset.
func (t *tunnel) forget(s httpstream.Stream) {
	_ = s.Reset()
	t.conn.RemoveStreams(s)
}

// open opens the streams to a port. It waits until ctx ends, or the connection
// is lost or dropped.
func (t *tunnel) open(ctx context.Context, port int32) (*pair, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lateReply, errLost)
	defer cancel()
	ctx, cancel = until(ctx, t.dropped)
	defer cancel()
	ctx, cancel = until(ctx, t.conn.CloseChan())
	defer cancel()
	return within(ctx, func() (*pair, error) { return t.create(ctx, port) }, (*pair).end)
}

func (t *tunnel) create(ctx context.Context, port int32) (*pair, error) {
	request := strconv.FormatInt(t.requests.Add(1), 10)
	stream := func(kind string) (httpstream.Stream, error) {
		headers := http.Header{}
		headers.Set(corev1.StreamType, kind)
		headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
		headers.Set(corev1.PortForwardRequestIDHeader, request)
		return t.conn.CreateStream(headers)
	}
	errs, err := stream(corev1.StreamTypeError)
	if err != nil {
		return nil, err
	}
	_ = errs.Close() // nothing is written to it
	if ctx.Err() != nil {
		t.forget(errs)
		return nil, context.Cause(ctx)
	}
	data, err := stream(corev1.StreamTypeData)
	if err != nil {
		t.forget(errs)
		return nil, err
	}
	failed := make(chan string, 1)
	go func() {
		message, err := io.ReadAll(errs)
		if err != nil && len(message) == 0 && t.usable() {
			message = []byte(err.Error())
		}
		failed <- strings.TrimSpace(string(message))
		t.conn.RemoveStreams(errs)
	}()
	return &pair{tunnel: t, data: data, errs: errs, failed: failed}, nil
}

// until returns a context that ends with ctx, and with errLost when a channel
// closes.
func until[T any](ctx context.Context, closed <-chan T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-closed:
			cancel(errLost)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// within does what knows no context, and waits for it until ctx ends; what comes
// later is undone.
func within[T any](ctx context.Context, do func() (T, error), undo func(T)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := do()
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		go func() {
			if late := <-answers; late.err == nil {
				undo(late.value)
			}
		}()
		var none T
		return none, context.Cause(ctx)
	}
}
