package observe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	corev1 "k8s.io/api/core/v1"
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

// longestLine bounds the memory that one line of a log may take; a longer
// line is delivered in parts.
const longestLine = 64 << 10

// Follow delivers a container's log from its start until the container ends
// or ctx does.
func Follow(ctx context.Context, client clientset.Interface, namespace string, rank Rank, deliver Lines) error {
	stream, err := client.CoreV1().Pods(namespace).GetLogs(rank.Pod, &corev1.PodLogOptions{Container: rank.Container, Follow: true}).Stream(ctx)
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
	}
	defer func() { _ = stream.Close() }()
	reader := bufio.NewReaderSize(stream, longestLine)
	for {
		line, _, err := reader.ReadLine()
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
		}
		deliver(rank, string(line))
	}
}

// Tail delivers what a container says after a time, each line with its own,
// until the container ends or ctx does. A cut connection is no error: whoever
// sees the container run on tails it again from the last line.
func Tail(ctx context.Context, client clientset.Interface, namespace string, rank Rank, since time.Time, deliver func(at time.Time, line string)) error {
	options := &corev1.PodLogOptions{Container: rank.Container, Follow: true, Timestamps: true}
	if !since.IsZero() {
		from := metav1.NewTime(since.Truncate(time.Second)) // the server's precision
		options.SinceTime = &from
	}
	stream, err := client.CoreV1().Pods(namespace).GetLogs(rank.Pod, options).Stream(ctx)
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
	}
	defer func() { _ = stream.Close() }()
	err = ReadLines(stream, false, func(at time.Time, line string) {
		if at.After(since) {
			deliver(at, line)
		}
	})
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
