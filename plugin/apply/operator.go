package apply

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// operator knows what a kind's controller writes into its status. kstatus does
// not: it takes what is suspended, or has only begun, for current.
type operator struct {
	// forever says that the kind has no end; the others run to completion.
	forever bool
	// suspend is the field that holds work back.
	suspend string
	queued  sign
	done    sign
	failed  sign
	// up counts what has started and what has to, with the word for it.
	up func(obj *unstructured.Unstructured) (ready, of int, unit string)
	// pods is the label by which the controller marks pods with the name of
	// the workload; named is the field with that name where it is another.
	pods, named string
}

// sign is what a status says when something is so: one of the conditions is
// True, or a field has one of the values.
type sign struct {
	conditions []string
	field      string
	values     []string
}

// operators are the kinds that are judged by their controllers' own words.
// Source: the APIs' CRDs (JobSet v1alpha2, Kubeflow PyTorchJob v1 and TrainJob
// v1alpha1, KubeRay v1, Volcano v1alpha1, LeaderWorkerSet v1).
var operators = map[schema.GroupKind]operator{
	{Group: "jobset.x-k8s.io", Kind: "JobSet"}: {
		suspend: "spec.suspend",
		queued:  sign{conditions: []string{"Suspended"}},
		done:    sign{conditions: []string{"Completed"}, field: "status.terminalState", values: []string{"Completed"}},
		failed:  sign{conditions: []string{"Failed"}, field: "status.terminalState", values: []string{"Failed"}},
		up: func(obj *unstructured.Unstructured) (int, int, string) {
			return sum(obj, 0, "status.replicatedJobsStatus.*", "ready", "succeeded"), sum(obj, 1, "spec.replicatedJobs.*", "replicas"), "jobs"
		},
		pods: "jobset.sigs.k8s.io/jobset-name",
	},
	{Group: "trainer.kubeflow.org", Kind: "TrainJob"}: {
		suspend: "spec.suspend",
		queued:  sign{conditions: []string{"Suspended"}},
		done:    sign{conditions: []string{"Complete"}},
		failed:  sign{conditions: []string{"Failed"}},
		// The runtime, not the TrainJob, says how many jobs there are.
		up: func(obj *unstructured.Unstructured) (ready, of int, unit string) {
			for _, job := range items(obj, "status.jobsStatus.*") {
				succeeded := number(job, 0, "succeeded")
				ready += min(number(job, 0, "ready")+succeeded, max(1, number(job, 0, "active")+succeeded))
				of += max(1, number(job, 0, "active")+succeeded)
			}
			return ready, max(1, of), "jobs"
		},
		pods: "jobset.sigs.k8s.io/jobset-name",
	},
	{Group: "kubeflow.org", Kind: "PyTorchJob"}: {
		suspend: "spec.runPolicy.suspend",
		queued:  sign{conditions: []string{"Suspended"}},
		done:    sign{conditions: []string{"Succeeded"}},
		failed:  sign{conditions: []string{"Failed"}},
		up: func(obj *unstructured.Unstructured) (int, int, string) {
			return sum(obj, 0, "status.replicaStatuses.*", "active", "succeeded"), sum(obj, 1, "spec.pytorchReplicaSpecs.*", "replicas"), "ranks"
		},
		pods: "training.kubeflow.org/job-name",
	},
	{Group: "ray.io", Kind: "RayJob"}: {
		suspend: "spec.suspend",
		queued:  sign{field: "status.jobDeploymentStatus", values: []string{"Suspended", "Suspending"}},
		done:    sign{field: "status.jobStatus", values: []string{"SUCCEEDED"}},
		// A job that failed may be tried again: Failed is said at the end.
		failed: sign{field: "status.jobDeploymentStatus", values: []string{"Failed", "ValidationFailed"}},
		up: func(obj *unstructured.Unstructured) (int, int, string) {
			if text(obj, "status.jobStatus") == "RUNNING" {
				return 1, 1, "job"
			}
			return 0, 1, "job"
		},
		pods: "ray.io/cluster", named: "status.rayClusterName",
	},
	{Group: "ray.io", Kind: "RayCluster"}: {
		forever: true,
		suspend: "spec.suspend",
		queued:  sign{conditions: []string{"RayClusterSuspended"}, field: "status.state", values: []string{"suspended"}},
		failed:  sign{field: "status.state", values: []string{"failed"}},
		up: func(obj *unstructured.Unstructured) (int, int, string) {
			if text(obj, "status.state") == "ready" || condition(obj, "RayClusterProvisioned") == "True" {
				return 1, 1, "cluster"
			}
			return 0, 1, "cluster"
		},
		pods: "ray.io/cluster",
	},
	{Group: "batch.volcano.sh", Kind: "Job"}: {
		done:   sign{field: "status.state.phase", values: []string{"Completed"}},
		failed: sign{field: "status.state.phase", values: []string{"Failed", "Aborted", "Terminated"}},
		up: func(obj *unstructured.Unstructured) (int, int, string) {
			status, _, _ := unstructured.NestedMap(obj.Object, "status")
			spec, _, _ := unstructured.NestedMap(obj.Object, "spec")
			// The gang is minAvailable: what is more may come later.
			of := number(spec, sum(obj, 1, "spec.tasks.*", "replicas"), "minAvailable")
			if text(obj, "status.state.phase") != "Running" {
				return 0, of, "ranks"
			}
			return number(status, 0, "running") + number(status, 0, "succeeded"), of, "ranks"
		},
		queued: sign{field: "status.state.phase", values: []string{"Pending"}},
		pods:   "volcano.sh/job-name",
	},
	{Group: "leaderworkerset.x-k8s.io", Kind: "LeaderWorkerSet"}: {
		forever: true,
		up: func(obj *unstructured.Unstructured) (int, int, string) {
			status, _, _ := unstructured.NestedMap(obj.Object, "status")
			spec, _, _ := unstructured.NestedMap(obj.Object, "spec")
			ready := min(number(status, 0, "readyReplicas"), number(status, 0, "updatedReplicas"))
			of := number(spec, 1, "replicas")
			if condition(obj, "Available") != "True" {
				ready = min(ready, of-1)
			}
			return max(0, ready), of, "groups"
		},
		pods: "leaderworkerset.sigs.k8s.io/name",
	},
}

