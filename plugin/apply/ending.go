package apply

import (
	"context"
	"errors"
	"strings"

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
