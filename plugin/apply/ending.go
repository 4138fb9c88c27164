package apply

import (
	"context"
	"errors"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// ErrResumed says that work that was to rest was let go again by somebody.
var ErrResumed = errors.New("somebody let it go on")

// SuspendPath returns the field of an object's kind that holds its work back,
// nil where there is none.
func SuspendPath(ref Ref) []string {
	if ref.Group == "batch" && ref.Kind == "Job" {
		return []string{"spec", "suspend"}
	}
	if op := operators[ref.GroupKind()]; op.suspend != "" {
		return strings.Split(op.suspend, ".")
	}
	return nil
}

// Suspended says whether an object's work is held back.
func Suspended(obj *unstructured.Unstructured) bool {
	held, _, _ := unstructured.NestedBool(obj.Object, SuspendPath(RefOf(obj))...)
	return held
}

// Ended waits until the work of the object with that UID has ended, well or
// not, or the object is no more.
func (c *Client) Ended(ctx context.Context, ref Ref, uid types.UID) error {
	return c.until(ctx, ref, func(obj *unstructured.Unstructured) bool {
		return obj == nil || obj.GetUID() != uid || Finished(obj)
	})
}

// Rests waits until suspended work rests: its controller says so, and its pods
// have ended, which may save a checkpoint in their grace period. live is the
// object as it ran. It returns ErrResumed when somebody lets it go on.
func (c *Client) Rests(ctx context.Context, live *unstructured.Unstructured) error {
	ref, resumed := RefOf(live), false
	err := c.until(ctx, ref, func(obj *unstructured.Unstructured) bool {
		if obj == nil || obj.GetUID() != live.GetUID() || Finished(obj) {
			return true
		}
		resumed = !Suspended(obj)
		return resumed || saysSuspended(obj)
	})
	if err != nil {
		return err
	}
	if resumed {
		return &ObjectError{Action: "suspend", Ref: ref, Err: ErrResumed}
	}
	return c.podsEnd(ctx, live)
}

// saysSuspended says whether the controller of suspended work has seen it.
func saysSuspended(obj *unstructured.Unstructured) bool {
	if op, ok := operators[RefOf(obj).GroupKind()]; ok {
		_, ok := op.queued.in(obj)
		return ok
	}
	return condition(obj, "Suspended") == "True"
}

// PodSelector finds the pods of work that ends by itself, by what its
// controller marks them with; "" where nothing on them names it.
func PodSelector(live *unstructured.Unstructured) string {
	label, value := podLabel(live)
	if ref := RefOf(live); ref.Group == "batch" && ref.Kind == "Job" {
		label = "job-name"
	}
	if label == "" {
		return ""
	}
	return label + "=" + value
}

// podsEnd waits until no pod of a workload is alive.
func (c *Client) podsEnd(ctx context.Context, live *unstructured.Unstructured) error {
	selector := PodSelector(live)
	m, err := c.mapping(podGVK.GroupKind(), podGVK.Version)
	if err != nil || selector == "" {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := map[string]bool{}
	ended := false
	put := func(pod *unstructured.Unstructured, gone bool) {
		phase := text(pod, "status.phase")
		if gone || phase == "Succeeded" || phase == "Failed" {
			delete(alive, pod.GetName())
			return
		}
		alive[pod.GetName()] = true
	}
	err = follow(inner, at(c.Dynamic, m, live.GetNamespace()), metav1.ListOptions{LabelSelector: selector}, func(e event) {
		if e.reset {
			clear(alive)
			for _, pod := range e.full {
				put(pod, false)
			}
		} else {
			put(e.object, e.deleted)
		}
		if len(alive) == 0 {
			ended = true
			cancel()
		}
	})
	switch {
	case ended:
		return nil
	case err == nil:
		err = context.Cause(ctx)
	}
	return &ObjectError{Action: "wait for the pods of", Ref: RefOf(live), Err: err}
}
