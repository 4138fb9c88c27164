package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/admit"
)

// pods explains a run whose ranks were let go and do not all run.
func (e *Explanation) pods(r run.Record, live run.Live, seen admit.Seen, events []corev1.Event) {
	if live.Denied != "" {
		row, _ := find(denials, "", live.Denied)
		e.add(row.kind, strings.ReplaceAll(row.next, "NS", r.Namespace), "the server refuses its pods: %s", live.Denied)
	}
	for _, pod := range live.Pods {
		if e.pod(pod, seen, events); len(e.Causes) > 0 {
			break // of a gang one explains all
		}
	}
	e.gang(r, live, seen.Now)
	if len(e.Causes) == 0 {
		e.add(KindNothing, "", "nothing stands in its way")
	}
}

// Pod explains any pod. events are those of its namespace.
func Pod(pod *corev1.Pod, seen admit.Seen, events []corev1.Event) Explanation {
	e := Explanation{Subject: "Pod/" + pod.Name, Phase: string(pod.Status.Phase)}
	e.pod(pod, seen, events)
	if len(e.Causes) == 0 {
		for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if t, previous := lastEnd(c); t != nil && t.ExitCode != 0 {
				e.exit(exitOf(pod, c, t), pod, previous, events)
			}
		}
	}
	if pod.Status.Reason != "" && len(e.Causes) == 0 {
		e.add(KindDenied, fill(describe, pod, "", ""), "%s: %s", pod.Status.Reason, pod.Status.Message)
	}
	if len(e.Causes) == 0 {
		e.add(KindNothing, "", "nothing stands in its way")
	}
	return e
}

// lastEnd is how a container ended, and whether that was before its last start.
func lastEnd(c corev1.ContainerStatus) (t *corev1.ContainerStateTerminated, previous bool) {
	if t := c.State.Terminated; t != nil {
		return t, false
	}
	return c.LastTerminationState.Terminated, true
}

func exitOf(pod *corev1.Pod, c corev1.ContainerStatus, t *corev1.ContainerStateTerminated) run.Exit {
	return run.Exit{Pod: pod.Name, Rank: max(run.RankOf(pod), 0), Container: c.Name, Code: int(t.ExitCode), Reason: t.Reason, Message: strings.TrimSpace(t.Message)}
}

// fill puts names into a row's next step.
func fill(next string, pod *corev1.Pod, container, image string) string {
	return strings.NewReplacer("POD", pod.Name, "NS", pod.Namespace, "CONTAINER", container, "IMAGE", image).Replace(next)
}

// pod explains what stands in a pod's way, in the order in which it would get
// there: a node, volumes, images, a start, being ready.
func (e *Explanation) pod(pod *corev1.Pod, seen admit.Seen, events []corev1.Event) {
	if e.disrupted(pod); len(e.Causes) > 0 || pod.DeletionTimestamp != nil {
		return
	}
	trouble := observe.Trouble(pod)
	if pod.Spec.NodeName == "" {
		if trouble != "" {
			e.unplaced(pod, seen, trouble)
		}
		return
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if end, previous := lastEnd(c); c.RestartCount > 0 && end != nil && end.ExitCode != 0 && pod.Status.Phase != corev1.PodFailed {
			e.exit(exitOf(pod, c, end), pod, previous, events)
			cause := &e.Causes[len(e.Causes)-1]
			if cause.Message = fmt.Sprintf("%s; it was started %d times", cause.Message, c.RestartCount+1); cause.Kind == KindExit {
				cause.Kind = KindCrash
			}
			return
		}
		w := c.State.Waiting
		if w == nil {
			continue
		}
		if row, ok := find(waitings, w.Reason, w.Message); ok {
			e.add(row.kind, fill(row.next, pod, c.Name, c.Image), "pod %s, container %s: %s: %s", pod.Name, c.Name, w.Reason, short(w.Message))
			return
		}
	}
	said := eventsOf(events, string(pod.UID))
	if pod.Status.Phase == corev1.PodPending && !prepared(pod) {
		for _, event := range slices.Backward(said) {
			if row, ok := find(waitings, event.Reason, event.Message); ok && !passing(event, pod) {
				e.add(row.kind, fill(row.next, pod, "", ""), "pod %s: %s: %s", pod.Name, event.Reason, short(event.Message))
				return
			}
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running == nil || c.Ready {
			continue
		}
		for _, event := range slices.Backward(said) {
			if event.Reason == "Unhealthy" {
				e.add(KindProbe, fill("kubectl logs POD -n NS -c CONTAINER; correct its probe in the overlay, or what it asks", pod, c.Name, ""), "pod %s, container %s runs and is not ready: %s", pod.Name, c.Name, short(event.Message))
				return
			}
		}
	}
}

// prepared says whether a pod's volumes are mounted and its network is there
// (KEP-3085). What was said of them before is past, though it stays for an hour.
func prepared(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReadyToStartContainers && c.Status == corev1.ConditionTrue
	})
}

