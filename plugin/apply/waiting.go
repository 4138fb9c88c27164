package apply

import (
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	podGVK        = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	replicaSetGVK = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}
)

// waiting is what Wait has seen so far. One goroutine owns it.
type waiting struct {
	objects []*unstructured.Unstructured // as they were applied
	refs    []Ref
	options WaitOptions
	now     func() time.Time

	live     map[Ref]*unstructured.Unstructured
	pods     map[Ref]*corev1.Pod
	sets     map[Ref]*unstructured.Unstructured
	denials  map[string]*denial // by the UID of what makes the pods
	mute     map[schema.GroupKind]bool
	verdicts map[Ref]verdict
	upSince  map[Ref]time.Time // all ranks are Ready since then
	since    *waitingSince
	began    time.Time
}

func newWaiting(objects []*unstructured.Unstructured, o WaitOptions, now func() time.Time) *waiting {
	w := &waiting{
		options:  o,
		now:      now,
		live:     map[Ref]*unstructured.Unstructured{},
		pods:     map[Ref]*corev1.Pod{},
		sets:     map[Ref]*unstructured.Unstructured{},
		denials:  map[string]*denial{},
		mute:     map[schema.GroupKind]bool{},
		verdicts: map[Ref]verdict{},
		upSince:  map[Ref]time.Time{},
		began:    now(),
		since:    newWaitingSince(now),
	}
	for _, obj := range objects {
		if Waited(obj) {
			w.objects = append(w.objects, obj)
			w.refs = append(w.refs, RefOf(obj))
		}
	}
	return w
}

// learn takes an event of a list in.
func (w *waiting) learn(gvk schema.GroupVersionKind, namespace string, e event) {
	if gvk == eventGVK {
		if !e.reset && !e.deleted {
			w.event(e.object)
		}
		return
	}
	if e.reset {
		w.forget(gvk.GroupKind(), namespace)
		for _, obj := range e.full {
			w.put(obj)
		}
		return
	}
	if e.deleted {
		ref := RefOf(e.object)
		delete(w.live, ref)
		delete(w.pods, ref)
		delete(w.sets, ref)
		return
	}
	w.put(e.object)
}

func (w *waiting) put(obj *unstructured.Unstructured) {
	ref := RefOf(obj)
	if slices.Contains(w.refs, ref) {
		w.live[ref] = obj
	}
	switch obj.GroupVersionKind() {
	case podGVK:
		var pod corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &pod); err == nil {
			w.pods[ref] = &pod
		}
	case replicaSetGVK:
		w.sets[ref] = obj
	}
}

func (w *waiting) forget(gk schema.GroupKind, namespace string) {
	gone := func(r Ref) bool { return r.GroupKind() == gk && r.Namespace == namespace }
	for r := range w.live {
		if gone(r) {
			delete(w.live, r)
		}
	}
	for r := range w.pods {
		if gone(r) {
			delete(w.pods, r)
		}
	}
	for r := range w.sets {
		if gone(r) {
			delete(w.sets, r)
		}
	}
}

// check judges all workloads and tells what is new. It returns true when all
// are where the options want them.
func (w *waiting) check(r Reporter) (bool, error) {
	all := true
	for _, ref := range w.refs {
		live := w.live[ref]
		pods, leaving := w.podsOf(live)
		v := judge(ref, view{
			object: live, pods: pods, leaving: leaving || w.options.Freed, denial: w.deniedTo(live), mute: w.mute[ref.GroupKind()],
			now: w.now(), since: w.since, grace: w.options.Grace, waited: w.now().Sub(w.began),
		})
		v.phase = w.settled(ref, v.phase)
		before := w.verdicts[ref]
		w.verdicts[ref] = v
		if live != nil && (before.say != v.say || before.phase != v.phase) {
			standing := w.standing(ref)
			if v.err == nil {
				r.Note("%s", standing.String())
			}
			if w.options.Seen != nil {
				w.options.Seen(standing)
			}
		}
		if v.err != nil {
			return false, v.err
		}
		all = all && w.reached(ref)
	}
	return all, nil
}

// settled turns Started into Running when it has lasted.
func (w *waiting) settled(ref Ref, phase Phase) Phase {
	if phase != Started {
		delete(w.upSince, ref)
		return phase
	}
	since, ok := w.upSince[ref]
	if !ok {
		since = w.now()
		w.upSince[ref] = since
	}
	if w.now().Sub(since) >= w.options.Settle {
		return Running
	}
	return Started
}

// reached says whether a workload is where the options want it.
func (w *waiting) reached(ref Ref) bool {
	phase := w.verdicts[ref].phase
	if w.options.Until == UntilComplete && RunsToCompletion(ref) {
		return phase == Complete
	}
	return phase == Running || phase == Complete
}

func (w *waiting) standing(ref Ref) Standing {
	v := w.verdicts[ref]
	if v.phase == "" && v.say == "" {
		v.say = "not seen yet"
	}
	return Standing{Object: ref, Phase: v.phase, Detail: v.say}
}

// pending is what is not where it should be.
func (w *waiting) pending() []Standing {
	var out []Standing
	for _, ref := range w.refs {
		if !w.reached(ref) {
			out = append(out, w.standing(ref))
		}
	}
	return out
}

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
