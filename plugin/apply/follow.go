package apply

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// pause is how long a watch that ended rests before it begins again.
const pause = 500 * time.Millisecond

// event is what a followed list says: a full list, or one object of it.
type event struct {
	full    []*unstructured.Unstructured // with reset
	reset   bool
	object  *unstructured.Unstructured
	deleted bool
}

// follow lists and watches until ctx ends, handing events to send. It starts
// over when the watch ends or its version is too old. What the server forbids
// or does not serve ends it.
func follow(ctx context.Context, resource dynamic.ResourceInterface, options metav1.ListOptions, send func(event)) error {
	for ctx.Err() == nil {
		err := followOnce(ctx, resource, options, send)
		if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

func followOnce(ctx context.Context, resource dynamic.ResourceInterface, options metav1.ListOptions, send func(event)) error {
	list, err := resource.List(ctx, options)
	if err != nil {
		return err
	}
	full := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		full[i] = &list.Items[i]
	}
	send(event{full: full, reset: true})
	options.ResourceVersion = list.GetResourceVersion()
	options.AllowWatchBookmarks = true
	w, err := resource.Watch(ctx, options)
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.ResultChan():
			if !ok {
				return nil
			}
			obj, isObject := e.Object.(*unstructured.Unstructured)
			switch e.Type {
			case watch.Added, watch.Modified, watch.Deleted:
				if isObject {
					send(event{object: obj, deleted: e.Type == watch.Deleted})
				}
			case watch.Error:
				return apierrors.FromObject(e.Object)
			}
		}
	}
}

func byName(name string) metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: "metadata.name=" + name}
}

// Watch tells of one object, whenever it changed, by one goroutine until ctx
// ends; nil says that there is none. It returns why it cannot be watched.
func (c *Client) Watch(ctx context.Context, ref Ref, tell func(*unstructured.Unstructured)) error {
	m, err := c.mapping(ref.GroupKind(), "")
	if err != nil {
		return err
	}
	return follow(ctx, at(c.Dynamic, m, ref.Namespace), byName(ref.Name), func(e event) {
		switch {
		case e.reset && len(e.full) > 0:
			tell(e.full[0])
		case e.reset, e.deleted:
			tell(nil)
		default:
			tell(e.object)
		}
	})
}

// until follows one object until done says so. A nil object means that there
// is none.
func (c *Client) until(ctx context.Context, ref Ref, done func(*unstructured.Unstructured) bool) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	reached := false
	err := c.Watch(inner, ref, func(obj *unstructured.Unstructured) {
		if done(obj) {
			reached = true
			cancel()
		}
	})
	if reached {
		return nil
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return &ObjectError{Action: "wait for", Ref: ref, Err: err}
}

// Gone waits until the object with that UID is no more.
func (c *Client) Gone(ctx context.Context, ref Ref, uid types.UID) error {
	return c.gone(ctx, ref, uid)
}

// gone waits until the object with that UID is no more.
func (c *Client) gone(ctx context.Context, ref Ref, uid types.UID) error {
	return c.until(ctx, ref, func(obj *unstructured.Unstructured) bool { return obj == nil || obj.GetUID() != uid })
}

// established waits until the CRDs among the changes are served.
func (c *Client) established(ctx context.Context, changes []*Change) error {
	for _, change := range changes {
		if !isCRD(change.Ref) {
			continue
		}
		err := c.until(ctx, change.Ref, func(obj *unstructured.Unstructured) bool {
			return obj != nil && condition(obj, "Established") == "True" && condition(obj, "NamesAccepted") == "True"
		})
		if err != nil {
			return fmt.Errorf("CRD is not served: %w", err)
		}
		if err := c.discovered(ctx, change.Want); err != nil {
			return err
		}
	}
	return nil
}

// discoveryPatience is how long a server may take to list a kind that it
// serves. It is a matter of a second. Chosen.
const discoveryPatience = 15 * time.Second

// discovered waits until discovery lists the versions that a CRD serves, which
// is a moment after it is established. One that is not listed in time is said
// to be missing by whoever needs it.
func (c *Client) discovered(ctx context.Context, crd *unstructured.Unstructured) error {
	deadline := time.Now().Add(discoveryPatience)
	for {
		c.forget()
		missing := false
		for gvk := range servedBy(crd) {
			_, err := c.mapping(gvk.GroupKind(), gvk.Version)
			missing = missing || err != nil
		}
		if !missing || time.Now().After(deadline) {
			return nil
		}
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// condition returns the status of a condition, "" for none.
func condition(obj *unstructured.Unstructured, kind string) string {
	status, _ := conditionOf(obj, kind)
	return status
}

func conditionOf(obj *unstructured.Unstructured, kind string) (status, message string) {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, item := range conditions {
		c, ok := item.(map[string]any)
		if ok && c["type"] == kind {
			status, _ := c["status"].(string)
			message, _ := c["message"].(string)
			if reason, _ := c["reason"].(string); reason != "" {
				message = reason + ": " + message
			}
			return status, message
		}
	}
	return "", ""
}