// disrupted explains a pod that was ended from outside.
func (e *Explanation) disrupted(pod *corev1.Pod) {
	reason, message := pod.Status.Reason, pod.Status.Message
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && reason == "" {
			reason, message = c.Reason, c.Message
		}
	}
	if reason == "DeadlineExceeded" {
		e.add(KindDeadline, "raise activeDeadlineSeconds in the overlay, or do less", "pod %s: %s", pod.Name, message)
	}
	if row, ok := find(disruptions, reason, message); ok && reason != "" {
		e.add(row.kind, row.next, "pod %s: %s: %s", pod.Name, reason, short(message))
	}
}

// unplaced explains a pod that the scheduler finds no node for.
func (e *Explanation) unplaced(pod *corev1.Pod, seen admit.Seen, trouble string) {
	e.room(capacity.GangOf(capacity.Admitted(&corev1.Pod{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}), 1), seen)
	if len(e.Causes) == 0 { // the scheduler knows more than room
		row, _ := find(unplaced, "", trouble)
		e.add(row.kind, fill(row.next, pod, "", ""), "pod %s: %s", pod.Name, short(trouble))
	}
}

// gathering is how long the ranks of a gang may take to come one after the
// other: a second image pull, a slower node. Chosen.
const gathering = 30 * time.Second

// gang says which ranks are missing while others run: those wait for them. One
// that is only on its way is not missing.
func (e *Explanation) gang(r run.Record, live run.Live, now time.Time) {
	late := func(since time.Time) bool { return now.Sub(since) >= gathering }
	running, here := 0, map[int]*corev1.Pod{}
	for _, pod := range live.Pods {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			running++
		}
		here[run.RankOf(pod)] = pod // the newest of a rank
	}
	if running == 0 || running >= r.Ranks {
		return
	}
	var missing []string
	for rank := 0; rank < r.Ranks && len(missing) < 3; rank++ {
		switch pod := here[rank]; {
		case pod == nil:
			if t := live.Job.Status.StartTime; t == nil || !late(t.Time) {
				continue
			}
			missing = append(missing, fmt.Sprintf("rank %d has no pod", rank))
		case pod.Status.Phase == corev1.PodSucceeded:
			missing = append(missing, fmt.Sprintf("rank %d has ended well", rank))
		case pod.Status.Phase == corev1.PodPending && observe.Trouble(pod) == "" && !late(pod.CreationTimestamp.Time): // on its way
		case pod.Status.Phase != corev1.PodRunning:
			missing = append(missing, fmt.Sprintf("rank %d is %s", rank, pod.Status.Phase))
		}
	}
	if len(missing) > 0 {
		e.add(KindGang, fmt.Sprintf("kubectl logs job/%s -n %s --all-pods; kubectl describe job %[1]s -n %[2]s", r.Job, r.Namespace),
			"%d of %d ranks run, and wait for ever if they wait for the others: %s", running, r.Ranks, strings.Join(missing, ", "))
	}
}

// ended explains a run that failed.
func (e *Explanation) ended(r run.Record, live run.Live, events []corev1.Event) {
	if strings.Contains(r.Reason, batchv1.JobReasonDeadlineExceeded) {
		e.add(KindDeadline, "raise activeDeadlineSeconds of the Job in the overlay, or do less; kubectl ai runs show "+r.ID+" says how far it came", "%s", r.Reason)
		return
	}
	pods := map[string]*corev1.Pod{}
	for _, pod := range live.Pods {
		pods[pod.Name] = pod
		if e.disrupted(pod); len(e.Causes) > 0 {
			return
		}
	}
	for _, exit := range r.Exits {
		e.exit(exit, pods[exit.Pod], false, events)
		if len(e.Causes) == 3 {
			break // the first ranks that failed; the others are mostly ended because of them
		}
	}
	if len(e.Causes) == 0 {
		e.add(KindExit, "kubectl ai runs show "+r.ID, "%s", r.Reason)
	}
}

