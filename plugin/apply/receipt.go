package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Receipt is what an object was like after it was applied. A live object that
// still fits its receipt needs no question to the server: a whole bundle is
// proven unchanged by one LIST of metadata a kind.
type Receipt struct {
	UID             types.UID `json:"uid,omitempty"`
	ResourceVersion string    `json:"resourceVersion,omitempty"`
	Generation      int64     `json:"generation,omitempty"`
	// Sum is the SHA-256 of the object as it was sent.
	Sum string `json:"sum,omitempty"`
}

// receiptOf leaves the sum of a Secret out: a hash of its values may be kept
// where more people read than may read the Secret, and short values can be
// guessed. So Secrets are always asked for.
func receiptOf(want, live *unstructured.Unstructured) Receipt {
	r := Receipt{
		UID:             live.GetUID(),
		ResourceVersion: live.GetResourceVersion(),
		Generation:      live.GetGeneration(),
	}
	if !isSecret(want) {
		r.Sum = Sum(want)
	}
	return r
}

// Sum returns the SHA-256 of an object as JSON with sorted keys.
func Sum(obj *unstructured.Unstructured) string {
	raw, err := json.Marshal(obj.Object)
	if err != nil {
		return "" // no JSON: no receipt
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// fits says whether a live object is as its receipt says. Any write changes
// the resource version. Where a controller wrote the status since, the
// generation tells that the spec is untouched, and labels and annotations,
// which it does not count, are compared.
func (r Receipt) fits(want *unstructured.Unstructured, live metav1.Object) bool {
	if r.UID == "" || r.UID != live.GetUID() || r.Sum == "" || r.Sum != Sum(want) || live.GetDeletionTimestamp() != nil {
		return false
	}
	if r.ResourceVersion == live.GetResourceVersion() {
		return true
	}
	return r.Generation > 0 && r.Generation == live.GetGeneration() &&
		contains(live.GetLabels(), want.GetLabels()) && contains(live.GetAnnotations(), want.GetAnnotations())
}

func contains(all, some map[string]string) bool {
	for k, v := range some {
		if got, ok := all[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// prove returns the objects whose receipts still fit.
func (c *Client) prove(ctx context.Context, objects []*unstructured.Unstructured, o Options) (map[Ref]Receipt, error) {
	if len(o.Receipts) == 0 || o.Selector == "" || c.Metadata == nil {
		return nil, nil
	}
	type list struct {
		resource  schema.GroupVersionResource
		namespace string
	}
	lists := map[list]map[string]metav1.Object{}
	where := map[Ref]list{}
	for _, obj := range objects {
		ref := RefOf(obj)
		if _, ok := o.Receipts[ref]; !ok {
			continue
		}
		resource, namespaced, err := c.Resource(obj.GroupVersionKind())
		if err != nil {
			continue // asked for one by one, and named there
		}
		l := list{resource: resource}
		if namespaced {
			l.namespace = ref.Namespace
		}
		lists[l], where[ref] = map[string]metav1.Object{}, l
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for l, found := range lists {
		group.Go(func() error {
			live, err := c.Metadata.Resource(l.resource).Namespace(l.namespace).List(gctx, metav1.ListOptions{LabelSelector: o.Selector})
			if err != nil {
				if gctx.Err() != nil {
					return context.Cause(gctx)
				}
				if apierrors.IsForbidden(err) {
					return nil // then each object is asked for
				}
				return fmt.Errorf("list %s: %w", l.resource.Resource, err)
			}
			for i := range live.Items {
				found[live.Items[i].Name] = &live.Items[i]
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	proven := map[Ref]Receipt{}
	for _, obj := range objects {
		ref := RefOf(obj)
		receipt, ok := o.Receipts[ref]
		if !ok {
			continue
		}
		if live, ok := lists[where[ref]][ref.Name]; ok && receipt.fits(obj, live) {
			receipt.ResourceVersion = live.GetResourceVersion()
			proven[ref] = receipt
		}
	}
	return proven, nil
}
