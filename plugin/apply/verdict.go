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
	done  bool
	final bool // complete: nothing that happens to pods changes it any more
	err   error
	say   string // for people: "1 of 2 ranks ready"
}

// view is what is known of a workload when it is judged.
type view struct {
	object *unstructured.Unstructured // nil: not seen
	pods   []*corev1.Pod              // of its current template
	now    time.Time
	// seen is when a pod was first found to fit nowhere.
	seen  func(*corev1.Pod) time.Time
	grace time.Duration
}

// Waited says whether Wait has anything to wait for: what makes pods, and
// what custom controllers act on. Configuration, Services and volumes are
// there when they are written; a volume may wait for its first pod.
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
		case "", "networking.k8s.io", "discovery.k8s.io", "policy", "autoscaling", "gateway.networking.k8s.io", "admissionregistration.k8s.io":
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
	switch {
	case ref.Group == "batch" && ref.Kind == "Job":
		out = judgeJob(ref, v)
	case ref.Group == "" && ref.Kind == "Pod":
		out = judgePod(ref, v)
	default:
		out = judgeOther(ref, v)
	}
	if out.final || out.err != nil {
		return out
	}
	for _, pod := range v.pods {
		if err := trouble(ref, pod, v); err != nil {
			return verdict{err: err, say: err.Error()}
		}
	}
	return out
}

// judgeJob wants all ranks Ready at the same time, or the Job complete; that
// its pods were started is not enough.
func judgeJob(ref Ref, v view) verdict {
	for _, kind := range []string{"Failed", "FailureTarget"} {
		if is, message := conditionOf(v.object, kind); is == "True" {
			return verdict{err: &FailedError{Ref: ref, Reason: "the Job failed: " + message, Pods: lastWords(v.pods)}}
		}
	}
	for _, kind := range []string{"Complete", "SuccessCriteriaMet"} {
		if condition(v.object, kind) == "True" {
			return verdict{done: true, final: true, say: "complete"}
		}
	}
	if suspended, _, _ := unstructured.NestedBool(v.object.Object, "spec", "suspend"); suspended {
		return verdict{say: "suspended: queued until somebody admits it"}
	}
	ranks := 1
	if templates, err := workload.Templates(v.object); err == nil && len(templates) > 0 {
		ranks = workload.Replicas(templates[0])
	}
	ready, succeeded := 0, 0
	for _, pod := range v.pods {
		switch {
		case pod.Status.Phase == corev1.PodSucceeded:
			succeeded++
		case isReady(pod):
			ready++
		}
	}
	return verdict{
		done: ready+succeeded >= ranks,
		say:  fmt.Sprintf("%d of %d ranks ready", min(ready+succeeded, ranks), ranks),
	}
}

func judgePod(ref Ref, v view) verdict {
	if len(v.pods) == 0 {
		return verdict{say: "not seen yet"}
	}
	pod := v.pods[0]
	switch pod.Status.Phase {
	case corev1.PodFailed:
		return verdict{err: &FailedError{Ref: ref, Reason: "the pod failed: " + pod.Status.Reason + pod.Status.Message, Pods: lastWords(v.pods)}}
	case corev1.PodSucceeded:
		return verdict{done: true, final: true, say: "complete"}
	}
	return verdict{done: isReady(pod), say: string(pod.Status.Phase)}
}

// judgeOther goes by kstatus. A kind with pods that has no status at all was
// not looked at by its controller yet, which kstatus takes for current.
func judgeOther(ref Ref, v view) verdict {
	result, err := status.Compute(v.object)
	if err != nil {
		return verdict{err: &FailedError{Ref: ref, Reason: "its status cannot be read: " + err.Error()}}
	}
	switch result.Status {
	case status.FailedStatus:
		return verdict{err: &FailedError{Ref: ref, Reason: result.Message, Pods: lastWords(v.pods)}}
	case status.CurrentStatus:
		templates, _ := workload.Templates(v.object)
		if _, ok := v.object.Object["status"].(map[string]any); !ok && len(templates) > 0 {
			return verdict{say: "its controller has not looked at it yet"}
		}
		return verdict{done: true, say: result.Message}
	}
	return verdict{say: result.Message}
}

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
