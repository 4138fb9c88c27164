package apply

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// survey decides what has to be asked for each object of a plan.
type survey struct {
	client  *Client
	options Options
	plan    *Plan
	defined map[schema.GroupKind]definition // by CRDs among the objects
	absent  map[string]bool                 // namespaces that come along

	details    []detail // of each change
	objections []error  // to each change
	asked      map[kindIn]bool
}

// detail is what is known of a change before anything is asked.
type detail struct {
	place place
	err   error // the kind is not served
	sum   string
	size  int
	// receipt is of the object as it was sent last; same says that it is sent
	// just so again.
	receipt     Receipt
	known, same bool
}

// kindIn is a kind of objects in a namespace.
type kindIn struct {
	gvk       schema.GroupVersionKind
	namespace string
}

// sum compares the objects with what was sent last.
func (s *survey) sum() {
	s.details = make([]detail, len(s.plan.Changes))
	s.objections = make([]error, len(s.plan.Changes))
	s.asked = map[kindIn]bool{}
	for i := range s.plan.Changes {
		change, d := &s.plan.Changes[i], &s.details[i]
		d.receipt, d.known = s.options.Receipts[change.Ref]
		d.sum, d.size = sumOf(change.Want)
		d.same = d.known && d.sum != "" && d.sum == d.receipt.Sum
	}
}

// place finds out where the objects are listed.
func (s *survey) place() {
	for i := range s.plan.Changes {
		change := &s.plan.Changes[i]
		s.details[i].place, s.details[i].err = s.client.place(change.Ref, change.Want.GroupVersionKind().Version)
	}
}

// Bounds of what is listed in place of single questions. Both chosen: a LIST
// costs the server about as much as three GETs of small objects, and what it
// brings of a bundle's objects is decoded in some ten milliseconds a MiB.
const (
	fewUnknown = 3
	wholeBytes = 1 << 20
)

// look makes the LISTs that answer the most.
func (s *survey) look(ctx context.Context) error {
	type tally struct{ known, changed, fresh, unknown, size int }
	count := func() map[place]*tally {
		tallies := map[place]*tally{}
		for i := range s.details {
			d := &s.details[i]
			if d.err != nil {
				continue
			}
			t := tallies[d.place]
			if t == nil {
				t = &tally{}
				tallies[d.place] = t
			}
			t.size += d.size
			if d.known {
				t.known++
			}
			if d.known && !d.same {
				t.changed++
			}
			if _, found := s.options.Members.find(d.place, s.plan.Changes[i].Ref.Name); !found {
				t.unknown++
				if !d.known {
					t.fresh++
				}
			}
		}
		return tallies
	}
	wanted := map[place]depth{}
	for p, t := range count() {
		switch {
		case t.fresh >= fewUnknown:
			wanted[p] = everyone
		case t.known == 0:
		case t.size <= min(t.changed*wholeBytes/8, wholeBytes):
			wanted[p] = wholes
		default:
			wanted[p] = outlines
		}
	}
	if err := s.options.Members.load(ctx, wanted); err != nil {
		return err
	}
	// Members that are gone, or lost their label.
	clear(wanted)
	for p, t := range count() {
		if t.unknown >= fewUnknown {
			wanted[p] = everyone
		}
	}
	return s.options.Members.load(ctx, wanted)
}

// decide returns the question that a change needs, or fills it in itself.
func (s *survey) decide(i int) func(context.Context) error {
	change, d := &s.plan.Changes[i], &s.details[i]
	ref := change.Ref
	if crd, ok := s.defined[ref.GroupKind()]; ok && isUnserved(d.err) {
		return func(context.Context) error { return crd.check(change) }
	}
	if d.err != nil {
		s.objections[i] = d.err
		return nil
	}
	kind := kindIn{change.Want.GroupVersionKind(), ref.Namespace}
	first := func() bool {
		before := s.asked[kind]
		s.asked[kind] = true
		return !before
	}
	if s.absent[ref.Namespace] {
		change.Action, change.Unverified = Create, "checked when its namespace exists"
		if !first() {
			change.Like = true
			return nil
		}
		return func(ctx context.Context) error { return s.client.standIn(ctx, change, s.options) }
	}
	live, known := s.options.Members.find(d.place, ref.Name)
	switch {
	case live != nil && d.same && d.receipt.fits(change.Want, live):
		receipt := d.receipt
		receipt.ResourceVersion = live.GetResourceVersion()
		change.Action, change.receipt = Unchanged, &receipt
		return nil
	case live == nil && known:
		change.Action = Create
		if !first() {
			change.Like = true
			return nil
		}
	}
	return func(ctx context.Context) error { return s.compare(ctx, change, d.place, live, known) }
}

func (s *survey) owned(ref Ref, live metav1.Object) bool {
	return s.options.Owned == nil || s.options.Owned(ref, live)
}

// compare fills a change in: what is there, and what the server would make of
// it.
func (s *survey) compare(ctx context.Context, change *Change, p place, live metav1.Object, known bool) error {
	if live != nil && !s.owned(change.Ref, live) {
		return &ForeignError{Ref: change.Ref, Managers: managers(live)}
	}
	if !known || live != nil {
		whole, err := s.options.Members.whole(ctx, p, change.Ref.Name)
		if err != nil {
			return &ObjectError{Action: "read", Ref: change.Ref, Err: err}
		}
		change.Live = whole
	}
	if live == nil && change.Live != nil && !s.owned(change.Ref, change.Live) {
		return &ForeignError{Ref: change.Ref, Managers: managers(change.Live)}
	}
	result, err := s.client.rehearse(ctx, change, s.options)
	if err != nil {
		if fields := immutableFields(err); change.Live != nil && len(fields) > 0 {
			change.Action, change.Immutable = Replace, fields
			return nil
		}
		return objectionTo("dry run of", change.Ref, err)
	}
	change.Result = result
	switch {
	case change.Live == nil:
		change.Action = Create
	case unchanged(change.Live, result) && !change.Inherits:
		change.Action = Unchanged
	default:
		change.Action = Update
	}
	return nil
}

// standInNamespace is one that every cluster has and nobody can delete.
const standInNamespace = metav1.NamespaceDefault

// standIn tries an object whose namespace comes along in the namespace
// default: what is wrong with the object itself shows there too. What only
// that namespace objects to does not count.
func (c *Client) standIn(ctx context.Context, change *Change, o Options) error {
	m, err := c.mapping(change.Ref.GroupKind(), change.Want.GroupVersionKind().Version)
	if err != nil {
		return err
	}
	trial := change.Want.DeepCopy()
	trial.SetNamespace(standInNamespace)
	_, err = at(c.Dynamic, m, standInNamespace).Create(ctx, trial, metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldManager: o.Manager, FieldValidation: metav1.FieldValidationStrict,
	})
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
		change.Unverified = fmt.Sprintf("its namespace comes along; tried in namespace %s", standInNamespace)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &ObjectError{Action: "dry run of", Ref: change.Ref, Err: err}
	}
	return nil
}
