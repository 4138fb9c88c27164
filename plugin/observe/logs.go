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
		prefix := rank.Name()
		if rank.Index >= 0 {
			prefix = fmt.Sprintf("rank %d", rank.Index)
		}
		_, _ = fmt.Fprintf(w, "[%s] %s\n", prefix, line)
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
	reader := bufio.NewReaderSize(stream, longestLine)
	for {
		line, prefix, err := reader.ReadLine()
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
		}
		stamp, text, _ := strings.Cut(string(line), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		for prefix && err == nil { // the rest of a line that is too long is left out
			_, prefix, err = reader.ReadLine()
		}
		if err == nil && at.After(since) {
			deliver(at, text)
		}
	}
}
