package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// Live is what is there of a run.
type Live struct {
	Job    *batchv1.Job // nil: it is gone, or not there yet
	Pods   []*corev1.Pod
	Denied string // why pods cannot be created; ""
}

// Look reads what is there of a run.
func (s *Store) Look(ctx context.Context, r *Record) (Live, error) {
	var live Live
	job, err := s.Client.BatchV1().Jobs(r.Namespace).Get(ctx, r.Job, metav1.GetOptions{})
	switch {
	case err == nil && job.Labels[IDLabel] == r.ID:
		live.Job = job
	case err != nil && !apierrors.IsNotFound(err):
		return live, fmt.Errorf("read Job/%s: %w", r.Job, err)
	}
	pods, err := s.Client.CoreV1().Pods(r.Namespace).List(ctx, metav1.ListOptions{LabelSelector: IDLabel + "=" + r.ID})
	if err != nil {
		return live, fmt.Errorf("list the pods of run %s: %w", r.ID, err)
	}
	for i := range pods.Items {
		live.Pods = append(live.Pods, &pods.Items[i])
	}
	slices.SortFunc(live.Pods, func(a, b *corev1.Pod) int {
		return cmp.Or(RankOf(a)-RankOf(b), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	if live.Job != nil && !suspended(live.Job) && len(live.Pods) < r.Ranks {
		live.Denied = s.denied(ctx, live)
	}
	return live, nil
}

// denied returns the last event by which the Job's controller says that the
// server refuses its pods. One from before the newest of its pods was made is
// past: what stood in the way, such as a service account that was not there
// yet, does no more. Events are extra: none is no error.
func (s *Store) denied(ctx context.Context, live Live) string {
	events, err := s.Client.CoreV1().Events(live.Job.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=FailedCreate,involvedObject.uid=" + string(live.Job.UID)})
	if err != nil || len(events.Items) == 0 {
		return ""
	}
	last := slices.MaxFunc(events.Items, func(a, b corev1.Event) int { return LastSeen(a).Compare(LastSeen(b)) })
	for _, pod := range live.Pods {
		if LastSeen(last).Before(pod.CreationTimestamp.Time) {
			return ""
		}
	}
	return last.Message
}

// LastSeen is when an event was last said, in the old form or the new one.
func LastSeen(e corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// Reconcile brings a record to what is there now, and reads on in the logs of
// its ranks. Of a run that is done nothing is asked.
func (s *Store) Reconcile(ctx context.Context, id string, metrics []project.Metric) (Record, error) {
	return s.Update(ctx, id, func(r *Record) error {
		if r.Done() {
			return nil
		}
		live, err := s.Look(ctx, r)
		if err != nil {
			return err
		}
		// How it stands is taken down before the logs are read: of a run that
		// has ended they are whole.
		next := *r
		next.stand(live)
		if err := s.readLogs(ctx, &next, live.Pods, metrics); err != nil {
			return err
		}
		if next.Done() && r.Stage == StageValidate {
			next.Report = next.Judge(metrics)
		}
		*r = next
		return nil
	})
}

// birth is how long the Job of a record that was just written may take to be
// there. Packing code and loading images come before it. Chosen.
const birth = 10 * time.Minute

// stand takes in how the Job and its pods are.
func (r *Record) stand(live Live) {
	if live.Job == nil {
		switch {
		case !r.Started.IsZero():
			r.Phase, r.Reason = Lost, "its Job is gone, and nobody saw it end"
		case r.Phase != "" || time.Since(r.Created) > birth:
			r.Phase, r.Reason = Lost, "it has no Job: it was deleted, or the command that made it died"
		}
		return
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live.Job)
	if err != nil {
		return
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind("Job"))
	standing, trouble := apply.Look(u, live.Pods, live.Denied)
	if r.Phase == apply.Running && standing.Phase == apply.Starting && !slices.ContainsFunc(live.Pods, going) {
		standing.Phase = apply.Running // its ranks have ended, and the Job was not told yet
	}
	r.Phase, r.Reason = standing.Phase, ""
	switch {
	case standing.Phase == apply.Failed && !ended(live.Job):
		// A pod cannot run, or not yet; the Job itself has not given up.
		r.Phase, r.Reason = apply.Admitted, trouble.Error()
	case standing.Phase == apply.Failed:
		r.Reason = strings.TrimPrefix(strings.TrimPrefix(trouble.Error(), standing.Object.String()+": "), "the Job failed: ")
	case standing.Phase == apply.Started:
		r.Phase = apply.Running
	case standing.Phase == apply.Queued:
		r.Reason = waitsFor(live.Job)
	}
	if t := live.Job.Status.StartTime; t != nil && r.Phase != apply.Queued {
		r.Started = t.UTC()
	}
	for _, pod := range live.Pods {
		r.pod(pod)
	}
	if r.Done() {
		r.Finished = endOf(live.Job)
	}
}

// going says whether a pod has not ended.
func going(pod *corev1.Pod) bool {
	return pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

func suspended(job *batchv1.Job) bool { return job.Spec.Suspend != nil && *job.Spec.Suspend }

// ended says whether a Job has ended, well or not.
func ended(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed || c.Type == batchv1.JobFailureTarget)
	})
}

func endOf(job *batchv1.Job) time.Time {
	if t := job.Status.CompletionTime; t != nil {
		return t.UTC()
	}
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobFailed || c.Type == batchv1.JobFailureTarget || c.Type == batchv1.JobComplete || c.Type == batchv1.JobSuccessCriteriaMet) {
			return c.LastTransitionTime.UTC()
		}
	}
	return time.Time{}
}

// WaitingAnnotation says, on the Job of a run that waits, what for.
const WaitingAnnotation = "kubectl-ai.dev/waits-for"

// Undecided is why a run waits before anybody decided about it.
const Undecided = "waits to be let go"

// QueueLabel hands a Job to Kueue, which lets it go then.
const QueueLabel = "kueue.x-k8s.io/queue-name"

func waitsFor(job *batchv1.Job) string {
	if queue := job.Labels[QueueLabel]; queue != "" {
		return "waits in Kueue's queue " + queue
	}
	if why := job.Annotations[WaitingAnnotation]; why != "" {
		return why
	}
	return Undecided
}

// pod takes in the images, the node and the ends of a pod's containers.
func (r *Record) pod(pod *corev1.Pod) {
	if node := pod.Spec.NodeName; node != "" && !slices.Contains(r.Nodes, node) {
		r.Nodes = append(slices.Clone(r.Nodes), node)
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if image := (Image{c.Name, c.Image, c.ImageID}); c.ImageID != "" && !slices.Contains(r.Images, image) {
			r.Images = append(slices.Clone(r.Images), image)
		}
		for _, t := range []*corev1.ContainerStateTerminated{c.LastTerminationState.Terminated, c.State.Terminated} {
			if t != nil && (t.ExitCode != 0 || t.Reason == "OOMKilled") {
				r.exit(Exit{
					Pod: pod.Name, Rank: max(RankOf(pod), 0), Container: c.Name, Node: pod.Spec.NodeName,
					Code: int(t.ExitCode), Reason: t.Reason, Message: strings.TrimSpace(t.Message), Time: t.FinishedAt.UTC(),
				})
			}
		}
	}
}

// maxExits bounds what is kept of a run that keeps crashing.
const maxExits = 50

func (r *Record) exit(e Exit) {
	if len(r.Exits) < maxExits && !slices.Contains(r.Exits, e) {
		r.Exits = append(slices.Clone(r.Exits), e)
	}
}

// RankOf is a pod's completion index; -1: it has none.
func RankOf(pod *corev1.Pod) int {
	n, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil {
		return -1
	}
	return n
}

// lastWords is how long after its end a run's logs are asked for that do not
// open: a run that is done is not read again. A node that is gone with its logs
// keeps nobody for longer. Chosen.
const lastWords = 2 * time.Minute

// readLogs reads on where the record stands. A log that is not there yet, or
// no more, is none; one of a run that has ended, which may only not be had at
// the moment, is an error.
func (s *Store) readLogs(ctx context.Context, r *Record, pods []*corev1.Pod, metrics []project.Metric) error {
	read := map[string]time.Time{}
	for key, at := range r.Read {
		read[key] = at
	}
	// What Line changes in place is this record's own.
	r.Metrics = slices.Clone(r.Metrics)
	for i := range r.Metrics {
		r.Metrics[i].History = slices.Clone(r.Metrics[i].History)
	}
	r.Data = slices.Clone(r.Data)
	if r.Malformed != nil {
		own := *r.Malformed
		r.Malformed = &own
	}
	for _, pod := range pods {
		if pod.Status.Phase == corev1.PodPending {
			continue
		}
		for _, rank := range observe.Ranks(pod, CodeContainers(pod)) {
			key := string(pod.UID) + "/" + rank.Container
			options := &corev1.PodLogOptions{Container: rank.Container, Timestamps: true}
			since := read[key]
			if !since.IsZero() {
				at := metav1.NewTime(since.Truncate(time.Second)) // the server's precision
				options.SinceTime = &at
			}
			log, err := s.Client.CoreV1().Pods(r.Namespace).GetLogs(pod.Name, options).Stream(ctx)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil && r.Done() && time.Since(r.Finished) < lastWords && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) && !apierrors.IsBadRequest(err):
				return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
			case err != nil:
				continue
			}
			last, err := r.ReadLog(log, max(rank.Index, 0), since, metrics)
			if err = errors.Join(err, log.Close()); err != nil {
				return fmt.Errorf("read the log of %s: %w", rank.Name(), err)
			}
			if !last.IsZero() {
				read[key] = last
			}
		}
	}
	if r.Endpoint {
		if err := s.readReports(ctx, r, read, metrics); err != nil {
			return err
		}
	}
	if len(read) > 0 {
		r.Read = read
	}
	return nil
}

// Peek returns how a run stands without reading its logs or writing.
func (s *Store) Peek(ctx context.Context, r Record) (Record, error) {
	if r.Done() {
		return r, nil
	}
	live, err := s.Look(ctx, &r)
	if err != nil {
		return r, err
	}
	r.stand(live)
	return r, nil
}
