package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// deaf is a connection on which nothing is ever written.
type deaf struct {
	httpstream.Connection
	end    chan struct{}
	closed chan bool
}

func (d *deaf) CreateStream(http.Header) (httpstream.Stream, error) {
	<-d.end
	return nil, errors.New("the test is over")
}

func (d *deaf) Close() error           { <-d.end; return nil }
func (d *deaf) CloseChan() <-chan bool { return d.closed }

func TestAConnectionThatTakesNoFrameIsLostAtLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &deaf{end: make(chan struct{}), closed: make(chan bool)}
		defer close(conn.end)
		tunnel := newTunnel(conn, "a")
		if _, err := tunnel.open(t.Context(), 80); !errors.Is(err, errLost) {
			t.Errorf("open: %v, want %v", err, errLost)
		}
		tunnel.drop()
		tunnel.drop()
		if tunnel.usable() {
			t.Error("it is usable after it was dropped")
		}
	})
}

func TestTheEndOfAConnectionThatIsNotReadIsNotWaitedFor(t *testing.T) {
	near, far := net.Pipe() // takes nothing that nobody reads
	defer func() { _ = errors.Join(near.Close(), far.Close()) }()
	conn, err := spdy.NewClientConnection(near)
	if err != nil {
		t.Fatal(err)
	}
	tunnel := newTunnel(conn, "a")
	opened := make(chan error)
	go func() {
		_, err := tunnel.open(t.Context(), 80)
		opened <- err
	}()
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil { // a frame is under way
		t.Fatal(err)
	}
	tunnel.drop()
	if err := <-opened; !errors.Is(err, errLost) {
		t.Errorf("open: %v, want %v", err, errLost)
	}
}

func TestGoneEndsWithItsContext(t *testing.T) {
	f := New(nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-f.gone // and is never known
		cancel()
	}()
	f.Gone(ctx, &corev1.Pod{})
}
