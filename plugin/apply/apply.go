package apply

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// Apply writes what the plan says, stage by stage and in parallel inside a
// stage: objects that are created, changed or replaced. Prune is left to
// Delete. It returns a receipt for every object, the unchanged ones too. On
// an error the objects of later stages are not written.
func (c *Client) Apply(ctx context.Context, plan *Plan, o Options, r Reporter) (map[Ref]Receipt, error) {
	r = or(r)
	receipts := map[Ref]Receipt{}
	byStage := map[Stage][]*Change{}
	for i := range plan.Changes {
		change := &plan.Changes[i]
		switch change.Action {
		case Unchanged:
			receipts[change.Ref] = change.unchanged()
		case Create, Update, Replace:
			stage := StageOf(change.Ref)
			byStage[stage] = append(byStage[stage], change)
		}
	}
	for stage := StageNamespaces; stage <= StageJobs; stage++ {
		changes := byStage[stage]
		if len(changes) == 0 {
			continue
		}
		r.Start(fmt.Sprintf("Apply %d %s", len(changes), stage))
		err := c.applyStage(ctx, changes, o, plan.mask, receipts)
		if err == nil && stage == StageCRDs {
			err = c.established(ctx, changes)
		}
		r.End(err)
		if err != nil {
			return receipts, err
		}
	}
	return receipts, nil
}

// unchanged returns the receipt of an object that is not written.
func (change *Change) unchanged() Receipt {
	if change.receipt == nil {
		return receiptOf(change.Want, change.Live)
	}
	receipt := *change.receipt
	if redact.IsSecret(change.Want) {
		receipt.Sum = "" // see receiptOf
	}
	return receipt
}

func (c *Client) applyStage(ctx context.Context, changes []*Change, o Options, mask *redact.Masker, receipts map[Ref]Receipt) error {
	var mu sync.Mutex
	errs := make([]error, len(changes))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i, change := range changes {
		group.Go(func() error {
			receipt, err := c.write(gctx, change, o)
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			errs[i] = objection(mask, err)
			if err == nil {
				mu.Lock()
				receipts[change.Ref] = receipt
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return errors.Join(errs...)
}

func (c *Client) write(ctx context.Context, change *Change, o Options) (Receipt, error) {
	var uid types.UID
	switch change.Action {
	case Replace:
		if err := c.replace(ctx, change); err != nil {
			return Receipt{}, err
		}
	case Update:
		// A precondition: what was recreated since is not overwritten.
		uid = change.Live.GetUID()
		if change.Inherits {
			resource, err := c.of(change.Want)
			if err == nil {
				err = c.inherit(ctx, resource, change.Live, o)
			}
			if err != nil {
				return Receipt{}, objectionTo("take over", change.Ref, err)
			}
		}
	}
	live, err := c.send(ctx, change, uid, o)
	if err != nil {
		return Receipt{}, objectionTo("apply", change.Ref, err)
	}
	return receiptOf(change.Want, live), nil
}

// send applies an object and returns its metadata: nobody looks at the rest
// of what the server would return. To apply twice is to apply once.
func (c *Client) send(ctx context.Context, change *Change, uid types.UID, o Options) (metav1.Object, error) {
	gvk := change.Want.GroupVersionKind()
	p, err := c.place(change.Ref, gvk.Version)
	if err != nil {
		return nil, err
	}
	raw, err := body(change.Want, uid)
	if err != nil {
		return nil, err
	}
	return overcome(o, change.Ref, false, func(options metav1.PatchOptions) (metav1.Object, error) {
		return Again(ctx, func() (metav1.Object, error) {
			if c.Metadata == nil {
				return c.Dynamic.Resource(p.resource).Namespace(p.namespace).Patch(ctx, change.Ref.Name, types.ApplyPatchType, raw, options)
			}
			return c.Metadata.Resource(p.resource).Namespace(p.namespace).Patch(ctx, change.Ref.Name, types.ApplyPatchType, raw, options)
		})
	})
}

// replace deletes an object with all it owns and waits until it is gone.
func (c *Client) replace(ctx context.Context, change *Change) error {
	uid := change.Live.GetUID()
	resource, err := c.of(change.Want)
	if err != nil {
		return err
	}
	foreground := metav1.DeletePropagationForeground
	err = resource.Delete(ctx, change.Ref.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &foreground,
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return &ObjectError{Action: "delete", Ref: change.Ref, Err: err}
	}
	return c.gone(ctx, change.Ref, uid)
}

// Delete deletes the object of that name if it is still the one with that
// UID, in the background. It says whether there was one to delete.
func (c *Client) Delete(ctx context.Context, ref Ref, uid types.UID) (bool, error) {
	m, err := c.mapping(ref.GroupKind(), "")
	if isUnserved(err) {
		return false, nil // its CRD is gone, and it with the CRD
	}
	if err != nil {
		return false, err
	}
	background := metav1.DeletePropagationBackground
	err = at(c.Dynamic, m, ref.Namespace).Delete(ctx, ref.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background,
	})
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return false, nil // gone, or made anew by somebody else: not ours
	}
	return false, &ObjectError{Action: "delete", Ref: ref, Err: err}
}
