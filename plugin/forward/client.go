package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"k8s.io/streaming/pkg/httpstream"
)

// PortError says that nothing answers at a port of a pod.
type PortError struct {
	Pod    string
	Port   int32
	Reason string // as the kubelet says it
}

func (e *PortError) Error() string {
	return fmt.Sprintf("port %d of pod %s: %s", e.Port, e.Pod, e.Reason)
}

// Client returns an HTTP client whose requests go to a port of a pod, whatever
// host they name, without a listener on this machine. Every request dials anew.
// It returns *ForbiddenError and *PortError.
func Client(dial Dial, pod string, port int32) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx, pod)
			if err != nil {
				return nil, err
			}
			t := newTunnel(conn, pod)
			p, err := t.open(ctx, port)
			if err != nil {
				t.drop()
				return nil, err
			}
			return &podConn{Stream: p.data, pair: p, port: port}, nil
		},
	}}
}

// podConn is a forwarded connection as net/http wants it. It has no deadlines:
// the request's context closes it.
type podConn struct {
	httpstream.Stream
	pair *pair
	port int32
}

// Read returns the kubelet's error where the stream ends because of one.
func (c *podConn) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		err = c.because(err)
	}
	return n, err
}

// Write is Read's other half: whichever notices first tells net/http, which
// waits for it after Close.
func (c *podConn) Write(p []byte) (int, error) {
	p = bytes.Clone(p) // it is the caller's again when Write returns
	written := make(chan error, 1)
	go func() {
		_, err := c.Stream.Write(p)
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			return 0, c.because(err)
		}
		return len(p), nil
	case <-c.pair.dropped:
		return 0, net.ErrClosed
	}
}

// because returns what the kubelet says of a stream that has ended, else err.
func (c *podConn) because(err error) error {
	late := time.NewTimer(time.Second) // the reason comes on a stream of its own
	defer late.Stop()
	select {
	case why := <-c.pair.failed:
		if why != "" {
			return &PortError{c.pair.pod, c.port, why}
		}
	case <-c.pair.conn.CloseChan():
	case <-late.C:
	}
	return err
}

// Close does not wait: net/http holds a lock meanwhile, which the end of the
// request's context needs.
func (c *podConn) Close() error {
	c.pair.end()
	c.pair.drop()
	return nil
}

// LocalAddr and RemoteAddr name no address: the way leads over the API server.
func (c *podConn) LocalAddr() net.Addr { return podAddr("kubectl-ai") }

// RemoteAddr names the pod.
func (c *podConn) RemoteAddr() net.Addr { return podAddr(c.pair.pod) }

// SetDeadline and its kin do nothing.
func (c *podConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *podConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *podConn) SetWriteDeadline(time.Time) error { return nil }

type podAddr string

func (podAddr) Network() string  { return "pod" }
func (a podAddr) String() string { return string(a) }
