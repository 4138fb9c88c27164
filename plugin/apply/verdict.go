package apply

import (
	"fmt"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// verdict is how far a workload is.
type verdict struct {
	phase Phase
	err   error
	say   string // for people: "1 of 2 ranks ready"
}

// view is what is known of a workload when it is judged.
type view struct {
	object *unstructured.Unstructured // nil: not seen
	pods   []*corev1.Pod              // of its current template
	// leaving says that pods of a former template are still there: what they
	// hold will be free.
	leaving bool
	// denial is why the server refused to create its pods; nil: it did not.
	denial *denial
	// mute says that the kind has no status that a controller could write.
	mute   bool
	waited time.Duration // since the wait began
	now    time.Time
	since  *waitingSince // when trouble that may pass was first seen
	grace  time.Duration
}

// Waited says whether Wait has anything to wait for: what makes pods, and
// what custom controllers act on. Configuration, Services and volumes are
// there when they are written; a volume may wait for its first pod. So is what
// configures Prometheus and Istio, which write no status unless told to.
func Waited(obj *unstructured.Unstructured) bool {
	ref := RefOf(obj)
	if ref.Group == "batch" && ref.Kind == "CronJob" {
		return false
	}
	switch StageOf(ref) {
	case StageWorkloads, StageJobs:
		return true
	case StageNetwork:
		switch ref.Group {
		case "", "networking.k8s.io", "discovery.k8s.io", "policy", "autoscaling", "gateway.networking.k8s.io", "admissionregistration.k8s.io",
			"monitoring.coreos.com", "networking.istio.io", "security.istio.io":
			return false
		}
		return true
	}
	return false
}

// judge says how far a workload is.
func judge(ref Ref, v view) verdict {
	if v.object == nil {
		return verdict{say: "not seen yet"}
	}
	var out verdict
	op, known := operators[ref.GroupKind()]
	switch {
	case ref.Group == "batch" && ref.Kind == "Job":
		out = judgeJob(ref, v)
	case ref.Group == "" && ref.Kind == "Pod":
		out = judgePod(ref, v)
	case known:
		out = judgeByOperator(ref, op, v)
	default:
		out = judgeOther(ref, v)
	}
	if out.phase == Complete || out.err != nil {
		return out
	}
	if stale(v.object) {
		return out // its pods, and what was refused, are of the former spec
	}
	for _, pod := range v.pods {
		if err := trouble(ref, pod, v); err != nil {
			return verdict{phase: Failed, err: err, say: err.Error()}
		}
	}
	if !out.phase.up() {
		if err := v.denial.trouble(ref, v); err != nil {
			return verdict{phase: Failed, err: err, say: err.Error()}
		}
	}
	return out
}

// judgeJob wants all ranks Ready at the same time, or the Job complete; that
// its pods were started is not enough.
func judgeJob(ref Ref, v view) verdict {
	for _, kind := range []string{"Failed", "FailureTarget"} {
		if is, message := conditionOf(v.object, kind); is == "True" {
			return verdict{phase: Failed, err: &FailedError{Ref: ref, Reason: "the Job failed: " + message, Pods: lastWords(v.pods)}}
		}
	}
	for _, kind := range []string{"Complete", "SuccessCriteriaMet"} {
		if condition(v.object, kind) == "True" {
			return verdict{phase: Complete, say: "all ranks ended well"}
		}
	}
	if suspended, _, _ := unstructured.NestedBool(v.object.Object, "spec", "suspend"); suspended {
		return verdict{phase: Queued, say: heldBy(v.object)}
	}
	ranks := 1
	if templates, err := workload.Templates(v.object); err == nil && len(templates) > 0 {
		ranks = workload.Replicas(templates[0])
	}
	ready := 0
	for _, pod := range v.pods {
		if succeeded(pod) || isReady(pod) {
			ready++
		}
	}
	out := verdict{phase: Started, say: fmt.Sprintf("%d of %d ranks ready", min(ready, ranks), ranks)}
	if ready < ranks {
		out.phase = before(v.pods, ranks)
	}
	return out
}

// before says how far ranks are that are not all Ready.
func before(pods []*corev1.Pod, ranks int) Phase {
	placed, pulling := 0, 0
	for _, pod := range pods {
		if pod.Spec.NodeName == "" && !succeeded(pod) {
			continue
		}
		placed++
		if pod.Status.Phase == corev1.PodPending {
			pulling++
		}
	}
	switch {
	case placed < ranks:
		return Admitted
	case pulling > 0:
		return Pulling
	}
	return Starting
}

func judgePod(ref Ref, v view) verdict {
	if len(v.pods) == 0 {
		return verdict{say: "not seen yet"}
	}
	pod := v.pods[0]
	switch {
	case pod.Status.Phase == corev1.PodFailed:
		return verdict{phase: Failed, err: &FailedError{Ref: ref, Reason: "the pod failed: " + pod.Status.Reason + pod.Status.Message, Pods: lastWords(v.pods)}}
	case succeeded(pod):
		return verdict{phase: Complete, say: "it ended well"}
	case isReady(pod):
		return verdict{phase: Started, say: "ready"}
	}
	return verdict{phase: before(v.pods, 1), say: "not ready"}
}

// judgeOther goes by kstatus, once the kind's controller has looked at the
// object: kstatus takes a fresh one for current.
func judgeOther(ref Ref, v view) verdict {
	result, err := status.Compute(v.object)
	if err != nil {
		return verdict{phase: Failed, err: &FailedError{Ref: ref, Reason: "its status cannot be read: " + err.Error()}}
	}
	switch result.Status {
	case status.FailedStatus:
		return verdict{phase: Failed, err: &FailedError{Ref: ref, Reason: result.Message, Pods: lastWords(v.pods)}}
	case status.CurrentStatus:
		if !v.mute && !heard(v.object) {
			if !unheard(v) {
				return verdict{phase: Admitted, say: "its controller has not looked at it yet"}
			}
			return verdict{phase: Started, say: "no controller has said anything of it"}
		}
		if is, message := conditionOf(v.object, "Available"); is == "False" {
			return verdict{phase: Starting, say: message}
		}
		return verdict{phase: Started, say: result.Message}
	}
	phase := Admitted
	if len(v.pods) > 0 {
		phase = before(v.pods, len(v.pods))
	}
	return verdict{phase: phase, say: result.Message}
}

// hearing is how long the controller of a custom kind may take to write a
// first status. Some write none, such as that of a PodMonitor. Chosen.
const hearing = 10 * time.Second

// unheard says whether a custom object that makes no pods has been without any
// status for so long that nobody will write one.
func unheard(v view) bool {
	templates, _ := workload.Templates(v.object)
	status, _ := v.object.Object["status"].(map[string]any)
	return len(templates) == 0 && len(status) == 0 && v.waited >= hearing
}

// heard says whether a controller has seen the object's latest spec: by
// observedGeneration, else by a condition, else by any status.
func heard(obj *unstructured.Unstructured) bool {
	if observed, ok, _ := unstructured.NestedInt64(obj.Object, "status", "observedGeneration"); ok {
		return observed >= obj.GetGeneration()
	}
	conditions := items(obj, "status.conditions.*")
	for _, c := range conditions {
		if number(c, int(obj.GetGeneration()), "observedGeneration") >= int(obj.GetGeneration()) {
			return true
		}
	}
	status, _ := obj.Object["status"].(map[string]any)
	return len(conditions) == 0 && len(status) > 0
}

func succeeded(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodSucceeded }

func isReady(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
