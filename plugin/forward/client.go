package forward

import (
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
			data, failed, err := newLink(dial, nil).streams(conn, port)
			if err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			return &podConn{Stream: data, conn: conn, failed: failed, pod: pod, port: port}, nil
		},
	}}
}

// podConn is a forwarded connection as net/http wants it. It has no deadlines:
// the request's context closes it.
type podConn struct {
	httpstream.Stream
	conn   httpstream.Connection
	failed <-chan string // the kubelet's error, "" for none
	pod    string
	port   int32
}

// Read returns the kubelet's error where the stream ends because of one.
func (c *podConn) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		err = c.because(err)
	}
	return n, err
}

// Write is Read's other half: whichever notices first tells net/http.
func (c *podConn) Write(p []byte) (int, error) {
	n, err := c.Stream.Write(p)
	if err != nil {
		err = c.because(err)
	}
	return n, err
}

// because returns what the kubelet says of a stream that has ended, else err.
func (c *podConn) because(err error) error {
	late := time.NewTimer(time.Second) // the reason comes on a stream of its own
	defer late.Stop()
	select {
	case why := <-c.failed:
		if why != "" {
			return &PortError{c.pod, c.port, why}
		}
	case <-c.conn.CloseChan():
	case <-late.C:
	}
	return err
}

func (c *podConn) Close() error {
	c.conn.RemoveStreams(c.Stream)
	return errors.Join(c.Stream.Reset(), c.conn.Close())
}

// LocalAddr and RemoteAddr name no address: the way leads over the API server.
func (c *podConn) LocalAddr() net.Addr { return podAddr("kubectl-ai") }

// RemoteAddr names the pod.
func (c *podConn) RemoteAddr() net.Addr { return podAddr(c.pod) }

// SetDeadline and its kin do nothing.
func (c *podConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *podConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *podConn) SetWriteDeadline(time.Time) error { return nil }

type podAddr string

func (podAddr) Network() string  { return "pod" }
func (a podAddr) String() string { return string(a) }
