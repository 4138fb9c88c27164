package apply

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// podsOf returns the pods that the current template of a workload made, and
// whether there are others of it, or some that go.
func (w *waiting) podsOf(live *unstructured.Unstructured) (out []*corev1.Pod, leaving bool) {
	if live == nil {
		return nil, false
	}
	if live.GetKind() == "Pod" {
		if pod := w.pods[RefOf(live)]; pod != nil {
			return []*corev1.Pod{pod}, false
		}
		return nil, false
	}
	owners := map[types.UID]bool{live.GetUID(): true} // true: of the current template
	if live.GetKind() == "Deployment" {
		owners = w.setsOf(live)
	}
	label, value := podLabel(live)
	revision := revisionOf(live)
	for _, pod := range w.pods {
		var current, ours bool
		if c := metav1.GetControllerOf(pod); c != nil {
			current, ours = owners[c.UID]
		}
		if label != "" && pod.Namespace == live.GetNamespace() && pod.Labels[label] == value {
			current, ours = true, true
		}
		current = current && revision.made(pod)
		leaving = leaving || ours && (!current || pod.DeletionTimestamp != nil)
		if current {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out, leaving
}

// revision is a label that the pods of a workload's current template have, and
// its value, "" while nobody knows it. Most kinds have no such label.
type revision struct{ label, value string }

// revisionOf returns the revision that a StatefulSet's controller says, or that
// the server gives a DaemonSet as soon as its template changes.
func revisionOf(live *unstructured.Unstructured) revision {
	if hash := text(live, "status.updateRevision"); hash != "" {
		if stale(live) {
			hash = "" // not said yet
		}
		return revision{"controller-revision-hash", hash}
	}
	if live.GetKind() == "DaemonSet" {
		if n := live.GetAnnotations()["deprecated.daemonset.template.generation"]; n != "" {
			return revision{"pod-template-generation", n}
		}
	}
	return revision{}
}

// made says whether a pod is of the revision.
func (r revision) made(pod *corev1.Pod) bool {
	return r.label == "" || r.value != "" && pod.Labels[r.label] == r.value
}

// podLabel is what an operator marks the pods of a workload with.
func podLabel(live *unstructured.Unstructured) (label, value string) {
	op, ok := operators[live.GroupVersionKind().GroupKind()]
	if !ok || op.named == "" {
		return op.pods, live.GetName()
	}
	if value = text(live, op.named); value == "" {
		return "", ""
	}
	return op.pods, value
}

// setsOf returns the ReplicaSets of a Deployment; true for the newest.
func (w *waiting) setsOf(deployment *unstructured.Unstructured) map[types.UID]bool {
	owners := map[types.UID]bool{}
	for _, set := range w.sets {
		if c := metav1.GetControllerOf(set); c != nil && c.UID == deployment.GetUID() {
			owners[set.GetUID()] = false
		}
	}
	if newest := w.newestSet(deployment); newest != nil {
		owners[newest.GetUID()] = true
	}
	return owners
}

// newestSet returns the ReplicaSet of a Deployment's current template, nil
// while its controller has not made it, or we have not seen it yet: the watches
// of the two may be apart.
func (w *waiting) newestSet(deployment *unstructured.Unstructured) *unstructured.Unstructured {
	observed, _, _ := unstructured.NestedInt64(deployment.Object, "status", "observedGeneration")
	if observed < deployment.GetGeneration() {
		return nil
	}
	const revision = "deployment.kubernetes.io/revision"
	var newest *unstructured.Unstructured
	best := -1
	for _, set := range w.sets {
		if c := metav1.GetControllerOf(set); c == nil || c.UID != deployment.GetUID() {
			continue
		}
		n, err := strconv.Atoi(set.GetAnnotations()[revision])
		if err == nil && n > best {
			newest, best = set, n
		}
	}
	if said := deployment.GetAnnotations()[revision]; said != "" && said != strconv.Itoa(best) {
		return nil
	}
	return newest
}
