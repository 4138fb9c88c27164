package apply

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// FailedError says that a workload cannot get where it should be: waiting
// longer does not help.
type FailedError struct {
	Ref    Ref
	Reason string
	Pods   []string // what the containers of its pods ended with
}

func (e *FailedError) Error() string {
	s := e.Ref.String() + ": " + e.Reason
	if len(e.Pods) > 0 {
		s += " (" + strings.Join(e.Pods, "; ") + ")"
	}
	return s
}

// PodError says that a pod does not run and will not by itself.
type PodError struct {
	Owner     Ref
	Namespace string
	Pod       string
	Container string // "" where it is the pod's own trouble
	Reason    string // as Kubernetes calls it: ImagePullBackOff
	Message   string
}

func (e *PodError) Error() string {
	s := fmt.Sprintf("%s: pod %s", e.Owner, e.Pod)
	if e.Container != "" {
		s += ", container " + e.Container
	}
	s += ": " + e.Reason
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// hopeless are the reasons of waiting containers that time does not cure,
// unless they come with words that say so (passing). A kubelet says CrashLoopBackOff only after a container ended twice.
var hopeless = []string{
	"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff",
}

// passing are words of kubelets, container runtimes and registries for what a
// moment may cure: the kubelet has not read the objects of the namespace yet, a
// runtime is slow, a registry overloaded or starting.
var passing = []string{
	"services have not yet been read at least once",
	"timed out waiting for the condition", // failed to sync configmap or secret cache
	"context deadline exceeded",
	"is reserved for", // the name of a container whose making goes on
	"TLS handshake timeout", "i/o timeout", "connection refused", "connection reset", "unexpected EOF",
	"QPS exceeded", "Too Many Requests",
	"500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout",
}

// trouble returns a *PodError when a pod stands in the way, else nil.
func trouble(owner Ref, pod *corev1.Pod, v view) error {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	problem := &PodError{Owner: owner, Namespace: pod.Namespace, Pod: pod.Name}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			if since := v.since.first(pod, "", c.Reason); v.now.Sub(since) < v.grace {
				continue // a node may just come, or a pod just go
			}
			problem.Reason, problem.Message = c.Reason, c.Message
			return problem
		}
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		w := c.State.Waiting
		if c.State.Running != nil {
			v.since.forget(pod, c.Name)
		}
		if w == nil || !slices.Contains(hopeless, w.Reason) {
			continue
		}
		if since, passes := v.since.passing(pod, c.Name, w); passes && v.now.Sub(since) < v.grace {
			continue
		}
		problem.Container, problem.Reason, problem.Message = c.Name, w.Reason, w.Message
		if w.Reason == "CrashLoopBackOff" {
			problem.Message = ended(c.LastTerminationState.Terminated)
		}
		return problem
	}
	return nil
}

func ended(t *corev1.ContainerStateTerminated) string {
	if t == nil {
		return ""
	}
	s := fmt.Sprintf("exit %d", t.ExitCode)
	if t.Reason != "" && t.Reason != "Error" {
		s += ", " + t.Reason
	}
	if message := strings.TrimSpace(t.Message); message != "" {
		s += ", " + message
	}
	return s
}

// lastWords says how the containers of failed pods ended, for three pods.
func lastWords(pods []*corev1.Pod) []string {
	var out []string
	for _, pod := range pods {
		for _, c := range pod.Status.ContainerStatuses {
			t := c.State.Terminated
			if t == nil {
				t = c.LastTerminationState.Terminated
			}
			if t == nil || t.ExitCode == 0 {
				continue
			}
			if len(out) == 3 {
				return append(out, "…")
			}
			out = append(out, fmt.Sprintf("pod %s, container %s: %s", pod.Name, c.Name, ended(t)))
		}
	}
	slices.Sort(out)
	return out
}

// waitingSince remembers when trouble that may pass was first seen, by our own
// clock: the cluster's may differ.
type waitingSince struct {
	now   func() time.Time
	since map[symptom]time.Time
}

// symptom is a trouble of a pod, or of one of its containers.
type symptom struct {
	pod               types.UID
	container, reason string
}

func newWaitingSince(now func() time.Time) *waitingSince {
	return &waitingSince{now: now, since: map[symptom]time.Time{}}
}

func (w *waitingSince) first(pod *corev1.Pod, container, reason string) time.Time {
	s := symptom{pod.UID, container, reason}
	t, ok := w.since[s]
	if !ok {
		t = w.now()
		w.since[s] = t
	}
	return t
}

// passing says whether what a container waits for may pass, and since when it
// waits. Pulls that failed and rests between them are one; of a rest, kubelets
// before 1.32 do not say what the pull failed with.
func (w *waitingSince) passing(pod *corev1.Pod, container string, state *corev1.ContainerStateWaiting) (since time.Time, passes bool) {
	const pull, rest = "ErrImagePull", "ImagePullBackOff"
	reason := state.Reason
	if reason == rest {
		reason = pull
	}
	for _, words := range passing {
		passes = passes || strings.Contains(state.Message, words)
	}
	if state.Reason == rest && !strings.Contains(state.Message, pull) {
		_, passes = w.since[symptom{pod.UID, container, pull}]
	}
	if state.Reason == "CrashLoopBackOff" || !passes {
		return time.Time{}, false
	}
	return w.first(pod, container, reason), true
}

// forget forgets the trouble of a container that runs.
func (w *waitingSince) forget(pod *corev1.Pod, container string) {
	maps.DeleteFunc(w.since, func(s symptom, _ time.Time) bool { return s.pod == pod.UID && s.container == container })
}
