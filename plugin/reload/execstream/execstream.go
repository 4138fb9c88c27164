// Package execstream keeps one exec into a container open as a byte stream:
// WebSocket first (KEP-4006), SPDY where the server or a proxy cannot. A
// process start per save would cost a hundred milliseconds; a frame on an
// open stream costs one.
package execstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// What a stream travels on.
const (
	WebSocket = "websocket"
	SPDY      = "spdy"
)

// Dialer opens streams to containers of one namespace.
type Dialer struct {
	Config    *rest.Config
	Client    clientset.Interface
	Namespace string
}

// ForbiddenError says that neither transport may exec. It is permanent: who
// dials again is refused again.
type ForbiddenError struct {
	Namespace, Pod, Container string

	WebSocket error // what the server said to the GET of the WebSocket
	SPDY      error // and to the POST of SPDY
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("exec in %s/%s: create on pods/exec is missing in namespace %s, and get for WebSocket: %v", e.Pod, e.Container, e.Namespace, e.SPDY)
}

// Unwrap returns what the server said, as it is typed: apierrors.IsForbidden.
func (e *ForbiddenError) Unwrap() error { return e.WebSocket }

// Permanent tells those who dial again and again that it is of no use.
func (e *ForbiddenError) Permanent() bool { return true }

// Dial runs command in the container and returns its stdin and stdout as one
// stream. Closing the stream closes the command's stdin and ends the
// connection. Read returns io.EOF when the command has ended well, else an
// error with what it wrote to stderr; a *ForbiddenError where exec is not
// permitted.
func (d *Dialer) Dial(ctx context.Context, pod, container string, command ...string) (*Stream, error) {
	request := d.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(d.Namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	socket, err := remotecommand.NewWebSocketExecutor(d.Config, "GET", request.URL().String())
	if err != nil {
		return nil, fmt.Errorf("exec in %s/%s: %w", pod, container, err)
	}

	ctx, cancel := context.WithCancel(ctx)
	inReader, inWriter := io.Pipe()
	outReader, outWriter := io.Pipe()
	s := &Stream{in: inWriter, out: outReader, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		var stderr tail
		options := remotecommand.StreamOptions{Stdin: inReader, Stdout: outWriter, Stderr: &stderr}
		err := socket.StreamWithContext(ctx, options)
		if httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) {
			s.fallback.Store(&err)
			err = d.spdy(ctx, request.URL(), options, err)
		}
		var forbidden *ForbiddenError
		switch {
		case err == nil:
			err = io.EOF
		case errors.As(err, &forbidden):
			forbidden.Namespace, forbidden.Pod, forbidden.Container = d.Namespace, pod, container
		case stderr.String() != "":
			err = fmt.Errorf("exec in %s/%s: %w: %s", pod, container, err, stderr.String())
		default:
			err = fmt.Errorf("exec in %s/%s: %w", pod, container, err)
		}
		_ = outWriter.CloseWithError(err)
		_ = inReader.CloseWithError(err)
	}()
	return s, nil
}

// spdy is the second choice after refused, which the WebSocket met.
func (d *Dialer) spdy(ctx context.Context, url *url.URL, options remotecommand.StreamOptions, refused error) error {
	transport, upgrader, err := spdy.RoundTripperFor(d.Config)
	if err != nil {
		return err
	}
	// client-go turns the answer into text, so its status is kept here.
	status := &status{RoundTripper: transport}
	executor, err := remotecommand.NewSPDYExecutorForTransports(status, upgrader, "POST", url)
	if err != nil {
		return err
	}
	err = executor.StreamWithContext(ctx, options)
	// The failure to upgrade does not unwrap to what the server said.
	if upgrade := (*httpstream.UpgradeFailureError)(nil); errors.As(refused, &upgrade) {
		refused = upgrade.Cause
	}
	if err != nil && status.code == http.StatusForbidden && apierrors.IsForbidden(refused) {
		return &ForbiddenError{WebSocket: refused, SPDY: err}
	}
	return err
}

// status keeps the status code of the one answer that passes through it.
type status struct {
	http.RoundTripper
	code int
}

func (s *status) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		s.code = answer.StatusCode
	}
	return answer, err
}

// Output runs a command to its end and returns what it wrote to stdout.
func (d *Dialer) Output(ctx context.Context, pod, container string, command ...string) ([]byte, error) {
	s, err := d.Dial(ctx, pod, container, command...)
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(s)
	return out, errors.Join(err, s.Close())
}

// Stream is a command's stdin and stdout.
type Stream struct {
	in       *io.PipeWriter
	out      *io.PipeReader
	cancel   context.CancelFunc
	done     chan struct{}
	once     sync.Once
	fallback atomic.Pointer[error] // why not WebSocket
}

func (s *Stream) Read(p []byte) (int, error)  { return s.out.Read(p) }
func (s *Stream) Write(p []byte) (int, error) { return s.in.Write(p) }

// Transport says what the stream travels on, and why not on a WebSocket when
// it does not. It is known once something has been read.
func (s *Stream) Transport() (name string, fallback error) {
	if why := s.fallback.Load(); why != nil {
		return SPDY, *why
	}
	return WebSocket, nil
}

// Close ends the command and waits until the connection is gone.
func (s *Stream) Close() error {
	s.once.Do(func() {
		_ = s.in.Close()
		s.cancel()
		_ = s.out.Close()
		<-s.done
	})
	return nil
}

// tail keeps the last bytes of a command's talk, for the error message.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if extra := t.buf.Len() - tailBytes; extra > 0 {
		t.buf.Next(extra)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}
