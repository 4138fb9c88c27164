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
	verdicts map[Ref]verdict
	since    waitingSince
	allSince time.Time // all are done since then; zero: they are not
}

func newWaiting(objects []*unstructured.Unstructured, o WaitOptions, now func() time.Time) *waiting {
	w := &waiting{
		options:  o,
		now:      now,
		live:     map[Ref]*unstructured.Unstructured{},
		pods:     map[Ref]*corev1.Pod{},
		sets:     map[Ref]*unstructured.Unstructured{},
		verdicts: map[Ref]verdict{},
		since:    waitingSince{now: now, since: map[string]time.Time{}},
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

// check judges all workloads and tells the reporter what is new. It returns
// true when all have been there for the settle time.
func (w *waiting) check(r Reporter) (bool, error) {
	all, final := true, true
	for _, ref := range w.refs {
		live := w.live[ref]
		v := judge(ref, view{object: live, pods: w.podsOf(live), now: w.now(), seen: w.since.first, grace: w.options.Grace})
		if v.err != nil {
			return false, v.err
		}
		if before := w.verdicts[ref]; before.say != v.say && live != nil {
			r.Note("%s: %s", ref.Short(), v.say)
		}
		w.verdicts[ref] = v
		all = all && v.done
		final = final && v.final
	}
	if !all {
		w.allSince = time.Time{}
		return false, nil
	}
	if w.allSince.IsZero() {
		w.allSince = w.now()
	}
	return final || w.now().Sub(w.allSince) >= w.options.Settle, nil
}

// pending names what is not there.
func (w *waiting) pending() []string {
	var out []string
	for _, ref := range w.refs {
		if v := w.verdicts[ref]; !v.done {
			say := v.say
			if say == "" {
				say = "not seen yet"
			}
			out = append(out, ref.Short()+": "+say)
		}
	}
	if len(out) == 0 {
		out = []string{"the workloads to settle"}
	}
	return out
}

// podsOf returns the pods that the current template of a workload made.
func (w *waiting) podsOf(live *unstructured.Unstructured) []*corev1.Pod {
	if live == nil {
		return nil
	}
	owner := live.GetUID()
	switch {
	case live.GetKind() == "Pod":
		if pod := w.pods[RefOf(live)]; pod != nil {
			return []*corev1.Pod{pod}
		}
		return nil
	case live.GetKind() == "Deployment":
		set := w.newestSet(live)
		if set == nil {
			return nil
		}
		owner = set.GetUID()
	}
	revision, _, _ := unstructured.NestedString(live.Object, "status", "updateRevision")
	var out []*corev1.Pod
	for _, pod := range w.pods {
		if c := metav1.GetControllerOf(pod); c == nil || c.UID != owner {
			continue
		}
		if revision != "" && pod.Labels["controller-revision-hash"] != revision {
			continue
		}
		out = append(out, pod)
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// newestSet returns the ReplicaSet of a Deployment's current template, nil
// while its controller has not made it.
func (w *waiting) newestSet(deployment *unstructured.Unstructured) *unstructured.Unstructured {
	observed, _, _ := unstructured.NestedInt64(deployment.Object, "status", "observedGeneration")
	if observed < deployment.GetGeneration() {
		return nil
	}
	var newest *unstructured.Unstructured
	best := -1
	for _, set := range w.sets {
		if c := metav1.GetControllerOf(set); c == nil || c.UID != deployment.GetUID() {
			continue
		}
		n, err := strconv.Atoi(set.GetAnnotations()["deployment.kubernetes.io/revision"])
		if err == nil && n > best {
			newest, best = set, n
		}
	}
	return newest
}
