package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Options say in whose name objects are applied.
type Options struct {
	// Manager is the field manager, such as kubectl-ai.
	Manager string
	// Owned says whether an object that exists may be changed. Nil: all.
	Owned func(live *unstructured.Unstructured) bool
	// Receipts prove objects unchanged without asking for each; Selector
	// is the label selector that all objects with a receipt carry.
	Receipts map[Ref]Receipt
	Selector string
}

// Diff asks the server what applying the objects would change, in parallel,
// and writes nothing. Objections to all objects come back joined:
// *ConflictError, *ForeignError, *UnservedError, *ObjectError. A change that
// is immutable is no objection here but a Replace in the plan.
func (c *Client) Diff(ctx context.Context, objects []*unstructured.Unstructured, o Options) (*Plan, error) {
	sorted := slices.Clone(objects)
	Sort(sorted)
	plan := &Plan{Changes: make([]Change, len(sorted)), mask: NewMasker()}
	for _, obj := range sorted {
		plan.mask.Learn(obj)
	}
	absent, err := c.absentNamespaces(ctx, sorted)
	if err != nil {
		return nil, err
	}
	proven, err := c.prove(ctx, sorted, o)
	if err != nil {
		return nil, err
	}
	defined := crdScopes(sorted)
	objections := make([]error, len(sorted))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i, want := range sorted {
		ref := RefOf(want)
		change := &plan.Changes[i]
		*change = Change{Ref: ref, Want: want}
		if receipt, ok := proven[ref]; ok {
			change.Action, change.receipt = Unchanged, &receipt
			continue
		}
		group.Go(func() error {
			err := c.ask(gctx, change, o, func() string {
				if _, ok := defined[ref.GroupKind()]; ok {
					return "checked when its CRD is served"
				}
				return ""
			}, absent)
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			objections[i] = plan.mask.objection(err)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return plan, errors.Join(objections...)
}

// ask fills a change in: what is there, and what the server would make of it.
func (c *Client) ask(ctx context.Context, change *Change, o Options, crd func() string, absent map[string]bool) error {
	resource, err := c.of(change.Want)
	if isUnserved(err) && crd() != "" {
		change.Action, change.Unverified = Create, crd()
		return nil
	}
	if err != nil {
		return err
	}
	if absent[change.Ref.Namespace] {
		change.Action, change.Unverified = Create, "checked when its namespace exists"
		return nil
	}
	live, err := resource.Get(ctx, change.Ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		live = nil
	case err != nil:
		return &ObjectError{Action: "read", Ref: change.Ref, Err: err}
	}
	if live != nil && o.Owned != nil && !o.Owned(live) {
		return &ForeignError{Ref: change.Ref, Managers: managers(live)}
	}
	change.Live = live
	result, err := patch(ctx, resource, change.Want, o.Manager, true)
	if err != nil {
		if fields := immutableFields(err); live != nil && len(fields) > 0 {
			change.Action, change.Immutable = Replace, fields
			return nil
		}
		if conflict := conflictOf(change.Ref, err); conflict != nil {
			return conflict
		}
		return &ObjectError{Action: "dry run of", Ref: change.Ref, Err: err}
	}
	change.Result = result
	switch {
	case live == nil:
		change.Action = Create
	case reflect.DeepEqual(significant(live).Object, significant(result).Object):
		change.Action = Unchanged
	default:
		change.Action = Update
	}
	return nil
}

// absentNamespaces returns the namespaces that the objects bring along and
// that do not exist yet.
func (c *Client) absentNamespaces(ctx context.Context, objects []*unstructured.Unstructured) (map[string]bool, error) {
	absent := map[string]bool{}
	for _, obj := range objects {
		if !isNamespace(RefOf(obj)) {
			continue
		}
		_, err := c.Get(ctx, RefOf(obj))
		if apierrors.IsNotFound(err) {
			absent[obj.GetName()] = true
		} else if err != nil {
			return nil, &ObjectError{Action: "read", Ref: RefOf(obj), Err: err}
		}
	}
	return absent, nil
}

type patcher interface {
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (*unstructured.Unstructured, error)
}

// patch applies one object. Conflicts are never forced.
func patch(ctx context.Context, resource patcher, obj *unstructured.Unstructured, manager string, dryRun bool) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(obj.Object)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	options := metav1.PatchOptions{FieldManager: manager, FieldValidation: metav1.FieldValidationStrict}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return resource.Patch(ctx, obj.GetName(), types.ApplyPatchType, body, options)
}

// significant returns a copy without what the server keeps for itself.
func significant(obj *unstructured.Unstructured) *unstructured.Unstructured {
	out := obj.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(out.Object, "metadata", field)
	}
	delete(out.Object, "status")
	return out
}

// managers returns who wrote an object, each once.
func managers(obj *unstructured.Unstructured) []string {
	var out []string
	for _, f := range obj.GetManagedFields() {
		if f.Subresource == "" && !slices.Contains(out, f.Manager) {
			out = append(out, f.Manager)
		}
	}
	return out
}