// RunsToCompletion says whether a kind ends by itself.
func RunsToCompletion(ref Ref) bool {
	if ref.Group == "batch" && ref.Kind == "Job" {
		return true
	}
	op, ok := operators[ref.GroupKind()]
	return ok && !op.forever
}

// Finished says whether work that ends by itself has ended, well or not.
func Finished(obj *unstructured.Unstructured) bool {
	ref := RefOf(obj)
	if ref.Group == "batch" && ref.Kind == "Job" {
		return condition(obj, "Complete") == "True" || condition(obj, "Failed") == "True"
	}
	op, ok := operators[ref.GroupKind()]
	if !ok || op.forever {
		return false
	}
	_, done := op.done.in(obj)
	_, failed := op.failed.in(obj)
	return done || failed
}

// judgeByOperator goes by the words of the kind's controller.
func judgeByOperator(ref Ref, op operator, v view) verdict {
	if message, ok := op.failed.in(v.object); ok {
		return verdict{phase: Failed, err: &FailedError{Ref: ref, Reason: "it failed: " + message, Pods: lastWords(v.pods)}}
	}
	if _, ok := op.done.in(v.object); ok {
		return verdict{phase: Complete, say: "done"}
	}
	held, _, _ := unstructured.NestedBool(v.object.Object, strings.Split(op.suspend, ".")...)
	_, queued := op.queued.in(v.object)
	if held || queued && len(v.pods) == 0 {
		return verdict{phase: Queued, say: heldBy(v.object)}
	}
	ready, of, unit := op.up(v.object)
	say := fmt.Sprintf("%d of %d %s ready", min(ready, of), of, unit)
	if stale(v.object) {
		return verdict{phase: Admitted, say: "its controller has not looked at it yet"}
	}
	for _, pod := range v.pods {
		if !isReady(pod) && !succeeded(pod) {
			return verdict{phase: before(v.pods, len(v.pods)), say: say}
		}
	}
	if ready >= of {
		return verdict{phase: Started, say: say}
	}
	return verdict{phase: Admitted, say: say}
}

// in says whether the sign is there, and what the controller says beside it.
func (s sign) in(obj *unstructured.Unstructured) (message string, ok bool) {
	for _, kind := range s.conditions {
		if is, message := conditionOf(obj, kind); is == "True" {
			return message, true
		}
	}
	if s.field == "" || !slices.Contains(s.values, text(obj, s.field)) {
		return "", false
	}
	parts := []string{text(obj, s.field)}
	for _, field := range []string{"status.reason", "status.message", "status.state.reason", "status.state.message"} {
		if t := text(obj, field); t != "" {
			parts = append(parts, t)
		}
	}
	return strings.Join(parts, ": "), true
}

// heldBy says who lets suspended work go.
func heldBy(obj *unstructured.Unstructured) string {
	if queue := obj.GetLabels()["kueue.x-k8s.io/queue-name"]; queue != "" {
		return "suspended, waits in Kueue's queue " + queue
	}
	if queue := text(obj, "spec.queue"); queue != "" {
		return "waits in queue " + queue
	}
	return "suspended until somebody admits it"
}

// stale says whether a controller has not seen the latest spec.
func stale(obj *unstructured.Unstructured) bool {
	observed, ok, _ := unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	return ok && observed < obj.GetGeneration()
}

// text returns a field's string, "" for none.
func text(obj *unstructured.Unstructured, path string) string {
	s, _, _ := unstructured.NestedString(obj.Object, strings.Split(path, ".")...)
	return s
}

// items returns the maps at a path that ends in *: the items of a list or the
// values of a map.
func items(obj *unstructured.Unstructured, path string) []map[string]any {
	found, _, _ := unstructured.NestedFieldNoCopy(obj.Object, strings.Split(strings.TrimSuffix(path, ".*"), ".")...)
	var out []map[string]any
	add := func(v any) {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	switch found := found.(type) {
	case []any:
		for _, v := range found {
			add(v)
		}
	case map[string]any:
		for _, v := range found {
			add(v)
		}
	}
	return out
}

// sum adds up fields of the maps at a path.
func sum(obj *unstructured.Unstructured, otherwise int, path string, fields ...string) int {
	total := 0
	for _, m := range items(obj, path) {
		for _, field := range fields {
			total += number(m, otherwise, field)
		}
	}
	return total
}

func number(m map[string]any, otherwise int, field string) int {
	switch n := m[field].(type) {
	case int64:
		return int(n)
	case float64:
		return int(n)
	}
	return otherwise
}
