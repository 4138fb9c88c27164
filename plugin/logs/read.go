package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
)

// Opener opens the log of a container: lines with their times, from a time on
// (to the second), to its end or for as long as the container goes on.
type Opener interface {
	Open(ctx context.Context, c Container, since time.Time, follow bool) (io.ReadCloser, error)
}

// Pods opens logs in a namespace of a cluster.
type Pods struct {
	Client    clientset.Interface
	Namespace string
}

// Open asks the server, which asks the node.
func (p Pods) Open(ctx context.Context, c Container, since time.Time, follow bool) (io.ReadCloser, error) {
	o := &corev1.PodLogOptions{Container: c.Rank.Container, Follow: follow, Timestamps: true, Previous: c.Previous}
	if !since.IsZero() {
		from := metav1.NewTime(since.Truncate(time.Second)) // the server's precision
		o.SinceTime = &from
	}
	return p.Client.CoreV1().Pods(p.Namespace).GetLogs(c.Pod, o).Stream(ctx)
}

// attempts is how often in a row a log is opened again that brings nothing
// new, and pause the time between. Chosen.
const (
	attempts = 4
	pause    = 250 * time.Millisecond
)

// read delivers what a container said after a time. A connection that breaks
// is opened again from the last whole line, and so is a log that does not open
// for a moment. That the context ends is no error.
func read(ctx context.Context, open Opener, c Container, since time.Time, follow bool, deliver func(Line)) error {
	last, failed := since, 0
	for {
		news := false
		err := once(ctx, open, c, last, follow, func(at time.Time, text string) {
			last, news = at, true
			deliver(c.line(at, text))
		})
		switch {
		case ctx.Err() != nil || err == nil:
			return nil
		case news:
			failed = 0
		default:
			failed++
		}
		var broken *brokenError
		switch again := errors.As(err, &broken); {
		case c.Previous && !again:
			return nil // the node need not keep it
		case failed >= attempts || !again:
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// brokenError says that a log ended before its end, or before it began.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// once reads a log to the end of its connection.
func once(ctx context.Context, open Opener, c Container, since time.Time, follow bool, deliver func(time.Time, string)) error {
	stream, err := open.Open(ctx, c, since, follow)
	if err != nil {
		err = fmt.Errorf("read the log of %s: %w", c.Rank.Name(), err)
		if c.Previous || gone(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
			return err
		}
		// A container that has just started is not known to its node's logs at
		// once, and between the server and a node a request may fail.
		return &brokenError{err}
	}
	defer func() { _ = stream.Close() }()
	// The server's answer begins with the second of the last line. What comes
	// after the first new line is new, though the clock may jump back in it.
	known := !since.IsZero()
	err = observe.ReadLines(stream, c.Ended, func(at time.Time, text string) {
		if known && !at.After(since) {
			return
		}
		known = false
		deliver(at, text)
	})
	if err != nil {
		return &brokenError{fmt.Errorf("read the log of %s: %w", c.Rank.Name(), err)}
	}
	return nil
}

// gone says whether the server does not know the pod any more. A node that
// cannot find a log says the same of pods/log.
func gone(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && apierrors.IsNotFound(err) && (status.ErrStatus.Details == nil || status.ErrStatus.Details.Kind != "pods/log")
}
