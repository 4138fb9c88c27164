package observe

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
)

// Rank is one container that runs the code: one process of the gang.
type Rank struct {
	Pod       string
	PodUID    string
	Container string
	Index     int // the rank's number, -1 when the pod carries none
}

// Name identifies the rank for people: pod/container.
func (r Rank) Name() string { return r.Pod + "/" + r.Container }

// Label is what stands in front of its lines: its number, or its name.
func (r Rank) Label() string {
	if r.Index < 0 {
		return r.Name()
	}
	return fmt.Sprintf("rank %d", r.Index)
}

// Event says that a rank's container runs (again), or that its pod is gone.
type Event struct {
	Rank Rank
	Pod  *corev1.Pod // as it was last seen; not to be changed
	Gone bool
	// Trouble is why the container does not run, in a line, when something
	// other than time stands in the way. The event is then only talk.
	Trouble string
}

// ContainerID is that of the run of the container that the event is about.
func (e Event) ContainerID() string {
	for _, s := range e.Pod.Status.ContainerStatuses {
		if s.Name == e.Rank.Container {
			return s.ContainerID
		}
	}
	return ""
}

// Selection says which pods to watch and how to read the containers that
// matter from their annotation.
type Selection struct {
	Namespace  string
	Selector   string // label selector
	Annotation string // lists containers, separated by commas
}

// Watch sends an event for each rank whose container starts running and for
// each that goes, until ctx ends. It holds the state of the pods, not the
// history: what it missed while disconnected it learns by listing again. What
// the server forbids is an error, as repeating it would be of no use.
func Watch(parent context.Context, client clientset.Interface, s Selection, send func(Event)) error {
	ctx, cancel := context.WithCancelCause(parent)
	informer := clientset.Informer(client.CoreV1().Pods(s.Namespace), s.Selector, &corev1.Pod{})
	state := tracker{annotation: s.Annotation, started: map[string]string{}, trouble: map[string]string{}, send: send}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { state.update(obj.(*corev1.Pod)) },
		UpdateFunc: func(_, obj any) { state.update(obj.(*corev1.Pod)) },
		DeleteFunc: func(obj any) {
			if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = last.Obj
			}
			if pod, ok := obj.(*corev1.Pod); ok {
				state.gone(pod)
			}
		},
	})
	if err == nil {
		err = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
			if apierrors.IsForbidden(err) {
				cancel(err)
			}
		})
	}
	if err != nil {
		cancel(nil)
		return fmt.Errorf("watch pods: %w", err)
	}
	var running sync.WaitGroup
	running.Go(func() { informer.RunWithContext(ctx) })
	defer running.Wait()
	defer cancel(nil)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("watch pods: %w", context.Cause(ctx))
	}
	<-ctx.Done()
	if parent.Err() == nil {
		return fmt.Errorf("watch pods: %w", context.Cause(ctx))
	}
	return nil
}

// tracker turns pod updates into events. The informer calls it from one
// goroutine.
type tracker struct {
	annotation string
	started    map[string]string // rank -> container ID that was announced
	trouble    map[string]string // rank -> the last trouble that was said
	send       func(Event)
}

// Ranks returns the ranks of a pod; annotation lists their containers.
func Ranks(pod *corev1.Pod, annotation string) []Rank {
	names := pod.Annotations[annotation]
	if names == "" {
		return nil
	}
	var out []Rank
	for name := range strings.SplitSeq(names, ",") {
		out = append(out, Rank{Pod: pod.Name, PodUID: string(pod.UID), Container: name, Index: index(pod)})
	}
	return out
}

func (t *tracker) update(pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		t.gone(pod)
		return
	}
	for _, rank := range Ranks(pod, t.annotation) {
		key := rank.PodUID + "/" + rank.Container
		if why := Trouble(pod); why != t.trouble[key] {
			t.trouble[key] = why
			if why != "" {
				t.send(Event{Rank: rank, Pod: pod, Trouble: why})
			}
		}
		i := slices.IndexFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == rank.Container })
		if i < 0 {
			continue
		}
		status := pod.Status.ContainerStatuses[i]
		if status.State.Running == nil || t.started[key] == status.ContainerID {
			continue
		}
		t.started[key] = status.ContainerID
		t.send(Event{Rank: rank, Pod: pod})
	}
}

func (t *tracker) gone(pod *corev1.Pod) {
	for _, rank := range Ranks(pod, t.annotation) {
		key := rank.PodUID + "/" + rank.Container
		if _, ok := t.started[key]; ok {
			delete(t.started, key)
			t.send(Event{Rank: rank, Pod: pod, Gone: true})
		}
		delete(t.trouble, key)
	}
}

// index reads the rank's number where Kubernetes puts it: the completion
// index of an Indexed Job, the ordinal of a StatefulSet.
func index(pod *corev1.Pod) int {
	for _, text := range []string{
		pod.Annotations["batch.kubernetes.io/job-completion-index"],
		pod.Labels["apps.kubernetes.io/pod-index"],
	} {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return -1
}

// Trouble returns why a pod does not run when waiting alone will not help:
// an image that cannot be pulled, a container that cannot be made or keeps
// crashing, a pod that fits nowhere. Otherwise it returns "".
func Trouble(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return "Unschedulable: " + c.Message
		}
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil {
			switch w.Reason {
			case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
				"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff":
				return fmt.Sprintf("container %s: %s: %s", c.Name, w.Reason, w.Message)
			}
		}
	}
	return ""
}
