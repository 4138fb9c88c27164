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
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
)

// Dialer opens streams to containers of one namespace.
type Dialer struct {
	Config    *rest.Config
	Client    kubernetes.Interface
	Namespace string
}

// Dial runs command in the container and returns its stdin and stdout as one
// stream. Closing the stream closes the command's stdin and ends the
// connection. Read returns io.EOF when the command has ended well, else an
// error with what it wrote to stderr.
func (d *Dialer) Dial(ctx context.Context, pod, container string, command ...string) (io.ReadWriteCloser, error) {
	request := d.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(d.Namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	spdy, err := remotecommand.NewSPDYExecutor(d.Config, "POST", request.URL())
	if err != nil {
		return nil, fmt.Errorf("exec in %s/%s: %w", pod, container, err)
	}
	socket, err := remotecommand.NewWebSocketExecutor(d.Config, "GET", request.URL().String())
	if err != nil {
		return nil, fmt.Errorf("exec in %s/%s: %w", pod, container, err)
	}
	executor, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return nil, fmt.Errorf("exec in %s/%s: %w", pod, container, err)
	}

	ctx, cancel := context.WithCancel(ctx)
	inReader, inWriter := io.Pipe()
	outReader, outWriter := io.Pipe()
	s := &stream{in: inWriter, out: outReader, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		var stderr tail
		err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: inReader, Stdout: outWriter, Stderr: &stderr})
		switch {
		case err == nil:
			err = io.EOF
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

// Output runs a command to its end and returns what it wrote to stdout.
func (d *Dialer) Output(ctx context.Context, pod, container string, command ...string) ([]byte, error) {
	s, err := d.Dial(ctx, pod, container, command...)
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(s)
	return out, errors.Join(err, s.Close())
}

type stream struct {
	in     *io.PipeWriter
	out    *io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once
}

func (s *stream) Read(p []byte) (int, error)  { return s.out.Read(p) }
func (s *stream) Write(p []byte) (int, error) { return s.in.Write(p) }

// Close ends the command and waits until the connection is gone.
func (s *stream) Close() error {
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
