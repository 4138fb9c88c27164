package apply

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
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
