package promote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// Log opens what a container has said since a time, each line with its time
// (kubectl logs --timestamps). With follow it ends when the container does.
type Log func(ctx context.Context, namespace, pod, container string, since time.Time, follow bool) (io.ReadCloser, error)

// report is a line that a rank of the release said.
type report struct {
	pod  string // namespace/pod/container
	rank int
	line string
	err  error // in place of a line: why the log cannot be read now
}

// listener hears what the ranks of a release say.
type listener struct {
	*Promoter
	plan *Plan
	// over says of each container that is listened to, by its ID, whether it
	// has ended: a stream that ends before was cut.
	over sync.Map
}

func (l *listener) namespaces() map[string]bool {
	out := map[string]bool{}
	for _, obj := range l.plan.waited {
		if apply.Waited(obj) && obj.GetNamespace() != "" {
			out[obj.GetNamespace()] = true
		}
	}
	return out
}

func (l *listener) selector() string { return release.ProjectLabel + "=" + l.Target.Project }

// listen follows the logs of the ranks in a namespace, of each from its start.
func (l *listener) listen(ctx context.Context, group *errgroup.Group, ns string, say func(report)) error {
	err := l.Cluster.Pods(ctx, ns, l.selector(), func(pod *corev1.Pod) {
		for _, r := range l.ranks(pod) {
			if _, known := l.over.Swap(r.id, r.over); !known {
				group.Go(func() error { return l.follow(ctx, ns, r, say) })
			}
		}
	})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	return nil
}

// follow tells what one rank says until its container has ended. A log that
// cannot be read is opened again: while the container runs for as long as it
// does, since its kubelet may just restart, and after that a few times.
func (l *listener) follow(ctx context.Context, ns string, r spokenRank, say func(report)) error {
	var since time.Time
	for left := opens; ; {
		err := l.hear(ctx, ns, r.Rank, &since, true, say)
		if refused(err) {
			return err
		}
		if over, _ := l.over.Load(r.id); over == true {
			if left--; err == nil || left == 0 {
				return err
			}
		}
		if err != nil {
			say(report{pod: ns + "/" + r.Name(), rank: r.Index, err: err})
		}
		if !rest(ctx, pause) {
			return nil
		}
	}
}

const (
	// pause is how long a log that was cut, or cannot be read, rests before it
	// is opened again.
	pause = time.Second
	// opens is how often that is tried where all has been said. Chosen.
	opens = 5
)

// rest waits for so long. It returns false when ctx has ended.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// refused says whether the server will not let us read, however often we ask.
func refused(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) }

// reread takes in what all ranks have said so far, once all of it can be read.
// What is read of no rank any more, since its pods are gone, stays as it was
// heard.
func (l *listener) reread(ctx context.Context, m *measurement) error {
	var whole *measurement
	for left := opens; ; {
		whole = &measurement{metrics: m.metrics, target: m.target, tree: m.tree}
		err := l.read(ctx, whole.hear)
		if err == nil {
			break
		}
		if left--; refused(err) || left == 0 || !rest(ctx, pause) {
			return err
		}
	}
	for i := range m.metrics {
		if s := whole.at(i); s.Reported || s.Malformed > 0 {
			*m.at(i) = *s
		}
	}
	return nil
}

// read tells all that the ranks have said so far, and what was posted last.
func (l *listener) read(ctx context.Context, say func(report)) error {
	if err := l.readPosts(ctx, say); err != nil {
		return err
	}
	for ns := range l.namespaces() {
		list, err := l.Cluster.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(ns).List(ctx, metav1.ListOptions{LabelSelector: l.selector()})
		if err != nil {
			return fmt.Errorf("list pods: %w", err)
		}
		for i := range list.Items {
			var pod corev1.Pod
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &pod); err != nil {
				return fmt.Errorf("read pod %s: %w", list.Items[i].GetName(), err)
			}
			for _, r := range l.ranks(&pod) {
				if err := l.hear(ctx, ns, r.Rank, new(time.Time), false, say); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// spokenRank is a rank whose container has begun.
type spokenRank struct {
	observe.Rank
	id   string // of the container
	over bool   // it has ended
}

// ranks are the containers of a pod that run, or ran, the code for this
// release: not those of a run of another one, whose code may be the same.
func (l *listener) ranks(pod *corev1.Pod) []spokenRank {
	if pod.Annotations[DigestAnnotation] != l.plan.Tree || l.plan.ofFormerRun(pod) {
		return nil
	}
	var out []spokenRank
	for _, rank := range observe.Ranks(pod, ContainersAnnotation) {
		for _, c := range pod.Status.ContainerStatuses {
			if c.Name == rank.Container && (c.State.Running != nil || c.State.Terminated != nil) {
				out = append(out, spokenRank{rank, c.ContainerID, c.State.Terminated != nil})
			}
		}
	}
	return out
}

// ofFormerRun says whether a pod is of a run that the bundle no longer has.
func (p *Plan) ofFormerRun(pod *corev1.Pod) bool {
	for _, run := range p.formerRuns {
		selector, err := labels.Parse(apply.PodSelector(run))
		if err == nil && !selector.Empty() && run.GetNamespace() == pod.Namespace && selector.Matches(labels.Set(pod.Labels)) {
			return true
		}
	}
	return false
}

// longestLine bounds the memory that a line takes; a longer one is talk.
const longestLine = 64 << 10

// hear tells what one rank says after since, and moves that on. One that is
// gone says nothing more. A log that breaks off is an error where it is read to
// its end; followed, it goes on after since.
func (l *listener) hear(ctx context.Context, ns string, rank observe.Rank, since *time.Time, follow bool, say func(report)) error {
	log, err := l.Log(ctx, ns, rank.Pod, rank.Container, *since, follow)
	switch {
	case apierrors.IsNotFound(err), err != nil && ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
	}
	defer func() { _ = log.Close() }()
	reader := bufio.NewReaderSize(log, longestLine)
	after := *since
	for {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) { // to its end
				_, err = reader.ReadSlice('\n')
			}
			line = nil
		}
		if err != nil && !errors.Is(err, io.EOF) { // what was read of the line is no whole one
			if follow || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
		}
		stamp, _, _ := strings.Cut(string(line), " ")
		if at, parseErr := time.Parse(time.RFC3339Nano, stamp); parseErr == nil && at.After(after) { // the server's since is in seconds
			*since = at
			if strings.Contains(string(line), `"metrics"`) { // else it is talk
				say(report{pod: ns + "/" + rank.Name(), rank: rank.Index, line: strings.TrimSuffix(string(line), "\n")})
			}
		}
		if err != nil {
			return nil
		}
	}
}
