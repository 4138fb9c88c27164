package apply

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
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

// hopeless are the reasons of waiting containers that time does not cure. A
// kubelet says CrashLoopBackOff only after a container ended twice.
var hopeless = []string{
	"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff",
}

// trouble returns a *PodError when a pod stands in the way, else nil.
func trouble(owner Ref, pod *corev1.Pod, v view) error {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	problem := &PodError{Owner: owner, Namespace: pod.Namespace, Pod: pod.Name}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			if since := v.seen(pod); v.now.Sub(since) < v.grace {
				continue // a node may just come, or a pod just go
			}
			problem.Reason, problem.Message = c.Reason, c.Message
			return problem
		}
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		w := c.State.Waiting
		if w == nil || !slices.Contains(hopeless, w.Reason) {
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

// waitingSince remembers when pods were first seen to fit nowhere, by our own
// clock: the cluster's may differ.
type waitingSince struct {
	now   func() time.Time
	since map[string]time.Time
}

func (w *waitingSince) first(pod *corev1.Pod) time.Time {
	t, ok := w.since[string(pod.UID)]
	if !ok {
		t = w.now()
		w.since[string(pod.UID)] = t
	}
	return t
}
