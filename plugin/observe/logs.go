package observe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Lines receives what ranks say, a line at a time, from several goroutines.
type Lines func(rank Rank, line string)

// LinesTo returns Lines that writes each line with its rank in front.
func LinesTo(w io.Writer) Lines {
	var mu sync.Mutex
	return func(rank Rank, line string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(w, "[%s] %s\n", rank.Label(), line)
	}
}

// longestLine bounds the memory that one line of a log may take.
const longestLine = 64 << 10

// tailAgain is how long a log that was cut off rests before it is read on.
// Chosen.
const tailAgain = 500 * time.Millisecond

// Follow delivers the log of one run of a container from its start until it
// ends or ctx does, through connections that are cut. What the server forbids
// is an error.
func Follow(ctx context.Context, client clientset.Interface, namespace string, rank Rank, containerID string, deliver Lines) error {
	var last time.Time
	heard := func(at time.Time, line string) {
		last = at
		deliver(rank, line)
	}
	for {
		err := Tail(ctx, client, namespace, rank, last, heard)
		if apierrors.IsForbidden(err) {
			return err
		}
		pod, podErr := client.CoreV1().Pods(namespace).Get(ctx, rank.Pod, metav1.GetOptions{})
		switch {
		case ctx.Err() != nil, apierrors.IsNotFound(podErr):
			return nil
		case apierrors.IsForbidden(podErr):
			return err // whether it runs on is not to be known
		case podErr == nil:
			i := slices.IndexFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
				return c.Name == rank.Container && c.ContainerID == containerID
			})
			if i < 0 {
				return nil // another run of it, which is followed for itself
			}
			if pod.Status.ContainerStatuses[i].State.Terminated != nil {
				return remainder(ctx, client, namespace, rank, last, heard)
			}
		}
		timer := time.NewTimer(tailAgain)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// remainder delivers what a container that has ended said last, be it no whole line.
func remainder(ctx context.Context, client clientset.Interface, namespace string, rank Rank, since time.Time, deliver func(time.Time, string)) error {
	stream, err := client.CoreV1().Pods(namespace).GetLogs(rank.Pod, logOptions(rank, since, false)).Stream(ctx)
	if err != nil {
		return nil //nolint:nilerr // the node has removed it; all whole lines were there
	}
	defer func() { _ = stream.Close() }()
	return ReadLines(stream, true, after(since, deliver))
}

// logOptions ask for lines with their times, from a second before since on.
func logOptions(rank Rank, since time.Time, follow bool) *corev1.PodLogOptions {
	options := &corev1.PodLogOptions{Container: rank.Container, Follow: follow, Timestamps: true}
	if !since.IsZero() {
		from := metav1.NewTime(since.Truncate(time.Second)) // the server's precision
		options.SinceTime = &from
	}
	return options
}

// after leaves out lines up to a time.
func after(since time.Time, deliver func(time.Time, string)) func(time.Time, string) {
	return func(at time.Time, line string) {
		if at.After(since) {
			deliver(at, line)
		}
	}
}

// Tail delivers what a container says after a time, each line with its own,
// until the container ends or ctx does. A cut connection is no error: whoever
// sees the container run on tails it again from the last line.
func Tail(ctx context.Context, client clientset.Interface, namespace string, rank Rank, since time.Time, deliver func(at time.Time, line string)) error {
	stream, err := client.CoreV1().Pods(namespace).GetLogs(rank.Pod, logOptions(rank, since, true)).Stream(ctx)
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
	}
	defer func() { _ = stream.Close() }()
	err = ReadLines(stream, false, after(since, deliver))
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
	}
	return nil
}

// ReadLines reads a log whose lines begin with their time (kubectl logs
// --timestamps). What has no time is not the container's and left out, and so
// is what a line has over 64 KiB. A last line that does not end was cut off
// and is not delivered, but for that of a container that has ended.
func ReadLines(log io.Reader, ended bool, deliver func(at time.Time, line string)) error {
	reader := bufio.NewReaderSize(log, longestLine)
	for {
		raw, err := reader.ReadSlice('\n')
		line := string(raw)
		for errors.Is(err, bufio.ErrBufferFull) { // to its end
			_, err = reader.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if stamp, text, ok := strings.Cut(line, " "); ok && (err == nil || ended) {
			if at, parseErr := time.Parse(time.RFC3339Nano, stamp); parseErr == nil {
				deliver(at, strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"))
			}
		}
		if err != nil {
			return nil
		}
	}
}
