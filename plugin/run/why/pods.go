package why

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/admit"
)

// pods explains a run whose ranks were let go and do not all run.
func (e *Explanation) pods(live run.Live, seen admit.Seen) {
	if live.Denied != "" {
		e.add(KindQuota, "kubectl describe resourcequota,limitrange; the server's words say what it wants", "the server refuses its pods: %s", live.Denied)
	}
	for _, pod := range live.Pods {
		if e.pod(pod, seen); len(e.Causes) > 0 {
			return // of a gang one explains all
		}
	}
	if len(e.Causes) == 0 {
		e.add(KindNothing, "", "nothing stands in its way")
	}
}

// Pod explains any pod.
func Pod(pod *corev1.Pod, seen admit.Seen) Explanation {
	e := Explanation{Subject: "Pod/" + pod.Name, Phase: string(pod.Status.Phase)}
	e.pod(pod, seen)
	for _, c := range pod.Status.ContainerStatuses {
		t := c.State.Terminated
		if t == nil {
			t = c.LastTerminationState.Terminated
		}
		if t != nil && t.ExitCode != 0 {
			e.exit(run.Exit{Pod: pod.Name, Container: c.Name, Code: int(t.ExitCode), Reason: t.Reason, Message: t.Message}, pod.Namespace, limitOf(pod, c.Name))
		}
	}
	if pod.Status.Reason != "" && len(e.Causes) == 0 {
		e.add(KindPod, "", "%s: %s", pod.Status.Reason, pod.Status.Message)
	}
	if len(e.Causes) == 0 {
		e.add(KindNothing, "", "nothing stands in its way")
	}
	return e
}

func limitOf(pod *corev1.Pod, container string) string {
	for _, c := range pod.Spec.Containers {
		if limit, ok := c.Resources.Limits[corev1.ResourceMemory]; ok && c.Name == container {
			return limit.String()
		}
	}
	return ""
}

func (e *Explanation) pod(pod *corev1.Pod, seen admit.Seen) {
	why := observe.Trouble(pod)
	switch {
	case why == "" || pod.DeletionTimestamp != nil:
		return
	case pod.Spec.NodeName == "":
		e.room(capacity.GangOf(capacity.Admitted(&corev1.Pod{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}), 1), seen)
		if len(e.Causes) == 0 { // the scheduler knows more than room
			e.add(KindRoom, "kubectl describe pod "+pod.Name+" -n "+pod.Namespace, "pod %s: %s", pod.Name, why)
		}
		return
	}
	e.add(KindPod, nextOf(pod), "pod %s, %s", pod.Name, why)
}

// nextOf is what helps a pod whose container does not start.
func nextOf(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Waiting == nil {
			continue
		}
		switch c.State.Waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
			return fmt.Sprintf("kubectl ai sandbox load %s; or push it where the nodes pull from", c.Image)
		case "CrashLoopBackOff":
			return fmt.Sprintf("kubectl logs %s -n %s -c %s --previous", pod.Name, pod.Namespace, c.Name)
		}
	}
	return fmt.Sprintf("kubectl describe pod %s -n %s", pod.Name, pod.Namespace)
}

// ended explains a run that failed.
func (e *Explanation) ended(r run.Record, live run.Live) {
	for _, exit := range r.Exits {
		memory := ""
		for _, pod := range live.Pods {
			if pod.Name == exit.Pod {
				memory = limitOf(pod, exit.Container)
			}
		}
		e.exit(exit, r.Namespace, memory)
		if len(e.Causes) == 3 {
			break // the first ranks that failed; the others are mostly ended because of them
		}
	}
	if len(e.Causes) == 0 {
		e.add(KindExit, "kubectl ai runs show "+r.ID, "%s", r.Reason)
	}
}

// meanings are those of exit codes that shells, the kernel and Kubernetes
// give (128 + the signal).
var meanings = map[int]string{
	126: "its command is no program that can be executed",
	127: "its command was not found in the image",
	134: "it aborted (SIGABRT)",
	135: "bus error (SIGBUS): often too little shared memory; mount an emptyDir of medium Memory at /dev/shm",
	137: "it was killed (SIGKILL): by the kernel for memory, or because it did not end in time",
	139: "it crashed (SIGSEGV)",
	143: "it was told to end (SIGTERM)",
}

// exit explains how a container ended.
func (e *Explanation) exit(x run.Exit, namespace, memory string) {
	who := fmt.Sprintf("rank %d, pod %s, container %s", x.Rank, x.Pod, x.Container)
	if x.Reason == "OOMKilled" {
		limit := "its memory limit"
		if memory != "" {
			limit += " of " + memory
		}
		e.add(KindMemory, "raise resources.limits.memory in the overlay, or use less: a smaller batch, fewer loader workers", "%s: out of memory: it reached %s (exit %d)", who, limit, x.Code)
		return
	}
	text := fmt.Sprintf("%s: exit %d", who, x.Code)
	if m := meanings[x.Code]; m != "" {
		text += ": " + m
	}
	if x.Reason != "" && x.Reason != "Error" {
		text += ", " + x.Reason
	}
	if x.Message != "" {
		text += fmt.Sprintf(", %.200s", x.Message)
	}
	e.add(KindExit, fmt.Sprintf("kubectl logs %s -n %s -c %s", x.Pod, namespace, x.Container), "%s", text)
}
