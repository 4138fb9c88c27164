package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// Options say in whose name objects are applied.
type Options struct {
	// Manager is the field manager, such as kubectl-ai.
	Manager string
	// Owned says whether an object that exists may be changed. What it is
	// given may be no more than the object's metadata. Nil: all.
	Owned func(ref Ref, live metav1.Object) bool
	// Receipts prove objects unchanged without asking for each, with Members:
	// all objects with a receipt are among those.
	Receipts map[Ref]Receipt
	Members  *Members
	// TakeOver names field managers whose fields become ours where they
	// conflict. An object is only forced when all its conflicts are with them.
	TakeOver []string
}

// Diff asks the server what applying the objects would change, in parallel,
// and writes nothing. It asks for as little as can be:
//
//   - One LIST of metadata a kind and namespace proves what its receipt fits
//     unchanged, and says what is new.
//   - A dry run, and a look at the live object, for every change to an object
//     that exists.
//   - A dry run for the first new object of a kind in a namespace; the others
//     are created like it.
//   - Objects whose namespace or CRD comes along cannot be asked for: the
//     first of a kind is tried in the namespace default, and instances of a
//     CRD are checked against its schema.
//
// Objections to all objects come back joined: *ConflictError, *ForeignError,
// *UnservedError, *ObjectError. A change that is immutable is no objection
// here but a Replace in the plan.
func (c *Client) Diff(ctx context.Context, objects []*unstructured.Unstructured, o Options) (*Plan, error) {
	sorted := slices.Clone(objects)
	Sort(sorted)
	plan := &Plan{Changes: make([]Change, len(sorted)), mask: redact.New()}
	for i, obj := range sorted {
		plan.mask.Learn(obj)
		plan.Changes[i] = Change{Ref: RefOf(obj), Want: obj}
	}
	if o.Members == nil {
		o.Members = c.Members("")
	}
	s := &survey{client: c, options: o, plan: plan, defined: definitions(sorted), absent: map[string]bool{}}
	s.sum()
	s.place()
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	// Namespaces first: whether they are there decides how the others are asked.
	spaces := slices.IndexFunc(plan.Changes, func(c Change) bool { return !isNamespace(c.Ref) })
	if spaces < 0 {
		spaces = len(plan.Changes)
	}
	if err := s.ask(ctx, 0, spaces); err != nil {
		return nil, err
	}
	for _, change := range plan.Changes[:spaces] {
		if change.Action == Create {
			s.absent[change.Ref.Name] = true
		}
	}
	if err := s.ask(ctx, spaces, len(plan.Changes)); err != nil {
		return nil, err
	}
	return plan, errors.Join(s.objections...)
}

// ask fills the changes from..to in, as many at once as the server likes.
func (s *survey) ask(ctx context.Context, from, to int) error {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i := from; i < to; i++ {
		question := s.decide(i)
		if question == nil {
			continue
		}
		group.Go(func() error {
			err := question(gctx)
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			s.objections[i] = objection(s.plan.mask, err)
			return nil
		})
	}
	return group.Wait()
}

// unchanged says whether the server would leave an object as it is.
func unchanged(live, result *unstructured.Unstructured) bool {
	return reflect.DeepEqual(significant(live), significant(result))
}

// kept are the metadata fields that the server keeps for itself.
var kept = []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"}

// significant returns an object's fields without what the server keeps for
// itself. The maps below are those of the object.
func significant(obj *unstructured.Unstructured) map[string]any {
	out := maps.Clone(obj.Object)
	delete(out, "status")
	if metadata, ok := out["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		for _, field := range kept {
			delete(metadata, field)
		}
		out["metadata"] = metadata
	}
	return out
}

// managers returns who wrote an object, each once.
func managers(obj metav1.Object) []string {
	var out []string
	for _, f := range obj.GetManagedFields() {
		if f.Subresource == "" && !slices.Contains(out, f.Manager) {
			out = append(out, f.Manager)
		}
	}
	return out
}

// body is an object as it is sent; with a UID, only that very object takes it.
func body(obj *unstructured.Unstructured, uid types.UID) ([]byte, error) {
	content := obj.Object
	if metadata, ok := content["metadata"].(map[string]any); ok && uid != "" {
		content, metadata = maps.Clone(content), maps.Clone(metadata)
		metadata["uid"], content["metadata"] = string(uid), metadata
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return raw, nil
}
