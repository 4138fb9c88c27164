package forward

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
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

func TestGoneEndsWithItsContext(t *testing.T) {
	f := New(nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-f.gone // and is never known
		cancel()
	}()
	f.Gone(ctx, &corev1.Pod{})
}