// exit explains how a container ended. pod is nil where it is gone.
func (e *Explanation) exit(x run.Exit, pod *corev1.Pod, previous bool, events []corev1.Event) {
	e.failed = append(e.failed, Failed{Pod: x.Pod, Container: x.Container, Previous: previous, cause: len(e.Causes)})
	who, init, gone := "container", false, pod == nil
	if !gone {
		init = slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == x.Container })
	} else {
		pod = &corev1.Pod{}
		pod.Name = x.Pod
	}
	if init {
		who = "init container"
	}
	who = fmt.Sprintf("rank %d, pod %s, %s %s: ", x.Rank, x.Pod, who, x.Container)
	logs := fill("kubectl logs POD -n NS -c CONTAINER", pod, x.Container, "")
	if previous {
		logs += " --previous"
	}
	if gone { // its log was kept where somebody waited for the run
		logs = "kubectl ai logs " + strings.TrimPrefix(e.Subject, "run/")
	}
	limit := "its memory limit"
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if q, ok := c.Resources.Limits[corev1.ResourceMemory]; ok && c.Name == x.Container {
			limit += " of " + q.String()
		}
	}
	if x.Reason == "OOMKilled" {
		e.add(KindMemory, raiseMemory, "%sout of memory: it reached %s (exit %d)", who, limit, x.Code)
		return
	}
	if probe := killedByProbe(eventsOf(events, string(pod.UID)), x.Container); probe != "" && pod.UID != "" && x.Code > 128 {
		e.add(KindProbe, "a busy process answers late: raise timeoutSeconds, failureThreshold or initialDelaySeconds of the probe in the overlay", "%sexit %d: %s", who, x.Code, probe)
		return
	}
	cause := Cause{Kind: KindExit, Message: fmt.Sprintf("%sexit %d", who, x.Code), Next: logs}
	for _, row := range ends {
		if slices.Contains(row.reasons, x.Reason) || slices.Contains(row.codes, x.Code) {
			cause.Kind, cause.Message = row.kind, cause.Message+": "+row.says
			if row.next != "" {
				cause.Next = row.next
			}
			break
		}
	}
	if x.Code == 137 && strings.Contains(limit, " of ") && pod.DeletionTimestamp == nil { // a busy node misses that the kernel did it
		cause.Kind, cause.Next = KindMemory, raiseMemory
		cause.Message = fmt.Sprintf("%sexit 137: it was killed (SIGKILL), most likely by the kernel for %s", who, limit)
	}
	if x.Reason != "" && x.Reason != "Error" {
		cause.Message += ", " + x.Reason
	}
	if x.Message != "" {
		cause.Message += ", " + short(x.Message)
	}
	if init && cause.Kind == KindExit {
		cause.Kind = KindInit
	}
	e.Causes = append(e.Causes, cause)
}

const raiseMemory = "raise resources.limits.memory in the overlay, or use less: a smaller batch, fewer loader workers"

// killedByProbe returns what a probe said that made the kubelet kill a
// container, "" where none did. A kubelet that starts the container again says
// which probe; else it only says that it stops it.
func killedByProbe(said []corev1.Event, container string) string {
	killed, probe := false, ""
	for _, event := range said {
		switch {
		case event.Reason == "Killing" && strings.Contains(event.Message, "ontainer "+container):
			killed = true
		case event.Reason == "Unhealthy" && (strings.HasPrefix(event.Message, "Liveness") || strings.HasPrefix(event.Message, "Startup")):
			probe = event.Message
		}
	}
	if !killed || probe == "" {
		return ""
	}
	return "the kubelet killed it: " + strings.TrimSuffix(short(probe), ":")
}

// Failed is a container that ended, and not well.
type Failed struct {
	Pod, Container string
	Previous       bool // it was started again since

	cause int // that explains it
}

// Failed returns whose logs may have the last words, the likeliest first.
func (e *Explanation) Failed() []Failed { return e.failed }

// Hear takes in the end of the log of one of them. What the program said of
// itself explains a code that says nothing else, and matters most.
func (e *Explanation) Hear(f Failed, log []string) {
	cause := e.Causes[f.cause]
	e.Log = log[max(0, len(log)-lastLines):]
	if cause.Kind != KindExit && cause.Kind != KindInit && cause.Kind != KindCrash {
		return
	}
	for _, line := range slices.Backward(log) {
		for _, row := range words {
			at := row.said.FindStringSubmatchIndex(line)
			if at == nil {
				continue
			}
			cause.Kind = row.kind
			cause.Message += ": " + short(string(row.said.ExpandString(nil, row.says, line, at)))
			cause.Next = short(string(row.said.ExpandString(nil, row.next, line, at)))
			e.Causes = slices.Insert(slices.Delete(e.Causes, f.cause, f.cause+1), 0, cause)
			return
		}
	}
}

// lastLines is how much of a log fits on a screen beside the rest.
const lastLines = 8

// short keeps a message to a few lines of a screen, and to one.
func short(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > 300 {
		message = strings.ToValidUTF8(message[:300], "") + "…"
	}
	return message
}
